package server

import (
	"net/netip"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/icetcp"
	"github.com/conclave-sfu/conclave/cmd/conclave/internal/turn"
)

// received takes a packet to the media port that is no media: TURN, or an answer of a STUN
// server. The media loop calls it, and is not to work for strangers: what does not fit
// into the queue is dropped.
func (r *reach) received(packet []byte, from netip.AddrPort) {
	if len(packet) > maxForeign {
		return
	}
	f := foreign{packet: foreignBuffers.Get().(*[maxForeign]byte), size: len(packet), from: from}
	copy(f.packet[:], packet)
	select {
	case r.foreign <- f:
	default:
		foreignBuffers.Put(f.packet)
	}
}

// takeForeign works the queue off.
func (r *reach) takeForeign() {
	for {
		select {
		case f := <-r.foreign:
			if r.finder != nil {
				r.finder.Receive(f.packet[:f.size], f.from)
			}
			if r.turn != nil {
				r.turn.Handle(mediaPortClient{r, f.from}, f.packet[:f.size])
			}
			foreignBuffers.Put(f.packet)
		case <-r.ended.Done():
			return
		}
	}
}

// mediaPortClient is a TURN client that has come to the media port.
type mediaPortClient struct {
	reach *reach
	addr  netip.AddrPort
}

// Send implements [turn.Client].
func (c mediaPortClient) Send(message []byte) {
	_ = c.reach.node.WriteForeign(message, c.addr) // as lost as any packet
}

// RemoteAddr implements [turn.Client].
func (c mediaPortClient) RemoteAddr() netip.AddrPort {
	return netip.AddrPortFrom(c.addr.Addr().Unmap(), c.addr.Port())
}

// relayMedia is the node as TURN's allocations see it.
type relayMedia struct{ *reach }

// Receive implements [turn.Media].
func (m relayMedia) Receive(p *turn.Path, packet []byte) { m.node.Receive(p, packet) }

// Gone implements [turn.Media].
func (m relayMedia) Gone(p *turn.Path) { m.node.Gone(p) }

// streamMedia is the node as streams see it.
type streamMedia struct{ *reach }

// Receive implements [icetcp.Media].
func (m streamMedia) Receive(p *icetcp.Path, packet []byte) { m.node.Receive(p, packet) }

// Gone implements [icetcp.Media].
func (m streamMedia) Gone(p *icetcp.Path) { m.node.Gone(p) }
