package e2eesim

import (
	"container/heap"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/conclave-sfu/conclave/e2ee"
)

// World is a clock, a room and its participants. It is for one goroutine.
type World struct {
	// Rand decides everything random.
	Rand *rand.Rand
	// Delay is how long a message takes to or from a participant; 20 ms if nil. Messages
	// of one connection never overtake each other.
	Delay func(*Participant) time.Duration
	// Server is the room.
	Server *Server
	// People are all who ever came.
	People []*Participant
	// Link is what they share.
	Link e2ee.Link
	// Failures are what must never happen and did.
	Failures []string

	// Forks says that the adversary splits the room: one entry may then lead to
	// more than one epoch.
	Forks bool

	rosters map[string]string // by safety number
	numbers map[string]string // safety numbers, by log and position of the entry

	source *rand.ChaCha8
	start  time.Time
	now    time.Time
	queue  events
	order  uint64
	trace  strings.Builder
}

// Formats are those of all links, and so all cipher suites.
var Formats = []uint8{e2ee.FormatSuite3, e2ee.FormatSuite1, e2ee.FormatXWing}

// NewWorld makes an empty room from a seed, in the default suite.
func NewWorld(seed uint64) *World { return NewWorldIn(e2ee.DefaultFormat, seed) }

// NewWorldIn is [NewWorld] in the suite of a link's format.
func NewWorldIn(format uint8, seed uint64) *World {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	source := rand.NewChaCha8(key)
	start := time.UnixMilli(1_800_000_000_000)
	w := &World{
		Rand: rand.New(source), source: source, start: start, now: start,
		rosters: map[string]string{}, numbers: map[string]string{},
	}
	link, err := e2ee.NewLink(source, "https://meet.example", "room")
	if err != nil {
		panic("e2eesim: " + err.Error())
	}
	link.Format = format
	w.Link = link
	w.Server = newServer(w)
	return w
}

// Now is the simulated time.
func (w *World) Now() time.Time { return w.now }

// Transcript is what has happened so far, a line each.
func (w *World) Transcript() string { return w.trace.String() }

// Restart replaces the room by an empty one. All connections break; the participants
// come back by themselves.
func (w *World) Restart() {
	w.Server = newServer(w)
	w.note("log", "restarted")
	for _, p := range w.People {
		if p.here() {
			p.Break()
			p.after(100*time.Millisecond, p.Connect)
		}
	}
}

// Run lets time pass.
func (w *World) Run(d time.Duration) {
	end := w.now.Add(d)
	for len(w.queue) > 0 && !w.queue[0].at.After(end) {
		e := heap.Pop(&w.queue).(event)
		w.now = e.at
		e.do()
	}
	w.now = end
}

// At does something after d.
func (w *World) At(d time.Duration, do func()) {
	w.order++
	heap.Push(&w.queue, event{w.now.Add(d), w.order, do})
}

func (w *World) note(who, format string, args ...any) {
	fmt.Fprintf(&w.trace, "%8.3f %s: %s\n", w.now.Sub(w.start).Seconds(), who, fmt.Sprintf(format, args...))
}

func (w *World) fail(who, format string, args ...any) {
	w.note(who, "FAILED "+format, args...)
	w.Failures = append(w.Failures, fmt.Sprintf("%.3f %s: ", w.now.Sub(w.start).Seconds(), who)+fmt.Sprintf(format, args...))
}

func (w *World) fill(b []byte) { _, _ = w.source.Read(b) } // never fails

func (w *World) delay(p *Participant) time.Duration {
	if w.Delay == nil {
		return 20 * time.Millisecond
	}
	return w.Delay(p)
}

// event is something that happens at a time; events of the same time in their order.
type event struct {
	at    time.Time
	order uint64
	do    func()
}

type events []event

func (q events) Len() int { return len(q) }
func (q events) Less(i, j int) bool {
	if !q[i].at.Equal(q[j].at) {
		return q[i].at.Before(q[j].at)
	}
	return q[i].order < q[j].order
}
func (q events) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *events) Push(x any)   { *q = append(*q, x.(event)) }
func (q *events) Pop() any {
	old := *q
	e := old[len(old)-1]
	*q = old[:len(old)-1]
	return e
}
