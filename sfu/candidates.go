package sfu

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
)

// Candidate is an address that answers name (RFC 8839, Section 5.1).
type Candidate struct {
	Addr netip.AddrPort
	// TCP says that it listens for TCP (RFC 6544), not UDP.
	TCP bool
}

var errUnreachable = errors.New("address out of reach")

// SetCandidates replaces what further answers name.
func (n *Node) SetCandidates(list []Candidate) {
	list = slices.Clone(list)
	n.candidates.Store(&list)
}

// LocalCandidates are those that answers name unless others are set: NodeIPs or the
// addresses of the interfaces, with the port of the media socket.
func (n *Node) LocalCandidates() []Candidate {
	addresses := n.nodeIPs
	if len(addresses) == 0 {
		addresses = interfaceAddresses(n.Addr().Addr())
	}
	list := make([]Candidate, len(addresses))
	for i, a := range addresses {
		list[i] = Candidate{Addr: netip.AddrPortFrom(a.Unmap(), n.Addr().Port())}
	}
	return list
}

// named are the candidates of an answer.
func (n *Node) named() []Candidate {
	if list := n.candidates.Load(); list != nil {
		return *list
	}
	return n.LocalCandidates()
}

// interfaceAddresses are those that packets to a socket on own may come in by.
func interfaceAddresses(own netip.Addr) []netip.Addr {
	if !own.IsUnspecified() {
		return []netip.Addr{own}
	}
	interfaces, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	return reachable(own, interfaces)
}

// reachable are those of the machine's addresses that a socket on own, which stands for all of
// its family, can be named by. One for IPv6 is one for both.
func reachable(own netip.Addr, machine []net.Addr) (list []netip.Addr) {
	for _, a := range machine {
		prefix, err := netip.ParsePrefix(a.String())
		if err != nil || prefix.Addr().IsLinkLocalUnicast() || own.Is4() && !prefix.Addr().Is4() {
			continue
		}
		list = append(list, prefix.Addr())
	}
	return list
}

// line is the value of a candidate attribute. Those that come first are preferred, and
// UDP to TCP (RFC 8445, Section 5.1.2.1; RFC 6544, Section 4.2).
func (c Candidate) line(i int) string {
	local := max(0xffff-i, 0)
	if !c.TCP {
		return fmt.Sprintf("%d 1 udp %d %s %d typ host", i+1, 126<<24|local<<8|255, c.Addr.Addr(), c.Addr.Port())
	}
	return fmt.Sprintf("%d 1 tcp %d %s %d typ host tcptype passive", i+1, 90<<24|local<<8|255, c.Addr.Addr(), c.Addr.Port())
}
