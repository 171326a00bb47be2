//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// floorPlan is what the floor is told on its standard input: who sends, and who
// receives of whom.
type floorPlan struct {
	Sources []floorSource
}

// tell writes the plan as the floor reads it.
func (p floorPlan) tell(w io.Writer) error { return json.NewEncoder(w).Encode(p) }

// floorSource is one stream that comes in.
type floorSource struct {
	SSRC      uint32
	Key, Salt []byte // of SRTP
	To        []floorTarget
}

// floorTarget is one subscriber of a stream.
type floorTarget struct {
	Address   netip.AddrPort
	SSRC      uint32
	Key, Salt []byte
}

// floor is the bare loop.
type floor struct {
	fd      int
	sources map[uint32]*floorStream
	// opened are the packets of a batch, sent what was sealed for them.
	opened []openPacket
	sent   sender
}

type floorStream struct {
	in      gcmStream
	targets []floorOutput
	packets []int // of the batch, in floor.opened
}

type floorOutput struct {
	address unix.RawSockaddrInet4
	ssrc    uint32
	out     gcmStream
}

// openPacket is a received packet in clear: a header as received, a payload.
type openPacket struct {
	header int // bytes
	plain  []byte
}

// floorBatch is how many packets the floor receives at a time.
const floorBatch = 64

// runFloor prints its address, reads its plan, and forwards until the input ends.
func runFloor(in io.Reader, out io.Writer) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("floor: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return fmt.Errorf("floor: %w", err)
	}
	enlarge(fd)
	name, err := unix.Getsockname(fd)
	if err != nil {
		return fmt.Errorf("floor: %w", err)
	}
	fmt.Fprintf(out, "127.0.0.1:%d\n", name.(*unix.SockaddrInet4).Port)
	lines := bufio.NewReader(in)
	raw, err := lines.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("floor: plan: %w", err)
	}
	var plan floorPlan
	if err := json.Unmarshal(raw, &plan); err != nil {
		return fmt.Errorf("floor: plan: %w", err)
	}
	f, err := newFloor(fd, plan)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, lines)
		cancel()
		_ = unix.Shutdown(fd, unix.SHUT_RDWR) // ends the read
	}()
	return f.run(ctx)
}

func newFloor(fd int, plan floorPlan) (*floor, error) {
	f := &floor{fd: fd, sources: map[uint32]*floorStream{}, sent: newSender()}
	for _, s := range plan.Sources {
		in, err := newGCMStream(s.Key, s.Salt)
		if err != nil {
			return nil, err
		}
		stream := &floorStream{in: in}
		for _, t := range s.To {
			out, err := newGCMStream(t.Key, t.Salt)
			if err != nil {
				return nil, err
			}
			stream.targets = append(stream.targets, floorOutput{rawAddress(t.Address), t.SSRC, out})
		}
		f.sources[s.SSRC] = stream
	}
	return f, nil
}

func (f *floor) run(ctx context.Context) error {
	runtime.LockOSThread()
	in := newReceiver(floorBatch)
	for ctx.Err() == nil {
		n, err := in.read(f.fd, unix.MSG_WAITFORONE)
		if err != nil {
			if err == unix.EINTR || err == unix.ECONNREFUSED {
				continue
			}
			return nil // shut down
		}
		f.open(in, n)
		f.forward()
	}
	return nil
}

// open opens a batch and sorts it by source.
func (f *floor) open(in *receiver, n int) {
	f.opened = f.opened[:0]
	for i := range n {
		packet := in.packet(i)
		if len(packet) < 12 || packet[0]>>6 != 2 {
			continue
		}
		s := f.sources[binary.BigEndian.Uint32(packet[8:])]
		if s == nil {
			continue
		}
		header := headerSize(packet)
		plain, ok := s.in.open(packet, header)
		if !ok {
			continue
		}
		s.packets = append(s.packets, len(f.opened))
		f.opened = append(f.opened, openPacket{header, plain})
	}
}

// forward seals and sends a batch.
func (f *floor) forward() {
	for _, s := range f.sources {
		if len(s.packets) == 0 {
			continue
		}
		for i := range s.targets {
			t := &s.targets[i]
			for _, at := range s.packets {
				p := f.opened[at]
				buffer := f.sent.next(f.fd, &t.address, len(p.plain)+tagSize)
				binary.BigEndian.PutUint32(p.plain[8:], t.ssrc)
				t.out.seal(buffer, p.plain, p.header)
			}
		}
		s.packets = s.packets[:0]
	}
	f.sent.flush(f.fd)
}

// headerSize is that of an RTP header with its extension (RFC 3550, Section 5.1).
func headerSize(packet []byte) int {
	n := 12 + 4*int(packet[0]&0x0f)
	if packet[0]&0x10 != 0 && len(packet) >= n+4 {
		n += 4 + 4*int(binary.BigEndian.Uint16(packet[n+2:]))
	}
	return n
}

// sender gathers packets and sends them by sendmmsg, runs of equal size in one
// message.
type sender struct {
	buffer   []byte
	used     int
	messages []mmsghdr
	vectors  []unix.Iovec
	control  [][segmentControl]byte
	count    int // messages
	size     int // of the segments of the last message
	segments int
	open     bool // the last message may grow
}

// Limits of one call, and of one message.
const (
	sendMessages   = 512
	sendBuffer     = 1 << 20 // bytes
	maxSegments    = 16
	segmentControl = 24 // bytes: a control message with 16 bits, aligned (cmsg(3))
)

func newSender() sender {
	s := sender{
		buffer: make([]byte, sendBuffer), messages: make([]mmsghdr, sendMessages),
		vectors: make([]unix.Iovec, sendMessages), control: make([][segmentControl]byte, sendMessages),
	}
	for i := range s.messages {
		h := &s.messages[i].header
		h.Iov, h.Namelen = &s.vectors[i], unix.SizeofSockaddrInet4
		h.SetIovlen(1)
		c := (*unix.Cmsghdr)(unsafe.Pointer(&s.control[i][0]))
		c.Level, c.Type = unix.SOL_UDP, unix.UDP_SEGMENT
		c.SetLen(unix.SizeofCmsghdr + 2)
	}
	return s
}

// next gives the place for a packet of a size to an address.
func (s *sender) next(fd int, to *unix.RawSockaddrInet4, size int) []byte {
	if s.used+size > len(s.buffer) || s.count == len(s.messages) {
		s.flush(fd)
	}
	place := s.buffer[s.used : s.used+size]
	s.used += size
	name := (*byte)(unsafe.Pointer(to))
	if s.open && s.messages[s.count-1].header.Name == name && size <= s.size && s.segments < maxSegments {
		s.grow(size)
		return place
	}
	h := &s.messages[s.count].header
	h.Name, h.Control = name, nil
	h.SetControllen(0)
	s.vectors[s.count].Base = &place[0]
	s.vectors[s.count].SetLen(size)
	s.count++
	s.size, s.segments, s.open = size, 1, true
	return place
}

// grow adds a segment to the last message. A smaller one ends it.
func (s *sender) grow(size int) {
	at := s.count - 1
	h, v := &s.messages[at].header, &s.vectors[at]
	v.SetLen(int(v.Len) + size)
	h.Control = &s.control[at][0]
	h.SetControllen(segmentControl)
	*(*uint16)(unsafe.Pointer(&s.control[at][unix.SizeofCmsghdr])) = uint16(s.size)
	s.segments++
	s.open = size == s.size
}

func (s *sender) flush(fd int) {
	for at := 0; at < s.count; {
		n, _, errno := syscall.Syscall6(unix.SYS_SENDMMSG, uintptr(fd),
			uintptr(unsafe.Pointer(&s.messages[at])), uintptr(s.count-at), 0, 0, 0)
		if errno != 0 {
			n = 1 // leave the message out that failed
		}
		at += int(n)
	}
	s.used, s.count, s.open = 0, 0, false
}
