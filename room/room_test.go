package room

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conclave-sfu/conclave/room/signal"
)

// fakeMedia is a forwarder whose answers the test gives.
type fakeMedia struct {
	mu       sync.Mutex
	sessions map[signal.PID]*fakeSession
	refuse   error
}

type fakeSession struct {
	media  *fakeMedia
	pid    signal.PID
	events MediaEvents
	offers chan chan error // a blocked offer waits on what it sends

	mu   sync.Mutex
	said []string
}

func (m *fakeMedia) Attach(_ string, pid signal.PID, events MediaEvents) (MediaSession, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.refuse != nil {
		return nil, m.refuse
	}
	s := &fakeSession{media: m, pid: pid, events: events, offers: make(chan chan error, 8)}
	m.sessions[pid] = s
	return s, nil
}

func (m *fakeMedia) of(name string) *fakeSession {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.sessions[pid(name)]
}

func (m *fakeMedia) open() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.sessions)
}

func (s *fakeSession) Offer(ctx context.Context, o signal.Offer) (signal.Answer, error) {
	release := make(chan error)
	s.offers <- release
	select {
	case err := <-release:
		return signal.Answer{Connection: o.Connection, SDP: "answer"}, err
	case <-ctx.Done():
		return signal.Answer{}, ctx.Err()
	}
}

func (s *fakeSession) View(v signal.View) { s.say(fmt.Sprintf("view %d", len(v.Wants))) }

func (s *fakeSession) Mute(source signal.Source, muted bool) {
	s.say(fmt.Sprintf("mute %s %t", source, muted))
}

func (s *fakeSession) Close() {
	s.media.mu.Lock()
	defer s.media.mu.Unlock()
	delete(s.media.sessions, s.pid)
}

func (s *fakeSession) say(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said = append(s.said, what)
}

func (s *fakeSession) heard() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.said)
}

// world is a registry in a bubble of fake time.
type world struct {
	t        *testing.T
	media    *fakeMedia
	registry *Registry

	mu     sync.Mutex
	events []Event
}

func newWorld(t *testing.T, change func(*Config)) *world {
	w := &world{t: t, media: &fakeMedia{sessions: map[signal.PID]*fakeSession{}}}
	cfg := Config{Media: w.media, Observe: func(e Event) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.events = append(w.events, e)
	}}
	if change != nil {
		change(&cfg)
	}
	w.registry = NewRegistry(cfg)
	return w
}

func (w *world) saw(kind EventKind) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

func (w *world) connect(who string, resume *signal.Resume) *Connection {
	w.t.Helper()
	c, err := w.registry.Connect(w.t.Context(), "room", 1, &signal.Hello{PID: pid(who), Resume: resume})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// next returns the next message of type T; others before it are passed over.
func next[T any](t *testing.T, c *Connection) *T {
	t.Helper()
	for {
		frame, err := c.Next(t.Context())
		if err != nil {
			t.Fatalf("no %T comes: %v", *new(T), err)
		}
		msg, err := signal.DecodeServer(frame)
		if err != nil {
			t.Fatal(err)
		}
		if body, ok := msg.Body.(*T); ok {
			return body
		}
	}
}

// ended reads on to the end and returns the code, "" if there is none.
func ended(t *testing.T, c *Connection) signal.Code {
	t.Helper()
	for {
		_, err := c.Next(t.Context())
		var end *Ended
		if errors.As(err, &end) {
			if end.Why == nil {
				return ""
			}
			return end.Why.Code
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func say(t *testing.T, c *Connection, body signal.ClientBody) {
	t.Helper()
	if err := c.Receive(t.Context(), signal.FromClient{ID: 7, Body: body}); err != nil {
		t.Fatal(err)
	}
}

func (w *world) close() {
	w.t.Helper()
	if err := w.registry.Close(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	if w.media.open() > 0 || w.registry.Stats() != (Stats{}) {
		w.t.Fatalf("left over: %d media sessions, %+v", w.media.open(), w.registry.Stats())
	}
}

// TestGraceEnds loses a connection: its participation ends with the grace period, the
// room with its last one. Nothing runs afterwards, or synctest would say so.
func TestGraceEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		alice, bob := w.connect("alice", nil), w.connect("bob", nil)
		if here := next[signal.Ready](t, bob).Here; len(here) != 1 || here[0] != pid("alice") {
			t.Fatalf("here: %v", here)
		}
		say(t, bob, &signal.Join{KeyPackage: []byte("b"), MAC: make([]byte, 32)})
		next[signal.Appended](t, bob)
		begin := time.Now()
		bob.Close(false)
		if gone := next[signal.Gone](t, alice); gone.PID != pid("bob") || time.Since(begin) != 15*time.Second {
			t.Fatalf("%v is gone after %v", gone, time.Since(begin))
		}
		if got := w.registry.Stats(); got != (Stats{Rooms: 1, Participants: 1}) {
			t.Fatalf("%+v", got)
		}
		alice.Close(true)
		synctest.Wait()
		if got := w.registry.Stats(); got != (Stats{}) || w.media.open() > 0 {
			t.Fatalf("%+v, %d media sessions", got, w.media.open())
		}
		w.close()
	})
}

func TestResumeKeepsMedia(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		alice, bob := w.connect("alice", nil), w.connect("bob", nil)
		ready := next[signal.Ready](t, bob)
		session := w.media.of("bob")
		bob.Close(false)
		say(t, alice, &signal.Join{KeyPackage: []byte("a"), MAC: make([]byte, 32)})
		time.Sleep(14 * time.Second)
		bob = w.connect("bob", &signal.Resume{Token: ready.Token, LogID: ready.LogID})
		if r := next[signal.Ready](t, bob); !r.Resumed || r.Head != 1 || r.Token != ready.Token {
			t.Fatalf("%+v", r)
		}
		if entries := next[signal.Log](t, bob).Entries; len(entries) != 1 || entries[0].PID != pid("alice") {
			t.Fatalf("%+v", entries)
		}
		session.events.Published([]signal.Source{signal.SourceMic})
		for {
			if p := next[signal.Participant](t, alice); len(p.Publications) == 1 {
				break
			}
		}
		if w.media.of("bob") != session {
			t.Fatal("the media session was replaced")
		}
		alice.Close(true)
		bob.Close(true)
		w.close()
	})
}

func TestReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		old := w.connect("alice", nil)
		ready := next[signal.Ready](t, old)
		c := w.connect("alice", &signal.Resume{Token: ready.Token, LogID: ready.LogID})
		if code := ended(t, old); code != signal.CodeReplaced {
			t.Fatal(code)
		}
		if err := old.Receive(t.Context(), signal.FromClient{Body: &signal.Leave{}}); err == nil {
			t.Fatal("a replaced connection takes messages")
		}
		old.Close(true)
		next[signal.Ready](t, c)
		say(t, c, &signal.Leave{})
		if code := ended(t, c); code != "" {
			t.Fatal(code)
		}
		c.Close(false)
		w.close()
	})
}

// TestSlow floods a connection that nobody reads: it ends, the others go on, and it may
// be resumed.
func TestSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		alice, bob := w.connect("alice", nil), w.connect("bob", nil)
		ready := next[signal.Ready](t, bob)
		for _, c := range []*Connection{alice, bob} {
			say(t, c, &signal.Join{KeyPackage: []byte("k"), MAC: make([]byte, 32)})
		}
		for range outboxFrames + 1 {
			say(t, alice, &signal.Message{Data: []byte("m")})
		}
		synctest.Wait()
		if code := ended(t, bob); code != signal.CodeSlow || w.saw(Slow) != 1 || w.saw(Away) != 1 {
			t.Fatal(code, w.saw(Slow), w.saw(Away))
		}
		bob.Close(false)
		bob = w.connect("bob", &signal.Resume{Token: ready.Token, LogID: ready.LogID})
		if r := next[signal.Ready](t, bob); !r.Resumed || r.Head != 2 {
			t.Fatalf("%+v", r)
		}
		alice.Close(true)
		bob.Close(true)
		w.close()
	})
}

func TestOffers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		c := w.connect("alice", nil)
		next[signal.Ready](t, c)
		o := &signal.Offer{Connection: 1, SDP: "v=0"}
		say(t, c, o)
		first := <-w.media.of("alice").offers
		say(t, c, &signal.Mute{Source: signal.SourceMic, Muted: true}) // an offer holds up nothing
		say(t, c, &signal.View{})
		synctest.Wait()
		if got := w.media.of("alice").heard(); !slices.Equal(got, []string{"mute mic true", "view 0"}) {
			t.Fatal(got)
		}
		say(t, c, o)
		first <- nil
		if a := next[signal.Answer](t, c); a.SDP != "answer" {
			t.Fatal(a)
		}
		<-w.media.of("alice").offers <- errors.New("no ice-ufrag")
		if e := next[signal.Error](t, c); e.Code != signal.CodeBadOffer || e.Message != "no ice-ufrag" {
			t.Fatal(e)
		}
		say(t, c, o) // never answered
		if e := next[signal.Error](t, c); e.Code != signal.CodeMediaFailed {
			t.Fatal(e)
		}
		say(t, c, o)
		synctest.Wait()
		c.Close(true) // while an offer is in work
		w.close()
	})
}

func TestMediaEvents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		alice, bob := w.connect("alice", nil), w.connect("bob", nil)
		next[signal.Ready](t, alice)
		next[signal.Participant](t, alice)
		events := w.media.of("bob").events
		sources := []signal.Source{signal.SourceMic}
		for range 1000 { // only the last says anything: a mailbox, not a queue
			events.Published(nil)
			events.Published(sources)
		}
		events.Slots(signal.Slots{Connection: 1})
		events.Demand(signal.Demand{Connection: 1})
		events.Down(signal.MediaDown{Connection: 1, Code: signal.CodeMediaFailed})
		sources[0] = "changed"
		for {
			p := next[signal.Participant](t, alice)
			if len(p.Publications) == 1 && p.Publications[0].Source == signal.SourceMic {
				break
			}
		}
		if s := next[signal.Slots](t, bob); s.Slots == nil {
			t.Fatal("no slots is not an empty list")
		}
		if d := next[signal.Demand](t, bob); d.Sources == nil {
			t.Fatal("no demand is not an empty list")
		}
		next[signal.MediaDown](t, bob)
		bob.Close(true)
		synctest.Wait()
		events.Published(nil) // too late: nothing happens
		alice.Close(true)
		w.close()
	})
}

func TestAttachRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		w.media.refuse = errors.New("full")
		c := w.connect("alice", nil)
		if code := ended(t, c); code != signal.CodeInternal {
			t.Fatal(code)
		}
		c.Close(false)
		w.close()
	})
}

func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		c := w.connect("alice", nil)
		done := make(chan error)
		go func() { done <- w.registry.Close(t.Context()) }()
		if code := ended(t, c); code != signal.CodeShutdown {
			t.Fatal(code)
		}
		if _, err := w.registry.Connect(t.Context(), "room", 1, &signal.Hello{PID: pid("bob")}); !errors.Is(err, ErrStopped) {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := w.registry.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("%v, though a connection is open", err)
		}
		c.Close(false)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		w.close()
	})
}

func TestConnectRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *Config) { c.MaxRooms = 1; c.MaxParticipants = 1 })
		hello := &signal.Hello{PID: pid("alice")}
		if _, err := w.registry.Connect(t.Context(), "no room", 1, hello); !errors.Is(err, ErrRoomName) {
			t.Fatal(err)
		}
		c := w.connect("alice", nil)
		if _, err := w.registry.Connect(t.Context(), "another", 1, hello); !errors.Is(err, ErrTooManyRooms) {
			t.Fatal(err)
		}
		full := w.connect("bob", nil)
		if code := ended(t, full); code != signal.CodeRoomFull {
			t.Fatal(code)
		}
		full.Close(false)
		c.Close(true)
		synctest.Wait()
		again, err := w.registry.Connect(t.Context(), "another", 1, hello)
		if err != nil {
			t.Fatal(err)
		}
		again.Close(true)
		w.close()
	})
}

// TestConnectGivenUp gives up a Connect before the room takes it: the room goes away too.
func TestConnectGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, nil)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for range 50 {
			if c, err := w.registry.Connect(ctx, "room", 1, &signal.Hello{PID: pid("alice")}); err == nil {
				c.Close(true)
			} else if !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		w.close()
	})
}

type elsewhere string

func (e elsewhere) Locate(context.Context, string) (string, error) { return string(e), nil }

func TestLocate(t *testing.T) {
	for _, tt := range []struct {
		locator Locator
		room    string
		want    error
	}{
		{nil, "room", nil},
		{nil, "a room", ErrRoomName},
		{elsewhere(""), "room", nil},
		{elsewhere("https://node-2"), "room", ErrElsewhere},
	} {
		g := NewRegistry(Config{Locator: tt.locator})
		if err := g.Locate(t.Context(), tt.room); !errors.Is(err, tt.want) {
			t.Errorf("%v in %v: %v, want %v", tt.room, tt.locator, err, tt.want)
		}
	}
}

func TestOutboxBytes(t *testing.T) {
	o := newOutbox()
	frame := make([]byte, 1<<20)
	for range 6 {
		if !o.push(item{frame: frame}, 1<<20) {
			t.Fatal("refused within the bound")
		}
	}
	if o.push(item{frame: frame}, 1<<20) {
		t.Fatal("accepted over the bound")
	}
	if _, err := o.next(t.Context()); err == nil || err.Error() != "connection ended: slow" {
		t.Fatal(err)
	}
}

// TestOutboxOrder pushes and takes in turns of changing length: what comes out is what
// went in, in order.
func TestOutboxOrder(t *testing.T) {
	o := newOutbox()
	pushed, taken := 0, 0
	for round := range 300 {
		for range 1 + round%7 {
			if !o.push(item{frame: fmt.Append(nil, pushed)}, 0) {
				t.Fatal("refused")
			}
			pushed++
		}
		for range min(1+round%5, pushed-taken) {
			frame, err := o.next(t.Context())
			if err != nil || string(frame) != fmt.Sprint(taken) {
				t.Fatalf("%s (%v), want %d", frame, err, taken)
			}
			taken++
		}
	}
	o.finish(&Ended{})
	for ; taken < pushed; taken++ {
		if frame, err := o.next(t.Context()); err != nil || string(frame) != fmt.Sprint(taken) {
			t.Fatalf("%s (%v), want %d", frame, err, taken)
		}
	}
	if _, err := o.next(t.Context()); err == nil {
		t.Fatal("no end")
	}
}

// TestICEServers: each connection is told of the relays, with credentials of its own.
func TestICEServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		made := 0
		w := newWorld(t, func(c *Config) {
			c.ICEServers = func(p signal.PID) []signal.ICEServer {
				made++
				return []signal.ICEServer{{URLs: []string{"turn:h"}, Username: string(p), Credential: fmt.Sprint(made)}}
			}
		})
		bob := w.connect("bob", nil)
		ready := next[signal.Ready](t, bob)
		bob.Close(false)
		again := w.connect("bob", &signal.Resume{Token: ready.Token, LogID: ready.LogID})
		resumed := next[signal.Ready](t, again)
		for i, r := range []*signal.Ready{ready, resumed} {
			if len(r.ICEServers) != 1 || r.ICEServers[0].Username != string(pid("bob")) || r.ICEServers[0].Credential != fmt.Sprint(i+1) {
				t.Errorf("connection %d: %+v", i, r.ICEServers)
			}
			if text := fmt.Sprint(r.ICEServers); text != "[[turn:h]]" {
				t.Errorf("printed as %s", text)
			}
		}
		again.Close(true)
		w.close()
	})
}

// TestServerFull: the participants of all rooms are bounded, also those who have lost their
// connection and may resume it; and a load may be too much for one more, but not for who is there.
func TestServerFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tooMuch error
		w := newWorld(t, func(c *Config) {
			c.MaxTotal = 2
			c.Admit = func() error { return tooMuch }
		})
		defer w.close()
		alice, bob := w.connect("alice", nil), w.connectTo("another", "bob")
		ready := next[signal.Ready](t, alice)
		refused := func(room string) {
			t.Helper()
			synctest.Wait()
			before := w.saw(Refused)
			_, err := w.registry.Connect(t.Context(), room, 1, &signal.Hello{PID: pid("carol")})
			if !errors.Is(err, ErrServerFull) || w.saw(Refused) != before+1 {
				t.Fatalf("%v; %d refusals are told of", err, w.saw(Refused)-before)
			}
		}
		refused("room")
		refused("third")
		alice.Close(false)
		refused("room")
		resume := &signal.Resume{Token: ready.Token, LogID: ready.LogID}
		tooMuch = errors.New("a full line")
		alice = w.connect("alice", resume)
		next[signal.Ready](t, alice)
		bob.Close(true)
		refused("another")
		tooMuch = nil
		carol := w.connectTo("another", "carol")
		next[signal.Ready](t, carol)
		alice.Close(true)
		carol.Close(true)
		synctest.Wait()
	})
}

func (w *world) connectTo(room, who string) *Connection {
	w.t.Helper()
	c, err := w.registry.Connect(w.t.Context(), room, 1, &signal.Hello{PID: pid(who)})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}
