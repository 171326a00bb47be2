package room

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"time"

	"github.com/conclave-sfu/conclave/room/signal"
)

// digest is a SHA-256 digest.
type digest [sha256.Size]byte

// logID is the random id of a log.
type logID [signal.LogIDSize]byte

// logLimits bounds what a log keeps.
type logLimits struct {
	entries     int // then the log is full
	keyPackages int // bytes of KeyPackages, which every newcomer is sent; then the log is full
	commits     int // commits whose bytes are kept for those who resume
	commitBytes int // bytes of commits and Welcomes kept for those who resume
}

// defaultLogLimits keeps some minutes of a busy meeting for those who resume: they
// have 15 s to come back.
var defaultLogLimits = logLimits{
	entries:     signal.MaxLogEntries,
	keyPackages: 32 << 20,
	commits:     256,
	commitBytes: 8 << 20,
}

// record is an entry as the log keeps it. It is never changed, so that a snapshot of
// a log can be read by another goroutine: compaction puts another record in its place.
type record struct {
	entry    signal.Entry // with the bytes of commit and Welcome while they are kept
	welcomed []signal.PID // whose KeyPackage a commit names
}

// log is a room's numbered, hashed log. It looks into nothing that is posted.
//
//	H(0) = SHA-256("conclave/1 log" || room as vector || log id)
//	H(i) = SHA-256(H(i-1) || position u64 || time u64 || kind u8 || pid[16] || body)
type log struct {
	limits      logLimits
	id          logID
	head        digest    // H(len(records))
	records     []*record // position i is at i-1
	last        uint64    // position of the last create or commit
	keyPackages int       // bytes
	kept        []uint64  // positions of the commits whose bytes are kept, in order
	keptBytes   int
	stripped    uint64 // position of the last commit whose bytes were dropped
}

func newLog(room string, id logID, limits logLimits) *log {
	b := append([]byte("conclave/1 log"), vector(len(room))...)
	b = append(append(b, room...), id[:]...)
	return &log{limits: limits, id: id, head: sha256.Sum256(b)}
}

// vector returns the length header of a variable-size vector (RFC 9420, Section 2.1.2).
func vector(n int) []byte {
	switch {
	case n < 1<<6:
		return []byte{byte(n)}
	case n < 1<<14:
		return binary.BigEndian.AppendUint16(nil, 1<<14|uint16(n))
	default:
		return binary.BigEndian.AppendUint32(nil, 1<<31|uint32(n))
	}
}

// position is that of the last entry; 0 is an empty log.
func (l *log) position() uint64 { return uint64(len(l.records)) }

// full reports that no entry can be appended any more.
func (l *log) full() bool {
	return len(l.records) >= l.limits.entries || l.keyPackages >= l.limits.keyPackages
}

// Numbers of the entry kinds in the hash.
const (
	kindJoined byte = 1
	kindLeft   byte = 2
	kindCreate byte = 3
	kindCommit byte = 4
)

// appendJoined keeps a reference to join.
func (l *log) appendJoined(now time.Time, pid signal.PID, join *signal.Join) *record {
	l.keyPackages += len(join.KeyPackage)
	key := sha256.Sum256(join.KeyPackage)
	e := signal.Entry{Kind: signal.EntryJoined, PID: pid, Joined: join}
	return l.append(now, &record{entry: e}, kindJoined, slices.Concat(key[:], join.MAC))
}

func (l *log) appendLeft(now time.Time, pid signal.PID) *record {
	return l.append(now, &record{entry: signal.Entry{Kind: signal.EntryLeft, PID: pid}}, kindLeft, nil)
}

// appendCreate keeps a reference to create, whose Last the caller has compared.
func (l *log) appendCreate(now time.Time, pid signal.PID, create *signal.Create) *record {
	body := binary.BigEndian.AppendUint64(nil, create.Last)
	body = binary.BigEndian.AppendUint32(body, create.Generation)
	body = append(append(body, create.GroupID...), create.MAC...)
	e := signal.Entry{Kind: signal.EntryCreate, PID: pid, Create: create}
	r := l.append(now, &record{entry: e}, kindCreate, body)
	l.last = r.entry.Position
	return r
}

// appendCommit keeps references into commit, whose Last the caller has compared.
// welcomed are those whose KeyPackage it names.
func (l *log) appendCommit(now time.Time, pid signal.PID, commit *signal.Commit, welcomed []signal.PID) *record {
	c := newCommitEntry(commit)
	e := signal.Entry{Kind: signal.EntryCommit, PID: pid, Commit: c}
	r := l.append(now, &record{entry: e, welcomed: welcomed}, kindCommit, commitBody(c))
	l.last = r.entry.Position
	l.kept = append(l.kept, r.entry.Position)
	l.keptBytes += commitSize(c)
	l.compact()
	return r
}

func newCommitEntry(commit *signal.Commit) *signal.CommitEntry {
	sum := sha256.Sum256(commit.Commit)
	c := &signal.CommitEntry{
		Last:         commit.Last,
		Generation:   commit.Generation,
		Adds:         commit.Adds,
		Commit:       commit.Commit,
		CommitDigest: sum[:],
		MAC:          commit.MAC,
	}
	if len(commit.Welcome) > 0 {
		sum := sha256.Sum256(commit.Welcome)
		c.Welcome, c.WelcomeDigest = commit.Welcome, sum[:]
	}
	return c
}

// commitBody is the canonical form of a commit entry's body.
func commitBody(c *signal.CommitEntry) []byte {
	body := binary.BigEndian.AppendUint64(nil, c.Last)
	body = binary.BigEndian.AppendUint32(body, c.Generation)
	body = append(body, vector(len(c.Adds)*signal.DigestSize)...)
	for _, add := range c.Adds {
		body = append(body, add...)
	}
	body = append(body, c.CommitDigest...)
	welcome := c.WelcomeDigest
	if welcome == nil {
		welcome = make([]byte, signal.DigestSize)
	}
	return append(append(body, welcome...), c.MAC...)
}

func commitSize(c *signal.CommitEntry) int { return len(c.Commit) + len(c.Welcome) }

// append numbers, dates and hashes a record. Dates never go back, whatever the clock does.
func (l *log) append(now time.Time, r *record, kind byte, body []byte) *record {
	r.entry.Position = l.position() + 1
	r.entry.Time = now.UnixMilli()
	if n := len(l.records); n > 0 {
		r.entry.Time = max(r.entry.Time, l.records[n-1].entry.Time)
	}
	l.head = nextHash(l.head, &r.entry, kind, body)
	l.records = append(l.records, r)
	return r
}

func nextHash(previous digest, e *signal.Entry, kind byte, body []byte) digest {
	b := binary.BigEndian.AppendUint64(previous[:], e.Position)
	b = binary.BigEndian.AppendUint64(b, uint64(e.Time))
	pid, _ := e.PID.Bytes() // checked when its hello was decoded
	b = append(append(b, kind), pid[:]...)
	return sha256.Sum256(append(b, body...))
}

// compact drops the bytes of the oldest commits, except the last one's, until what
// is kept is within the limits.
func (l *log) compact() {
	for len(l.kept) > 1 && (len(l.kept) > l.limits.commits || l.keptBytes > l.limits.commitBytes) {
		l.strip(l.kept[0])
		l.kept = l.kept[1:]
	}
}

func (l *log) strip(position uint64) {
	r := l.records[position-1]
	l.keptBytes -= commitSize(r.entry.Commit)
	l.stripped = position
	l.records[position-1] = &record{entry: r.forOthers(), welcomed: r.welcomed}
}

// resumable reports whether what follows the entry at after can be given in full.
func (l *log) resumable(after uint64) bool { return l.stripped <= after && after <= l.position() }

// since returns the records that follow the entry at after, for any goroutine.
func (l *log) since(after uint64) []*record { return slices.Clone(l.records[after:]) }

// view returns the entry as pid gets it, which joined at joinedAt (0: never): the
// bytes of a commit only if it had joined before, a Welcome only if it is named.
func (r *record) view(pid signal.PID, joinedAt uint64) signal.Entry {
	return r.viewOf(r.audience(pid, joinedAt))
}

func (r *record) viewOf(a audience) signal.Entry {
	switch a {
	case toNamed:
		return r.entry
	case toMembers:
		return r.forMembers()
	default:
		return r.forOthers()
	}
}

// audience is one of the three views of a commit's entry; other entries have one.
type audience int

const (
	toOthers  audience = iota // joined later, or not at all: digests
	toMembers                 // had joined: the commit
	toNamed                   // had joined and is added: the commit and the Welcome
	audiences                 // how many there are
)

func (r *record) audience(pid signal.PID, joinedAt uint64) audience {
	switch {
	case joinedAt == 0 || joinedAt > r.entry.Position:
		return toOthers
	case slices.Contains(r.welcomed, pid):
		return toNamed
	default:
		return toMembers
	}
}

func (r *record) forMembers() signal.Entry {
	e := r.entry
	if e.Commit != nil {
		c := *e.Commit
		c.Welcome = nil
		e.Commit = &c
	}
	return e
}

func (r *record) forOthers() signal.Entry {
	e := r.entry
	if e.Commit != nil {
		c := *e.Commit
		c.Commit, c.Welcome = nil, nil
		e.Commit = &c
	}
	return e
}

// entrySize is about the size of an entry's JSON, in bytes.
func entrySize(e *signal.Entry) int {
	const fixed = 512
	switch {
	case e.Joined != nil:
		return fixed + base64Size(len(e.Joined.KeyPackage))
	case e.Commit != nil:
		return fixed + base64Size(commitSize(e.Commit)) + len(e.Commit.Adds)*(base64Size(signal.DigestSize)+3)
	}
	return fixed
}

func base64Size(n int) int { return (n + 2) / 3 * 4 }
