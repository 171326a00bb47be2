package batchconn

import (
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sender sends a batch by sendmmsg, with UDP_SEGMENT. headers, vectors and controls are
// what the kernel reads; a message's packets are consecutive vectors, and one where they
// follow each other in the batch.
type sender struct {
	headers  []mmsghdr
	vectors  []unix.Iovec
	controls []control
	single   [1]mmsghdr // for a packet of a message that the kernel refused
	piece    unix.Iovec
	next     int   // message
	part     int32 // packet of message next that is sent by itself; none for the whole
}

// control is a control message (cmsg(3)) with the size of the segments, and one with the
// address that they are from.
type control struct {
	header unix.Cmsghdr
	size   uint16
	_      [6]byte
	from   infoControl
}

// infoControl is a control message with one of our addresses (ip(7), IP_PKTINFO; RFC
// 3542, Section 6).
type infoControl struct {
	header unix.Cmsghdr
	data   [24]byte
}

// source says which of our addresses packets are from; size is 0 if the system chooses.
type source struct {
	size int // in bytes, with what aligns the next
	info infoControl
}

// from makes the control message that has packets leave from one of our addresses, if the
// socket has several.
func (s *Socket) from(local netip.Addr) (c source) {
	if !s.anywhere || !local.IsValid() || local.Is6() && local.IsLinkLocalUnicast() || !s.inet6 && !local.Is4() {
		return c // a link-local one would need its interface
	}
	h := &c.info.header
	if s.inet6 {
		(*unix.Inet6Pktinfo)(unsafe.Pointer(&c.info.data)).Addr = local.As16()
		h.Level, h.Type, c.size = unix.SOL_IPV6, unix.IPV6_PKTINFO, unix.CmsgSpace(unix.SizeofInet6Pktinfo)
		h.SetLen(unix.CmsgLen(unix.SizeofInet6Pktinfo))
		return c
	}
	(*unix.Inet4Pktinfo)(unsafe.Pointer(&c.info.data)).Spec_dst = local.As4()
	h.Level, h.Type, c.size = unix.SOL_IP, unix.IP_PKTINFO, unix.CmsgSpace(unix.SizeofInet4Pktinfo)
	h.SetLen(unix.CmsgLen(unix.SizeofInet4Pktinfo))
	return c
}

// put has a message leave from there.
func (c *source) put(h *unix.Msghdr) {
	if c.size > 0 {
		h.Control = (*byte)(unsafe.Pointer(&c.info))
		h.SetControllen(c.size)
	}
}

// maxCall is how many messages are given to the system at once: while it works nothing
// else runs on the processor.
const maxCall = 128

// allocate gives memory that the collector does not count. Where the system has none, it
// is the collector's.
func allocate(size int) (memory []byte, release func([]byte)) {
	memory, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return make([]byte, size), nil
	}
	return memory, func(memory []byte) { _ = unix.Munmap(memory) }
}

func (t *sender) init(packets int) {
	t.headers, t.vectors, t.controls = make([]mmsghdr, packets), make([]unix.Iovec, packets), make([]control, packets)
	for i := range t.controls {
		c := &t.controls[i].header
		c.Level, c.Type = unix.SOL_UDP, unix.UDP_SEGMENT
		c.SetLen(unix.CmsgLen(2))
	}
}

// send sends all messages. What fails is counted, and the rest goes on.
func (t *sender) send(b *Batch) {
	t.prepare(b)
	waited := false
	for t.next, t.part = 0, none; t.next < len(b.messages); {
		switch errno := t.sendMore(b); {
		case errno == 0 || errno == unix.EINTR:
		case errno == unix.EAGAIN && !waited: // what finds no room after that is lost
			waited = true
			b.socket.kernel.await(b.socket.fd)
		case t.part == none && t.isSplittable(b, errno):
			t.part = b.messages[t.next].first
		default:
			t.fail(b)
		}
	}
}

// prepare writes the messages as the kernel reads them.
func (t *sender) prepare(b *Batch) {
	vector := 0
	for i := range b.messages {
		m, h := &b.messages[i], &t.headers[i].header
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(&m.to.name.raw)), m.to.name.size
		h.Iov = &t.vectors[vector]
		n := t.gather(b, m, vector)
		h.SetIovlen(n)
		vector += n
		h.Control = nil
		h.SetControllen(0)
		m.to.from.put(h)
		if m.count > 1 {
			c := &t.controls[i]
			c.size = uint16(m.size)
			if m.to.from.size > 0 {
				c.from = m.to.from.info
			}
			h.Control = (*byte)(unsafe.Pointer(c))
			h.SetControllen(unix.CmsgSpace(2) + m.to.from.size)
		}
	}
}

// gather says where a message is, by vectors from one on, and how many those are.
func (t *sender) gather(b *Batch, m *message, from int) int {
	n, end := 0, int32(-1)
	for at := m.first; at != none; at = b.packets[at].next {
		p := &b.packets[at]
		if p.at != end {
			t.vectors[from+n].Base = &b.bytes[p.at]
			t.vectors[from+n].SetLen(0)
			n++
		}
		v := &t.vectors[from+n-1]
		v.SetLen(int(v.Len) + int(p.size))
		end = p.at + p.size
	}
	return n
}

// isSplittable says whether the message failed because it was to be segmented. If the
// device cannot, from then on nothing is. If this receiver's route takes no packets of
// this size, which it may tell us itself (ICMP), nothing to it.
func (t *sender) isSplittable(b *Batch, errno syscall.Errno) bool {
	m := &b.messages[t.next]
	if m.count == 1 {
		return false
	}
	switch errno {
	case unix.EIO:
		b.socket.segmentation.Store(false)
	case unix.EINVAL:
		m.to.whole.Store(true)
	default:
		return false
	}
	return true
}

// sendMore makes one call: for what is left of the batch, or the next packet of a
// message that is sent one by one.
func (t *sender) sendMore(b *Batch) syscall.Errno {
	b.socket.count.calls.Add(1)
	if t.part == none {
		n, errno := b.socket.kernel.sendmmsg(b.socket.fd, t.headers[t.next:min(t.next+maxCall, len(b.messages))])
		t.next += n
		return errno
	}
	p := &b.packets[t.part]
	t.piece.Base = &b.bytes[p.at]
	t.piece.SetLen(int(p.size))
	h, whole := &t.single[0].header, &t.headers[t.next].header
	*h = unix.Msghdr{Name: whole.Name, Namelen: whole.Namelen, Iov: &t.piece}
	h.SetIovlen(1)
	b.messages[t.next].to.from.put(h)
	_, errno := b.socket.kernel.sendmmsg(b.socket.fd, t.single[:])
	if errno == 0 {
		t.skipPart(b)
	}
	return errno
}

// fail leaves out what could not be sent: a message, or one packet of it.
func (t *sender) fail(b *Batch) {
	if t.part != none {
		b.socket.count.failed.Add(1)
		t.skipPart(b)
		return
	}
	b.socket.count.failed.Add(uint64(b.messages[t.next].count))
	t.next++
}

// skipPart goes on to the next packet of a message that is sent one by one.
func (t *sender) skipPart(b *Batch) {
	if t.part = b.packets[t.part].next; t.part == none {
		t.next++
	}
}
