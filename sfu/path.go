package sfu

import "net/netip"

// path is the way to a participant: the address of a UDP socket, or a TCP stream whose
// packets are framed (RFC 4571). A connection learns its paths from authenticated
// connectivity checks alone, and sends on the one that was nominated last.
//
// A path must be comparable: the same way is the same value.
type path interface {
	// send sends one packet, or queues it. It does not keep b and never blocks: false
	// says that the packet is lost, because the queue is full or the way has ended. Any
	// goroutine may call it.
	send(b []byte) bool
	// remote is the address that packets by this path come from: what a check is
	// answered with (XOR-MAPPED-ADDRESS), and what limits count by.
	remote() netip.AddrPort
}
