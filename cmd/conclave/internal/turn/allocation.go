package turn

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// Times of RFC 8656.
const (
	defaultLifetime    = 10 * time.Minute // Section 3.2
	maxLifetime        = time.Hour        // Section 7.2
	permissionLifetime = 5 * time.Minute  // Section 9
	channelLifetime    = 10 * time.Minute // Section 12
	// maxAge ends an allocation, however it is refreshed.
	maxAge = 24 * time.Hour
)

// Limits of one allocation. Its peers are the server's own candidates, so they are few.
const (
	maxPermissions = 64 // addresses
	maxPaths       = 64 // transport addresses
)

// allocation is what a client has allocated (RFC 8656, Section 3.2).
type allocation struct {
	// Immutable.
	client   Client
	username string
	relayed  netip.AddrPort
	made     time.Time
	// answer is that to the request, for its retransmissions; request is whose it is.
	request [12]byte
	answer  []byte

	// Guarded by the server's mu.
	expires time.Time

	// Guarded by mu.
	mu          sync.RWMutex
	over        bool
	permissions map[netip.Addr]*permission
	paths       map[netip.AddrPort]*Path
	channels    map[uint16]*Path
}

// permission lets packets pass between an allocation and an address until it ends. Times
// are nanoseconds since 1970; 0 when the allocation has ended.
type permission struct{ until atomic.Int64 }

// Path is the way between a client's allocation and one of the server's candidates. For the
// forwarder it is where packets come from and go to.
type Path struct {
	// Immutable.
	server     *Server
	allocation *allocation
	peer       netip.AddrPort
	permission *permission

	channel atomic.Uint32 // 0: none

	// Guarded by allocation.mu.
	channelUntil time.Time
}

// RemoteAddr is the relayed transport address: what the candidate sees as the sender.
func (p *Path) RemoteAddr() netip.AddrPort { return p.allocation.relayed }

// Send relays a packet of the candidate to the client (RFC 8656, Sections 11.3 and 12.7). It
// never blocks and does not keep the packet.
func (p *Path) Send(packet []byte) {
	if len(packet) > maxPacket || p.permission.until.Load() <= p.server.now().UnixNano() {
		return
	}
	p.server.count.packetsDown.Add(1)
	p.server.count.bytesDown.Add(uint64(len(packet)))
	buffer := buffers.Get().(*[maxMessage]byte)
	defer buffers.Put(buffer)
	if channel := p.channel.Load(); channel != 0 {
		p.allocation.client.Send(appendChannelData(buffer[:0], uint16(channel), packet))
		return
	}
	p.allocation.client.Send(appendDataIndication(buffer[:0], p.peer, packet))
}

// permit installs or refreshes a permission. The caller holds mu.
func (a *allocation) permit(addr netip.Addr, now time.Time) bool {
	if a.over {
		return false
	}
	p := a.permissions[addr]
	if p == nil {
		if len(a.permissions) >= maxPermissions {
			return false
		}
		p = &permission{}
		a.permissions[addr] = p
	}
	p.until.Store(now.Add(permissionLifetime).UnixNano())
	return true
}

// path gives the way to a peer for which there is a permission; nil otherwise. The caller
// holds mu.
func (a *allocation) path(s *Server, peer netip.AddrPort, now time.Time) *Path {
	if p := a.paths[peer]; p != nil {
		return p.ifPermitted(now)
	}
	permission := a.permissions[peer.Addr()]
	if permission == nil || a.over || len(a.paths) >= maxPaths {
		return nil
	}
	p := &Path{server: s, allocation: a, peer: peer, permission: permission}
	a.paths[peer] = p
	return p.ifPermitted(now)
}

func (p *Path) ifPermitted(now time.Time) *Path {
	if p.permission.until.Load() <= now.UnixNano() {
		return nil
	}
	return p
}

// bind binds a channel to a peer, or refreshes that (RFC 8656, Section 12.2). It says no if
// either is bound to another.
func (a *allocation) bind(s *Server, channel uint16, peer netip.AddrPort, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.unbindExpired(now)
	if !a.permit(peer.Addr(), now) {
		return false
	}
	p := a.path(s, peer, now)
	if p == nil {
		return false
	}
	bound, other := uint16(p.channel.Load()), a.channels[channel]
	if bound != 0 && bound != channel || other != nil && other != p {
		return false
	}
	a.channels[channel] = p
	p.channel.Store(uint32(channel))
	p.channelUntil = now.Add(channelLifetime)
	return true
}

// sweep ends channels that have expired, so that their peers' packets come as Data indications.
func (a *allocation) sweep(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.unbindExpired(now)
}

// unbindExpired ends channels that were not refreshed. The caller holds mu.
func (a *allocation) unbindExpired(now time.Time) {
	for channel, p := range a.channels {
		if !p.channelUntil.After(now) {
			delete(a.channels, channel)
			p.channel.Store(0)
		}
	}
}

// bound is the path of a channel with a permission; nil if there is none.
func (a *allocation) bound(channel uint16, now time.Time) *Path {
	a.mu.RLock()
	defer a.mu.RUnlock()
	p := a.channels[channel]
	if p == nil || !p.channelUntil.After(now) {
		return nil
	}
	return p.ifPermitted(now)
}

// permitted is the path to a peer with a permission; nil if there is none.
func (a *allocation) permitted(s *Server, peer netip.AddrPort, now time.Time) *Path {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.path(s, peer, now)
}

// end gives the paths up. None is made afterwards.
func (a *allocation) end() []*Path {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.over = true
	paths := make([]*Path, 0, len(a.paths))
	for _, p := range a.paths {
		p.permission.until.Store(0)
		paths = append(paths, p)
	}
	clear(a.paths)
	clear(a.channels)
	return paths
}
