package port

import (
	"container/list"
	"net"
	"net/netip"
	"sync"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/source"
)

// Limits of the connections of a [Limiter]; see [source.Of] for sources.
type Limits struct {
	Open          int // connections in all, of whatever use
	OpenFromIP    int // of these, from one source
	Pending       int // connections that have not shown yet what they are for
	PendingFromIP int // of these, from one source
}

// DefaultPending is for the half-open connections of one port, or of several together. An
// honest client shows what it is for within two round trips.
const (
	DefaultPending       = 1024
	DefaultPendingFromIP = 128
)

// Limiter bounds connections, of one listener or of several together. Its methods may be
// called from any goroutine.
type Limiter struct {
	limits Limits

	mu      sync.Mutex
	open    int
	pending list.List     // of *conn, oldest first
	from    source.Counts // the pending ones
	all     source.Counts // all
	// refused and displaced count connections that were closed for want of room.
	refused, displaced uint64
}

// NewLimiter gives a limiter without connections.
func NewLimiter(limits Limits) *Limiter {
	return &Limiter{limits: limits, from: source.Counts{}, all: source.Counts{}}
}

// Stats is what a limiter holds, and counts since it was made.
type Stats struct {
	Open, Pending      int
	Refused, Displaced uint64
}

// Stats counts.
func (l *Limiter) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Stats{Open: l.open, Pending: l.pending.Len(), Refused: l.refused, Displaced: l.displaced}
}

// conn is a counted connection. It is pending until settled.
type conn struct {
	net.Conn
	limiter *Limiter
	origin  netip.Prefix
	closing sync.Once

	place *list.Element // Guarded by limiter.mu; nil: not pending.
}

// admit counts a connection, or says no. It closes another if there are too many pending.
func (l *Limiter) admit(raw net.Conn) (*conn, bool) {
	c := &conn{Conn: raw, limiter: l, origin: sourceOf(raw)}
	l.mu.Lock()
	if l.open >= l.limits.Open || !l.from.Allows(c.origin, l.limits.PendingFromIP) || !l.all.Allows(c.origin, l.limits.OpenFromIP) {
		l.refused++
		l.mu.Unlock()
		return nil, false
	}
	var oldest *conn
	if l.pending.Len() >= l.limits.Pending {
		oldest = l.pending.Front().Value.(*conn)
		l.settle(oldest)
		l.displaced++
	}
	l.open++
	l.all.Add(c.origin)
	l.from.Add(c.origin)
	c.place = l.pending.PushBack(c)
	l.mu.Unlock()
	if oldest != nil {
		oldest.Conn.Close() // who reads from it sees that
	}
	return c, true
}

// settle takes a connection out of the pending ones. The caller holds mu.
func (l *Limiter) settle(c *conn) {
	if c.place == nil {
		return
	}
	l.pending.Remove(c.place)
	c.place = nil
	l.from.Remove(c.origin)
}

// settled says that it shows what a connection is for.
func (c *conn) settled() {
	c.limiter.mu.Lock()
	defer c.limiter.mu.Unlock()
	c.limiter.settle(c)
}

// Close implements [net.Conn], and makes room for another.
func (c *conn) Close() error {
	err := c.Conn.Close()
	c.closing.Do(func() {
		c.limiter.mu.Lock()
		defer c.limiter.mu.Unlock()
		c.limiter.settle(c)
		c.limiter.all.Remove(c.origin)
		c.limiter.open--
	})
	return err
}

// CloseWrite lets net/http end a connection so that its last answer arrives.
func (c *conn) CloseWrite() error { return closeWrite(c.Conn) }

func closeWrite(c net.Conn) error {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// sourceOf is whose connections are counted together.
func sourceOf(c net.Conn) netip.Prefix {
	tcp, ok := c.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return netip.Prefix{}
	}
	return source.Of(tcp.AddrPort().Addr())
}
