package server

import (
	"net/netip"
	"testing"
	"time"

	"github.com/pion/stun/v4"
	"go.uber.org/zap"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/port"
	"github.com/conclave-sfu/conclave/cmd/conclave/internal/turn"
)

// TestStrangersLeaveRoomForRelayedMedia: who floods the media port with STUN, or with what looks
// like relayed media, takes no place from those who relay.
func TestStrangersLeaveRoomForRelayedMedia(t *testing.T) {
	r := newReach(Reach{TURN: true}, port.NewLimiter(port.Limits{}), zap.NewNop())
	r.peers.Store(&[]netip.AddrPort{netip.MustParseAddrPort("203.0.113.7:3478")})
	known, stranger := netip.MustParseAddrPort("198.51.100.9:4000"), netip.MustParseAddrPort("198.51.100.10:4000")
	allocateAt(t, r, known)

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

// allocateAt makes an allocation for a client at the media port.
func allocateAt(t *testing.T, r *reach, from netip.AddrPort) {
	t.Helper()
	ask := func(more ...stun.Setter) *stun.Message {
		m := stun.MustBuild(append([]stun.Setter{stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest),
			stun.RawAttribute{Type: stun.AttrRequestedTransport, Value: []byte{17, 0, 0, 0}}}, more...)...)
		r.turn.Handle(mediaPortClient{r, from}, m.Raw)
		f := <-r.outbound
		answer := &stun.Message{Raw: f.packet[:f.size]}
		if err := answer.Decode(); err != nil {
			t.Fatal(err)
		}
		return answer
	}
	nonce, err := ask().Get(stun.AttrNonce)
	if err != nil {
		t.Fatal(err)
	}
	c := r.credentials.For("alice", time.Now())
	if m := ask(stun.NewUsername(c.Username), stun.NewRealm(turn.Realm), stun.NewNonce(string(nonce)),
		stun.NewLongTermIntegrity(c.Username, turn.Realm, c.Password)); m.Type.Class != stun.ClassSuccessResponse {
		t.Fatal(m)
	}
}
