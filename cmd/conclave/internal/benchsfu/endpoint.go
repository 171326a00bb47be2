//go:build linux

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The clients share a few sockets, since hundreds of them cost more than what is measured.
// Each client has an address of its own: a socket that is bound to no address has all of
// 127.0.0.0/8, and the kernel says to which one a packet came.

// clientsAPort is how many clients share a socket, mostClients how many there are at most.
const (
	clientsAPort = 100
	mostClients  = 1 << 14
)

// port is a socket of some clients.
type port struct {
	fd     int
	number uint16
}

// openPort binds a socket to a port of all addresses.
func openPort() (*port, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("socket: %w", err)
	}
	p := &port{fd: fd}
	if err := p.prepare(); err != nil {
		return nil, errors.Join(fmt.Errorf("socket: %w", err), unix.Close(fd))
	}
	return p, nil
}

func (p *port) prepare() error {
	if err := unix.Bind(p.fd, &unix.SockaddrInet4{}); err != nil {
		return err
	}
	if err := unix.SetsockoptInt(p.fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1); err != nil {
		return err
	}
	if err := stampArrivals(p.fd); err != nil {
		return err
	}
	enlarge(p.fd)
	name, err := unix.Getsockname(p.fd)
	if err != nil {
		return err
	}
	p.number = uint16(name.(*unix.SockaddrInet4).Port)
	return nil
}

// endpoint is a client's address on a port, and the server's. It is immutable.
type endpoint struct {
	port   *port
	local  netip.AddrPort
	remote netip.AddrPort
	to     unix.RawSockaddrInet4
	from   pktinfo
}

// pktinfo is a control message with the address that a packet is from (ip(7)).
type pktinfo struct {
	header unix.Cmsghdr
	info   unix.Inet4Pktinfo
	_      [4]byte
}

// newEndpoint gives client n an address on a port.
func newEndpoint(p *port, n int, server netip.AddrPort) endpoint {
	local := addressOf(n)
	e := endpoint{port: p, local: netip.AddrPortFrom(netip.AddrFrom4(local), p.number), remote: server}
	e.to = rawAddress(server)
	e.from.header.Level, e.from.header.Type = unix.IPPROTO_IP, unix.IP_PKTINFO
	e.from.header.SetLen(unix.CmsgLen(unix.SizeofInet4Pktinfo))
	e.from.info.Spec_dst = local
	return e
}

// addressOf is that of client n; clientOf goes back.
func addressOf(n int) [4]byte {
	return [4]byte{127, 1 + byte(n>>14), 1 + byte(n>>7&0x7f), 1 + byte(n&0x7f)}
}

func clientOf(a [4]byte) int {
	return int(a[1]-1)<<14 | int(a[2]-1)<<7 | int(a[3]-1)
}

func rawAddress(a netip.AddrPort) unix.RawSockaddrInet4 {
	raw := unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: a.Addr().As4()}
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&raw.Port))[:], a.Port())
	return raw
}

// write sends a packet to the server.
func (e *endpoint) write(packet []byte) error { return e.writeAll(packet) }

// writeAll sends packets by one call, so that nothing comes between them: that a client is
// interrupted while it sends a frame is not what is measured.
func (e *endpoint) writeAll(packets ...[]byte) error {
	headers, vectors := make([]mmsghdr, len(packets)), make([]unix.Iovec, len(packets))
	for i, packet := range packets {
		vectors[i].Base = unsafe.SliceData(packet)
		vectors[i].SetLen(len(packet))
		h := &headers[i].header
		h.Name, h.Namelen = (*byte)(unsafe.Pointer(&e.to)), unix.SizeofSockaddrInet4
		h.Iov, h.Control = &vectors[i], (*byte)(unsafe.Pointer(&e.from))
		h.SetIovlen(1)
		h.SetControllen(unix.CmsgSpace(unix.SizeofInet4Pktinfo))
	}
	for len(headers) > 0 {
		n, _, errno := syscall.Syscall6(unix.SYS_SENDMMSG, uintptr(e.port.fd),
			uintptr(unsafe.Pointer(&headers[0])), uintptr(len(headers)), 0, 0, 0)
		if errno != 0 {
			return errno
		}
		headers = headers[n:]
	}
	return nil
}
