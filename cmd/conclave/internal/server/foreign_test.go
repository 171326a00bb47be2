package server

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v4"
	pion "github.com/pion/turn/v5"
	"go.uber.org/zap"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/port"
	"github.com/conclave-sfu/conclave/cmd/conclave/internal/turn"
)

// TestStrangersLeaveRoomForRelayedMedia: who floods the media port with STUN, or with what looks
// like relayed media, takes no place from those who relay.
func TestStrangersLeaveRoomForRelayedMedia(t *testing.T) {
	r := newReach(Reach{TURN: true}, port.NewLimiter(port.Limits{}), zap.NewNop())
	s := startReach(t, nil)
	known, stranger := allocateAt(t, s), netip.MustParseAddrPort("198.51.100.10:4000")
	r.mediaTURN = s.reach.mediaTURN // whose clients they are; what r has taken in nobody reads

	media := []byte{0x40, 0, 0, 4, 1, 2, 3, 4}
	binding := stun.MustBuild(stun.TransactionID, stun.BindingRequest).Raw
	for range 2 * maxWaiting {
		r.received(media, stranger, netip.Addr{})
	}
	if n := len(r.inbound); n != 0 {
		t.Errorf("%d packets of nobody's allocation wait", n)
	}
	for range 2 * maxWaiting {
		r.received(binding, stranger, netip.Addr{})
	}
	if n := len(r.inbound); n != maxWaiting/2 {
		t.Errorf("%d of strangers' packets wait, want %d", n, maxWaiting/2)
	}
	for range 2 * maxWaiting {
		r.received(media, known, netip.Addr{})
	}
	if n := len(r.inbound); n != maxWaiting {
		t.Errorf("%d packets wait, want %d", n, maxWaiting)
	}
}

// allocateAt makes an allocation at a server's media port, and gives whose it is.
func allocateAt(t *testing.T, s *Server) netip.AddrPort {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	allocate(t, s, conn, netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), s.MediaAddr().Port()).String())
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}

// allocate makes one from a socket, which it closes in the end, and gives what is relayed.
func allocate(t *testing.T, s *Server, conn net.PacketConn, at string) net.PacketConn {
	t.Helper()
	c := s.reach.credentials.For("alice", time.Now())
	client, err := pion.NewClient(&pion.ClientConfig{STUNServerAddr: at, TURNServerAddr: at, Conn: conn, Username: c.Username, Password: c.Password, Realm: turn.Realm})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		client.Close()
		conn.Close()
	})
	if err := client.Listen(); err != nil {
		t.Fatal(err)
	}
	relayed, err := client.Allocate()
	if err != nil {
		t.Fatal(err)
	}
	return relayed
}

// TestAnsweredFromWhereAsked: a machine with several addresses answers from the one that a client
// of TURN has asked, whichever the system would choose.
func TestAnsweredFromWhereAsked(t *testing.T) {
	for _, listen := range []string{"0.0.0.0", "::"} {
		s := startReach(t, func(c *Config) {
			c.Media = netip.AddrPortFrom(netip.MustParseAddr(listen), 0)
			c.NodeIPs = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
		})
		for _, at := range []string{"127.0.0.1", "127.0.0.2", "::1"} {
			addr := netip.MustParseAddr(at)
			if addr.Is6() && listen == "0.0.0.0" {
				continue
			}
			conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, s.MediaAddr().Port())))
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			allocate(t, s, connected{conn}, conn.RemoteAddr().String()) // no other's answers come there
		}
	}
}

// connected is a socket with one peer as a [net.PacketConn].
type connected struct{ *net.UDPConn }

func (c connected) WriteTo(b []byte, _ net.Addr) (int, error) { return c.Write(b) }
