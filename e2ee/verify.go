package e2ee

import (
	"bytes"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/conclave-sfu/conclave/e2ee/framecrypt"
	"github.com/conclave-sfu/conclave/e2ee/internal/fail"
	"github.com/conclave-sfu/conclave/e2ee/mls"
)

// refreshAfter is how old an epoch is, in log time, when a commit may change nobody.
const refreshAfter = 10 * time.Minute

// contentCommit is ContentType commit (RFC 9420, Section 6).
const contentCommit = 3

// membership is a session's place in the group: one epoch.
type membership struct {
	group  *mls.Group
	sender *mls.Sender
	// parent is the position of the create or commit entry that began the epoch, since
	// its log time in ms.
	parent uint64
	since  int64
	seats
}

// seats say under which leaf each participant is, and by which announcement. They are the
// ledger's base. They hold no secrets, and may outlive the epoch.
type seats struct {
	leaves    map[PID]mls.LeafIndex
	announced map[PID]*announcement
}

func newMembership(g *mls.Group, s *mls.Sender, parent uint64, since int64, roster map[PID]*announcement) *membership {
	m := &membership{group: g, sender: s, parent: parent, since: since}
	m.seats = seats{leaves: make(map[PID]mls.LeafIndex, len(roster)), announced: roster}
	for _, member := range g.Members() {
		if pid, ok := pidOf(member.Identity); ok {
			m.leaves[pid] = member.Leaf
		}
	}
	return m
}

// pidOf reads a leaf's credential.
func pidOf(identity []byte) (PID, bool) {
	if len(identity) != len(PID{}) {
		return PID{}, false
	}
	return PID(identity), true
}

// members lists the roster by leaf index.
func (m *membership) members() []Member {
	list := make([]Member, 0, len(m.leaves))
	for pid, leaf := range m.leaves {
		id := m.announced[pid].identity
		list = append(list, Member{Leaf: framecrypt.Leaf(leaf), PID: pid, Name: id.Name, Device: id.Device})
	}
	sortBy(list, func(a, b Member) bool { return a.Leaf < b.Leaf })
	return list
}

// gone lists the leaves of m that do not stand for the same announcement in next.
func (m seats) gone(next seats) []framecrypt.Leaf {
	var list []framecrypt.Leaf
	for pid, leaf := range m.leaves {
		if l, ok := next.leaves[pid]; !ok || l != leaf || next.announced[pid].digest != m.announced[pid].digest {
			list = append(list, framecrypt.Leaf(leaf))
		}
	}
	sortBy(list, ascending)
	return list
}

// plan is what a commit at a position has to do, no more and no less.
type plan struct {
	roster  map[PID]*announcement // the outcome
	adds    []*announcement       // by position
	removes []mls.LeafIndex       // ascending
}

// plan says what makes the members those who were present at x. It is the rule that
// both the committer and all who judge a commit follow.
func (m *membership) plan(roster map[PID]*announcement) plan {
	p := plan{roster: roster}
	for pid, leaf := range m.leaves {
		if roster[pid] != m.announced[pid] {
			p.removes = append(p.removes, leaf)
		}
	}
	for pid, a := range roster {
		if m.announced[pid] != a {
			p.adds = append(p.adds, a)
		}
	}
	sortBy(p.removes, ascending)
	sortByPosition(p.adds)
	return p
}

// digests are the plan's KeyPackages as a commit's envelope names them.
func (p plan) digests() []Hash {
	list := make([]Hash, 0, len(p.adds))
	for _, a := range p.adds {
		list = append(list, a.digest)
	}
	return list
}

// oldest is the member whose leaf has been unchanged for longest, as far as the log
// tells: the lowest position of a create or commit entry that names it or is its
// participant's, then the lowest leaf.
func (m *membership) oldest() PID {
	var oldest PID
	first := true
	for pid, a := range m.announced {
		b := m.announced[oldest]
		if first || a.moved < b.moved || a.moved == b.moved && m.leaves[pid] < m.leaves[oldest] {
			oldest, first = pid, false
		}
	}
	return oldest
}

// judged is the outcome of judging a commit entry that is not refused.
type judged struct {
	x           uint64
	author      PID
	plan        plan
	group       *mls.Group // nil if this member was removed
	sender      *mls.Sender
	selfRemoved bool
}

// errUnusable says that this member cannot follow a commit that others may have found
// valid.
var errUnusable = errors.New("e2ee: commit cannot be applied here")

// judgeCommit says whether a commit entry of this epoch is valid: a function of the log
// before it, the group's state and the link. The error is errUnusable or nil. Only a commit in
// which nothing is wrong that all can see is unusable. Its confirmation tag, which needs
// the path, is not among that: a member can put out those for whom its path does not open
// while the others stay where they are, and is no better off than by a valid commit whose
// path does not open for them.
func (s *Session) judgeCommit(e Entry, c Committed) (*judged, Code, error) {
	commit, own := c.Commit, s.staged[c.CommitDigest]
	switch {
	case own != nil:
		commit = own.Commit
	case sha256.Sum256(commit) != c.CommitDigest:
		return nil, "", errUnusable // the room kept the bytes from us, or changed them
	}
	aad, code := s.previewCommit(e, commit)
	if code != "" {
		return nil, code, nil
	}
	// The ledger has compared the lifetimes of all that can be added with the time of their
	// joined entries.
	p, err := s.process(s.member.group, commit, mls.ProcessParams{PSKs: s.lookupPSK, KeyPackages: s.ledger.lookupWaiting()})
	switch {
	case p != nil:
	case errors.Is(err, mls.ErrUnknownPSK):
		return nil, CodeBadPSK, nil
	default:
		return nil, CodeBadCommit, nil
	}
	j := &judged{x: aad.place.x, group: p.Group, sender: p.Sender, selfRemoved: p.SelfRemoved}
	if code := s.judgeProcessed(e, c, p, j); code != "" {
		erase(p.Group, p.Sender)
		return nil, code, nil
	}
	switch {
	case errors.Is(err, mls.ErrOwnCommit) && own != nil:
		j.group, j.sender = own.Merge()
	case err != nil:
		return nil, "", errUnusable
	}
	return j, "", nil
}

// previewCommit checks what a commit shows without keys: its place in the log first, so
// that a commit from another log is called that.
func (s *Session) previewCommit(e Entry, commit []byte) (commitAAD, Code) {
	v, err := mls.Peek(commit)
	switch {
	case err != nil || v.ContentType != contentCommit:
		return commitAAD{}, CodeBadCommit
	case v.Public:
		return commitAAD{}, CodePublicCommit
	}
	a, err := decodeCommitAAD(v.AAD)
	if err != nil || a.generation != s.ledger.generation || a.linkVersion != s.cfg.Link.Version {
		return commitAAD{}, CodeBadAAD
	}
	if code := s.ledger.judgePlace(a.place, e.Position); code != "" {
		return commitAAD{}, code
	}
	if a.place.parent != s.member.parent {
		return commitAAD{}, CodeBadParent
	}
	if v.Epoch != s.member.group.Epoch() || !bytes.Equal(v.GroupID, s.ledger.groupID[:]) {
		return commitAAD{}, CodeBadCommit
	}
	return a, ""
}

// judgePlace says whether a place can be that of a commit at position.
func (l *ledger) judgePlace(p place, position uint64) Code {
	if p.parent > p.x || p.x >= position {
		return CodeBadAAD
	}
	if hash, ok := l.chain.at(p.x); !ok || hash != p.hash {
		return CodeLogFork
	}
	return ""
}

// judgeProcessed checks what MLS found in a commit: the author, the PSK, and that it
// does what the log demands.
func (s *Session) judgeProcessed(e Entry, c Committed, p *mls.Processed, j *judged) Code {
	before, _ := s.member.group.Member(p.Committer)
	roster, ok := s.ledger.rosterAt(j.x)
	author, named := pidOf(before.Identity)
	switch {
	case len(p.PSKIDs) != 1 || !bytes.Equal(p.PSKIDs[0], pskID(s.cfg.Link.Version)):
		return CodeBadPSK
	case !named || author != e.PID:
		return CodePIDMismatch
	case !ok:
		return CodeBadAAD
	case roster[author] != s.member.announced[author]:
		return CodeNotMember
	}
	j.author, j.plan = author, s.member.plan(roster)
	if code := judgePlan(j.plan, c, p); code != "" {
		return code
	}
	if len(j.plan.adds) == 0 && len(j.plan.removes) == 0 {
		if code := s.judgeRefresh(e, author); code != "" {
			return code
		}
	}
	if !sameExtensions(before.Extensions, p.LeafExtensions) {
		return CodeIdentityMoved
	}
	return ""
}

// judgePlan compares what a commit does with what it has to do.
func judgePlan(want plan, c Committed, p *mls.Processed) Code {
	adds := make([]Hash, 0, len(p.AddedRaw))
	for _, raw := range p.AddedRaw {
		adds = append(adds, sha256.Sum256(raw))
	}
	if !slices.Equal(adds, c.Adds) {
		return CodeAddsWrong
	}
	removes := make([]mls.LeafIndex, 0, len(p.Removed))
	for _, m := range p.Removed {
		removes = append(removes, m.Leaf)
	}
	expected := want.digests()
	sortBy(adds, hashLess)
	sortBy(expected, hashLess)
	sortBy(removes, ascending)
	if !slices.Equal(adds, expected) || !slices.Equal(removes, want.removes) {
		return CodeRosterWrong
	}
	return ""
}

func hashLess(a, b Hash) bool { return bytes.Compare(a[:], b[:]) < 0 }

// judgeRefresh judges a commit that changes nobody.
func (s *Session) judgeRefresh(e Entry, author PID) Code {
	switch {
	case max(s.ledger.time, e.Time)-s.member.since < refreshAfter.Milliseconds():
		return CodeEarlyRefresh
	case author != s.member.oldest():
		return CodeNotOldest
	}
	return ""
}

// lookupPSK knows the link's PSK and no other.
func (s *Session) lookupPSK(id []byte) ([]byte, bool) {
	if !bytes.Equal(id, pskID(s.cfg.Link.Version)) {
		return nil, false
	}
	return s.keys.psk, true
}

// errWelcome says what is wrong with a Welcome.
var errWelcome = errors.New("e2ee: welcome refused")

// judgeWelcome says whether the group that a Welcome leads to is the one of the log:
// by our link and our announcement, of this room, log and generation, with exactly
// those in the tree who were present at X, and at the place that the members read in the
// commit. It returns X and the roster there.
func (s *Session) judgeWelcome(e Entry, c Committed, g *mls.Group, info *mls.JoinedInfo, own Hash) (uint64, map[PID]*announcement, error) {
	data, ok := find(info.Extensions, mls.ExtensionConclaveCommit)
	w, err := decodeWelcomeExtension(data)
	if !ok || err != nil || w.commit != c.CommitDigest {
		return 0, nil, fail.With(errWelcome, "it is not this commit's")
	}
	if err := s.judgeWelcomeCommit(c, g, w.place); err != nil {
		return 0, nil, err
	}
	if code := s.ledger.judgePlace(w.place, e.Position); code != "" || !s.ledger.isTurn(w.place.parent) {
		return 0, nil, fail.With(errWelcome, "it does not fit the log")
	}
	if !bytes.Equal(g.GroupID(), s.ledger.groupID[:]) || g.Suite() != s.cfg.Link.suite() ||
		!sameExtensions(g.Extensions(), groupContextExtensions(s.groupExtension(c.Generation))) {
		return 0, nil, fail.With(errWelcome, "it is another group's")
	}
	roster, ok := s.ledger.rosterAt(w.place.x)
	if !ok || roster[s.cfg.PID] == nil || roster[s.cfg.PID].digest != own {
		return 0, nil, fail.With(errWelcome, "our KeyPackage was not announced at its position")
	}
	if signer, _ := g.Member(info.Signer); string(signer.Identity) != string(e.PID[:]) {
		return 0, nil, fail.With(errWelcome, "its signer is not the entry's participant")
	}
	return w.place.x, roster, s.judgeTree(g, roster)
}

// judgeWelcomeCommit compares what the Welcome says of its commit with what the commit shows
// to all: a joiner and the members take the same X for the new epoch's, or none. An epoch
// is no higher than there are create and commit entries before the one that begins it.
func (s *Session) judgeWelcomeCommit(c Committed, g *mls.Group, at place) error {
	v, err := mls.Peek(c.Commit)
	if err != nil || v.Public || v.ContentType != contentCommit || sha256.Sum256(c.Commit) != c.CommitDigest {
		return fail.With(errWelcome, "without its commit")
	}
	a, err := decodeCommitAAD(v.AAD)
	if err != nil || a != (commitAAD{c.Generation, at, s.cfg.Link.Version}) {
		return fail.With(errWelcome, "its commit says another place")
	}
	if !bytes.Equal(v.GroupID, g.GroupID()) || v.Epoch+1 != g.Epoch() || g.Epoch() >= uint64(len(s.ledger.turns)) {
		return fail.With(errWelcome, "epoch "+strconv.FormatUint(g.Epoch(), 10)+" by a commit of epoch "+strconv.FormatUint(v.Epoch, 10))
	}
	return nil
}

// judgeTree says whether the members are exactly those announced.
func (s *Session) judgeTree(g *mls.Group, roster map[PID]*announcement) error {
	members := g.Members()
	seen := make(map[PID]bool, len(members))
	for _, m := range members {
		pid, ok := pidOf(m.Identity)
		a := roster[pid]
		if !ok || a == nil || seen[pid] || !bytes.Equal(m.SignatureKey, a.key[:]) {
			return fail.With(errWelcome, "a member was not present")
		}
		data, ok := only(m.Extensions, mls.ExtensionConclaveIdentity)
		if !ok || sha256.Sum256(data) != a.sealed {
			return fail.With(errWelcome, "a member's identity is not the announced one")
		}
		seen[pid] = true
	}
	if len(seen) != len(roster) {
		return fail.With(errWelcome, "somebody present is not a member")
	}
	return nil
}

// find returns the data of the extension of type t if list has exactly one.
func find(list []mls.Extension, t uint16) (data []byte, ok bool) {
	n := 0
	for _, e := range list {
		if e.Type == t {
			data, n = e.Data, n+1
		}
	}
	return data, n == 1
}

// SafetyNumber is what members compare to know that they are in one epoch: 6 groups of
// 5 digits, each 5 bytes of SHA-512("conclave/1 safety" || epoch authenticator), big
// endian, mod 10^5.
func SafetyNumber(epochAuthenticator []byte) string {
	sum := sha512.Sum512(append([]byte("conclave/1 safety"), epochAuthenticator...))
	var text []byte
	for i := range 6 {
		v := append(make([]byte, 3, 8), sum[5*i:5*i+5]...)
		text = appendGroup(text, binary.BigEndian.Uint64(v)%100000)
	}
	return string(text[1:])
}

// appendGroup appends a space and the 5 decimal digits of n.
func appendGroup(dst []byte, n uint64) []byte {
	dst = append(dst, ' ')
	for unit := uint64(10000); unit > 0; unit /= 10 {
		dst = append(dst, '0'+byte(n/unit%10))
	}
	return dst
}
