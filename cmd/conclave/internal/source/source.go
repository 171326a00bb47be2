// Package source says whose connections, streams and allocations are counted together.
package source

import "net/netip"

// Of is the IPv4 address, or the IPv6 network of 64 bits, which is what one household or
// machine has. It is zero for loopback, private and link-local addresses: those are of a
// proxy, or of the operator's own network, and have no limits of their own.
func Of(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	if !addr.IsValid() || addr.IsLoopback() || addr.IsPrivate() || addr.IsLinkLocalUnicast() {
		return netip.Prefix{}
	}
	bits := 64
	if addr.Is4() {
		bits = 32
	}
	prefix, _ := addr.Prefix(bits) // fails for more bits than there are
	return prefix
}

// Counts counts by source.
type Counts map[netip.Prefix]int

// Allows says whether a source may have one more, with so many at most. Zero may have any.
func (c Counts) Allows(source netip.Prefix, most int) bool {
	return !source.IsValid() || c[source] < most
}

// Add counts one.
func (c Counts) Add(source netip.Prefix) {
	if source.IsValid() {
		c[source]++
	}
}

// Remove takes one back.
func (c Counts) Remove(source netip.Prefix) {
	if c[source]--; c[source] <= 0 {
		delete(c, source)
	}
}
