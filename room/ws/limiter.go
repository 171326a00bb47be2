package ws

import (
	"time"

	"golang.org/x/time/rate"

	"github.com/conclave-sfu/conclave/room/signal"
)

// Rates of one connection. A page in a busy meeting sends some messages a second; a
// committer while many join up to seven entries.
const (
	messagesPerSecond = 50
	messagesBurst     = 200
	bytesPerMessage   = 16 << 10 // a longer message counts for several
	entriesPerSecond  = 10
	entriesBurst      = 50
	refusalsPerSecond = 1
	refusalsBurst     = 100 // then the connection ends
)

// limiter says how much a connection may send.
type limiter struct {
	messages, entries, refusals *rate.Limiter
}

func newLimiter() limiter {
	return limiter{
		messages: rate.NewLimiter(messagesPerSecond, messagesBurst),
		entries:  rate.NewLimiter(entriesPerSecond, entriesBurst),
		refusals: rate.NewLimiter(refusalsPerSecond, refusalsBurst),
	}
}

// allow reports whether a message of size bytes is within the rates. typ may be empty.
func (l limiter) allow(now time.Time, typ signal.Type, size int) bool {
	cost := min(1+size/bytesPerMessage, messagesBurst/2)
	if !l.messages.AllowN(now, cost) {
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
