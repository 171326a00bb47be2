package room

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/conclave-sfu/conclave/room/signal"
)

// follower computes the log's hash from the entries that one client is sent, and checks
// what must hold of them. It is written from the definition, not from log.go.
type follower struct {
	t        testing.TB
	hash     [32]byte
	position uint64
	last     uint64
	time     int64
	gone     map[signal.PID]bool
}

func follow(t testing.TB, room string, id []byte) *follower {
	if len(room) > 63 {
		t.Fatal("the follower knows short names only")
	}
	start := "conclave/1 log" + string(rune(len(room))) + room + string(id)
	return &follower{t: t, hash: sha256.Sum256([]byte(start)), gone: map[signal.PID]bool{}}
}

func (f *follower) entry(e *signal.Entry) {
	f.t.Helper()
	if e.Position != f.position+1 || e.Time < f.time || f.gone[e.PID] {
		f.t.Fatalf("entry %d at %d of %s after %d at %d", e.Position, e.Time, e.PID, f.position, f.time)
	}
	f.position, f.time = e.Position, e.Time
	var b bytes.Buffer
	id, err := e.PID.Bytes()
	if err != nil {
		f.t.Fatal(err)
	}
	b.Write(f.hash[:])
	write := func(v any) { _ = binary.Write(&b, binary.BigEndian, v) }
	write(e.Position)
	write(e.Time)
	write(map[signal.EntryKind]byte{"joined": 1, "left": 2, "create": 3, "commit": 4}[e.Kind])
	b.Write(id[:])
	switch e.Kind {
	case signal.EntryJoined:
		sum := sha256.Sum256(e.Joined.KeyPackage)
		b.Write(sum[:])
		b.Write(e.Joined.MAC)
	case signal.EntryLeft:
		f.gone[e.PID] = true
	case signal.EntryCreate:
		f.swap(e, e.Create.Last)
		write(e.Create.Last)
		write(e.Create.Generation)
		b.Write(e.Create.GroupID)
		b.Write(e.Create.MAC)
	case signal.EntryCommit:
		f.swap(e, e.Commit.Last)
		f.commit(&b, e.Commit)
	}
	f.hash = sha256.Sum256(b.Bytes())
}

func (f *follower) swap(e *signal.Entry, last uint64) {
	f.t.Helper()
	if last != f.last {
		f.t.Fatalf("entry %d has last %d, want %d", e.Position, last, f.last)
	}
	f.last = e.Position
}

func (f *follower) commit(b *bytes.Buffer, c *signal.CommitEntry) {
	f.t.Helper()
	_ = binary.Write(b, binary.BigEndian, c.Last)
	_ = binary.Write(b, binary.BigEndian, c.Generation)
	switch n := 32 * len(c.Adds); {
	case n < 64:
		b.WriteByte(byte(n))
	default:
		b.Write([]byte{0x40 | byte(n>>8), byte(n)})
	}
	for _, add := range c.Adds {
		b.Write(add)
	}
	b.Write(c.CommitDigest)
	welcome := make([]byte, 32)
	copy(welcome, c.WelcomeDigest)
	b.Write(welcome)
	b.Write(c.MAC)
	for _, pair := range [][2][]byte{{c.Commit, c.CommitDigest}, {c.Welcome, c.WelcomeDigest}} {
		if sum := sha256.Sum256(pair[0]); len(pair[0]) > 0 && !bytes.Equal(sum[:], pair[1]) {
			f.t.Fatalf("digest %x of %q", pair[1], pair[0])
		}
	}
}

func at(ms int64) time.Time { return time.UnixMilli(1_760_000_000_000 + ms) }

// sampleLog has an entry of each kind.
func sampleLog(room string, limits logLimits) *log {
	alice, bob := pid("alice"), pid("bob")
	mac := bytes.Repeat([]byte{7}, 32)
	add := sha256.Sum256([]byte("b1"))
	l := newLog(room, logID(logOf("1")), limits)
	l.appendJoined(at(0), alice, &signal.Join{KeyPackage: []byte("a1"), MAC: mac})
	l.appendJoined(at(1), bob, &signal.Join{KeyPackage: []byte("b1"), MAC: mac})
	l.appendCreate(at(1), alice, &signal.Create{Generation: 1, GroupID: bytes.Repeat([]byte{8}, 16), MAC: mac})
	l.appendCommit(at(0), alice, &signal.Commit{Last: 3, Generation: 1, Adds: [][]byte{add[:]},
		Commit: []byte("commit"), Welcome: []byte("welcome"), MAC: mac}, []signal.PID{bob})
	l.appendCommit(at(5), bob, &signal.Commit{Last: 4, Generation: 1, Commit: []byte("commit 2"), MAC: mac}, nil)
	l.appendLeft(at(9), bob)
	return l
}

func TestLogHash(t *testing.T) {
	l := sampleLog("room", defaultLogLimits)
	f := follow(t, "room", l.id[:])
	for _, r := range l.records {
		f.entry(&r.entry)
	}
	if f.hash != l.head {
		t.Fatalf("head %x, want %x", l.head, f.hash)
	}
	// Fixed, so that a change of the format cannot go unseen.
	const want = "5ff098ab8d892e54c0dd86f27156d709093f5c09e90289adc90275767b5fe0e5"
	if got := hex.EncodeToString(l.head[:]); got != want {
		t.Fatalf("head %s, want %s", got, want)
	}
}

func TestVectorHeader(t *testing.T) { // RFC 9420, Section 2.1.2
	for n, want := range map[int]string{0: "00", 63: "3f", 64: "4040", 16383: "7fff", 16384: "80004000", 494878333: "9d7f3e7d"} {
		if got := hex.EncodeToString(vector(n)); got != want {
			t.Errorf("vector(%d) = %s, want %s", n, got, want)
		}
	}
}

func TestLogViews(t *testing.T) {
	l := sampleLog("room", defaultLogLimits)
	for _, tt := range []struct {
		name     string
		pid      signal.PID
		joinedAt uint64
		position uint64
		want     string
	}{
		{"who is added", pid("bob"), 2, 4, "log 4 commit alice last=3 +commit +welcome"},
		{"a member", pid("alice"), 1, 4, "log 4 commit alice last=3 +commit"},
		{"who joined later", pid("carol"), 7, 4, "log 4 commit alice last=3"},
		{"who never joined", pid("carol"), 0, 4, "log 4 commit alice last=3"},
		{"who never joined, another entry", pid("carol"), 0, 1, "log 1 joined alice"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := l.records[tt.position-1].view(tt.pid, tt.joinedAt)
			if got := showEntry(&e); got != tt.want {
				t.Fatalf("%s, want %s", got, tt.want)
			}
		})
	}
}

func TestLogCompaction(t *testing.T) {
	limits := logLimits{entries: 100, keyPackages: 100, commits: 2, commitBytes: 20}
	l := sampleLog("room", limits) // commits of 13 and 8 bytes: one too many
	snapshot := l.since(0)
	if l.stripped != 4 || l.keptBytes != 8 || l.records[3].entry.Commit.Commit != nil {
		t.Fatalf("stripped to %d, %d bytes kept", l.stripped, l.keptBytes)
	}
	l.appendCommit(at(9), pid("alice"), &signal.Commit{Last: 5, Commit: make([]byte, 12)}, nil)
	l.appendCommit(at(9), pid("alice"), &signal.Commit{Last: 7, Commit: make([]byte, 1)}, nil)
	if l.stripped != 5 || l.keptBytes != 13 {
		t.Fatalf("stripped to %d, %d bytes kept", l.stripped, l.keptBytes)
	}
	l.appendCommit(at(9), pid("alice"), &signal.Commit{Last: 8, Commit: make([]byte, 1000)}, nil)
	if l.stripped != 8 || l.keptBytes != 1000 {
		t.Fatalf("the last commit is always kept: stripped to %d, %d bytes kept", l.stripped, l.keptBytes)
	}
	if snapshot[4].entry.Commit.Commit == nil {
		t.Fatal("a snapshot was changed")
	}
	for after, want := range map[uint64]bool{0: false, 7: false, 8: true, 9: true, 10: false, 1 << 63: false} {
		if l.resumable(after) != want {
			t.Errorf("resumable(%d) = %t", after, !want)
		}
	}
	f := follow(t, "room", l.id[:])
	for _, r := range l.records {
		f.entry(&r.entry)
	}
	if f.hash != l.head {
		t.Fatal("compaction changed the hash")
	}
}

func TestLogFull(t *testing.T) {
	l := newLog("room", logID{}, logLimits{entries: 2, keyPackages: 10, commits: 1, commitBytes: 1})
	l.appendLeft(at(0), pid("a"))
	if l.full() {
		t.Fatal("full after one of two entries")
	}
	if l.appendLeft(at(0), pid("a")); !l.full() {
		t.Fatal("not full after two of two entries")
	}
	l = newLog("room", logID{}, logLimits{entries: 20, keyPackages: 10, commits: 1, commitBytes: 1})
	if l.appendJoined(at(0), pid("a"), &signal.Join{KeyPackage: make([]byte, 10)}); !l.full() {
		t.Fatal("not full after 10 of 10 bytes")
	}
}

func TestBacklogChunks(t *testing.T) {
	l := newLog("room", logID{}, defaultLogLimits)
	for range 200 {
		l.appendJoined(at(0), pid("a"), &signal.Join{KeyPackage: make([]byte, signal.MaxKeyPackage), MAC: make([]byte, 32)})
	}
	c := &catchUp{records: l.since(0)}
	f := follow(t, "room", l.id[:])
	frames := 0
	for {
		frame, err := c.next()
		if err != nil {
			t.Fatal(err)
		}
		if frame == nil {
			break
		}
		frames++
		if len(frame) > backlogChunk {
			t.Fatalf("a frame of %d bytes", len(frame))
		}
		msg, err := signal.DecodeServer(frame)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range msg.Body.(*signal.Log).Entries {
			f.entry(&e)
		}
	}
	if f.hash != l.head || frames < 9 || frames > 12 {
		t.Fatalf("%d frames up to entry %d", frames, f.position)
	}
}

func TestLongRoomName(t *testing.T) {
	name := strings.Repeat("n", signal.MaxRoomName)
	want := sha256.Sum256(slices.Concat([]byte("conclave/1 log"), []byte{0x40, 64}, []byte(name), make([]byte, 16)))
	if l := newLog(name, logID{}, defaultLogLimits); l.head != want {
		t.Fatalf("H(0) %x, want %x", l.head, want)
	}
}
