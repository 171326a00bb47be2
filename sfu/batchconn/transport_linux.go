package batchconn

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// kernel is the system call, so that tests can let it fail.
type kernel interface {
	// sendmmsg sends messages from the first one on, and says how many it took; if
	// none, why the first one failed.
	sendmmsg(fd uintptr, messages []mmsghdr) (int, syscall.Errno)
}

// mmsghdr is the kernel's struct mmsghdr (sendmmsg(2)).
type mmsghdr struct {
	header unix.Msghdr
	sent   uint32 // bytes
}

// linux sends batches by sendmmsg, with UDP_SEGMENT.
type linux struct {
	// Immutable.
	kernel kernel
	raw    syscall.RawConn
	inet6  bool // the socket's family
	step   func(fd uintptr) bool

	// segmentation is on until the kernel refuses it once.
	segmentation atomic.Bool

	// Owned by who sends. headers, vectors, names and controls are what the kernel
	// reads; a message's packets are consecutive vectors.
	headers  []mmsghdr
	vectors  []unix.Iovec
	names    []unix.RawSockaddrInet6 // also for the smaller address of IPv4
	controls []control
	single   [1]mmsghdr // for a packet of a message that the kernel refused
	piece    unix.Iovec
	batch    *batch
	count    *counters
	next     int   // message
	part     int32 // packet of message next that is sent by itself; none for the whole
}

// control is a control message (cmsg(3)) with the size of the segments.
type control struct {
	header unix.Cmsghdr
	size   uint16
	_      [6]byte
}

func newTransport(socket *net.UDPConn) (transport, error) {
	return newLinux(socket, system{})
}

func newLinux(socket *net.UDPConn, k kernel) (*linux, error) {
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("batchconn: %w", err)
	}
	t := &linux{
		kernel: k, raw: raw,
		headers: make([]mmsghdr, maxPackets), vectors: make([]unix.Iovec, maxPackets),
		names: make([]unix.RawSockaddrInet6, maxPackets), controls: make([]control, maxPackets),
	}
	t.step = t.trySend
	if t.inet6, err = isInet6(raw); err != nil {
		return nil, fmt.Errorf("batchconn: %w", err)
	}
	t.segmentation.Store(true)
	return t, nil
}

// isInet6 says whether a socket takes addresses of IPv6, mapped ones for IPv4.
func isInet6(raw syscall.RawConn) (is bool, err error) {
	failed := raw.Control(func(fd uintptr) {
		var domain int
		domain, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DOMAIN)
		is = domain == unix.AF_INET6
	})
	if failed != nil {
		return false, failed
	}
	return is, err
}

func (t *linux) segments() bool { return t.segmentation.Load() }

// send sends all messages. What fails is counted, and the rest goes on.
func (t *linux) send(b *batch, count *counters) {
	t.prepare(b)
	t.batch, t.count, t.next, t.part = b, count, 0, none
	if err := t.raw.Write(t.step); err != nil {
		t.abandon() // the socket is closed, or its deadline has passed
	}
	t.batch, t.count = nil, nil
}

// prepare writes the messages as the kernel reads them.
func (t *linux) prepare(b *batch) {
	vector := 0
	for i := range b.messages {
		m, h := &b.messages[i], &t.headers[i].header
		h.Name = (*byte)(unsafe.Pointer(&t.names[i]))
		h.Namelen = t.writeName(&t.names[i], m.to)
		h.Iov = &t.vectors[vector]
		h.SetIovlen(int(m.count))
		for at := m.first; at != none; at = b.packets[at].next {
			p := &b.packets[at]
			t.vectors[vector].Base = &b.bytes[p.at]
			t.vectors[vector].SetLen(int(p.size))
			vector++
		}
		h.Control = nil
		h.SetControllen(0)
		if m.count > 1 {
			c := &t.controls[i]
			c.header.Level, c.header.Type = unix.SOL_UDP, unix.UDP_SEGMENT
			c.header.SetLen(unix.CmsgLen(2))
			c.size = uint16(m.size)
			h.Control = (*byte)(unsafe.Pointer(c))
			h.SetControllen(unix.CmsgSpace(2))
		}
	}
}

// writeName writes an address for the socket's family, and gives its size.
func (t *linux) writeName(name *unix.RawSockaddrInet6, to netip.AddrPort) uint32 {
	if !t.inet6 {
		four := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		*four = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: to.Addr().Unmap().As4()}
		writePort(&four.Port, to.Port())
		return unix.SizeofSockaddrInet4
	}
	*name = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: to.Addr().As16()}
	writePort(&name.Port, to.Port())
	return unix.SizeofSockaddrInet6
}

// writePort writes a port in network byte order.
func writePort(field *uint16, port uint16) {
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(field))[:], port)
}

// trySend sends as much as the socket takes. It is false if the socket is full; it is
// called again when it has room.
func (t *linux) trySend(fd uintptr) bool {
	for t.next < len(t.batch.messages) {
		errno := t.sendMore(fd)
		switch {
		case errno == unix.EAGAIN:
			return false
		case errno == 0 || errno == unix.EINTR:
		case t.part == none && t.isSplittable(errno):
			t.part = t.batch.messages[t.next].first
		default:
			t.fail()
		}
	}
	return true
}

// isSplittable says whether the message failed because it was to be segmented: the
// device cannot, or not at this size. From then on nothing is.
func (t *linux) isSplittable(errno syscall.Errno) bool {
	if t.batch.messages[t.next].count == 1 {
		return false
	}
	if errno == unix.EINVAL || errno == unix.EIO {
		t.segmentation.Store(false)
		return true
	}
	return false
}

// sendMore makes one call: for what is left of the batch, or the next packet of a
// message that is sent one by one.
func (t *linux) sendMore(fd uintptr) syscall.Errno {
	t.count.calls.Add(1)
	if t.part == none {
		n, errno := t.kernel.sendmmsg(fd, t.headers[t.next:len(t.batch.messages)])
		t.next += n
		return errno
	}
	p := &t.batch.packets[t.part]
	t.piece.Base = &t.batch.bytes[p.at]
	t.piece.SetLen(int(p.size))
	h, whole := &t.single[0].header, &t.headers[t.next].header
	*h = unix.Msghdr{Name: whole.Name, Namelen: whole.Namelen, Iov: &t.piece}
	h.SetIovlen(1)
	_, errno := t.kernel.sendmmsg(fd, t.single[:])
	if errno == 0 {
		t.skipPart()
	}
	return errno
}

// fail leaves out what could not be sent: a message, or one packet of it.
func (t *linux) fail() {
	if t.part != none {
		t.count.failed.Add(1)
		t.skipPart()
		return
	}
	t.count.failed.Add(uint64(t.batch.messages[t.next].count))
	t.next++
}

// skipPart goes on to the next packet of a message that is sent one by one.
func (t *linux) skipPart() {
	if t.part = t.batch.packets[t.part].next; t.part == none {
		t.next++
	}
}

// abandon counts what is left as failed.
func (t *linux) abandon() {
	for t.next < len(t.batch.messages) {
		t.fail()
	}
}

// system is the kernel that runs.
type system struct{}

func (system) sendmmsg(fd uintptr, messages []mmsghdr) (int, syscall.Errno) {
	n, _, errno := syscall.Syscall6(unix.SYS_SENDMMSG, fd,
		uintptr(unsafe.Pointer(&messages[0])), uintptr(len(messages)), 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}
