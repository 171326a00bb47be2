// Package icetcp takes media over TCP (RFC 6544): the server is a passive host candidate, the
// client connects, and packets travel framed by their length (RFC 4571).
//
//	client --[len][STUN, DTLS, SRTP]--> Serve ... Media.Receive(path, packet)
//	client <-[len][STUN, DTLS, SRTP]--- path.Send(packet)
//
// A stream is nobody's until the forwarder has answered one of its connectivity checks
// (RFC 8445, Section 7.3) with success, which it does for those that know a connection's
// password. A stream that does not get so far in time is closed, so half-open ones are as
// bounded as the port's pending connections.
package icetcp

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/stun/v4"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/source"
	"github.com/conclave-sfu/conclave/cmd/conclave/internal/stream"
)

const (
	// maxPacket is the largest packet in bytes: those that browsers send fit into a
	// datagram.
	maxPacket = 1500
	// checkTimeout is how long a stream may be without an answered check.
	checkTimeout = 10 * time.Second
	// idleTimeout is how long a stream may say nothing later: the other side's consent is
	// renewed every few seconds (RFC 7675).
	idleTimeout = 30 * time.Second
)

// Media is the forwarder. Its methods may be called from any goroutine.
type Media interface {
	// Receive takes a packet that came by a path. The packet is valid during the call.
	Receive(path *Path, packet []byte)
	// Gone says that a path has ended.
	Gone(path *Path)
}

// Limits of the streams of a server.
type Limits struct {
	Streams    int // in all
	PerAddress int // from one source, see [source.Of]
}

// DefaultLimits fit a thousand participants, each of whom has one stream, or some more while
// its browser tries out pairs of candidates.
var DefaultLimits = Limits{Streams: 5000, PerAddress: 512}

// Server takes streams. Its methods may be called from any goroutine.
type Server struct {
	// Immutable.
	media  Media
	limits Limits

	refused atomic.Uint64
	dropped atomic.Uint64 // packets of streams that have ended

	mu    sync.Mutex
	paths map[*Path]struct{}
	from  source.Counts
}

// Stats is what a server holds, and counts since it began.
type Stats struct {
	Streams          int
	Queued           int    // bytes that the streams have not taken yet
	Refused, Dropped uint64 // streams for want of room, packets that a thin line did not take
}

// New gives a server without streams.
func New(media Media, limits Limits) *Server {
	return &Server{media: media, limits: limits, paths: map[*Path]struct{}{}, from: source.Counts{}}
}

// Stats counts.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := Stats{Streams: len(s.paths), Refused: s.refused.Load(), Dropped: s.dropped.Load()}
	for p := range s.paths {
		stats.Dropped += p.out.Dropped()
		stats.Queued += p.out.Queued()
	}
	return stats
}

// Path is one stream, as the forwarder sees it: where packets come from and go to.
type Path struct {
	// Immutable.
	out    *stream.Writer
	remote netip.AddrPort

	checked atomic.Bool
}

// RemoteAddr is the client's transport address.
func (p *Path) RemoteAddr() netip.AddrPort { return p.remote }

// Send queues a packet, or drops it if too much waits. It never blocks and does not keep
// the packet.
func (p *Path) Send(packet []byte) {
	if len(packet) == 0 || len(packet) > maxPacket {
		return
	}
	if !p.checked.Load() && isCheckSuccess(packet) {
		p.checked.Store(true)
	}
	var head [2]byte
	binary.BigEndian.PutUint16(head[:], uint16(len(packet)))
	p.out.Send(head[:], packet)
}

// isCheckSuccess says whether a packet is the forwarder's word that a check was right.
func isCheckSuccess(packet []byte) bool {
	return stun.IsMessage(packet) && binary.BigEndian.Uint16(packet) == stun.BindingSuccess.Value()
}

// Serve serves the client at the other end until the stream ends, and closes it.
func (s *Server) Serve(conn net.Conn) {
	p := &Path{}
	if tcp, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		p.remote = netip.AddrPortFrom(tcp.AddrPort().Addr().Unmap(), uint16(tcp.Port))
	}
	p.out = stream.NewWriter(conn)
	defer p.out.Close()
	if !s.admit(p) {
		s.refused.Add(1)
		return
	}
	defer s.gone(p)
	s.read(conn, p)
}

// read gives the forwarder what comes, first of all a check.
func (s *Server) read(conn net.Conn, p *Path) {
	limit := time.Now().Add(checkTimeout)
	in, buffer := bufio.NewReaderSize(conn, 16<<10), [2 + maxPacket]byte{}
	for first := true; ; first = false {
		if p.checked.Load() {
			limit = time.Now().Add(idleTimeout)
		}
		_ = conn.SetReadDeadline(limit) // fails only if it is closed
		packet, err := readFrame(in, buffer[:])
		if err != nil || first && !stun.IsMessage(packet) {
			return
		}
		if len(packet) > 0 {
			s.media.Receive(p, packet)
		}
	}
}

// readFrame reads one packet into buffer (RFC 4571, Section 2). One that does not fit is an
// error: no honest client sends it.
func readFrame(in io.Reader, buffer []byte) ([]byte, error) {
	if _, err := io.ReadFull(in, buffer[:2]); err != nil {
		return nil, err
	}
	size := int(binary.BigEndian.Uint16(buffer))
	if size > len(buffer)-2 {
		return nil, io.ErrShortBuffer
	}
	_, err := io.ReadFull(in, buffer[2:2+size])
	return buffer[2 : 2+size], err
}

func (s *Server) admit(p *Path) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	from := source.Of(p.remote.Addr())
	if len(s.paths) >= s.limits.Streams || !s.from.Allows(from, s.limits.PerAddress) {
		return false
	}
	s.paths[p] = struct{}{}
	s.from.Add(from)
	return true
}

func (s *Server) gone(p *Path) {
	s.media.Gone(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropped.Add(p.out.Dropped()) // with mu: it is in one of both sums of Stats, never in two
	delete(s.paths, p)
	s.from.Remove(source.Of(p.remote.Addr()))
}
