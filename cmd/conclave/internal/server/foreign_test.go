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
		r.received(media, stranger)
	}
	if n := len(r.inbound); n != 0 {
		t.Errorf("%d packets of nobody's allocation wait", n)
	}
	for range 2 * maxWaiting {
		r.received(binding, stranger)
	}
	if n := len(r.inbound); n != maxWaiting/2 {
		t.Errorf("%d of strangers' packets wait, want %d", n, maxWaiting/2)
	}
	for range 2 * maxWaiting {
		r.received(media, known)
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
	c := s.reach.credentials.For("alice", time.Now())
	at := netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), s.MediaAddr().Port()).String()
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
	if _, err := client.Allocate(); err != nil {
		t.Fatal(err)
	}
	return conn.LocalAddr().(*net.UDPAddr).AddrPort()
}
