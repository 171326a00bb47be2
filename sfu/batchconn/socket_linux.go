package batchconn

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Socket is a UDP socket for packets in batches.
type Socket struct {
	// Immutable.
	fd    int
	inet6 bool // its family
	// anywhere says that packets to all our addresses come to it.
	anywhere bool
	local    netip.AddrPort
	kernel   kernel

	// file and raw wait for packets by the runtime's poller.
	file *os.File
	raw  syscall.RawConn

	closed   atomic.Bool
	patience atomic.Int64 // of Receive, in nanoseconds; 0 for no limit
	// waiting is the patience that a deadline is set for: 0 for none,
	// or expired. Receive owns it.
	waiting time.Duration
	// segmentation is on until a device refuses it once.
	segmentation atomic.Bool
	count        counters
}

// sockaddr is an address as the kernel reads it.
type sockaddr struct {
	raw  unix.RawSockaddrInet6 // also for the smaller address of IPv4
	size uint32
}

// buffer is what a burst of key frames to some hundred participants takes, in bytes.
// The kernel gives less if its limits say so.
const buffer = 4 << 20

// Listen opens n sockets on one address. With port 0 the kernel chooses one. An
// unspecified address of IPv6 takes IPv4 too. The first one is bound alone, so a port
// that is taken is an error.
func Listen(address netip.AddrPort, n int) (sockets []*Socket, err error) {
	for range n {
		s, err := open(address, len(sockets) > 0)
		if err != nil {
			for _, s := range sockets {
				err = errors.Join(err, s.Release())
			}
			return nil, fmt.Errorf("listen on %s: %w", address, err)
		}
		sockets, address = append(sockets, s), netip.AddrPortFrom(address.Addr(), s.local.Port())
	}
	return sockets, nil
}

func open(address netip.AddrPort, further bool) (*Socket, error) {
	s := &Socket{fd: -1, inet6: !address.Addr().Is4(), anywhere: address.Addr().IsUnspecified(), kernel: system{}}
	family := unix.AF_INET
	if s.inet6 {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if errors.Is(err, unix.EAFNOSUPPORT) && address.Addr() == netip.IPv6Unspecified() {
		return open(netip.AddrPortFrom(netip.IPv4Unspecified(), address.Port()), further)
	}
	if err != nil {
		return nil, err
	}
	s.fd, s.file = fd, os.NewFile(uintptr(fd), "udp") // in the poller, since it does not block
	if s.raw, err = s.file.SyscallConn(); err != nil {
		return nil, errors.Join(err, s.Release())
	}
	s.segmentation.Store(true)
	if err := s.bind(address, further); err != nil {
		return nil, errors.Join(err, s.Release())
	}
	return s, nil
}

func (s *Socket) bind(address netip.AddrPort, further bool) error {
	if s.inet6 {
		only := 0
		if !address.Addr().IsUnspecified() {
			only = 1
		}
		if err := unix.SetsockoptInt(s.fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only); err != nil {
			return err
		}
	}
	for option, force := range map[int]int{unix.SO_RCVBUF: unix.SO_RCVBUFFORCE, unix.SO_SNDBUF: unix.SO_SNDBUFFORCE} {
		if unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, force, buffer) != nil {
			_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, option, buffer)
		}
	}
	if err := s.tellAddress(); err != nil {
		return err
	}
	// Whoever shares the port has to say so before it binds; the first one says it when
	// it has the port.
	share := func() error { return unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) }
	if further {
		if err := share(); err != nil {
			return err
		}
	}
	if err := unix.Bind(s.fd, sockaddrOf(address)); err != nil {
		return err
	}
	name, err := unix.Getsockname(s.fd)
	if err != nil {
		return err
	}
	s.local = addrPortOf(name)
	return share()
}

// tellAddress has packets come with the address that they were sent to: who asked one of
// our addresses takes no answer from another (RFC 8445, Section 7.2.5.2.1).
func (s *Socket) tellAddress() error {
	switch {
	case !s.anywhere:
		return nil
	case s.inet6: // for IPv4 too
		return unix.SetsockoptInt(s.fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
	}
	return unix.SetsockoptInt(s.fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
}

func sockaddrOf(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

func addrPortOf(name unix.Sockaddr) netip.AddrPort {
	switch name := name.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(name.Addr), uint16(name.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(name.Addr), uint16(name.Port))
	}
	return netip.AddrPort{}
}

// LocalAddr is the address that the socket is bound to.
func (s *Socket) LocalAddr() netip.AddrPort { return s.local }

func (s *Socket) segments() bool { return s.segmentation.Load() }

// Close ends Receive, now and from now on. Sending still works until [Socket.Release].
func (s *Socket) Close() {
	s.closed.Store(true)
	_ = s.file.SetReadDeadline(time.Unix(1, 0))
}

// Release frees the socket. Nobody may use it then.
func (s *Socket) Release() error { return s.file.Close() }

// Of the numbers that the kernel gives of a socket's memory (sock_diag(7)): what waits to be
// received, and how many packets were dropped.
const (
	memoryReceived = 0
	memoryDropped  = 8
	memoryCount    = 9
)

// queue is what waits to be received, and what was lost there.
func (s *Socket) queue() (bytes int, dropped uint64) {
	if s.closed.Load() {
		return 0, 0 // its number may be another's
	}
	var memory [memoryCount]uint32
	size := uint32(unsafe.Sizeof(memory))
	_, _, errno := syscall.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(s.fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&memory)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return 0, 0
	}
	return int(memory[memoryReceived]), uint64(memory[memoryDropped])
}

// SetPatience limits how long Receive waits, from the next call on. 0 is no limit.
func (s *Socket) SetPatience(d time.Duration) { s.patience.Store(int64(d)) }

// Target makes a receiver. It is good for all sockets of one [Listen].
func (s *Socket) Target(to netip.AddrPort) *Target { return s.TargetFrom(to, netip.Addr{}) }

// TargetFrom makes a receiver of what leaves from one of our addresses, as [Inbox.To] gave
// it. The system chooses one for the zero Addr.
func (s *Socket) TargetFrom(to netip.AddrPort, local netip.Addr) *Target {
	t := &Target{addr: to, hash: hash(to), from: s.from(local)}
	if !s.inet6 {
		four := (*unix.RawSockaddrInet4)(unsafe.Pointer(&t.name.raw))
		four.Family, four.Addr = unix.AF_INET, to.Addr().Unmap().As4()
		writePort(&four.Port, to.Port())
		t.name.size = unix.SizeofSockaddrInet4
		return t
	}
	t.name.raw = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: to.Addr().As16()}
	writePort(&t.name.raw.Port, to.Port())
	t.name.size = unix.SizeofSockaddrInet6
	return t
}

// CanReach says whether a target for the address can be made: a socket of IPv4 reaches
// nothing else, and zones are not supported.
func (s *Socket) CanReach(to netip.AddrPort) bool {
	return to.IsValid() && to.Addr().Zone() == "" && (s.inet6 || to.Addr().Unmap().Is4())
}

// writePort writes a port in network byte order.
func writePort(field *uint16, port uint16) {
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(field))[:], port)
}

// mmsghdr is the kernel's struct mmsghdr (sendmmsg(2)).
type mmsghdr struct {
	header unix.Msghdr
	size   uint32 // bytes sent, or received
}

// kernel is the system call, so that tests can let it fail.
type kernel interface {
	// sendmmsg sends messages from the first one on, and says how many it took; if
	// none, why the first one failed.
	sendmmsg(fd int, messages []mmsghdr) (int, syscall.Errno)
	// await waits a moment until something can be sent.
	await(fd int)
}

// system is the kernel that runs.
type system struct{}

// sendmmsg does not tell the runtime of the call, which does not block: where the runtime
// believes that a goroutine may be blocked, a thread of its own looks at it every 20 us, and
// that took a fifth of the processor's time. The price is that the collector, when it stops
// all goroutines, waits until a call is over (maxCall).
func (system) sendmmsg(fd int, messages []mmsghdr) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_SENDMMSG, uintptr(fd),
		uintptr(unsafe.Pointer(&messages[0])), uintptr(len(messages)), 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// sendPatience is how long a batch waits for room in the socket's buffer, once.
const sendPatience = 10 * time.Millisecond

func (system) await(fd int) {
	_, _ = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, int(sendPatience.Milliseconds()))
}
