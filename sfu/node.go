package sfu

import (
	"errors"
	"net/netip"
)

var errSkeleton = errors.New("sfu: not built yet")

// Node forwards the media of all rooms through one UDP port.
type Node struct{}

// New opens the port and serves until [Node.Close].
func New(Config) (*Node, error) { return nil, errSkeleton }

// Addr is the UDP address that the node listens on.
func (*Node) Addr() netip.AddrPort { return netip.AddrPort{} }

// Stats is a snapshot of the node's counters.
func (*Node) Stats() Stats { return Stats{} }

// Join opens a transport for a participant of a room. It does not block.
func (*Node) Join(room, participant string, ev Events) (*Transport, error) { return nil, errSkeleton }

// Close ends all transports and the port, and returns when no goroutine is left.
func (*Node) Close() error { return nil }

// Stats counts since the node began, or says what is now.
type Stats struct {
	// Now.
	Transports, Publications, Slots int
	// Since the node began.
	PacketsIn, BytesIn, PacketsOut, BytesOut uint64
	NACKs, Retransmitted, PLIsIn, PLIsOut    uint64
	// Dropped counts packets that were received and not forwarded, by reason.
	Dropped map[string]uint64
}
