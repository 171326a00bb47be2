package turn

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/stun/v4"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/source"
)

// Client is where a client is reached: an address behind a UDP socket, or a stream. It is
// comparable, and the same for all messages of one five-tuple.
type Client interface {
	// Send sends one message. It never blocks and does not keep message.
	Send(message []byte)
	// RemoteAddr is the client's transport address.
	RemoteAddr() netip.AddrPort
}

// Media is the forwarder. Its methods may be called from any goroutine. Gone is the last to be
// called for a path, and may be called twice.
type Media interface {
	// Receive takes a packet that came by a path. The packet is valid during the call.
	Receive(path *Path, packet []byte)
	// Gone says that no more packets come by a path, nor go.
	Gone(path *Path)
}

// Limits of a server.
type Limits struct {
	Allocations   int // in all
	PerCredential int // a browser has one for each of its networks and of our URLs
	PerAddress    int // for each source, see [source.Of]
}

// DefaultLimits fit a server of a thousand participants, each with several networks.
var DefaultLimits = Limits{Allocations: 10000, PerCredential: 32, PerAddress: 512}

// Config says what a [Server] relays.
type Config struct {
	Credentials *Credentials
	Media       Media
	// Peers are the transport addresses that mean the media port: the candidates that
	// answers name now. The server does not change the slice.
	Peers  func() []netip.AddrPort
	Limits Limits
	// Now is the clock; time.Now if nil.
	Now func() time.Time
}

// Server holds the allocations. Its methods may be called from any goroutine, for one client
// one at a time.
type Server struct {
	// Immutable.
	cfg       Config
	now       func() time.Time
	count     counters
	strangers *strangers

	// Guarded by mu.
	mu          sync.RWMutex
	allocations map[Client]*allocation
	credentials map[string]int // allocations, by username
	addresses   source.Counts  // allocations
	number      uint16         // of the relayed address that was named last
}

type counters struct{ packetsUp, bytesUp, packetsDown, bytesDown, refused, unanswered atomic.Uint64 }

// Stats is what a server holds, and counts since it began.
type Stats struct {
	Allocations                                int
	PacketsUp, BytesUp, PacketsDown, BytesDown uint64
	// Refused are requests that were answered by an error, but for those that every client
	// makes without a credential first.
	Refused uint64
	// Unanswered are datagrams without a credential whose source had been answered too often.
	Unanswered uint64
}

// New gives a server without allocations.
func New(cfg Config) *Server {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Server{
		cfg: cfg, now: cfg.Now, strangers: newStrangers(),
		allocations: map[Client]*allocation{}, credentials: map[string]int{}, addresses: source.Counts{},
	}
}

// Stats counts.
func (s *Server) Stats() Stats {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return Stats{
		Allocations: len(s.allocations), Refused: s.count.refused.Load(), Unanswered: s.count.unanswered.Load(),
		PacketsUp: s.count.packetsUp.Load(), BytesUp: s.count.bytesUp.Load(),
		PacketsDown: s.count.packetsDown.Load(), BytesDown: s.count.bytesDown.Load(),
	}
}

// Handle takes one message of a client: a STUN message or ChannelData. It does not block, and
// does not keep message. What is neither is dropped.
func (s *Server) Handle(c Client, message []byte) {
	if IsChannelData(message) {
		s.channelData(c, message)
		return
	}
	m := &stun.Message{Raw: message}
	if !stun.IsMessage(message) || m.Decode() != nil {
		return
	}
	switch m.Type {
	case stun.NewType(stun.MethodSend, stun.ClassIndication):
		s.sendIndication(c, m)
	case stun.BindingRequest:
		s.binding(c, m)
	default:
		if m.Type.Class == stun.ClassRequest {
			s.request(c, m)
		}
	}
}

// Has says whether a client has an allocation.
func (s *Server) Has(c Client) bool { return s.allocation(c) != nil }

// Gone ends what a client has, whose stream has ended.
func (s *Server) Gone(c Client) {
	if a := s.allocation(c); a != nil {
		s.end(a)
	}
}

// Sweep ends what has expired. It is to be called every few seconds.
func (s *Server) Sweep() {
	now := s.now()
	var late, others []*allocation
	s.mu.RLock()
	for _, a := range s.allocations {
		if a.expires.After(now) {
			others = append(others, a)
		} else {
			late = append(late, a)
		}
	}
	s.mu.RUnlock()
	for _, a := range late {
		s.end(a)
	}
	for _, a := range others {
		a.sweep(now)
	}
}

// Close ends all allocations.
func (s *Server) Close() {
	s.mu.RLock()
	all := make([]*allocation, 0, len(s.allocations))
	for _, a := range s.allocations {
		all = append(all, a)
	}
	s.mu.RUnlock()
	for _, a := range all {
		s.end(a)
	}
}

func (s *Server) allocation(c Client) *allocation {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.allocations[c]
}

// end is done once for each allocation.
func (s *Server) end(a *allocation) {
	if !s.forget(a) {
		return
	}
	for _, p := range a.end() {
		s.cfg.Media.Gone(p)
	}
}

func (s *Server) forget(a *allocation) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.allocations[a.client] != a {
		return false
	}
	delete(s.allocations, a.client)
	if s.credentials[a.username]--; s.credentials[a.username] == 0 {
		delete(s.credentials, a.username)
	}
	s.addresses.Remove(source.Of(a.client.RemoteAddr().Addr()))
	return true
}

// channelData relays to the peer of a channel (RFC 8656, Section 12.6).
func (s *Server) channelData(c Client, message []byte) {
	channel, data, ok := readChannelData(message)
	a := s.allocation(c)
	if !ok || a == nil {
		return
	}
	s.relay(a.bound(channel, s.now()), data)
}

// sendIndication relays to the peer that it names (RFC 8656, Section 11.2).
func (s *Server) sendIndication(c Client, m *stun.Message) {
	a := s.allocation(c)
	data, err := m.Get(stun.AttrData)
	value, missing := m.Get(stun.AttrXORPeerAddress)
	if a == nil || err != nil || missing != nil {
		return
	}
	if peer, ok := peerOf(m, value); ok && s.isPeer(peer) {
		s.relay(a.permitted(s, peer, s.now()), data)
	}
}

func (s *Server) relay(p *Path, packet []byte) {
	if p == nil {
		return
	}
	s.count.packetsUp.Add(1)
	s.count.bytesUp.Add(uint64(len(packet)))
	s.cfg.Media.Receive(p, packet)
	if p.permission.until.Load() == 0 {
		s.cfg.Media.Gone(p) // again: it may have ended before the packet came there
	}
}

// isPeer says whether a transport address is a candidate of this server.
func (s *Server) isPeer(peer netip.AddrPort) bool {
	for _, p := range s.cfg.Peers() {
		if p == peer {
			return true
		}
	}
	return false
}

// isPeerAddr is isPeer without the port, which permissions do not have.
func (s *Server) isPeerAddr(addr netip.Addr) bool {
	for _, p := range s.cfg.Peers() {
		if p.Addr() == addr {
			return true
		}
	}
	return false
}
