package turn

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/stream"
)

// Times of a stream.
const (
	// allocateTimeout is how long a stream may be without an allocation.
	allocateTimeout = 30 * time.Second
	// idleTimeout is how long one with an allocation may say nothing: permissions are
	// refreshed after five minutes at the latest.
	idleTimeout = defaultLifetime + time.Minute
)

// udpClient is a client behind a socket of ours.
type udpClient struct {
	conn *net.UDPConn
	addr netip.AddrPort
}

// Send implements [Client].
func (c udpClient) Send(message []byte) {
	_, _ = c.conn.WriteToUDPAddrPort(message, c.addr) // as lost as any packet
}

// RemoteAddr implements [Client].
func (c udpClient) RemoteAddr() netip.AddrPort { return unmapped(c.addr) }

func unmapped(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// ServeUDP serves clients on a socket until it is closed, and gives the error of that.
func (s *Server) ServeUDP(conn *net.UDPConn) error {
	var buffer [maxMessage]byte
	for failures := 0; ; {
		n, from, err := conn.ReadFromUDPAddrPort(buffer[:])
		switch {
		case err == nil:
			failures = 0
			s.Handle(udpClient{conn, from}, buffer[:n])
		case failures == maxFailures || errors.Is(err, net.ErrClosed):
			return err
		default:
			failures++ // what an earlier packet of ours met
		}
	}
}

// maxFailures of reading in a row end a socket.
const maxFailures = 100

// streamClient is a client at the other end of a stream. It is used by its pointer.
type streamClient struct {
	*stream.Writer
	addr netip.AddrPort
}

// Send implements [Client].
func (c *streamClient) Send(message []byte) { c.Writer.Send(message) }

// RemoteAddr implements [Client].
func (c *streamClient) RemoteAddr() netip.AddrPort { return unmapped(c.addr) }

// ServeStream serves the client at the other end of a TCP or TLS connection until that
// ends, and closes it.
func (s *Server) ServeStream(conn net.Conn) {
	c := &streamClient{Writer: stream.NewWriter(conn)}
	if tcp, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		c.addr = tcp.AddrPort()
	}
	defer c.Close()
	defer s.Gone(c)
	limit := time.Now().Add(allocateTimeout)
	in, buffer := bufio.NewReaderSize(conn, 4<<10), [maxMessage]byte{}
	for {
		if s.Has(c) {
			limit = time.Now().Add(idleTimeout)
		}
		_ = conn.SetReadDeadline(limit) // fails only if it is closed
		message, err := readFrame(in, buffer[:])
		if err != nil {
			return
		}
		s.Handle(c, message)
	}
}

// readFrame reads one message into buffer. What is too large for it, or no message, is an
// error: there is no place from which to go on.
func readFrame(in io.Reader, buffer []byte) ([]byte, error) {
	if _, err := io.ReadFull(in, buffer[:4]); err != nil {
		return nil, err
	}
	size := FrameSize([4]byte(buffer[:4]))
	if size < 4 || size > len(buffer) {
		return nil, io.ErrUnexpectedEOF
	}
	_, err := io.ReadFull(in, buffer[4:size])
	return buffer[:size], err
}
