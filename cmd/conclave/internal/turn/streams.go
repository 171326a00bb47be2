package turn

import (
	"bufio"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/stream"
)

// Times of a stream.
const (
	// allocateTimeout is how long a stream may be without an allocation.
	allocateTimeout = 30 * time.Second
	// idleTimeout is how long one with an allocation may say nothing: permissions are
	// refreshed after five minutes at the latest.
	idleTimeout = 11 * time.Minute
)

// streams gives TCP and TLS connections to pion/turn. It implements [net.Listener].
type streams struct {
	server  *Server
	clients *clients
	local   *net.UDPAddr
	waiting chan *clientStream
	ended   chan struct{}
	once    sync.Once

	// Guarded by mu.
	mu   sync.Mutex
	live map[netip.AddrPort]bool
}

func newStreams(s *Server) *streams {
	return &streams{server: s, clients: newClients(s), waiting: make(chan *clientStream), ended: make(chan struct{}), live: map[netip.AddrPort]bool{}}
}

// Accept waits for a stream.
func (l *streams) Accept() (net.Conn, error) {
	select {
	case c := <-l.waiting:
		return c, nil
	case <-l.ended:
		l.server.running.Done()
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (l *streams) Close() error {
	l.once.Do(func() { close(l.ended) })
	return nil
}

// Addr is a name, see [Server.local].
func (l *streams) Addr() net.Addr { return l.local }

// enter makes a client one of a kind: who connects to two of our ports from one address and
// port would be two clients of one name.
func (l *streams) enter(a netip.AddrPort) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.live[a] {
		return false
	}
	l.live[a] = true
	return true
}

func (l *streams) leave(a netip.AddrPort) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.live, a)
}

// ServeStream serves the client at the other end of a TCP or TLS connection until that
// ends, and closes it.
func (s *Server) ServeStream(conn net.Conn) {
	defer conn.Close()
	from := addrPort(conn.RemoteAddr())
	if !s.streams.enter(from) {
		return
	}
	defer s.streams.leave(from)
	c := &clientStream{Conn: conn, streams: s.streams, from: from, out: stream.NewWriter(conn), in: bufio.NewReaderSize(conn, 4<<10), limit: time.Now().Add(allocateTimeout), done: make(chan struct{})}
	defer c.out.Close()
	select {
	case s.streams.waiting <- c:
		<-c.done
	case <-s.streams.ended:
	}
}

// clientStream is a stream as pion/turn sees it: each Read gives one whole message, and Write does
// not wait.
type clientStream struct {
	net.Conn
	streams *streams
	from    netip.AddrPort
	out     *stream.Writer
	done    chan struct{}
	once    sync.Once

	// Owned by whoever reads.
	in    *bufio.Reader
	limit time.Time
}

// LocalAddr is a name, see [Server.local].
func (c *clientStream) LocalAddr() net.Addr { return c.streams.local }

// Read gives the next message, and an error for what is none, or too large for b: there is no
// place from which to go on.
func (c *clientStream) Read(b []byte) (int, error) {
	for {
		if c.streams.clients.get(c.from) != nil {
			c.limit = time.Now().Add(idleTimeout)
		}
		_ = c.Conn.SetReadDeadline(c.limit) // fails only if it is closed
		n, err := readFrame(c.in, b)
		if err != nil || n >= channelHead+minData {
			return n, err
		}
	}
}

// readFrame reads one message into buffer.
func readFrame(in io.Reader, buffer []byte) (int, error) {
	if _, err := io.ReadFull(in, buffer[:4]); err != nil {
		return 0, err
	}
	size := FrameSize([4]byte(buffer[:4]))
	if size < 4 || size > len(buffer) {
		return 0, io.ErrUnexpectedEOF
	}
	_, err := io.ReadFull(in, buffer[4:size])
	return size, err
}

// Write queues one message, or drops it.
func (c *clientStream) Write(message []byte) (int, error) {
	if c.streams.clients.maySend(message, c.from, true) {
		c.out.Send(message)
	}
	return len(message), nil
}

// Close ends ServeStream.
func (c *clientStream) Close() error {
	c.once.Do(func() { close(c.done) })
	return c.Conn.Close()
}
