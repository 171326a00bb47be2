package server

import (
	"net/netip"
	"sync"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/icetcp"
	"github.com/conclave-sfu/conclave/cmd/conclave/internal/turn"
)

// received takes a packet to the media port that is no media: TURN, or an answer of a STUN
// server. The media loop calls it, and is not to work for strangers: what does not fit
// into the queue is dropped. What anybody can send fills no more than half of it: the rest is for
// media of those who have an allocation.
func (r *reach) received(packet []byte, from netip.AddrPort) {
	if turn.IsChannelData(packet) {
		if r.turn == nil || !r.turn.Has(mediaPortClient{r, from}) {
			return
		}
	} else if len(r.inbound) >= maxWaiting/2 {
		return
	}
	r.inbound.put(packet, from)
}

// foreign is a packet at the media port that is no media, with whom it is from or for.
type foreign struct {
	packet *[maxForeign]byte
	size   int
	other  netip.AddrPort
}

var foreignBuffers = sync.Pool{New: func() any { return new([maxForeign]byte) }}

// foreignQueue holds such packets.
type foreignQueue chan foreign

// put copies a packet into the queue, or drops it.
func (q foreignQueue) put(packet []byte, other netip.AddrPort) {
	if len(packet) > maxForeign {
		return
	}
	f := foreign{packet: foreignBuffers.Get().(*[maxForeign]byte), size: len(packet), other: other}
	copy(f.packet[:], packet)
	select {
	case q <- f:
	default:
		foreignBuffers.Put(f.packet)
	}
}

// work does something with each packet of a queue until the end.
func (r *reach) work(q foreignQueue, do func(packet []byte, other netip.AddrPort)) {
	for {
		select {
		case f := <-q:
			do(f.packet[:f.size], f.other)
			foreignBuffers.Put(f.packet)
		case <-r.ended.Done():
			return
		}
	}
}

// take gives what came to whom it may be for.
func (r *reach) take(packet []byte, from netip.AddrPort) {
	if r.finder != nil {
		r.finder.Receive(packet, from)
	}
	if r.turn != nil {
		r.turn.Handle(mediaPortClient{r, from}, packet)
	}
}

// send sends by the media port.
func (r *reach) send(packet []byte, to netip.AddrPort) {
	_ = r.node.WriteForeign(packet, to) // as lost as any packet
}

// mediaPortClient is a TURN client that has come to the media port.
type mediaPortClient struct {
	reach *reach
	addr  netip.AddrPort
}

// Send implements [turn.Client]. The node calls it, by the path of an allocation, while it
// writes: the message waits until it has done that.
func (c mediaPortClient) Send(message []byte) { c.reach.outbound.put(message, c.addr) }

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
