package e2ee

import (
	"crypto/sha256"
	"errors"
	"io"
	"time"

	"github.com/conclave-sfu/conclave/e2ee/internal/fail"
	"github.com/conclave-sfu/conclave/e2ee/mls"
)

// createMargin is added to the 20 s that somebody has to wait before a create: clocks
// do not run alike.
const createMargin = 250 * time.Millisecond

// stagedGroup is a group of ours that may come back in the log as a create entry.
type stagedGroup struct {
	id     [16]byte
	group  *mls.Group
	sender *mls.Sender
}

// erase overwrites the secrets of a group that was not begun, if there is one.
func (g *stagedGroup) erase() {
	if g != nil {
		erase(g.group, g.sender)
	}
}

// erase overwrites an epoch's secrets, if there is one.
func erase(g *mls.Group, s *mls.Sender) {
	if g != nil {
		g.Erase()
		s.Erase()
	}
}

func readFull(r io.Reader, b []byte) (int, error) {
	n, err := io.ReadFull(r, b)
	if err != nil {
		return n, fail.At("read randomness", err)
	}
	return n, nil
}

// active says whether this session is a member that is present, up to date, and not about
// to ask to be added again: one in doubt of its place leads nobody else there.
func (s *Session) active() bool {
	return s.ended == "" && s.member != nil && s.caughtUp() && s.joiner.again == "" &&
		s.ledger.present[s.cfg.PID] == s.member.announced[s.cfg.PID]
}

// scheduleCommit keeps the turns of the members up to date.
func (s *Session) scheduleCommit() {
	if !s.active() || !s.ledger.work() {
		s.commits.stop()
		return
	}
	s.commits.want(s.now, s.now, s.presentMembers())
	s.commits.tick(s.now)
}

// presentMembers are the members that are present, by leaf index.
func (s *Session) presentMembers() []PID {
	var list []PID
	for pid, a := range s.member.announced {
		if s.ledger.present[pid] == a {
			list = append(list, pid)
		}
	}
	leaves := s.member.leaves
	sortBy(list, func(a, b PID) bool { return leaves[a] < leaves[b] })
	return list
}

// scheduleCreate keeps the turns of those who wait up to date: at once if nobody
// present is in the group, else when somebody has waited too long.
func (s *Session) scheduleCreate() {
	l := s.ledger
	own := l.present[s.cfg.PID]
	if s.ended != "" || s.member != nil || own == nil || own.named != 0 || !s.caughtUp() || s.joiner.find(own.digest) == nil {
		s.creates.stop()
		return
	}
	queue := l.queue()
	alone := l.waiting == len(l.present)
	if alone != s.createAlone {
		s.creates.stop()
		s.createAlone = alone
	}
	since := s.now
	if !alone {
		since = queue[0].seen
		for _, a := range queue {
			since = earliest(since, a.seen)
		}
		since = since.Add(createAfter + createMargin)
	}
	pids := make([]PID, 0, len(queue))
	for _, a := range queue {
		pids = append(pids, a.pid)
	}
	s.creates.want(s.now, since, pids)
	s.creates.tick(s.now)
}

// turnDue is when this session is to create or commit.
func (s *Session) turnDue(t *turns) time.Time {
	due := t.due(s.cfg.PID)
	if due.IsZero() {
		return due
	}
	return later(due, later(s.hold, s.turnPost.until))
}

// act creates or commits if it is this session's turn.
func (s *Session) act() error {
	s.turnPost.expire(s.now)
	s.scheduleCommit()
	s.scheduleCreate()
	if s.turnPost.open() || s.now.Before(s.hold) {
		return nil
	}
	switch {
	case s.commits.mine(s.now, s.cfg.PID):
		s.commits.acted = true
		return s.commit()
	case s.creates.mine(s.now, s.cfg.PID):
		s.creates.acted = true
		return s.create()
	}
	return nil
}

// commit makes the roster those who are present now, and posts the commit. It is
// merged when it comes back in the log.
func (s *Session) commit() error {
	x := s.ledger.chain.head()
	hash, _ := s.ledger.chain.at(x)
	roster, _ := s.ledger.rosterAt(x)
	p := s.member.plan(roster)
	at := place{parent: s.member.parent, x: x, hash: hash}
	staged, err := s.member.group.Commit(s.cfg.Rand, s.member.sender, s.commitParams(p, at))
	switch {
	case errors.Is(err, mls.ErrInvalid), errors.Is(err, mls.ErrProfile), errors.Is(err, mls.ErrGeneration):
		// An announced KeyPackage that does not go with this tree, for example for a key
		// that a leaf has already, until its participant leaves; or a thousand commits of
		// ours that lost the race. The turn passes.
		return nil
	case err != nil:
		return fail.At("commit", err)
	}
	if len(s.staged) >= maxStaged {
		s.dropStaged()
	}
	s.staged[sha256.Sum256(staged.Commit)] = staged
	s.turnPost = s.post(s.envelope(p, staged))
	return nil
}

// envelope is the post of a commit that follows the last create or commit entry.
func (s *Session) envelope(p plan, staged *mls.Staged) PostCommit {
	c := Committed{
		Last: s.ledger.last, Generation: s.ledger.generation,
		Adds: p.digests(), CommitDigest: sha256.Sum256(staged.Commit),
	}
	if staged.Welcome != nil {
		c.WelcomeDigest = sha256.Sum256(staged.Welcome)
	}
	return PostCommit{
		Last: c.Last, Generation: c.Generation, Adds: c.Adds, Commit: staged.Commit, Welcome: staged.Welcome,
		MAC: s.keys.commitMAC(s.cfg.Link.Room, s.ledger.id, c, s.cfg.PID),
	}
}

// maxStaged bounds the commits of ours that wait for one and the same place in the
// log. There is a second only if the first was lost on the way.
const maxStaged = 4

func (s *Session) commitParams(p plan, at place) mls.CommitParams {
	aad := commitAAD{generation: s.ledger.generation, place: at, linkVersion: s.cfg.Link.Version}
	params := mls.CommitParams{
		Removes: p.removes,
		PSK:     mls.PSK{ID: pskID(s.cfg.Link.Version), Secret: s.keys.psk},
		AAD:     aad.encode(),
		GroupInfoExtensions: func(commit []byte) []mls.Extension {
			e := welcomeExtension{place: at, commit: sha256.Sum256(commit)}
			return []mls.Extension{{Type: mls.ExtensionConclaveCommit, Data: e.encode()}}
		},
	}
	for _, a := range p.adds {
		params.Adds = append(params.Adds, a.keyPackage)
	}
	return params
}

// create makes a group of this session alone and posts a create entry.
func (s *Session) create() error {
	own := s.joiner.find(s.ledger.present[s.cfg.PID].digest)
	g := &stagedGroup{}
	if _, err := readFull(s.cfg.Rand, g.id[:]); err != nil {
		return err
	}
	body := Created{Last: s.ledger.last, Generation: s.ledger.generation + 1, GroupID: g.id}
	extensions := groupContextExtensions(s.groupExtension(body.Generation))
	var err error
	g.group, g.sender, err = mls.CreateFrom(s.cfg.Rand, own.secrets, g.id[:], extensions)
	if err != nil {
		return fail.At("create a group", err)
	}
	s.created.erase()
	s.created = g
	s.turnPost = s.post(PostCreate{
		Last: body.Last, Generation: body.Generation, GroupID: g.id,
		MAC: s.keys.createMAC(s.cfg.Link.Room, s.ledger.id, body, s.cfg.PID),
	})
	return nil
}

func (s *Session) groupExtension(generation uint32) groupExtension {
	return groupExtension{s.cfg.Link.Room, s.ledger.id, generation, s.cfg.Link.Version}
}
