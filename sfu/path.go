package sfu

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"github.com/conclave-sfu/conclave/sfu/batchconn"
	"github.com/conclave-sfu/conclave/sfu/icelite"
)

// Path is a way to a participant that is no UDP socket: a TCP stream whose packets are
// framed (RFC 4571), or the allocation of a relay. Its packets come in by
// [Node.Receive]. It must be comparable; the same way is the same value.
type Path interface {
	// Send sends one packet, or queues it. It does not keep packet and never blocks: what
	// finds no room is lost. Any goroutine may call it.
	Send(packet []byte)
	// RemoteAddr is the address that packets by this path come from: what a check is
	// answered with.
	RemoteAddr() netip.AddrPort
}

// sendBy sends a packet by a Path, and counts it.
func (n *Node) sendBy(p Path, packet []byte) {
	n.pathBytes.Add(uint64(len(packet)))
	p.Send(packet)
}

// way is how a connection sends: to a UDP address, or by a Path. It is learnt from
// authenticated connectivity checks alone, and immutable but for what its end says.
type way struct {
	conn   *connection
	target *batchconn.Target // nil for a Path
	path   Path              // nil for UDP
	addr   netip.AddrPort
	local  netip.Addr // ours that checks are sent to; the zero Addr if there is one only

	checkedAt atomic.Int64 // by the peer, last

	// Guarded by the connection's mu. proven says that the peer receives what is sent there: it has
	// answered a check of ours, of this transaction, or a handshake was made there. A Path does not say
	// that by itself: a relay's client may be at any UDP address.
	proven      bool
	transaction icelite.Transaction
}

// isTo says whether the way leads to a peer at an address, or at the end of a Path.
func (w *way) isTo(addr netip.AddrPort, path Path) bool { return w.addr == addr && w.path == path }

// directory finds the connection of a packet.
type directory struct {
	mu      sync.RWMutex
	byAddr  map[netip.AddrPort]*way
	byPath  map[Path]*way
	byUfrag map[string]*connection
}

func newDirectory() *directory {
	return &directory{byAddr: map[netip.AddrPort]*way{}, byPath: map[Path]*way{}, byUfrag: map[string]*connection{}}
}

// find gives the way by which a packet came; nil if no check has proved it.
func (d *directory) find(from netip.AddrPort, path Path) *way {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if path != nil {
		return d.byPath[path]
	}
	return d.byAddr[from]
}

// named gives the connection that a check is for.
func (d *directory) named(ufrag []byte) *connection {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.byUfrag[string(ufrag)]
}

func (d *directory) name(ufrag string, c *connection) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.byUfrag[ufrag] = c
}

func (d *directory) unname(ufrag string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.byUfrag, ufrag)
}

// put enters a way, and takes it from whoever had it: the check was theirs who know the
// password.
func (d *directory) put(w *way) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if w.path != nil {
		d.byPath[w.path] = w
	} else {
		d.byAddr[w.addr] = w
	}
}

// remove takes ways out, unless others have them now.
func (d *directory) remove(ways ...*way) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, w := range ways {
		if w.path != nil && d.byPath[w.path] == w {
			delete(d.byPath, w.path)
		}
		if w.path == nil && d.byAddr[w.addr] == w {
			delete(d.byAddr, w.addr)
		}
	}
}
