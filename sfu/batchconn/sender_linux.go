package batchconn

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sender sends a batch by sendmmsg, with UDP_SEGMENT. headers, vectors and controls are
// what the kernel reads; a message's packets are consecutive vectors.
type sender struct {
	headers  []mmsghdr
	vectors  []unix.Iovec
	controls []control
	single   [1]mmsghdr // for a packet of a message that the kernel refused
	piece    unix.Iovec
	next     int   // message
	part     int32 // packet of message next that is sent by itself; none for the whole
}

// control is a control message (cmsg(3)) with the size of the segments.
type control struct {
	header unix.Cmsghdr
	size   uint16
	_      [6]byte
}

func (t *sender) init() {
	t.headers, t.vectors, t.controls = make([]mmsghdr, maxPackets), make([]unix.Iovec, maxPackets), make([]control, maxPackets)
	for i := range t.controls {
		c := &t.controls[i].header
		c.Level, c.Type = unix.SOL_UDP, unix.UDP_SEGMENT
		c.SetLen(unix.CmsgLen(2))
	}
}

// send sends all messages. What fails is counted, and the rest goes on.
func (t *sender) send(b *Batch) {
	t.prepare(b)
	for t.next, t.part = 0, none; t.next < len(b.messages); {
		switch errno := t.sendMore(b); {
		case errno == 0 || errno == unix.EINTR:
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
			t.controls[i].size = uint16(m.size)
			h.Control = (*byte)(unsafe.Pointer(&t.controls[i]))
			h.SetControllen(unix.CmsgSpace(2))
		}
	}
}

// isSplittable says whether the message failed because it was to be segmented: the
// device cannot, or not at this size. From then on nothing is.
func (t *sender) isSplittable(b *Batch, errno syscall.Errno) bool {
	if b.messages[t.next].count == 1 {
		return false
	}
	if errno == unix.EINVAL || errno == unix.EIO {
		b.socket.segmentation.Store(false)
		return true
	}
	return false
}

// sendMore makes one call: for what is left of the batch, or the next packet of a
// message that is sent one by one.
func (t *sender) sendMore(b *Batch) syscall.Errno {
	b.socket.count.calls.Add(1)
	if t.part == none {
		n, errno := b.socket.kernel.sendmmsg(b.socket.fd, t.headers[t.next:len(b.messages)])
		t.next += n
		return errno
	}
	p := &b.packets[t.part]
	t.piece.Base = &b.bytes[p.at]
	t.piece.SetLen(int(p.size))
	h, whole := &t.single[0].header, &t.headers[t.next].header
	*h = unix.Msghdr{Name: whole.Name, Namelen: whole.Namelen, Iov: &t.piece}
	h.SetIovlen(1)
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
