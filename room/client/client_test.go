package client

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/conclave-sfu/conclave/e2ee"
	"github.com/conclave-sfu/conclave/e2ee/framecrypt"
	"github.com/conclave-sfu/conclave/room"
	"github.com/conclave-sfu/conclave/room/signal"
)

func camera() Track {
	next, _ := clipOf(200)
	return Track{Source: signal.SourceCamera, Codec: framecrypt.VP8, Next: next}
}

func microphone() Track {
	next, _ := clipOf(40)
	return Track{Source: signal.SourceMic, Codec: framecrypt.Opus, Next: next}
}

func TestJoinAndLeave(t *testing.T) {
	s := serve(t, room.Config{})
	alice := join(t, s.link, "Alice")
	alice.sees("Alice")
	bob := join(t, s.link, "Bob")
	hers, his := alice.sees("Alice", "Bob"), bob.sees("Alice", "Bob")
	if hers.SafetyNumber != his.SafetyNumber || hers.Epoch != his.Epoch || hers.Own == his.Own {
		t.Errorf("Alice is at %+v, Bob at %+v", hers, his)
	}
	if len(his.SafetyNumber) != 6*5+5 {
		t.Errorf("safety number %q", his.SafetyNumber)
	}
	if err := bob.Close(); err != nil {
		t.Errorf("Bob leaves: %v", err)
	}
	if after := alice.sees("Alice"); after.SafetyNumber == hers.SafetyNumber {
		t.Error("the safety number is the same after a member left")
	}
	if err := bob.Err(); !errors.Is(err, ErrClosed) {
		t.Errorf("Bob ended with %v", err)
	}
	if err := alice.Close(); err != nil {
		t.Errorf("Alice leaves: %v", err)
	}
	s.stop()
	if left := leftovers(); left != nil {
		t.Errorf("%d goroutines are left:\n%s", len(left), strings.Join(left, "\n\n"))
	}
}

func TestJoinSideBySide(t *testing.T) {
	s := serve(t, room.Config{})
	names := []string{"Alice", "Bob", "Carol", "Dave"}
	guests := make(chan *guest)
	for _, name := range names {
		go func() { guests <- join(t, s.link, name) }()
	}
	numbers := make(map[string]bool)
	for range names {
		numbers[next(t, guests).sees(names...).SafetyNumber] = true
	}
	if len(numbers) != 1 {
		t.Errorf("%d safety numbers", len(numbers))
	}
}

// TestResume cuts every WebSocket: nobody leaves, and media goes on.
func TestResume(t *testing.T) {
	s := serve(t, room.Config{Grace: watchdog})
	alice, bob := join(t, s.link, "Alice"), join(t, s.link, "Bob")
	pids := bob.sees("Alice", "Bob").Members
	s.listener.cut()
	join(t, s.link, "Carol")
	for _, g := range []*guest{alice, bob} {
		r := g.sees("Alice", "Bob", "Carol")
		for i, m := range pids {
			if r.Members[i].PID != m.PID {
				t.Errorf("%s has another pid", m.Name)
			}
		}
		if st := g.Stats(); st.Resumed != 1 || st.Rejoined != 0 || st.Connections != 1 {
			t.Errorf("%d resumed, %d rejoined, %d PeerConnections", st.Resumed, st.Rejoined, st.Connections)
		}
	}
}

// TestRejoin has the grace period end before the client is back: it comes back as
// somebody new.
func TestRejoin(t *testing.T) {
	s := serve(t, room.Config{Grace: time.Nanosecond})
	alice := join(t, s.link, "Alice")
	before := alice.sees("Alice")
	s.listener.cut()
	after := alice.sees("Alice")
	if after.Members[0].PID == before.Members[0].PID || after.SafetyNumber == before.SafetyNumber {
		t.Error("Alice is the same as before")
	}
	if st := alice.Stats(); st.Rejoined != 1 {
		t.Errorf("rejoined %d times", st.Rejoined)
	}
	next(t, s.sessions)
	session := next(t, s.sessions)
	if offer := next(t, session.offers); offer.Connection < 2 {
		t.Errorf("offer for PeerConnection %d again", offer.Connection)
	}
}

// TestServerRestart has another server appear in the place of the first.
func TestServerRestart(t *testing.T) {
	s := serve(t, room.Config{})
	alice, bob := join(t, s.link, "Alice"), join(t, s.link, "Bob")
	alice.sees("Alice", "Bob")
	s.stop()
	serveAt(t, s.listener.Addr().String(), room.Config{})
	hers, his := alice.sees("Alice", "Bob"), bob.sees("Alice", "Bob")
	for hers.SafetyNumber != his.SafetyNumber {
		if hers.Epoch.Less(his.Epoch) {
			hers = alice.sees("Alice", "Bob")
		} else {
			his = bob.sees("Alice", "Bob")
		}
	}
}

// TestResumeRepeatsOffer has the connection be lost while an offer is not answered: it
// is sent again, on the next connection, for the same PeerConnection.
func TestResumeRepeatsOffer(t *testing.T) {
	s := serve(t, room.Config{Grace: watchdog})
	s.stall = make(chan struct{})
	joined := make(chan *guest, 1)
	go func() { joined <- join(t, s.link, "Alice", camera()) }()
	session := next(t, s.sessions)
	first := next(t, session.offers) // whose answer is held back
	s.listener.cut()
	close(s.stall)
	alice := next(t, joined)
	if second := next(t, session.offers); second.SDP != first.SDP || second.Connection != first.Connection {
		t.Errorf("offer for PeerConnection %d, then %d", first.Connection, second.Connection)
	}
	if st := alice.Stats(); st.Connections != 1 || st.Resumed != 1 {
		t.Errorf("%d PeerConnections, %d resumed", st.Connections, st.Resumed)
	}
}

func TestMediaDown(t *testing.T) {
	s := serve(t, room.Config{})
	alice := join(t, s.link, "Alice", camera())
	session := next(t, s.sessions)
	if offer := next(t, session.offers); offer.Connection != 1 || len(offer.Tracks) != 1 {
		t.Fatalf("offer %d with tracks %v", offer.Connection, offer.Tracks)
	}
	session.events.Down(signal.MediaDown{Connection: 1, Code: signal.CodeMediaFailed})
	offer := until(t, session.offers, func(o signal.Offer) bool { return o.Connection == 2 })
	if len(offer.Tracks) != 1 || offer.Tracks[0].Source != signal.SourceCamera {
		t.Errorf("tracks %v", offer.Tracks)
	}
	if n := alice.Stats().Connections; n != 2 {
		t.Errorf("%d PeerConnections", n)
	}
}

// TestDemand: a layer that nobody watches is not sent, until somebody does; a new
// PeerConnection begins with all.
func TestDemand(t *testing.T) {
	u, err := newUplink(Track{Source: signal.SourceCamera, Codec: framecrypt.VP8, Layers: []Layer{{RID: "q"}, {RID: "h"}, {RID: "f"}}}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := newUplink(Track{Source: signal.SourceScreen, Codec: framecrypt.VP8}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	l := &loop{uplinks: []*uplink{u, plain}, media: &media{number: 2}}
	sent := func() (names string) {
		for _, e := range slices.Concat(u.layers, plain.layers) {
			if !e.silent() {
				names += e.RID + "."
			}
		}
		return names
	}
	demand := func(connection uint32, camera []string, screen bool) {
		l.demand(&signal.Demand{Connection: connection, Sources: []signal.SourceDemand{
			{Source: signal.SourceCamera, Watched: len(camera) > 0, RIDs: camera},
			{Source: signal.SourceScreen, Watched: screen},
		}})
	}
	for i, step := range []struct {
		do   func()
		want string
	}{
		{func() {}, "q.h.f.."},
		{func() { demand(2, []string{"q", "h"}, true) }, "q.h.."},
		{func() { demand(1, []string{"q", "h", "f"}, true) }, "q.h.."}, // of a PeerConnection before
		{func() { demand(2, nil, false) }, ""},
		{func() { demand(2, []string{"h", "x"}, true) }, "h.."},
		{func() { u.demand(nil) }, "q.h.f.."},
	} {
		if step.do(); sent() != step.want {
			t.Errorf("step %d: %q is sent, want %q", i, sent(), step.want)
		}
	}
}

// TestPoolGrows has more cameras come than there are slots.
func TestPoolGrows(t *testing.T) {
	s := serve(t, room.Config{})
	join(t, s.link, "Alice")
	hers := next(t, s.sessions)
	if n := countSlots(next(t, hers.offers), "video"); n != defaultVideoSlots {
		t.Fatalf("%d video slots at first", n)
	}
	for _, name := range []string{"B", "C", "D", "E", "F"} {
		join(t, s.link, name, camera(), microphone())
	}
	until(t, hers.views, func(v signal.View) bool { return len(v.Wants) == 5 })
	grown := until(t, hers.offers, func(o signal.Offer) bool {
		return countSlots(o, "video") >= 5 && countSlots(o, "audio") >= 5
	})
	if grown.Connection != 1 {
		t.Errorf("the pool grew on PeerConnection %d", grown.Connection)
	}
}

// countSlots counts the recvonly sections of a kind.
func countSlots(o signal.Offer, kind string) int {
	n := 0
	for section := range strings.SplitSeq(o.SDP, "\r\nm=") {
		if strings.HasPrefix(section, kind) && strings.Contains(section, "a=recvonly") {
			n++
		}
	}
	return n
}

func TestMute(t *testing.T) {
	s := serve(t, room.Config{})
	alice := join(t, s.link, "Alice", microphone())
	session := next(t, s.sessions)
	alice.Mute(signal.SourceMic, true)
	muted := signal.Mute{Source: signal.SourceMic, Muted: true}
	if m := next(t, session.mutes); m != muted {
		t.Errorf("told %+v", m)
	}
	alice.Mute(signal.SourceMic, false)
	if m := next(t, session.mutes); m.Muted {
		t.Errorf("told %+v", m)
	}
}

func TestRoomFull(t *testing.T) {
	s := serve(t, room.Config{MaxParticipants: 1})
	join(t, s.link, "Alice")
	_, err := Join(t.Context(), Config{Link: s.link, Name: "Bob"})
	if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), string(signal.CodeRoomFull)) {
		t.Errorf("joined a full room: %v", err)
	}
}

// TestMuteSurvivesRejoining mutes one whom the room then takes for somebody new.
func TestMuteSurvivesRejoining(t *testing.T) {
	s := serve(t, room.Config{Grace: time.Nanosecond})
	alice := join(t, s.link, "Alice", microphone())
	muted := signal.Mute{Source: signal.SourceMic, Muted: true}
	alice.Mute(signal.SourceMic, true)
	if m := next(t, next(t, s.sessions).mutes); m != muted {
		t.Errorf("told %+v", m)
	}
	s.listener.cut()
	if m := next(t, next(t, s.sessions).mutes); m != muted {
		t.Errorf("told %+v", m)
	}
}

// TestAnotherLink has one join the same room under another secret: to the others she
// is not there, and to her they are not.
func TestAnotherLink(t *testing.T) {
	s := serve(t, room.Config{})
	alice := join(t, s.link, "Alice")
	thief := s.link
	thief.Secret[0] ^= 1
	mallory := join(t, thief, "Mallory")
	bob := join(t, s.link, "Bob")
	hers, his := alice.sees("Alice", "Bob"), bob.sees("Alice", "Bob")
	alone := mallory.sees("Mallory")
	if hers.SafetyNumber != his.SafetyNumber || hers.SafetyNumber == alone.SafetyNumber {
		t.Errorf("safety numbers %q, %q, and Mallory's %q", hers.SafetyNumber, his.SafetyNumber, alone.SafetyNumber)
	}
}

func TestJoinRefusesConfig(t *testing.T) {
	link := serve(t, room.Config{}).link
	noNext := camera()
	noNext.Next = nil
	wrongCodec := camera()
	wrongCodec.Codec = framecrypt.Opus
	unknown := camera()
	unknown.Source = "window"
	for name, cfg := range map[string]Config{
		"no link":          {Name: "A"},
		"no name":          {Link: link},
		"too many slots":   {Link: link, Name: "A", VideoSlots: maxVideoSlots + 1},
		"negative slots":   {Link: link, Name: "A", AudioSlots: -1},
		"source twice":     {Link: link, Name: "A", Publish: []Track{camera(), camera()}},
		"unknown source":   {Link: link, Name: "A", Publish: []Track{unknown}},
		"wrong codec":      {Link: link, Name: "A", Publish: []Track{wrongCodec}},
		"track without in": {Link: link, Name: "A", Publish: []Track{noNext}},
	} {
		if _, err := Join(t.Context(), cfg); !errors.Is(err, ErrConfig) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestJoinEndsWithItsContext(t *testing.T) {
	link, err := e2ee.NewLink(neverEnding{}, "http://127.0.0.1:1", "nobody")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Join(ctx, Config{Link: link, Name: "Alice"}); !errors.Is(err, context.Canceled) {
		t.Errorf("joined: %v", err)
	}
}

// neverEnding is a source of bytes that are not random.
type neverEnding struct{}

func (neverEnding) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = 7
	}
	return len(b), nil
}
