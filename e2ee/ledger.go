package e2ee

import (
	"crypto/sha256"
	"slices"
	"time"

	"github.com/conclave-sfu/conclave/e2ee/mls"
)

// Limits of a room, as rules of validity.
const (
	maxMembers    = 1000    // also MLS's largest group here
	maxWaiting    = 128     // announcements that wait for a commit
	maxKeyPackage = 4 << 10 // bytes

	createAfter  = 20 * time.Second // of log time unnamed, then anyone who waits may create
	lifetimeLeft = 12 * time.Hour   // an announced KeyPackage is good for at least this long
	lifetimeMax  = 25 * time.Hour   // and for at most this long in all
)

// announcement is a valid joined entry.
type announcement struct {
	pid      PID
	position uint64
	time     int64 // log time, ms
	digest   Hash  // SHA-256 of the KeyPackage
	key      [32]byte
	seq      uint64
	identity leafIdentity
	sealed   Hash    // SHA-256 of the sealed identity, which the leaf keeps for its life
	hpke     [2]Hash // SHA-256 of the init key and of the leaf's encryption key

	// keyPackage is nil once a later entry made it useless.
	keyPackage *mls.KeyPackage
	// seen is when this session got the entry, by its own clock: for timers only.
	seen time.Time
	// named is the position of the first create or commit entry that puts it into
	// the group, valid or not; 0 if it waits.
	named uint64
	// moved is the position of the last create or commit entry that names it or is
	// its participant's.
	moved uint64
}

// presence is a change of who is present: a == nil says that pid left.
type presence struct {
	position uint64
	pid      PID
	a        *announcement
}

// binding ties a pid to its signature key for the life of a log.
type binding struct {
	key [32]byte
	seq uint64
}

// ledger is what the log says to everyone alike, members and those who wait: a
// function of the entries and the link alone.
type ledger struct {
	// Immutable.
	link Link
	keys linkKeys
	id   LogID

	chain      chain
	time       int64  // of the log, ms: the highest so far
	generation uint32 // 0 before the first create
	groupID    [16]byte
	last       uint64   // position of the last create or commit entry
	turns      []uint64 // positions of this generation's create and commit entries

	// What was announced once, for the life of the log: at most as much as it has entries.
	bound  map[PID]*binding
	owners map[[32]byte]PID // of signature keys
	hpke   map[Hash]bool    // SHA-256 of init and encryption keys

	// present are those who are here with a valid announcement of this generation.
	present map[PID]*announcement
	waiting int // of them, how many are not named

	// base is who was present at baseAt; since holds the changes after it.
	base   map[PID]*announcement
	baseAt uint64
	since  []presence
}

func newLedger(link Link, keys linkKeys, id LogID) *ledger {
	return &ledger{
		link: link, keys: keys, id: id, chain: newChain(link.Room, id),
		bound: map[PID]*binding{}, owners: map[[32]byte]PID{}, hpke: map[Hash]bool{},
		present: map[PID]*announcement{}, base: map[PID]*announcement{},
	}
}

// admit says whether e is the next entry of the log. Others are not part of it: they
// leave no trace.
func (l *ledger) admit(e Entry) Code {
	switch {
	case e.Position != l.chain.head()+1:
		return CodeLogOrder
	case e.Position > MaxLogEntries:
		return CodeLogFull
	}
	return ""
}

// apply takes the next entry and says why it is not valid, as far as the log and the
// link tell. Commits it only books: whether they are valid the group has to say,
// before.
func (l *ledger) apply(now time.Time, e Entry) Code {
	l.chain.append(e)
	l.time = max(l.time, e.Time)
	switch body := e.Body.(type) {
	case Joined:
		return l.joined(now, e, body)
	case Left:
		l.left(e)
	case Created:
		return l.created(e, body)
	case Committed:
		return l.committed(e, body)
	}
	return ""
}

// joined judges a joined entry and, if it is valid, replaces what its participant
// announced before.
func (l *ledger) joined(now time.Time, e Entry, body Joined) Code {
	a, code := l.readAnnouncement(e, body)
	if code != "" {
		return code
	}
	if code := l.roomFor(a); code != "" {
		return code
	}
	a.position, a.time, a.seen = e.Position, l.time, now
	l.bound[a.pid] = &binding{key: a.key, seq: a.seq}
	l.owners[a.key] = a.pid
	l.hpke[a.hpke[0]], l.hpke[a.hpke[1]] = true, true
	l.drop(a.pid)
	l.present[a.pid] = a
	l.waiting++
	l.since = append(l.since, presence{e.Position, a.pid, a})
	return ""
}

// readAnnouncement checks all of a joined entry that does not depend on who else is
// present.
func (l *ledger) readAnnouncement(e Entry, body Joined) (*announcement, Code) {
	if !l.keys.joinMAC(body.KeyPackage).equal(body.MAC) {
		return nil, CodeBadMAC
	}
	if len(body.KeyPackage) > maxKeyPackage {
		return nil, CodeBadKeyPackage
	}
	kp, err := mls.ParseKeyPackage(body.KeyPackage)
	if err != nil || kp.Suite() != l.link.suite() || len(kp.SignatureKey()) != 32 {
		return nil, CodeBadKeyPackage
	}
	if string(kp.Identity()) != string(e.PID[:]) {
		return nil, CodePIDMismatch
	}
	a := &announcement{pid: e.PID, digest: sha256.Sum256(body.KeyPackage), key: [32]byte(kp.SignatureKey()), keyPackage: kp}
	a.hpke = [2]Hash{sha256.Sum256(kp.InitKey()), sha256.Sum256(kp.EncryptionKey())}
	for _, check := range []func(*announcement) Code{l.readJoin, l.readIdentity, l.checkBinding, l.checkKeyPackage, l.checkKeys} {
		if code := check(a); code != "" {
			return nil, code
		}
	}
	return a, ""
}

func (l *ledger) readJoin(a *announcement) Code {
	data, ok := only(a.keyPackage.Extensions(), mls.ExtensionConclaveJoin)
	if !ok {
		return CodeBadJoin
	}
	join, err := decodeJoinExtension(data)
	if err != nil || join.room != l.link.Room || join.log != l.id {
		return CodeBadJoin
	}
	if join.generation != l.generation {
		return CodeBadGeneration
	}
	a.seq = join.seq
	return ""
}

func (l *ledger) readIdentity(a *announcement) Code {
	data, ok := only(a.keyPackage.LeafExtensions(), mls.ExtensionConclaveIdentity)
	if !ok {
		return CodeBadIdentity
	}
	var err error
	a.identity, err = openIdentity(l.keys, l.binding(a.pid, a.key), data)
	if err != nil {
		return CodeBadIdentity
	}
	a.sealed = sha256.Sum256(data)
	return ""
}

func (l *ledger) binding(pid PID, key [32]byte) leafBinding {
	return leafBinding{room: l.link.Room, log: l.id, pid: pid, key: key[:]}
}

// checkBinding holds one pid to one signature key and the other way round, and seq
// to rise.
func (l *ledger) checkBinding(a *announcement) Code {
	if owner, ok := l.owners[a.key]; ok && owner != a.pid {
		return CodeKeyReused
	}
	switch b := l.bound[a.pid]; {
	case b == nil:
		return ""
	case b.key != a.key:
		return CodeKeyReused
	case a.seq <= b.seq:
		return CodeReplayed
	}
	return ""
}

// checkKeyPackage compares the lifetime with the log's time, once and for all: commits are
// not held against it. Whatever else the group would refuse in an Add is refused here, or
// one announcement would spoil every commit.
func (l *ledger) checkKeyPackage(a *announcement) Code {
	now := time.UnixMilli(l.time)
	from, to := a.keyPackage.Lifetime()
	switch t := uint64(max(now.Unix(), 0)); {
	case from > t, to < t+uint64(lifetimeLeft.Seconds()), to-from > uint64(lifetimeMax.Seconds()):
		return CodeBadLifetime
	}
	group := groupContextExtensions(groupExtension{l.link.Room, l.id, l.generation, l.link.Version})
	if a.keyPackage.VerifyFor(l.link.suite(), now, group) != nil {
		return CodeBadKeyPackage
	}
	return ""
}

// checkKeys refuses keys that somebody has announced before: no two nodes of a tree have
// one (RFC 9420, Section 7.3), so that no commit could add both.
func (l *ledger) checkKeys(a *announcement) Code {
	if l.hpke[a.hpke[0]] || l.hpke[a.hpke[1]] {
		return CodeKeyReused
	}
	return ""
}

// roomFor holds the room to its limits. An announcement that is replaced does not
// count.
func (l *ledger) roomFor(a *announcement) Code {
	present, waiting := len(l.present), l.waiting
	if old := l.present[a.pid]; old != nil {
		present--
		if old.named == 0 {
			waiting--
		}
	}
	switch {
	case waiting >= maxWaiting:
		return CodeTooManyWaiting
	case present >= maxMembers:
		return CodeRoomFull
	}
	return ""
}

// left takes a participant out. One who was not present is nothing to take out.
func (l *ledger) left(e Entry) {
	if l.drop(e.PID) {
		l.since = append(l.since, presence{e.Position, e.PID, nil})
	}
}

// drop forgets the announcement of pid, if there is one.
func (l *ledger) drop(pid PID) bool {
	old := l.present[pid]
	if old == nil {
		return false
	}
	if old.named == 0 {
		l.waiting--
	}
	delete(l.present, pid)
	old.keyPackage = nil
	return true
}

// created judges a create entry and, if it is valid, begins its generation: the
// creator alone is in the group, and all other announcements are void.
func (l *ledger) created(e Entry, body Created) Code {
	code := l.judgeCreate(e, body)
	l.last = e.Position
	if code != "" {
		return code
	}
	creator := l.present[e.PID]
	creator.named, creator.moved = e.Position, e.Position
	for pid := range l.present {
		if pid != e.PID {
			l.drop(pid)
		}
	}
	l.waiting = 0
	l.generation, l.groupID = body.Generation, body.GroupID
	l.turns = []uint64{e.Position}
	l.base, l.baseAt, l.since = map[PID]*announcement{e.PID: creator}, e.Position, nil
	return ""
}

func (l *ledger) judgeCreate(e Entry, body Created) Code {
	creator := l.present[e.PID]
	switch {
	case body.Last != l.last:
		return CodeStale
	case body.Generation != l.generation+1 || body.Generation == 0:
		return CodeBadGeneration
	case body.GroupID == l.groupID:
		return CodeBadGroupID
	case !l.keys.createMAC(l.link.Room, l.id, body, e.PID).equal(body.MAC):
		return CodeBadMAC
	case creator == nil || creator.named != 0:
		return CodeNotAnnounced
	case l.waiting < len(l.present) && !l.waitedLong():
		return CodeGroupExists
	}
	return ""
}

// waitedLong says whether somebody has waited unnamed for createAfter of log time.
func (l *ledger) waitedLong() bool {
	for _, a := range l.present {
		if a.named == 0 && l.time-a.time >= createAfter.Milliseconds() {
			return true
		}
	}
	return false
}

// committed books a commit entry of this generation: whom it names counts as being in
// the group, for those who cannot read it.
func (l *ledger) committed(e Entry, body Committed) Code {
	code := l.judgeEnvelope(e, body)
	l.last = e.Position
	if code != "" {
		return code
	}
	l.turns = append(l.turns, e.Position)
	named := make(map[Hash]bool, len(body.Adds))
	for _, digest := range body.Adds {
		named[digest] = true
	}
	for _, a := range l.present {
		if named[a.digest] {
			l.name(a, e.Position)
		}
	}
	if author := l.present[e.PID]; author != nil {
		author.moved = e.Position
	}
	return ""
}

func (l *ledger) name(a *announcement, position uint64) {
	if a.named == 0 {
		a.named = position
		l.waiting--
	}
	a.moved = position
}

// judgeEnvelope checks what everyone sees of a commit. One that fails is a turn that is
// over, and nothing else: whoever it names or is of stays as it was.
func (l *ledger) judgeEnvelope(e Entry, body Committed) Code {
	switch {
	case body.Last != l.last:
		return CodeStale
	case body.Generation != l.generation || l.generation == 0:
		return CodeBadGeneration
	case len(body.Adds) > maxMembers:
		return CodeBadCommit
	case !l.keys.commitMAC(l.link.Room, l.id, body, e.PID).equal(body.MAC):
		return CodeBadMAC
	}
	return ""
}

// rosterAt is who was present at x, by announcement. It says false if x is before the
// base or past the head.
func (l *ledger) rosterAt(x uint64) (map[PID]*announcement, bool) {
	if x < l.baseAt || x > l.chain.head() {
		return nil, false
	}
	roster := make(map[PID]*announcement, len(l.base))
	for pid, a := range l.base {
		roster[pid] = a
	}
	for _, p := range l.since {
		if p.position > x {
			break
		}
		if delete(roster, p.pid); p.a != nil {
			roster[p.pid] = p.a
		}
	}
	return roster, true
}

// rebase makes the roster at x, which the group now has, the base of what follows.
func (l *ledger) rebase(x uint64) {
	roster, ok := l.rosterAt(x)
	if !ok {
		panic("e2ee: rebase to a position that was not checked")
	}
	l.base, l.baseAt = roster, x
	after := slices.IndexFunc(l.since, func(p presence) bool { return p.position > x })
	if after < 0 {
		after = len(l.since)
	}
	l.since = append([]presence(nil), l.since[after:]...)
}

// work says whether somebody has come, come again or left since the base.
func (l *ledger) work() bool {
	if len(l.present) != len(l.base) {
		return true
	}
	for pid, a := range l.present {
		if l.base[pid] != a {
			return true
		}
	}
	return false
}

// isTurn says whether position is a create or commit entry of this generation.
func (l *ledger) isTurn(position uint64) bool {
	_, found := slices.BinarySearch(l.turns, position)
	return found
}

// queue is who waits, in the order of their entries.
func (l *ledger) queue() []*announcement {
	var list []*announcement
	for _, a := range l.present {
		if a.named == 0 {
			list = append(list, a)
		}
	}
	sortByPosition(list)
	return list
}

func sortByPosition(list []*announcement) {
	heapsort(len(list),
		func(i, j int) bool { return list[i].position < list[j].position },
		func(i, j int) { list[i], list[j] = list[j], list[i] })
}

// lookupWaiting looks up, by reference (RFC 9420, Section 5.2), the KeyPackages of those
// who wait, whose signatures were verified at joining.
func (l *ledger) lookupWaiting() func(ref []byte) *mls.KeyPackage {
	waiting := make(map[string]*mls.KeyPackage, l.waiting)
	for _, a := range l.present {
		if a.named == 0 {
			waiting[string(a.keyPackage.Ref())] = a.keyPackage
		}
	}
	return func(ref []byte) *mls.KeyPackage { return waiting[string(ref)] }
}
