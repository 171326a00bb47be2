package turn

import (
	"errors"
	"net"
	"net/netip"
)

// Socket is a UDP socket with clients. It lets pion/turn see and send no more than this package
// wants it to.
type Socket struct {
	net.PacketConn
	clients *clients
	local   *net.UDPAddr
}

// NewSocket takes a socket whose addresses are [net.UDPAddr]s.
func NewSocket(conn net.PacketConn) *Socket {
	return &Socket{PacketConn: conn, clients: newClients(nil)}
}

// serve is called before the socket is read.
func (c *Socket) serve(s *Server, local *net.UDPAddr) { c.clients.server, c.local = s, local }

// Has says whether a client has an allocation.
func (c *Socket) Has(from netip.AddrPort) bool {
	return c.clients.get(netip.AddrPortFrom(from.Addr().Unmap(), from.Port())) != nil
}

// LocalAddr is a name, see [Server.local].
func (c *Socket) LocalAddr() net.Addr { return c.local }

// maxFailures of reading in a row end a socket.
const maxFailures = 100

// ReadFrom gives a message of a client's. An error ends the socket for pion/turn, so what an
// earlier packet of ours met is none.
func (c *Socket) ReadFrom(b []byte) (int, net.Addr, error) {
	for failures := 0; ; failures++ {
		n, from, err := c.PacketConn.ReadFrom(b)
		if err == nil {
			return n, from, nil
		}
		if failures == maxFailures || errors.Is(err, net.ErrClosed) {
			c.clients.server.running.Done()
			return 0, nil, err
		}
	}
}

// WriteTo sends a message to a client.
func (c *Socket) WriteTo(message []byte, to net.Addr) (int, error) {
	if c.clients.maySend(message, addrPort(to), false) {
		_, _ = c.PacketConn.WriteTo(message, to) // as lost as any packet
	}
	return len(message), nil
}
