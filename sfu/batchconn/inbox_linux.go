package batchconn

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Inbox is where packets are received to. It belongs to one goroutine.
type Inbox struct {
	headers []mmsghdr
	vectors []unix.Iovec
	names   []unix.RawSockaddrInet6
	infos   []infoControl

	// Of a call of Receive.
	socket *Socket
	take   func(uintptr) bool
	taken  int
	errno  syscall.Errno
}

// NewInbox makes one for n packets, without buffers.
func NewInbox(n int) *Inbox {
	in := &Inbox{
		headers: make([]mmsghdr, n), vectors: make([]unix.Iovec, n), names: make([]unix.RawSockaddrInet6, n),
		infos: make([]infoControl, n),
	}
	for i := range in.headers {
		h := &in.headers[i].header
		h.Name, h.Iov = (*byte)(unsafe.Pointer(&in.names[i])), &in.vectors[i]
		h.Control = (*byte)(unsafe.Pointer(&in.infos[i]))
		h.SetIovlen(1)
	}
	return in
}

// Len is how many packets are received at most.
func (in *Inbox) Len() int { return len(in.headers) }

// Set gives the buffer for packet i. It must stay in memory.
func (in *Inbox) Set(i int, buffer []byte) {
	in.vectors[i].Base = &buffer[0]
	in.vectors[i].SetLen(len(buffer))
}

// Size is that of packet i in its buffer. It is false if the packet was larger.
func (in *Inbox) Size(i int) (int, bool) {
	return int(in.headers[i].size), in.headers[i].header.Flags&unix.MSG_TRUNC == 0
}

// From is where packet i came from, an address of IPv4 as such.
func (in *Inbox) From(i int) netip.AddrPort {
	six := &in.names[i]
	if six.Family == unix.AF_INET {
		four := (*unix.RawSockaddrInet4)(unsafe.Pointer(six))
		return netip.AddrPortFrom(netip.AddrFrom4(four.Addr), readPort(&four.Port))
	}
	return netip.AddrPortFrom(netip.AddrFrom16(six.Addr).Unmap(), readPort(&six.Port))
}

// To is our address that packet i was sent to, one of IPv4 as such. It is the zero Addr
// for a socket that has one address only.
func (in *Inbox) To(i int) netip.Addr {
	h, info := &in.headers[i].header, &in.infos[i]
	switch {
	case int(h.Controllen) < unix.CmsgLen(0):
	case int(h.Controllen) >= unix.CmsgLen(unix.SizeofInet4Pktinfo) && info.header.Level == unix.SOL_IP && info.header.Type == unix.IP_PKTINFO:
		return netip.AddrFrom4((*unix.Inet4Pktinfo)(unsafe.Pointer(&info.data)).Spec_dst)
	case int(h.Controllen) >= unix.CmsgLen(unix.SizeofInet6Pktinfo) && info.header.Level == unix.SOL_IPV6 && info.header.Type == unix.IPV6_PKTINFO:
		return netip.AddrFrom16((*unix.Inet6Pktinfo)(unsafe.Pointer(&info.data)).Addr).Unmap()
	}
	return netip.Addr{}
}

func readPort(field *uint16) uint16 {
	return binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(field))[:])
}

// Receive waits for a packet, takes what else has come, and says how many. It is 0 when
// the socket's patience is over, and fails with [ErrClosed] alone. One goroutine at a time
// may call it.
func (s *Socket) Receive(in *Inbox) (int, error) {
	if in.take == nil {
		in.take = in.receive
	}
	in.socket, in.taken, in.errno = s, 0, 0
	s.setDeadline()
	if s.closed.Load() {
		return 0, ErrClosed // Close may have set its deadline before
	}
	err := s.raw.Read(in.take)
	switch {
	case s.closed.Load() || errors.Is(err, os.ErrClosed):
		return 0, ErrClosed
	case errors.Is(err, os.ErrDeadlineExceeded):
		s.waiting = expired
		return 0, nil
	case in.errno != 0 && in.errno != unix.EINTR:
		time.Sleep(time.Millisecond) // the system lacks memory, say
	}
	return in.taken, nil
}

// expired is the patience of a deadline that is over.
const expired = -1

// setDeadline has Receive end when the socket's patience is over. It is not put off with
// each packet: who receives some looks at the time anyway, and may put it off.
func (s *Socket) setDeadline() {
	d := time.Duration(s.patience.Load())
	if d == s.waiting {
		return
	}
	s.waiting = d
	deadline := time.Time{}
	if d > 0 {
		deadline = time.Now().Add(d)
	}
	_ = s.file.SetReadDeadline(deadline)
}

// PutOff has the socket's patience begin anew. It is for who receives, and has just done with packets
// what it would have been woken for: a wake-up by the clock costs more than a packet does.
func (s *Socket) PutOff() { s.waiting = expired }

// receive is false to wait for a packet.
func (in *Inbox) receive(uintptr) bool {
	in.taken, in.errno = in.socket.receive(in.headers)
	return in.errno != unix.EAGAIN || in.socket.closed.Load()
}

// ReceiveMore takes what has come after that many packets, after a while in which more
// may come.
func (s *Socket) ReceiveMore(in *Inbox, after int, wait time.Duration) int {
	if after == len(in.headers) {
		return 0
	}
	pause := unix.NsecToTimespec(int64(wait))
	_, _, _ = syscall.Syscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&pause)), 0, 0)
	n, errno := s.receive(in.headers[after:])
	if errno != 0 || s.closed.Load() {
		return 0
	}
	return n
}

// receive takes what has come. As with sendmmsg, the runtime is not told.
func (s *Socket) receive(headers []mmsghdr) (int, syscall.Errno) {
	control := 0
	if s.anywhere {
		control = int(unsafe.Sizeof(infoControl{}))
	}
	for i := range headers {
		headers[i].header.Namelen = unix.SizeofSockaddrInet6
		headers[i].header.SetControllen(control)
	}
	n, _, errno := syscall.RawSyscall6(unix.SYS_RECVMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&headers[0])),
		uintptr(len(headers)), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	s.count.receives.Add(1)
	s.count.received.Add(uint64(n))
	if int(n) == len(headers) {
		s.count.full.Add(1)
	}
	return int(n), 0
}
