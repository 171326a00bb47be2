// Package impair is a bad network in user space: what a path does to packets as a pure
// model in virtual time ([Link]), and a UDP relay that does it to real ones ([Relay]).
// Tests and load tests put it before a server where the kernel offers no such thing.
package impair

import (
	"math/rand/v2"
	"time"
)

// Conditions of one direction of a path. The zero value changes nothing.
type Conditions struct {
	// Loss is the share of packets that are lost, 0 to 1.
	Loss float64
	// Burst is the mean length of a run of losses in packets (the Gilbert model); up
	// to 1 each packet is lost for itself.
	Burst float64
	// Delay is what every packet takes, Jitter the most that is added at random
	// (uniformly). Order is kept all the same: a packet waits for the one before.
	Delay, Jitter time.Duration
	// Reorder is the share of packets that do not wait: they overtake those that
	// jitter, or the packets before them, hold back by up to Delay/2.
	Reorder float64
	// Duplicate is the share of packets that come twice.
	Duplicate float64
	// Rate of the bottleneck in bits a second; 0 for no limit.
	Rate int
	// Queue is how long a packet may wait for the bottleneck before it is lost
	// instead (drop tail); 0 for [DefaultQueue].
	Queue time.Duration
}

// DefaultQueue is what a home router holds.
const DefaultQueue = 200 * time.Millisecond

// Counts of what happened to packets.
type Counts struct {
	Sent       uint64 `json:"sent"`       // that were given to the link
	Lost       uint64 `json:"lost"`       // at random
	Overflowed uint64 `json:"overflowed"` // lost because the bottleneck's queue was full
	Duplicated uint64 `json:"duplicated"`
	Reordered  uint64 `json:"reordered"` // that were let overtake
}

// Plus gives the sum.
func (c Counts) Plus(other Counts) Counts {
	return Counts{
		c.Sent + other.Sent, c.Lost + other.Lost, c.Overflowed + other.Overflowed,
		c.Duplicated + other.Duplicated, c.Reordered + other.Reordered,
	}
}

// Minus gives what happened since other.
func (c Counts) Minus(other Counts) Counts {
	return Counts{
		c.Sent - other.Sent, c.Lost - other.Lost, c.Overflowed - other.Overflowed,
		c.Duplicated - other.Duplicated, c.Reordered - other.Reordered,
	}
}

// Link is one direction of a path. It is not safe for concurrent use. The same
// seed, conditions and calls give the same deliveries.
type Link struct {
	conditions Conditions
	random     *rand.Rand
	counts     Counts
	bad        bool  // in a run of losses
	idle       int64 // when the bottleneck has sent what it holds
	latest     int64 // delivery of the last packet that kept its place
}

// NewLink gives a link; equal seeds behave equally.
func NewLink(seed uint64, c Conditions) *Link {
	return &Link{conditions: c, random: rand.New(rand.NewPCG(seed, 0x636f6e64))}
}

// Set changes the conditions from now on. What is under way stays so.
func (l *Link) Set(c Conditions) { l.conditions = c }

// Counts so far.
func (l *Link) Counts() Counts { return l.counts }

// Backlog is how long a packet sent now would wait for the bottleneck.
func (l *Link) Backlog(now int64) time.Duration { return time.Duration(max(0, l.idle-now)) }

// Send puts a packet of size bytes on the link, at now nanoseconds, which never
// goes back. It gives when the packet is delivered: never (n = 0), once, or twice.
func (l *Link) Send(now int64, size int) (at [2]int64, n int) {
	l.counts.Sent++
	if l.lose() {
		l.counts.Lost++
		return at, 0
	}
	out, ok := l.transmit(now, size)
	if !ok {
		l.counts.Overflowed++
		return at, 0
	}
	at[0], n = l.deliver(now, out), 1
	if l.happens(l.conditions.Duplicate) {
		l.counts.Duplicated++
		at[1], n = at[0]+l.upTo(l.conditions.Jitter), 2
	}
	return at, n
}

// lose is the Gilbert model: runs of mean length Burst, so many that Loss of all
// packets are in one.
func (l *Link) lose() bool {
	c := l.conditions
	switch {
	case c.Burst <= 1 || c.Loss >= 1:
		l.bad = l.happens(c.Loss)
	case l.bad:
		l.bad = !l.happens(1 / c.Burst)
	default:
		l.bad = l.happens(c.Loss / (c.Burst * (1 - c.Loss)))
	}
	return l.bad
}

// transmit takes the packet through the bottleneck; it is false if there is no room.
func (l *Link) transmit(now int64, size int) (out int64, ok bool) {
	c := l.conditions
	if c.Rate <= 0 {
		l.idle = now
		return now, true
	}
	queue := c.Queue
	if queue <= 0 {
		queue = DefaultQueue
	}
	start := max(now, l.idle)
	if start-now > int64(queue) {
		return 0, false
	}
	l.idle = start + int64(size)*8*int64(time.Second)/int64(c.Rate)
	return l.idle, true
}

// deliver adds the way that follows the bottleneck.
func (l *Link) deliver(now, out int64) int64 {
	c := l.conditions
	if l.happens(c.Reorder) {
		l.counts.Reordered++
		return max(now, out+int64(c.Delay)-l.upTo(c.Delay/2))
	}
	l.latest = max(l.latest, out+int64(c.Delay)+l.upTo(c.Jitter))
	return l.latest
}

func (l *Link) happens(share float64) bool { return share > 0 && l.random.Float64() < share }

func (l *Link) upTo(d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	return l.random.Int64N(int64(d) + 1)
}
