package e2ee

import (
	"errors"
	"io"
	"strconv"
	"time"

	"github.com/conclave-sfu/conclave/e2ee/framecrypt"
	"github.com/conclave-sfu/conclave/e2ee/internal/fail"
	"github.com/conclave-sfu/conclave/e2ee/mls"
)

// Errors of [New] and [Session.Step]. None of them is the room's doing: they are
// mistakes of the caller, or its source of randomness has failed.
var (
	ErrConfig = errors.New("e2ee: config is not usable")
	ErrName   = errors.New("e2ee: display name is not usable")
	ErrInput  = errors.New("e2ee: input does not fit")
)

// maxOutputs is how many outputs may wait for Poll before Step refuses to go on. A Step
// adds a few.
const maxOutputs = 1024

// Config is what a [Session] is made of.
type Config struct {
	Link Link
	// PID is fresh and random for each session.
	PID PID
	// Name is the display name; see [CheckName].
	Name string
	// Rand is the only source of randomness: crypto/rand.Reader outside of tests.
	Rand io.Reader
}

// Session is one participant's side of the encrypted meeting. It does no I/O, has no
// clock and starts no goroutine; it is not safe for concurrent use. The package comment
// shows how it is driven.
type Session struct {
	// Immutable.
	cfg  Config
	keys linkKeys
	// process is [mls.Group.Process], but for tests of commits that only some can open.
	process func(*mls.Group, []byte, mls.ProcessParams) (*mls.Processed, error)

	now  time.Time // of the latest Step
	out  []Output
	told Status

	// The log.
	ledger *ledger // nil before LogOpened
	target uint64  // LogOpened's Head
	heard  time.Time
	ended  Code // why the session has ended, "" if it has not

	// On the way into a group.
	joiner   joiner
	joinPost inflight
	why      Code

	// In the group.
	member *membership // nil outside
	last   seats       // of the latest epoch of this generation
	was    bool        // a member of this log before
	epochs epochs
	newest framecrypt.Epoch // of all that this session has been in
	// before is added to this log's generations: those of earlier logs come first.
	before uint32

	// At work on the next entry.
	commits     turns
	creates     turns
	createAlone bool
	turnPost    inflight
	hold        time.Time // no create or commit before
	staged      map[Hash]*mls.Staged
	created     *stagedGroup
	seq         uint32
}

// New returns a session that waits for [LogOpened]. The errors wrap [ErrConfig],
// [ErrLink] or [ErrName].
func New(cfg Config) (*Session, error) {
	if cfg.Rand == nil {
		return nil, fail.With(ErrConfig, "no source of randomness")
	}
	if cfg.PID == (PID{}) {
		return nil, fail.With(ErrConfig, "no participant id")
	}
	if err := cfg.Link.check(); err != nil {
		return nil, fail.Both(ErrConfig, err)
	}
	if err := CheckName(cfg.Name); err != nil {
		return nil, fail.Both(ErrConfig, err)
	}
	s := &Session{cfg: cfg, keys: deriveLinkKeys(cfg.Link), process: (*mls.Group).Process}
	s.epochs.emit = s.emit
	s.reset()
	s.told = Status{State: StateConnecting}
	return s, nil
}

// reset forgets all that belongs to one log.
func (s *Session) reset() {
	s.epochs.drop()
	if s.ledger != nil {
		s.before += s.ledger.generation
	}
	s.become(nil)
	s.last, s.was, s.ended, s.why = seats{}, false, "", ""
	s.joinPost, s.turnPost, s.hold = inflight{}, inflight{}, time.Time{}
	s.commits, s.creates = newTurns(commitDelay), newTurns(0)
	s.dropStaged()
	s.created.erase()
	s.created = nil
}

// Step takes one input and does all that is due at now, a time of the caller's clock, with
// a monotonic reading if it has one; an earlier time than before counts as the one before. Then call Poll until it has no
// more. Whatever the room sends is not an error: an error is a mistake of the caller
// ([ErrInput]) or of its source of randomness, and the session stays usable.
//
// The slices in the input are kept and must not be changed.
func (s *Session) Step(now time.Time, in Input) error {
	if len(s.out) > maxOutputs {
		return fail.With(ErrInput, strconv.Itoa(len(s.out))+" outputs wait for Poll")
	}
	s.now = later(s.now, now)
	err := s.take(in)
	if s.ledger != nil {
		err = errors.Join(err, s.run())
	}
	s.tellStatus()
	return err
}

func (s *Session) take(in Input) error {
	switch in := in.(type) {
	case LogOpened:
		return s.logOpened(in)
	case LogEntry:
		return s.logEntry(in.Entry)
	case DeviceSigned:
		return s.deviceSigned(in)
	case Posted:
		s.posted(in)
		return nil
	case Tick:
		return nil
	}
	return fail.With(ErrInput, "an unknown one")
}

// Poll returns the next output. Call it after each Step until ok is false; more appears
// only after a Step. What it returns is the caller's.
func (s *Session) Poll() (out Output, ok bool) {
	if len(s.out) == 0 {
		return nil, false
	}
	out, s.out = s.out[0], s.out[1:]
	if len(s.out) == 0 {
		s.out = nil
	}
	return out, true
}

// Deadline is when the next [Tick] is due at the latest; zero if nothing is.
func (s *Session) Deadline() time.Time {
	if s.ledger == nil {
		return time.Time{}
	}
	announce, _ := s.announceDue()
	return earliest(announce, s.joiner.keepUntil, s.epochs.due(), s.turnDue(&s.commits), s.turnDue(&s.creates))
}

// Head is the position of the last log entry that the session has taken: a lost
// connection is resumed after it. Entries that are not the next are not taken.
func (s *Session) Head() uint64 {
	if s.ledger == nil {
		return 0
	}
	return s.ledger.chain.head()
}

// String says where the session stands and none of its secrets.
func (s *Session) String() string {
	return "session {" + string(s.told.State) + " " + string(s.told.Code) + "}"
}

func (s *Session) emit(out Output) { s.out = append(s.out, out) }

// run does what is due.
func (s *Session) run() error {
	s.epochs.tick(s.now)
	if until := s.joiner.keepUntil; !until.IsZero() && !s.now.Before(until) {
		s.joiner.settle()
	}
	return errors.Join(s.announce(), s.act())
}

// logOpened goes on with the log that it knows, or begins anew with another.
func (s *Session) logOpened(in LogOpened) error {
	if s.ledger != nil && s.ledger.id == in.ID {
		s.target = in.Head
		s.joinPost, s.turnPost = inflight{}, inflight{}
		s.commits.stop()
		s.creates.stop()
		return nil
	}
	signer, err := s.newSigner() // before anything changes
	if err != nil {
		return err
	}
	known := s.ledger != nil
	s.reset()
	if known {
		s.why = CodeNewLog
	}
	s.openLog(in, signer)
	return nil
}

// caughtUp says whether the session has seen the log as far as it is known to go.
func (s *Session) caughtUp() bool { return s.ledger.chain.head() >= s.target }

// logEntry judges the next entry and follows it.
func (s *Session) logEntry(e Entry) error {
	if s.ledger == nil {
		return fail.With(ErrInput, "a log entry before LogOpened")
	}
	switch e.Body.(type) {
	case Joined, Left, Created, Committed:
	default:
		return fail.With(ErrInput, "a log entry without a body")
	}
	if s.ended != "" {
		return nil
	}
	if code := s.ledger.admit(e); code != "" {
		s.refuse(e, code)
		return nil
	}
	s.heard = s.now
	switch body := e.Body.(type) {
	case Joined:
		code := s.ledger.apply(s.now, e)
		if e.PID == s.cfg.PID {
			s.ownJoined(body, code)
		}
		s.refuse(e, code)
	case Left:
		s.ledger.apply(s.now, e)
		if e.PID == s.cfg.PID {
			s.end(CodeLeft)
		}
	case Created:
		code := s.ledger.apply(s.now, e)
		s.turnTaken(e, code)
		s.groupCreated(e, body, code)
		s.refuse(e, code)
	case Committed:
		code := s.committed(e, body)
		s.turnTaken(e, code)
		s.refuse(e, code)
	}
	return nil
}

func (s *Session) refuse(e Entry, code Code) {
	if code != "" {
		s.emit(EntryRefused{Position: e.Position, PID: e.PID, Code: code})
	}
}

// turnTaken says that there is a create or commit entry: what was posted before it and
// is not it will be refused as stale.
func (s *Session) turnTaken(e Entry, code Code) {
	s.commits.moved(s.now, e.PID, code == "")
	s.creates.moved(s.now, e.PID, code == "")
	s.turnPost, s.hold = inflight{}, time.Time{}
	s.dropStaged()
}

// groupCreated follows a valid create entry: into the group if it is ours, else back to
// waiting. The old generation's keys go at once.
func (s *Session) groupCreated(e Entry, body Created, code Code) {
	own := s.created
	s.created = nil
	if code != "" {
		own.erase()
		return
	}
	s.epochs.drop()
	s.become(nil)
	s.last = seats{}
	s.joiner.eraseOffers()
	if own == nil || own.id != body.GroupID || e.PID != s.cfg.PID {
		own.erase()
		s.joinPost, s.joiner.notBefore = inflight{}, s.now
		if s.joiner.seq > 0 {
			s.rejoin(CodeNewGroup)
		}
		return
	}
	s.joiner.again, s.joiner.confirmed = "", true
	roster, _ := s.ledger.rosterAt(e.Position)
	s.enter(newMembership(own.group, own.sender, e.Position, s.ledger.time, roster), 0)
}

// committed follows a commit entry and says why it is not valid.
func (s *Session) committed(e Entry, c Committed) Code {
	code := s.ledger.judgeEnvelope(e, c)
	if code != "" {
		s.ledger.apply(s.now, e)
		return code
	}
	var next *judged
	var err error
	if s.member != nil {
		next, code, err = s.judgeCommit(e, c)
	}
	s.ledger.apply(s.now, e)
	switch {
	case err != nil:
		s.become(nil)
		s.epochs.leave(s.now)
		s.rejoin(CodeCommitUnusable)
	case next != nil:
		s.advance(e, next)
	}
	if s.member == nil || code != "" {
		if s.tryWelcome(e, c) {
			return ""
		}
		s.doubtMembership(e)
	}
	return code
}

// doubtMembership announces us anew after another's commit that we find invalid, while no
// other member's commit has yet shown that we are where the others are: a member may have
// led us astray by the Welcome of a commit that the others refused. Once in doubtPause is
// enough, whatever is posted.
func (s *Session) doubtMembership(e Entry) {
	if s.member == nil || s.joiner.confirmed || e.PID == s.cfg.PID || s.now.Before(s.joiner.sure) {
		return
	}
	s.joiner.sure = s.now.Add(doubtPause)
	s.rejoin(CodeSplit)
}

// advance moves to the epoch of a valid commit.
func (s *Session) advance(e Entry, j *judged) {
	s.ledger.rebase(j.x)
	if j.author != s.cfg.PID {
		s.joiner.settle()
		s.joiner.confirmed = true
	}
	if j.selfRemoved {
		s.become(nil)
		s.epochs.leave(s.now)
		s.why = CodeRemoved
		return
	}
	delay := sendAfter
	switch {
	case len(j.plan.removes) > 0 && e.Position < s.target:
		delay = 0 // we come late: the others have left this epoch behind, and the removed read it
	case len(j.plan.removes) > 0:
		delay = sendAfterRemoval
	}
	s.enter(newMembership(j.group, j.sender, e.Position, s.ledger.time, j.plan.roster), delay)
}

// enter makes m the current epoch. Frames are sealed under it after delay, or at once
// if there is nobody to wait for.
func (s *Session) enter(m *membership, delay time.Duration) {
	if len(m.leaves) == 1 {
		delay = 0
	}
	base, err := m.group.Export("SFrame 1.0 Base Key", nil, 16)
	if err != nil {
		panic("e2ee: MLS-Exporter: " + err.Error()) // only for too long an output
	}
	started := EpochStarted{
		Epoch:        s.epochOf(m.group),
		Own:          framecrypt.Leaf(m.group.Own()),
		Members:      m.members(),
		BaseKey:      framecrypt.NewBaseKey(base),
		SafetyNumber: SafetyNumber(m.group.EpochAuthenticator()),
	}
	clear(base)
	started.Removed = s.last.gone(m.seats)
	s.become(m)
	s.last, s.was, s.why = m.seats, true, ""
	s.newest = started.Epoch
	s.epochs.start(s.now, started, delay, len(started.Removed) > 0)
}

// become makes m the membership, nil for none, and erases the epoch before.
func (s *Session) become(m *membership) {
	if old := s.member; old != nil && old != m {
		erase(old.group, old.sender)
	}
	s.member = m
}

// dropStaged erases the commits of ours that lost the race.
func (s *Session) dropStaged() {
	for _, staged := range s.staged {
		if group, _ := staged.Merge(); s.member == nil || s.member.group != group {
			staged.Erase()
		}
	}
	s.staged = map[Hash]*mls.Staged{}
}

// epochOf is the name of a group's epoch beyond this package.
func (s *Session) epochOf(g *mls.Group) framecrypt.Epoch {
	return framecrypt.Epoch{Generation: s.before + s.ledger.generation, Number: g.Epoch()}
}

// end ends the session for this log. Its keys go at once.
func (s *Session) end(why Code) {
	s.epochs.drop()
	s.joiner.eraseOffers()
	s.become(nil)
	s.last, s.ended = seats{}, why
	s.dropStaged()
	s.created.erase()
	s.created = nil
	s.commits.stop()
	s.creates.stop()
}

// tellStatus emits a Status if it has changed.
func (s *Session) tellStatus() {
	status := s.status()
	if status != s.told {
		s.told = status
		s.emit(status)
	}
}

func (s *Session) status() Status {
	switch {
	case s.ended != "":
		return Status{State: StateEnded, Code: s.ended}
	case s.settled():
		return Status{State: StateMember}
	case s.was:
		return Status{State: StateRejoining, Code: s.why}
	case s.joiner.seq > 0:
		return Status{State: StateWaiting, Code: s.why}
	}
	return Status{State: StateConnecting, Code: s.why}
}

// settled says whether we are in the group and do not ask to be added again.
func (s *Session) settled() bool {
	return s.member != nil && s.joiner.again == "" && !s.joinPost.open() &&
		s.ledger.present[s.cfg.PID] == s.member.announced[s.cfg.PID]
}
