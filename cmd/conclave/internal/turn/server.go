package turn

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/logging"
	"github.com/pion/stun/v4"
	"github.com/pion/turn/v5"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/source"
)

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
}

// ErrRefused: an allocation of a kind, or at a time, that this server has none for.
var ErrRefused = errors.New("turn: no such allocation here")

// Server holds the allocations. Its methods may be called from any goroutine.
type Server struct {
	// Immutable once Start has returned.
	cfg       Config
	count     counters
	strangers *strangers
	streams   *streams
	pion      *turn.Server   // nil before Start
	running   sync.WaitGroup // goroutines of pion/turn that come back to this package

	// Guarded by mu.
	mu          sync.Mutex
	over        bool
	relays      map[net.Addr]*relay // by the address that they are named after, as a pointer
	credentials map[string]int      // relays, by username
	addresses   source.Counts       // relays
	number      uint16              // of the relayed address that was named last
}

type counters struct{ packetsUp, bytesUp, packetsDown, bytesDown, refused, unanswered atomic.Uint64 }

// Stats is what a server holds, and counts since it began.
type Stats struct {
	Allocations                                int
	PacketsUp, BytesUp, PacketsDown, BytesDown uint64
	// Refused are requests that were answered by an error, but for those that every client
	// makes without a credential first.
	Refused uint64
	// Unanswered are messages without a credential whose source had been answered too often.
	Unanswered uint64
}

// silence: anybody may cause as many lines as they send packets.
var silence = &logging.DefaultLoggerFactory{Writer: io.Discard, DefaultLogLevel: logging.LogLevelDisabled}

// New gives a server that takes streams, but serves nobody before [Server.Start].
func New(cfg Config) *Server {
	s := &Server{
		cfg: cfg, strangers: newStrangers(), relays: map[net.Addr]*relay{},
		credentials: map[string]int{}, addresses: source.Counts{},
	}
	s.streams = newStreams(s)
	return s
}

// Start serves streams, and the sockets of conns, which [Server.Close] closes. It is called once.
func (s *Server) Start(conns ...*Socket) error {
	local := s.local()
	var sockets []turn.PacketConnConfig
	for _, c := range conns {
		c.serve(s, local)
		s.running.Add(1)
		sockets = append(sockets, turn.PacketConnConfig{PacketConn: c, RelayAddressGenerator: generator{s, c.clients}, PermissionHandler: c.clients.permits})
	}
	s.streams.local = local
	s.running.Add(1)
	pion, err := turn.NewServer(turn.ServerConfig{
		Realm: Realm, LoggerFactory: silence, AuthHandler: s.authenticate, QuotaHandler: s.hasRoom,
		PacketConnConfigs: sockets, InboundMTU: maxMessage + 1,
		ListenerConfigs: []turn.ListenerConfig{{Listener: s.streams, RelayAddressGenerator: generator{s, s.streams.clients}, PermissionHandler: s.streams.clients.permits}},
		EventHandler:    turn.EventHandler{OnAllocationCreated: s.allocated, OnAllocationDeleted: s.deleted, OnChannelCreated: s.bound, OnChannelDeleted: s.unbound},
	})
	if err != nil {
		return fmt.Errorf("turn: %w", err)
	}
	s.pion = pion
	return nil
}

// local is what pion/turn takes for the address of its sockets. It reads from it which family
// an allocation has whose client does not say: IPv4, if this server has it.
func (s *Server) local() *net.UDPAddr {
	if _, ok := s.host(false); ok {
		return &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}
	}
	return &net.UDPAddr{IP: net.IPv6loopback}
}

// Close ends all allocations, and the sockets of Start, and waits for that. Streams are
// whoever's who called ServeStream.
func (s *Server) Close() {
	s.mu.Lock()
	s.over = true
	all := make([]*relay, 0, len(s.relays))
	for _, r := range s.relays {
		all = append(all, r)
	}
	s.mu.Unlock()
	if s.pion == nil {
		return
	}
	_ = s.pion.Close() // a socket may be closed already
	for _, r := range all {
		r.Close()
	}
	s.running.Wait()
}

// Stats counts.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{
		Allocations: len(s.relays), Refused: s.count.refused.Load(), Unanswered: s.count.unanswered.Load(),
		PacketsUp: s.count.packetsUp.Load(), BytesUp: s.count.bytesUp.Load(),
		PacketsDown: s.count.packetsDown.Load(), BytesDown: s.count.bytesDown.Load(),
	}
}

// authenticate gives the key of a username (RFC 8489, Section 9.2.2).
func (s *Server) authenticate(r *turn.RequestAttributes) (userID string, key []byte, ok bool) {
	life := time.Duration(0)
	if r.Method != stun.MethodAllocate {
		life = keepLife
	}
	if r.Realm != Realm || expired(r.Username, time.Now().Add(-life)) {
		return "", nil, false
	}
	return r.Username, s.cfg.Credentials.key(r.Username), true
}

// hasRoom answers 486 to who has enough (RFC 8656, Section 7.2).
func (s *Server) hasRoom(username, _ string, from net.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.credentials[username] < s.cfg.Limits.PerCredential && s.addresses.Allows(source.Of(addrPort(from).Addr()), s.cfg.Limits.PerAddress)
}

// allocated says whose a relay is.
func (s *Server) allocated(from, _ net.Addr, _, _, _ string, relayed net.Addr, _ int) {
	s.mu.Lock()
	r := s.relays[relayed]
	if r != nil {
		r.source = source.Of(addrPort(from).Addr())
		s.addresses.Add(r.source)
	}
	s.mu.Unlock()
	if r != nil {
		r.clients.put(addrPort(from), r)
	}
}

// deleted is the last that is heard of an allocation.
func (s *Server) deleted(_, _ net.Addr, _, _, _ string) { s.running.Done() }

func (s *Server) bound(_, _ net.Addr, _, _, _ string, relayed, _ net.Addr, _ uint16) {
	if r := s.relay(relayed); r != nil {
		r.channels.Add(1)
	}
}

func (s *Server) unbound(_, _ net.Addr, _, _, _ string, relayed, _ net.Addr, _ uint16) {
	if r := s.relay(relayed); r != nil {
		r.channels.Add(-1)
	}
}

func (s *Server) relay(relayed net.Addr) *relay {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.relays[relayed]
}

// open makes the relay of an allocation, if there is room for it.
func (s *Server) open(c *clients, username string, six bool) (*relay, error) {
	host, ok := s.host(six)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !ok || username == "" || s.over || len(s.relays) >= s.cfg.Limits.Allocations || s.credentials[username] >= s.cfg.Limits.PerCredential {
		return nil, ErrRefused
	}
	s.number++
	r := newRelay(s, c, username, netip.AddrPortFrom(host, max(s.number, 1))) // a name: nobody listens there
	s.running.Add(1)
	s.relays[r.name] = r
	s.credentials[username]++
	return r, nil
}

// forget takes a relay out of all counts; it is false for one that is not there.
func (s *Server) forget(r *relay) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.relays[r.name] != r {
		return false
	}
	delete(s.relays, r.name)
	if s.credentials[r.username]--; s.credentials[r.username] == 0 {
		delete(s.credentials, r.username)
	}
	if r.source.IsValid() {
		s.addresses.Remove(r.source)
	}
	return true
}

// host is the address of the server's in one family that an allocation is named after.
func (s *Server) host(six bool) (netip.Addr, bool) {
	peers := s.cfg.Peers()
	i := slices.IndexFunc(peers, func(p netip.AddrPort) bool { return p.Addr().Is6() == six })
	if i < 0 {
		return netip.Addr{}, false
	}
	return peers[i].Addr(), true
}

// isPeer says whether a transport address is a candidate of this server.
func (s *Server) isPeer(peer netip.AddrPort) bool { return slices.Contains(s.cfg.Peers(), peer) }

// isPeerAddr is isPeer without the port, which permissions do not have.
func (s *Server) isPeerAddr(addr netip.Addr) bool {
	return slices.ContainsFunc(s.cfg.Peers(), func(p netip.AddrPort) bool { return p.Addr() == addr })
}

// generator gives pion/turn relays instead of sockets. It implements [turn.RelayAddressGenerator].
type generator struct {
	server  *Server
	clients *clients
}

func (generator) Validate() error { return nil }

// AllocatePacketConn gives an allocation its relay. A port is asked for by who wants an even one,
// or the one that was reserved with another.
func (g generator) AllocatePacketConn(c turn.AllocateListenerConfig) (net.PacketConn, net.Addr, error) {
	if c.RequestedPort != 0 {
		return nil, nil, ErrRefused
	}
	r, err := g.server.open(g.clients, c.UserID, c.Network == "udp6")
	if err != nil {
		return nil, nil, err
	}
	return r, r.name, nil
}

// AllocateListener refuses allocations by TCP.
func (generator) AllocateListener(turn.AllocateListenerConfig) (net.Listener, net.Addr, error) {
	return nil, nil, ErrRefused
}

// AllocateConn refuses connections by TCP.
func (generator) AllocateConn(turn.AllocateConnConfig) (net.Conn, error) { return nil, ErrRefused }
