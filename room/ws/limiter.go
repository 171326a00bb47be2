package ws

import (
	"time"

	"golang.org/x/time/rate"

	"github.com/conclave-sfu/conclave/room/signal"
)

// Rates of one connection. A page in a busy meeting sends some messages a second; a
// committer while many join up to seven entries. What a participation may have the room
// keep is the room's to bound.
const (
	messagesPerSecond = 50
	messagesBurst     = 200
	bytesPerSecond    = 800 << 10
	bytesBurst        = 4 << 20 // and a message that began within it, however large
	entriesPerSecond  = 10
	entriesBurst      = 50
	refusalsPerSecond = 1
	refusalsBurst     = 100 // then the connection ends
)

// limiter says how much a connection may send.
type limiter struct {
	messages, entries, refusals *rate.Limiter
	bytes                       *budget // nil: no limit
}

// budget bounds bytes over time. Whoever has some of it left may take more than that, and
// then waits until all is paid: no message is too large for it, and none costs too little.
type budget struct {
	perSecond, burst int
	paid             time.Time // when all that was taken is paid
}

// take reports whether some is left at now, and takes n bytes then.
func (b *budget) take(now time.Time, n int) bool {
	if b == nil {
		return true
	}
	if b.paid.Before(now) {
		b.paid = now
	}
	if b.paid.Sub(now) >= b.cost(b.burst) {
		return false
	}
	b.paid = b.paid.Add(b.cost(n))
	return true
}

func (b *budget) cost(n int) time.Duration {
	return time.Duration(n) * time.Second / time.Duration(b.perSecond)
}

func newLimiter() limiter {
	return limiter{
		messages: rate.NewLimiter(messagesPerSecond, messagesBurst),
		entries:  rate.NewLimiter(entriesPerSecond, entriesBurst),
		refusals: rate.NewLimiter(refusalsPerSecond, refusalsBurst),
		bytes:    &budget{perSecond: bytesPerSecond, burst: bytesBurst},
	}
}

// allow reports whether a message of size bytes is within the rates. typ may be empty.
func (l limiter) allow(now time.Time, typ signal.Type, size int) bool {
	if !l.messages.AllowN(now, 1) || !l.bytes.take(now, size) {
		return false
	}
	switch typ {
	case signal.TypeJoin, signal.TypeCreate, signal.TypeCommit:
		return l.entries.AllowN(now, 1)
	}
	return true
}

// goesOn reports whether a connection was refused so often that it has to end.
func (l limiter) goesOn(now time.Time) bool { return !l.refusals.AllowN(now, 1) }
