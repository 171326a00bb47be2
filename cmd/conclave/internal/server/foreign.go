package server

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/icetcp"
	"github.com/conclave-sfu/conclave/cmd/conclave/internal/turn"
)

// received takes a packet to the media port that is no media: TURN, or an answer of a STUN
// server. The media loop calls it, and is not to work for strangers: what does not fit
// into the queue is dropped. What anybody can send fills no more than half of it: the rest is for
// media of those who have an allocation.
func (r *reach) received(packet []byte, from netip.AddrPort, at netip.Addr) {
	if turn.IsChannelData(packet) {
		if !r.mediaTURN.Has(from) {
			return
		}
	} else if len(r.inbound) >= maxWaiting/2 {
		return
	}
	r.inbound.put(packet, from, at)
}

// foreign is a packet at the media port that is no media, with whom it is from.
type foreign struct {
	packet *[maxForeign]byte
	size   int
	from   netip.AddrPort
	at     netip.Addr // ours that it was sent to; the zero Addr if there is one only
}

var foreignBuffers = sync.Pool{New: func() any { return new([maxForeign]byte) }}

// foreignQueue holds such packets.
type foreignQueue chan foreign

// put copies a packet into the queue, or drops it.
func (q foreignQueue) put(packet []byte, from netip.AddrPort, at netip.Addr) {
	if len(packet) > maxForeign {
		return
	}
	f := foreign{packet: foreignBuffers.Get().(*[maxForeign]byte), size: len(packet), from: from, at: at}
	copy(f.packet[:], packet)
	select {
	case q <- f:
	default:
		foreignBuffers.Put(f.packet)
	}
}

// serveForeign begins to take what comes to the media port and is no media.
func (r *reach) serveForeign() error {
	if r.turn == nil {
		r.running.Go(r.readForeign)
		return nil
	}
	sockets := []*turn.Socket{r.mediaTURN}
	if r.udp != nil {
		sockets = append(sockets, turn.NewSocket(r.udp))
	}
	return r.turn.Start(sockets...)
}

// readForeign reads for the finder alone, until the end.
func (r *reach) readForeign() {
	for nothing := [maxForeign]byte{}; ; {
		if _, _, err := (mediaPort{r}).ReadFrom(nothing[:]); err != nil {
			return
		}
	}
}

// mediaPort is the media port as a socket of what is no media. It implements [net.PacketConn].
type mediaPort struct{ *reach }

// ReadFrom waits for a packet. What answers the finder is nobody else's, and TURN drops it.
func (m mediaPort) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case f := <-m.inbound:
		defer foreignBuffers.Put(f.packet)
		if m.finder != nil {
			m.finder.Receive(f.packet[:f.size], f.from)
		}
		return copy(b, f.packet[:f.size]), clientAddr(f.from, f.at), nil
	case <-m.ended.Done():
		return 0, nil, net.ErrClosed
	}
}

// WriteTo sends by the media port.
func (m mediaPort) WriteTo(packet []byte, to net.Addr) (int, error) {
	client, at := addrsOf(to.(*net.UDPAddr))
	return len(packet), m.node.WriteForeign(packet, client, at)
}

// clientAddr names a client, and in the zone, which no address here has, ours by which it is to be answered:
// of all that is known of a request, pion/turn keeps only this for what it sends later.
func clientAddr(from netip.AddrPort, at netip.Addr) *net.UDPAddr {
	a := net.UDPAddrFromAddrPort(from)
	if at.IsValid() {
		a.Zone = at.String()
	}
	return a
}

// addrsOf reads what clientAddr has written.
func addrsOf(a *net.UDPAddr) (client netip.AddrPort, at netip.Addr) {
	at, _ = netip.ParseAddr(a.Zone) // the zero Addr without one
	ip, _ := netip.AddrFromSlice(a.IP)
	return netip.AddrPortFrom(ip, uint16(a.Port)), at
}

// LocalAddr is that of the media port.
func (m mediaPort) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(m.node.Addr()) }

// Close ends ReadFrom. The port itself is the node's.
func (m mediaPort) Close() error {
	m.end()
	return nil
}

// SetDeadline does nothing: nobody asks for one.
func (mediaPort) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (mediaPort) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (mediaPort) SetWriteDeadline(time.Time) error { return nil }

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
