package turn

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Limits of one allocation.
const (
	maxPaths = 64 // its peers are the server's own candidates, so they are few
	// maxQueued packets wait to be relayed to the client: two key frames. More are lost.
	maxQueued = 256
)

// relay stands in for the socket of an allocation. It implements [net.PacketConn] for pion/turn:
// WriteTo is what the client sends, ReadFrom what it is sent.
type relay struct {
	// Immutable.
	server   *Server
	clients  *clients
	username string
	name     *net.UDPAddr // the relayed transport address
	ended    chan struct{}
	wake     chan struct{} // holds a token when something waits

	channels atomic.Int32
	expires  atomic.Int64 // nanoseconds since 1970; 0: not told yet

	source netip.Prefix   // guarded by server.mu
	client netip.AddrPort // guarded by clients.mu

	// Guarded by mu.
	mu    sync.Mutex
	paths map[netip.AddrPort]*Path
	queue []queued
}

// queued is a packet for the client.
type queued struct {
	buffer *[maxPacket]byte
	size   int
	from   *Path
}

var buffers = sync.Pool{New: func() any { return new([maxPacket]byte) }}

func newRelay(s *Server, c *clients, username string, name netip.AddrPort) *relay {
	return &relay{
		server: s, clients: c, username: username, name: net.UDPAddrFromAddrPort(name),
		ended: make(chan struct{}), wake: make(chan struct{}, 1), paths: map[netip.AddrPort]*Path{},
	}
}

// Path is the way between a client's allocation and one of the server's candidates. For the
// forwarder it is where packets come from and go to.
type Path struct {
	relay *relay
	peer  *net.UDPAddr
}

// RemoteAddr is the relayed transport address: what the candidate sees as the sender.
func (p *Path) RemoteAddr() netip.AddrPort { return p.relay.name.AddrPort() }

// Send relays a packet of the candidate to the client (RFC 8656, Sections 11.3 and 12.7). It
// never blocks and does not keep the packet.
func (p *Path) Send(packet []byte) {
	if len(packet) > maxPacket || !p.relay.put(packet, p) {
		return
	}
	p.relay.server.count.packetsDown.Add(1)
	p.relay.server.count.bytesDown.Add(uint64(len(packet)))
	select {
	case p.relay.wake <- struct{}{}:
	default:
	}
}

// put queues a packet, or says that there is no room.
func (r *relay) put(packet []byte, from *Path) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.queue) >= maxQueued || r.over() {
		return false
	}
	b := buffers.Get().(*[maxPacket]byte)
	r.queue = append(r.queue, queued{b, copy(b[:], packet), from})
	return true
}

// ReadFrom waits for a packet of the forwarder's.
func (r *relay) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		if q, ok := r.take(); ok {
			defer buffers.Put(q.buffer)
			return copy(b, q.buffer[:q.size]), q.from.peer, nil
		}
		select {
		case <-r.wake:
		case <-r.ended:
			return 0, nil, net.ErrClosed
		}
	}
}

func (r *relay) take() (q queued, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.queue) == 0 || r.over() {
		return queued{}, false
	}
	q = r.queue[0]
	if r.queue = r.queue[1:]; len(r.queue) == 0 {
		r.queue = nil
	}
	return q, true
}

// WriteTo gives the forwarder what the client has sent to a peer, if it is one of ours.
func (r *relay) WriteTo(packet []byte, to net.Addr) (int, error) {
	if p := r.path(addrPort(to)); p != nil {
		r.server.count.packetsUp.Add(1)
		r.server.count.bytesUp.Add(uint64(len(packet)))
		r.server.cfg.Media.Receive(p, packet)
		if r.over() {
			r.server.cfg.Media.Gone(p) // again: it may have ended before the packet came there
		}
	}
	return len(packet), nil // as lost as any packet
}

// path gives the way to a peer; nil if it is none of ours.
func (r *relay) path(peer netip.AddrPort) *Path {
	if !r.server.isPeer(peer) {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.paths[peer]
	if p == nil && len(r.paths) < maxPaths && !r.over() {
		p = &Path{relay: r, peer: net.UDPAddrFromAddrPort(peer)}
		r.paths[peer] = p
	}
	return p
}

// over says whether the allocation has ended.
func (r *relay) over() bool {
	select {
	case <-r.ended:
		return true
	default:
		return false
	}
}

// expiry is when the allocation ends if it is not refreshed.
func (r *relay) expiry() time.Time { return time.Unix(0, r.expires.Load()) }

// Close ends the allocation's paths, the first time.
func (r *relay) Close() error {
	if !r.server.forget(r) {
		return nil
	}
	for _, p := range r.end() {
		r.server.cfg.Media.Gone(p)
	}
	r.clients.remove(r)
	return nil
}

func (r *relay) end() (paths []*Path) {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.ended)
	for _, p := range r.paths {
		paths = append(paths, p)
	}
	r.paths, r.queue = nil, nil
	return paths
}

// LocalAddr is the relayed transport address.
func (r *relay) LocalAddr() net.Addr { return r.name }

// SetDeadline does nothing: pion/turn sets none on relays by UDP.
func (*relay) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (*relay) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (*relay) SetWriteDeadline(time.Time) error { return nil }
