//go:build linux

package main

import (
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// maxDatagram is the size in bytes of the largest packet that is received or sent.
const maxDatagram = 1500

// mmsghdr is the kernel's struct mmsghdr (recvmmsg(2)).
type mmsghdr struct {
	header unix.Msghdr
	size   uint32
	_      [4]byte
}

// receiver reads many datagrams by one call, with the time at which each arrived and the
// address that it was sent to.
type receiver struct {
	headers []mmsghdr
	buffers [][maxDatagram]byte
	control [][controlSize]byte
	vectors []unix.Iovec
}

// controlSize is what control messages with a time and an address take (cmsg(3)).
const controlSize = 64

func newReceiver(n int) *receiver {
	r := &receiver{
		headers: make([]mmsghdr, n), buffers: make([][maxDatagram]byte, n),
		control: make([][controlSize]byte, n), vectors: make([]unix.Iovec, n),
	}
	for i := range r.headers {
		r.vectors[i].Base = &r.buffers[i][0]
		r.vectors[i].SetLen(maxDatagram)
		r.headers[i].header.Iov = &r.vectors[i]
		r.headers[i].header.SetIovlen(1)
		r.headers[i].header.Control = &r.control[i][0]
	}
	return r
}

// read takes what waits at fd, with the flags of recvmmsg(2).
func (r *receiver) read(fd int, flags uintptr) (int, error) {
	for i := range r.headers {
		r.headers[i].header.SetControllen(controlSize)
	}
	n, _, errno := syscall.Syscall6(unix.SYS_RECVMMSG, uintptr(fd),
		uintptr(unsafe.Pointer(&r.headers[0])), uintptr(len(r.headers)), flags, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

func (r *receiver) packet(i int) []byte { return r.buffers[i][:r.headers[i].size] }

// about is what the kernel says of datagram i: when it came to the socket, in nanoseconds
// of the wall clock, and to which address. They are zero if it does not say.
func (r *receiver) about(i int) (arrived int64, to [4]byte) {
	left := int(r.headers[i].header.Controllen)
	for at := 0; left-at >= unix.SizeofCmsghdr; {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&r.control[i][at]))
		size := int(h.Len)
		if size < unix.SizeofCmsghdr || at+size > left {
			break
		}
		data := unsafe.Pointer(&r.control[i][at+unix.SizeofCmsghdr])
		switch {
		case h.Level == unix.SOL_SOCKET && h.Type == unix.SO_TIMESTAMPNS && size >= unix.CmsgLen(16):
			arrived = (*unix.Timespec)(data).Nano()
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && size >= unix.CmsgLen(unix.SizeofInet4Pktinfo):
			to = (*unix.Inet4Pktinfo)(data).Addr
		}
		at += (size + 7) &^ 7
	}
	return arrived, to
}

// socketBuffer is what the sockets ask for, in bytes: what they lose here is not
// what is measured.
const socketBuffer = 32 << 20

// enlarge sets a socket's buffers, past the system's limits if that is allowed.
func enlarge(fd int) {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, socketBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, socketBuffer)
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, socketBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, socketBuffer)
	}
}

// stampArrivals has the kernel say when packets came.
func stampArrivals(fd int) error {
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err != nil {
		return fmt.Errorf("SO_TIMESTAMPNS: %w", err)
	}
	return nil
}
