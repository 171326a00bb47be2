package turn

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/pion/stun/v4"
)

// clients are those at one socket, or at all streams, that have an allocation. A client is the
// same for all messages of one five-tuple.
type clients struct {
	server *Server
	mu     sync.RWMutex
	relays map[netip.AddrPort]*relay
}

func newClients(s *Server) *clients { return &clients{server: s, relays: map[netip.AddrPort]*relay{}} }

func (c *clients) get(from netip.AddrPort) *relay {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.relays[from]
}

// put says whose a relay is, unless it has ended already.
func (c *clients) put(from netip.AddrPort, r *relay) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r.client = from
	if !r.over() {
		c.relays[from] = r
	}
}

func (c *clients) remove(r *relay) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.relays[r.client] == r {
		delete(c.relays, r.client)
	}
}

// lastMoments of an allocation: it gets no permission in them. pion/turn 5.1.0 would let the
// expiry of an allocation meet the timer of a permission that is not yet made
// (Allocation.AddPermission, mended in 5.1.3), which is a nil pointer.
const lastMoments = 10 * time.Second

// permits is asked for each permission and each channel.
func (c *clients) permits(from net.Addr, peer net.IP) bool {
	addr, _ := netip.AddrFromSlice(peer)
	r := c.get(addrPort(from))
	return r != nil && r.channels.Load() < maxPaths && c.server.isPeerAddr(addr.Unmap()) && time.Until(r.expiry()) > lastMoments
}

// maySend looks at what pion/turn sends to a client, and says whether it may go: answers to
// who has proved nothing are limited by source, unless whoever asks is there, as at the end of
// a stream.
func (c *clients) maySend(message []byte, to netip.AddrPort, there bool) bool {
	if IsChannelData(message) || isDataIndication(message) {
		return true
	}
	m := &stun.Message{Raw: message}
	if m.Decode() != nil {
		return false // it is not ours
	}
	c.learn(m, to)
	if there || m.Contains(stun.AttrMessageIntegrity) || c.server.strangers.allow(to.Addr(), time.Now()) {
		return true
	}
	c.server.count.unanswered.Add(1)
	return false
}

// learn counts refusals, and takes from answers for how long an allocation lasts. One to Allocate
// may be an old one, given again.
func (c *clients) learn(m *stun.Message, to netip.AddrPort) {
	var code stun.ErrorCodeAttribute
	if m.Type.Class == stun.ClassErrorResponse && code.GetFrom(m) == nil && code.Code != stun.CodeUnauthorized && code.Code != stun.CodeStaleNonce {
		c.server.count.refused.Add(1)
	}
	if r, life := c.get(to), lifetime(m); r != nil && life > 0 && (m.Type.Method == stun.MethodRefresh || r.expires.Load() == 0) {
		r.expires.Store(time.Now().Add(life).UnixNano())
	}
}

// addrPort reads the address of a client or peer, without a zone. It is zero for what has none,
// as a pipe.
func addrPort(a net.Addr) netip.AddrPort {
	var p netip.AddrPort
	switch a := a.(type) {
	case *net.UDPAddr:
		p = a.AddrPort()
	case *net.TCPAddr:
		p = a.AddrPort()
	}
	return netip.AddrPortFrom(p.Addr().Unmap().WithZone(""), p.Port())
}
