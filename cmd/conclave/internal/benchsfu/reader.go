//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/offer"
)

// sampleEvery is how many packets of a stream come to one that is opened.
const sampleEvery = 16

// reader reads the sockets of all clients, on one thread.
type reader struct {
	// Immutable.
	epoll, wake int
	done        chan struct{}

	// mu is held while the thread works, and by those who look at what it counts.
	mu      sync.Mutex
	closed  bool
	ports   []*port
	clients []*client // by their addresses; nil for those that left
	delays  []time.Duration
	// sampling says that delays are kept: the window is open.
	sampling bool
}

func newReader() (*reader, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll: %w", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("eventfd: %w", err), unix.Close(epoll))
	}
	r := &reader{epoll: epoll, wake: wake, done: make(chan struct{})}
	if err := r.watch(wake); err != nil {
		return nil, errors.Join(err, unix.Close(epoll), unix.Close(wake))
	}
	go r.run()
	return r, nil
}

func (r *reader) watch(fd int) error {
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
	if err := unix.EpollCtl(r.epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		return fmt.Errorf("epoll: %w", err)
	}
	return nil
}

var errTooMany = errors.New("too many clients")

// add gives c an address, and reads what comes to it from now on.
func (r *reader) add(c *client, server netip.AddrPort) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := len(r.clients)
	if n == mostClients {
		return errTooMany
	}
	if n%clientsAPort == 0 {
		p, err := openPort()
		if err != nil {
			return err
		}
		if err := r.watch(p.fd); err != nil {
			return errors.Join(err, unix.Close(p.fd))
		}
		r.ports = append(r.ports, p)
	}
	c.endpoint = newEndpoint(r.ports[len(r.ports)-1], n, server)
	r.clients = append(r.clients, c)
	return nil
}

// remove has what comes for c go nowhere.
func (r *reader) remove(c *client) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clients[clientOf(c.local.Addr().As4())] = nil
}

// close ends the thread, and all sockets.
func (r *reader) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	one := [8]byte{1}
	_, _ = unix.Write(r.wake, one[:])
	<-r.done
	_, _ = unix.Close(r.epoll), unix.Close(r.wake)
	for _, p := range r.ports {
		_ = unix.Close(p.fd)
	}
}

func (r *reader) run() {
	runtime.LockOSThread()
	defer close(r.done)
	var events [128]unix.EpollEvent
	in := newReceiver(128)
	for {
		n, err := unix.EpollWait(r.epoll, events[:], -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return
		}
		if !r.readAll(in, events[:max(n, 0)]) {
			return
		}
	}
}

func (r *reader) readAll(in *receiver, ready []unix.EpollEvent) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range ready {
		if int(e.Fd) == r.wake {
			continue
		}
		n, err := in.read(int(e.Fd), unix.MSG_DONTWAIT)
		if err != nil {
			continue // nothing there, or an ICMP error of a server that ends
		}
		for i := range n {
			arrived, to := in.about(i)
			if at := clientOf(to); at < len(r.clients) && r.clients[at] != nil {
				r.take(r.clients[at], in.packet(i), arrived)
			}
		}
	}
	return !r.closed
}

// take sorts a datagram by its first byte (RFC 7983, Section 7).
func (r *reader) take(c *client, packet []byte, arrived int64) {
	switch {
	case len(packet) < 12:
	case packet[0] < 4:
		c.offerTo(c.stun, packet)
	case packet[0] >= 20 && packet[0] < 64:
		c.offerTo(c.dtls, packet)
	case packet[0]>>6 != 2:
	case packet[1] >= 192 && packet[1] <= 223:
		c.control(packet)
	default:
		r.media(c, packet, arrived)
	}
}

// media counts an RTP packet, and opens a few. What goes where retransmissions do is
// reported and no more: probes, which say nothing of when media came.
func (r *reader) media(c *client, packet []byte, arrived int64) {
	if number, ok := transportNumber(packet); ok {
		c.feedback.add(number, arrived)
	}
	kind := packet[1] & 0x7f
	if kind == offer.RTX {
		return
	}
	ssrc := binary.BigEndian.Uint32(packet[8:])
	s := c.streams[ssrc]
	if s == nil {
		s = &stream{audio: kind == offer.Opus}
		c.streams[ssrc] = s
		c.began(s.audio)
	}
	s.count(binary.BigEndian.Uint16(packet[2:]))
	sampled := r.sampling && s.packets%sampleEvery == 0
	if !sampled && c.watch == nil {
		return
	}
	said, ok := c.open(packet)
	if ok && sampled {
		r.delays = append(r.delays, time.Duration(arrived-said.sent))
	}
	if ok && c.watch != nil {
		c.watch(said, arrived)
	}
}

// stream counts the packets of one SSRC, and the numbers that are missing.
type stream struct {
	audio       bool
	packets     uint64
	low, high   int64 // sequence numbers, extended
	began       bool
	inWindow    int64
	windowBegan bool
}

func (s *stream) count(seq uint16) {
	s.packets++
	if !s.began {
		s.began, s.high = true, 1<<16+int64(seq)
	}
	n := s.high + int64(int16(seq-uint16(s.high)))
	s.high = max(s.high, n)
	if !s.windowBegan {
		s.windowBegan, s.low = true, n
	}
	s.inWindow++
}

// tally is what arrived in a window.
type tally struct {
	packets, lost int64
	delays        []time.Duration
}

// openWindow begins a window.
func (r *reader) openWindow() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sampling, r.delays = true, make([]time.Duration, 0, 1<<16)
	for _, c := range r.clients {
		if c == nil {
			continue
		}
		for _, s := range c.streams {
			s.windowBegan, s.inWindow = false, 0
		}
	}
}

// shutWindow ends the window and says what came in it.
func (r *reader) shutWindow() tally {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sampling = false
	t := tally{delays: r.delays}
	for _, c := range r.clients {
		if c == nil {
			continue
		}
		for _, s := range c.streams {
			if s.windowBegan {
				t.packets += s.inWindow
				t.lost += max(s.high-s.low+1-s.inWindow, 0)
			}
		}
	}
	return t
}
