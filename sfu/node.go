package sfu

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/conclave-sfu/conclave/sfu/batchconn"
)

// maxTransports is how many participants a node takes, in all rooms.
const maxTransports = 10000

// Node forwards the media of all rooms through one UDP port.
type Node struct {
	// Immutable.
	sockets  []*batchconn.Socket // one for each loop
	loops    []*loop
	shared   *egress // of goroutines that are no loop
	byPath   *egress // of those who call Receive
	writers  *writers
	ways     *directory
	identity identity
	nodeIPs  []netip.Addr
	foreign  func([]byte, netip.AddrPort, netip.Addr)
	limits   Limits
	log      *zap.Logger
	tap      func(Tapped)
	born     time.Time
	// patience is how long a PeerConnection may take to connect.
	patience time.Duration
	// parkAfter is how long the goroutines of a handshake outlive it.
	parkAfter time.Duration
	// negotiating holds a token for each offer that is being answered. Half of the
	// processors are for packets whatever is offered.
	negotiating chan struct{}

	// background are the goroutines that end PeerConnections.
	background tasks
	// forwarding are the media loops.
	forwarding sync.WaitGroup
	// feedbacks counts the reports of receivers on what arrives, probes the packets that
	// were sent to find out what else would.
	feedbacks, probes atomic.Uint64
	// pathBytes counts what went by Paths, in bytes.
	pathBytes atomic.Uint64
	// ended sums the counters of streams that have ended, and of packets of none.
	ended counters
	// candidates are those that answers name; nil for those of the sockets.
	candidates atomic.Pointer[[]Candidate]

	once sync.Once // of release

	mu         sync.Mutex
	closed     bool
	rooms      map[string]*room
	transports int
}

// New opens the port and serves until [Node.Close].
func New(cfg Config) (*Node, error) {
	log := cfg.Logger
	if log == nil {
		log = zap.NewNop()
	}
	for _, ip := range cfg.NodeIPs {
		if !ip.IsValid() || ip.IsUnspecified() {
			return nil, fmt.Errorf("sfu: node address %s is none to be reached by", ip)
		}
	}
	identity, err := newIdentity()
	if err != nil {
		return nil, fmt.Errorf("sfu: make a certificate: %w", err)
	}
	sockets, err := batchconn.Listen(cfg.Listen, loopsFor(runtime.GOMAXPROCS(0)))
	if err != nil {
		return nil, fmt.Errorf("sfu: %w", err)
	}
	n := &Node{
		sockets: sockets, ways: newDirectory(), identity: identity, nodeIPs: cfg.NodeIPs, foreign: cfg.Foreign,
		shared: &egress{batch: batchconn.NewBatch(sockets[0], asideBatch)}, byPath: &egress{batch: batchconn.NewBatch(sockets[0], asideBatch)},
		limits: cfg.Limits, log: log, tap: cfg.Tap, born: time.Now(), patience: connectTimeout, parkAfter: parkAfter, rooms: map[string]*room{},
		negotiating: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
	}
	n.writers = newWriters(runtime.GOMAXPROCS(0)-1, n.now, n.writerEgress)
	for _, s := range sockets {
		l := newLoop(n, s)
		l.setPatience()
		n.loops = append(n.loops, l)
	}
	for _, l := range n.loops {
		n.forwarding.Go(l.run)
	}
	return n, nil
}

// writerEgress is that of the i-th writer.
func (n *Node) writerEgress(i int) *egress {
	return &egress{batch: batchconn.NewBatch(n.sockets[i%len(n.sockets)], writerBatch)}
}

// loopsFor is how many media loops serve so many processors.
func loopsFor(processors int) int { return max(1, processors/2) }

// flushShared sends what was written by goroutines that are no loop.
func (n *Node) flushShared() {
	n.shared.mu.Lock()
	defer n.shared.mu.Unlock()
	if n.shared.batch != nil {
		n.shared.batch.Flush()
	}
}

// Addr is the UDP address that the node listens on.
func (n *Node) Addr() netip.AddrPort {
	a := n.sockets[0].LocalAddr()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// now is the node's clock: nanoseconds since it began.
func (n *Node) now() int64 { return int64(time.Since(n.born)) }

// Join opens a transport for a participant of a room; participants of the same
// room see each other's publications. It does not block. It fails with
// [ErrAlreadyJoined], [ErrFull] or [ErrClosed].
func (n *Node) Join(roomID, participant string, ev Events) (*Transport, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	fail := func(err error) (*Transport, error) {
		return nil, fmt.Errorf("sfu: join %q as %q: %w", roomID, participant, err)
	}
	if n.closed {
		return fail(ErrClosed)
	}
	if n.transports >= maxTransports {
		return fail(ErrFull)
	}
	r := n.rooms[roomID]
	if r == nil {
		r = newRoom(n, roomID)
		n.rooms[roomID] = r
	}
	t, ok := r.join(participant, ev)
	if !ok {
		return fail(ErrAlreadyJoined)
	}
	n.transports++
	n.log.Info("media joined", zap.String("room", roomID), zap.String("participant", participant))
	return t, nil
}

// left is called once for each transport that has been closed. The last ones of a room
// may come at once, and when another room has taken its id.
func (n *Node) left(r *room, participant string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.transports--
	if n.rooms[r.id] == r && r.empty() {
		delete(n.rooms, r.id)
		r.stop()
	}
	n.log.Info("media left", zap.String("room", r.id), zap.String("participant", participant))
}

// Stats is a snapshot of the node's counters.
func (n *Node) Stats() Stats {
	n.mu.Lock()
	defer n.mu.Unlock()
	var sum counters
	sum.add(&n.ended)
	var publications, slots int
	for _, r := range n.rooms {
		p, s := r.count(&sum)
		publications, slots = publications+p, slots+s
	}
	s := sum.stats()
	for _, r := range n.rooms {
		r.countBudgets(&s)
	}
	s.Feedbacks, s.ProbePackets = n.feedbacks.Load(), n.probes.Load()
	for _, r := range n.rooms {
		r.countLayers(&s.LayerSlots)
	}
	for _, r := range n.rooms {
		r.countQueues(&s)
	}
	n.countSockets(&s)
	s.BackgroundTasks = n.background.running()
	s.Rooms, s.Transports, s.Publications, s.Slots = len(n.rooms), n.transports, publications, slots
	return s
}

// Close ends all transports and the port. It returns when all PeerConnections have
// ended; no event follows.
func (n *Node) Close() error {
	n.mu.Lock()
	n.closed = true
	var open []*Transport
	for _, r := range n.rooms {
		open = append(open, r.members()...)
	}
	n.mu.Unlock()
	for _, t := range open {
		t.Close()
		t.settle()
	}
	n.background.Wait()
	for _, socket := range n.sockets {
		socket.Close()
	}
	n.forwarding.Wait()
	n.background.Wait()
	n.writers.stop()
	return n.release()
}

// release frees the sockets. Nobody receives any more; who still sends is told.
func (n *Node) release() (err error) {
	for _, e := range []*egress{n.shared, n.byPath} {
		e.mu.Lock()
		e.batch = nil
		e.mu.Unlock()
	}
	n.once.Do(func() {
		for _, socket := range n.sockets {
			err = errors.Join(err, socket.Release())
		}
	})
	return err
}
