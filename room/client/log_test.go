package client

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"testing"
	"time"

	"github.com/conclave-sfu/conclave/e2ee"
	"github.com/conclave-sfu/conclave/room"
	"github.com/conclave-sfu/conclave/room/signal"
)

// noMedia is a forwarder that nobody offers anything.
type noMedia struct{}

func (noMedia) Attach(string, signal.PID, room.MediaEvents) (room.MediaSession, error) {
	return noMedia{}, nil
}

func (noMedia) Offer(context.Context, signal.Offer) (signal.Answer, error) {
	return signal.Answer{}, errors.New("no media here")
}
func (noMedia) View(signal.View)         {}
func (noMedia) Mute(signal.Source, bool) {}
func (noMedia) Close()                   {}

// scribe is a raw participant: it writes entries that mean nothing to a session.
type scribe struct {
	t    *testing.T
	conn *room.Connection
	id   uint32
}

func enterRoom(t *testing.T, registry *room.Registry, who byte) *scribe {
	t.Helper()
	hello := &signal.Hello{PID: signal.NewPID([16]byte{who})}
	conn, err := registry.Connect(t.Context(), "golden", 1, hello)
	if err != nil {
		t.Fatal(err)
	}
	return &scribe{t: t, conn: conn, id: 1}
}

func (s *scribe) post(body signal.ClientBody) {
	s.t.Helper()
	s.id++
	if err := s.conn.Receive(s.t.Context(), signal.FromClient{ID: s.id, Body: body}); err != nil {
		s.t.Fatal(err)
	}
	for {
		m := s.next()
		if e, ok := m.Body.(*signal.Error); ok {
			s.t.Fatalf("%T: %s", body, e.Code)
		}
		if m.Re == s.id {
			return
		}
	}
}

func (s *scribe) next() signal.FromServer {
	s.t.Helper()
	frame, err := s.conn.Next(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	m, err := signal.DecodeServer(frame)
	if err != nil {
		s.t.Fatal(err)
	}
	return m
}

// fill is n bytes of a value.
func fill(value byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = value
	}
	return b
}

// TestLogHash has the room write entries of every kind and compares its H(i), which it
// says in ready, with that of the session's implementation. The two were written
// apart from each other. The golden value holds both.
func TestLogHash(t *testing.T) {
	registry := room.NewRegistry(room.Config{
		Media: noMedia{}, Rand: neverEnding{}, Grace: watchdog,
		Now: func() time.Time { return time.UnixMilli(1_700_000_000_123) },
	})
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), watchdog)
		defer cancel()
		if err := registry.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	a, b := enterRoom(t, registry, 1), enterRoom(t, registry, 2)
	defer a.conn.Close(true)
	kp1, kp2 := fill(0xa1, 100), fill(0xb2, 200)
	a.post(&signal.Join{KeyPackage: kp1, MAC: fill(3, 32)})
	b.post(&signal.Join{KeyPackage: kp2, MAC: fill(4, 32)})
	a.post(&signal.Create{Generation: 1, GroupID: fill(5, 16), MAC: fill(6, 32)})
	digest := sha256.Sum256(kp2)
	a.post(&signal.Commit{Last: 3, Generation: 1, Adds: [][]byte{digest[:]}, Commit: fill(7, 300), Welcome: fill(8, 400), MAC: fill(10, 32)})
	a.post(&signal.Commit{Last: 4, Generation: 1, Commit: fill(9, 500), MAC: fill(11, 32)})
	b.conn.Close(true)
	for left := false; !left; {
		if m, ok := a.next().Body.(*signal.Log); ok {
			left = m.Entries[len(m.Entries)-1].Kind == signal.EntryLeft
		}
	}

	c := enterRoom(t, registry, 3)
	defer c.conn.Close(true)
	ready, ok := c.next().Body.(*signal.Ready)
	if !ok {
		t.Fatal("no ready")
	}
	hash := e2ee.LogStart("golden", e2ee.LogID(ready.LogID))
	for position := uint64(0); position < ready.Head; {
		m, ok := c.next().Body.(*signal.Log)
		if !ok {
			continue
		}
		for _, entry := range m.Entries {
			e, err := entryOf(entry)
			if err != nil {
				t.Fatal(err)
			}
			position++
			if e.Position != position {
				t.Fatalf("entry %d in the place of %d", e.Position, position)
			}
			hash = e2ee.LogNext(hash, e)
		}
	}
	if ready.Head != 6 || hash != e2ee.Hash(ready.HeadHash) {
		t.Errorf("H(%d) is %x by the session and %x by the room", ready.Head, hash, ready.HeadHash)
	}
	const golden = "33cf1d83a3cca6cf68284559d1f3ec1dbeb3345541b2e5ced83a2fd96ec3c259"
	if got := hex.EncodeToString(hash[:]); got != golden {
		t.Errorf("H(6) is %s, golden is %s", got, golden)
	}
}

func TestEntryOfRefuses(t *testing.T) {
	pid := signal.NewPID([16]byte{1})
	good := []signal.Entry{
		{Kind: signal.EntryJoined, Joined: &signal.Join{KeyPackage: []byte{1}, MAC: fill(1, 32)}},
		{Kind: signal.EntryLeft},
		{Kind: signal.EntryCreate, Create: &signal.Create{GroupID: fill(1, 16), MAC: fill(1, 32)}},
		{Kind: signal.EntryCommit, Commit: &signal.CommitEntry{CommitDigest: fill(1, 32), Adds: [][]byte{fill(1, 32)}, WelcomeDigest: fill(1, 32), MAC: fill(1, 32)}},
		{Kind: signal.EntryCommit, Commit: &signal.CommitEntry{CommitDigest: fill(1, 32), MAC: fill(1, 32)}},
	}
	for _, e := range good {
		e.PID = pid
		if _, err := entryOf(e); err != nil {
			t.Errorf("%s: %v", e.Kind, err)
		}
	}
	bad := map[string]signal.Entry{
		"no pid":            {Kind: signal.EntryLeft},
		"pid too short":     {Kind: signal.EntryLeft, PID: "AAAA"},
		"unknown kind":      {Kind: "host", PID: pid},
		"no body":           {Kind: signal.EntryJoined, PID: pid},
		"body of another":   {Kind: signal.EntryCreate, PID: pid, Joined: good[0].Joined},
		"short MAC":         {Kind: signal.EntryJoined, PID: pid, Joined: &signal.Join{MAC: fill(1, 31)}},
		"long group id":     {Kind: signal.EntryCreate, PID: pid, Create: &signal.Create{GroupID: fill(1, 17), MAC: fill(1, 32)}},
		"no commit digest":  {Kind: signal.EntryCommit, PID: pid, Commit: &signal.CommitEntry{MAC: fill(1, 32)}},
		"no commit MAC":     {Kind: signal.EntryCommit, PID: pid, Commit: &signal.CommitEntry{CommitDigest: fill(1, 32)}},
		"short add":         {Kind: signal.EntryCommit, PID: pid, Commit: &signal.CommitEntry{CommitDigest: fill(1, 32), Adds: [][]byte{{1}}, MAC: fill(1, 32)}},
		"short Welcome sum": {Kind: signal.EntryCommit, PID: pid, Commit: &signal.CommitEntry{CommitDigest: fill(1, 32), WelcomeDigest: fill(1, 8), MAC: fill(1, 32)}},
	}
	for name, e := range bad {
		if _, err := entryOf(e); !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestPosts translates every post into a message that a room takes.
func TestPosts(t *testing.T) {
	for _, body := range []e2ee.PostBody{
		e2ee.PostJoin{KeyPackage: fill(1, 300), MAC: e2ee.Hash{1}},
		e2ee.PostCreate{Last: 4, Generation: 2, GroupID: [16]byte{3}, MAC: e2ee.Hash{5}},
		e2ee.PostCommit{Last: 5, Generation: 2, Adds: []e2ee.Hash{{6}, {7}}, Commit: fill(8, 100), Welcome: fill(9, 100), MAC: e2ee.Hash{10}},
		e2ee.PostCommit{Last: 5, Generation: 2, Commit: fill(8, 100)},
	} {
		frame, err := signal.EncodeClient(1, messageOf(body))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := signal.DecodeClient(frame); err != nil {
			t.Errorf("%T: %v", body, err)
		}
	}
}
