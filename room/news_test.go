package room

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/conclave-sfu/conclave/room/signal"
)

// hall is a room with the clients that are told of each other.
type hall struct {
	t     *testing.T
	st    *state
	now   time.Time
	conns map[connID]*guest
	last  connID
	// messages are those that said something of others, bytes all that was said.
	messages, bytes int
}

// guest is a client: what it was told of the others.
type guest struct {
	pid    signal.PID
	lists  bool
	others map[signal.PID]signal.Participant
}

func newHall(t *testing.T) *hall {
	st := newState("room", limits{participants: 1000, grace: 15 * time.Second, log: defaultLogLimits})
	return &hall{t: t, st: st, now: at(0), conns: map[connID]*guest{}}
}

func (h *hall) apply(cmd command) {
	h.t.Helper()
	for _, e := range h.st.apply(h.now, cmd) {
		switch e := e.(type) {
		case send:
			frame, err := signal.EncodeServer(e.re, e.body)
			if err != nil {
				h.t.Fatal(err)
			}
			h.bytes += len(frame) * len(e.to)
			for _, id := range e.to {
				h.conns[id].take(h, e.body)
			}
		case catchUp:
			h.conns[e.conn].catchUp(h, e)
		case hangUp:
			delete(h.conns, e.conn)
		}
	}
}

// catchUp reads a backlog as it is encoded.
func (g *guest) catchUp(h *hall, c catchUp) {
	for {
		frame, err := c.next()
		if err != nil {
			h.t.Fatal(err)
		}
		if frame == nil {
			return
		}
		h.bytes += len(frame)
		msg, err := signal.DecodeServer(frame)
		if err != nil {
			h.t.Fatal(err)
		}
		g.take(h, msg.Body)
	}
}

func (g *guest) take(h *hall, body any) {
	h.t.Helper()
	switch body := body.(type) {
	case *signal.Participant:
		if body.PID == g.pid {
			h.t.Fatalf("%s was told of itself alone", name(g.pid))
		}
		h.messages++
		g.others[body.PID] = *body
	case *signal.Participants:
		if !g.lists || len(body.Participants) == 0 || len(body.Participants) > rosterChunk {
			h.t.Fatalf("a list of %d, to a client that takes lists: %t", len(body.Participants), g.lists)
		}
		h.messages++
		for _, p := range body.Participants {
			g.others[p.PID] = p
		}
		delete(g.others, g.pid)
	case *signal.Gone:
		delete(g.others, body.PID)
	}
}

func (h *hall) enter(lists bool) connID {
	h.last++
	g := &guest{pid: pid(fmt.Sprint("p", h.last)), lists: lists, others: map[signal.PID]signal.Participant{}}
	h.conns[h.last] = g
	h.apply(helloed{conn: h.last, hello: &signal.Hello{PID: g.pid, Lists: lists}, token: fmt.Sprint(h.last)})
	return h.last
}

// pass lets time pass, with the ticks that are due meanwhile.
func (h *hall) pass(d time.Duration) {
	until := h.now.Add(d)
	for due := h.st.deadline(); !due.IsZero() && !due.After(until); due = h.st.deadline() {
		if due.After(h.now) {
			h.now = due
		}
		h.apply(ticked{})
		if again := h.st.deadline(); !again.IsZero() && !again.After(h.now) {
			h.t.Fatal("a tick has left undone what was due")
		}
	}
	h.now = until
}

// check sees that everybody knows what there is to know of all others.
func (h *hall) check() {
	h.t.Helper()
	for id, g := range h.conns {
		want := map[signal.PID]signal.Participant{}
		for _, p := range h.st.members {
			if p.pid != g.pid {
				want[p.pid] = p.info()
			}
		}
		if !maps.EqualFunc(g.others, want, sameParticipant) {
			h.t.Fatalf("connection %d knows %v, want %v", id, g.others, want)
		}
	}
}

func sameParticipant(a, b signal.Participant) bool {
	return a.PID == b.PID && a.Away == b.Away && slices.Equal(a.Publications, b.Publications)
}

// TestEverybodyIsTold: whoever comes, goes, publishes, mutes, is lost or resumes, and whatever is gathered
// meanwhile, a moment later all know all, in rooms large and small, with clients that take
// lists and clients that do not.
func TestEverybodyIsTold(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 3))
	h := newHall(t)
	sources := []signal.Source{signal.SourceMic, signal.SourceCamera, signal.SourceScreen}
	for round := range 80 {
		for range random.IntN(12) {
			h.happen(random, sources, 20+40*(round/20%2))
			h.pass(time.Duration(random.IntN(60)) * time.Millisecond)
		}
		h.pass(newcomerWait)
		h.check()
	}
	if len(h.st.news) != 0 {
		t.Errorf("%d are yet to be told of", len(h.st.news))
	}
}

// happen has something happen, in a room of about so many.
func (h *hall) happen(random *rand.Rand, sources []signal.Source, size int) {
	ids := slices.Sorted(maps.Keys(h.conns))
	if len(ids) == 0 || len(ids) < size && random.IntN(2) == 0 {
		h.enter(random.IntN(4) > 0)
		return
	}
	id := ids[random.IntN(len(ids))]
	p := h.st.byConn[id]
	switch n := random.IntN(10); {
	case n < 4:
		h.apply(published{p.seat, sources[:random.IntN(len(sources)+1)]})
	case n < 6:
		source := sources[random.IntN(len(sources))]
		h.apply(received{conn: id, body: &signal.Mute{Source: source, Muted: !slices.Contains(p.muted, source)}})
	case n < 8:
		h.apply(lost{conn: id})
		g := h.conns[id]
		delete(h.conns, id)
		h.last++
		h.conns[h.last] = &guest{pid: g.pid, lists: !g.lists, others: map[signal.PID]signal.Participant{}}
		h.pass(time.Duration(random.IntN(100)) * time.Millisecond)
		h.apply(helloed{conn: h.last, hello: &signal.Hello{PID: g.pid, Lists: !g.lists, Resume: &signal.Resume{
			Token: p.token, LogID: h.st.log.id[:], After: h.st.log.position()}}})
	case n < 9 || len(ids) > size:
		delete(h.conns, id)
		h.apply(lost{conn: id, ended: true})
	}
}

// TestNewsWait: in a large room a newcomer is told of with what it publishes, all that is said within
// a moment in one message, and what it shows later as soon.
func TestNewsWait(t *testing.T) {
	h := newHall(t)
	for range gatherFrom {
		h.enter(true)
	}
	h.pass(newcomerWait)
	told := func(step string, want int) {
		t.Helper()
		if h.messages != want {
			t.Errorf("%s: %d messages, want %d", step, h.messages, want)
		}
		h.messages = 0
	}
	h.messages = 0
	a, b := h.enter(true), h.enter(false)
	wait := patience(len(h.conns))
	told("two come", 1+gatherFrom+1) // they are told of the others: by a list, and one by one
	h.pass(newcomerWait / 2)
	told("they show nothing yet", 0)
	h.apply(published{h.st.byConn[a].seat, []signal.Source{signal.SourceMic}})
	h.apply(published{h.st.byConn[a].seat, []signal.Source{signal.SourceMic, signal.SourceCamera}})
	h.pass(wait - 1)
	told("one publishes", 0)
	h.pass(1)
	told("a moment later", gatherFrom+1) // one a receiver, of a alone
	h.checkFirst(a, b)
	h.pass(newcomerWait)
	told("the other publishes nothing", gatherFrom+1)
	for _, id := range []connID{a, b} {
		h.apply(published{h.st.byConn[id].seat, []signal.Source{signal.SourceMic}})
	}
	h.pass(2 * wait)
	told("both say something", gatherFrom+1+1) // a list to all who take it, of the other one to who does not
	h.check()
}

// checkFirst sees that all know of a, and nobody of b.
func (h *hall) checkFirst(a, b connID) {
	h.t.Helper()
	for id, g := range h.conns {
		if _, ok := g.others[h.conns[a].pid]; !ok && id != a {
			h.t.Errorf("connection %d does not know of %d", id, a)
		}
		if _, ok := g.others[h.conns[b].pid]; ok && id != a {
			h.t.Errorf("connection %d knows of %d already", id, b)
		}
	}
}

// TestNewsOfWhoLeft: of who has come and gone before it was told of, nothing is said but that it is gone.
func TestNewsOfWhoLeft(t *testing.T) {
	h := newHall(t)
	for range gatherFrom {
		h.enter(true)
	}
	h.pass(newcomerWait)
	h.messages = 0
	id := h.enter(true)
	delete(h.conns, id)
	h.apply(lost{conn: id, ended: true})
	if h.pass(2 * newcomerWait); h.messages != 1 || len(h.st.news) != 0 || !h.st.deadline().IsZero() {
		t.Errorf("%d messages, %d news", h.messages, len(h.st.news))
	}
	h.check()
}

// TestRosterChunks: the roster of the largest room goes in a few messages.
func TestRosterChunks(t *testing.T) {
	h := newHall(t)
	for range 600 {
		h.enter(true)
	}
	h.messages = 0
	id := h.enter(true)
	if want := (600 + rosterChunk - 1) / rosterChunk; h.messages != want || len(h.conns[id].others) != 600 {
		t.Errorf("%d messages of %d others, want %d", h.messages, len(h.conns[id].others), want)
	}
}

// TestManyJoin: 300 come within some seconds, and each publishes two sources a moment after: all know all,
// not by two or three messages for each pair of them, but by one for each few that come.
func TestManyJoin(t *testing.T) {
	const (
		many   = 300
		each   = 10 * time.Millisecond // from one to the next
		mic    = 8                     // so many come until one's microphone is received
		camera = 10
	)
	for _, lists := range []bool{true, false} {
		h := newHall(t)
		ids := make([]connID, 0, many)
		for i := range many + camera {
			if i < many {
				ids = append(ids, h.enter(lists))
			}
			if n := i - mic; n >= 0 && n < many {
				h.apply(published{h.st.byConn[ids[n]].seat, []signal.Source{signal.SourceMic}})
			}
			if n := i - camera; n >= 0 {
				h.apply(published{h.st.byConn[ids[n]].seat, []signal.Source{signal.SourceMic, signal.SourceCamera}})
			}
			h.pass(each)
		}
		h.pass(newcomerWait)
		h.check()
		perGuest, perPair := float64(h.messages)/many, float64(h.messages)/many/(many-1)
		t.Logf("lists %t: %.0f messages for each, %.2f for each pair; %d kB for each", lists, perGuest, perPair, h.bytes/many>>10)
		if most := float64(many*each/patience(many)) + many/10; lists && perGuest > most {
			t.Errorf("%.0f messages for each, want %.0f at most", perGuest, most)
		}
		if !lists && perPair > 2 {
			t.Errorf("%.2f messages for each pair", perPair)
		}
	}
}
