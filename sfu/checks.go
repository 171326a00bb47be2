package sfu

import (
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/pion/ice/v4"
	"github.com/pion/stun/v4"
)

// maxPeerAddresses is from how many addresses a PeerConnection takes connectivity checks in
// its life. A browser has some, and a new one whenever its network changes; past that ICE
// fails and it offers a new PeerConnection. Pion keeps a candidate for each address and
// compares all of them with each other.
const maxPeerAddresses = 16

// checkedConn is a PeerConnection's part of the socket without the connectivity checks
// (RFC 8445, Section 7.3) from too many addresses. One goroutine may read from it.
type checkedConn struct {
	net.PacketConn
	packets ice.AddrPortReaderWriter // the same

	// Owned by the reader.
	known []netip.AddrPort
}

// newCheckedConn takes over conn.
func newCheckedConn(conn net.PacketConn) (net.PacketConn, error) {
	packets, ok := conn.(ice.AddrPortReaderWriter)
	if !ok {
		return nil, fmt.Errorf("connection %T of a PeerConnection has no addresses", conn)
	}
	return &checkedConn{PacketConn: conn, packets: packets}, nil
}

// ReadFromAddrPort implements [ice.AddrPortReaderWriter].
func (c *checkedConn) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	for {
		n, from, err := c.packets.ReadFromAddrPort(b)
		if err != nil || c.admits(b[:n], from) {
			return n, from, err
		}
	}
}

// WriteToAddrPort implements [ice.AddrPortReaderWriter].
func (c *checkedConn) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	return c.packets.WriteToAddrPort(b, to)
}

// ReadFrom implements [net.PacketConn].
func (c *checkedConn) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := c.ReadFromAddrPort(b)
	if err != nil {
		return n, nil, err
	}
	return n, net.UDPAddrFromAddrPort(from), nil
}

// admits says whether a packet goes to Pion.
func (c *checkedConn) admits(packet []byte, from netip.AddrPort) bool {
	switch {
	case !stun.IsMessage(packet), slices.Contains(c.known, from):
		return true
	case len(c.known) >= maxPeerAddresses:
		return false
	}
	c.known = append(c.known, from)
	return true
}
