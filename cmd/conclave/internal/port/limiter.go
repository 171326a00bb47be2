package port

import (
	"container/list"
	"net"
	"net/netip"
	"sync"
)

// Limits of the connections of a [Limiter].
type Limits struct {
	Open          int // connections in all, of whatever use
	Pending       int // connections that have not shown yet what they are for
	PendingFromIP int // of these, from one IPv4 address or IPv6 /64 network
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
	pending list.List // of *conn, oldest first
	from    map[netip.Prefix]int
	// refused and displaced count connections that were closed for want of room.
	refused, displaced uint64
}

// NewLimiter gives a limiter without connections.
func NewLimiter(limits Limits) *Limiter {
	return &Limiter{limits: limits, from: map[netip.Prefix]int{}}
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
	source  netip.Prefix
	closing sync.Once

	place *list.Element // Guarded by limiter.mu; nil: not pending.
}

// admit counts a connection, or says no. It closes another if there are too many pending.
func (l *Limiter) admit(raw net.Conn) (*conn, bool) {
	c := &conn{Conn: raw, limiter: l, source: sourceOf(raw)}
	l.mu.Lock()
	if l.open >= l.limits.Open || l.from[c.source] >= l.limits.PendingFromIP {
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
	l.from[c.source]++
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
	if l.from[c.source]--; l.from[c.source] == 0 {
		delete(l.from, c.source)
	}
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
	addr, bits := tcp.AddrPort().Addr().Unmap().WithZone(""), 64
	if addr.Is4() {
		bits = 32
	}
	prefix, _ := addr.Prefix(bits) // fails for more bits than there are
	return prefix
}
