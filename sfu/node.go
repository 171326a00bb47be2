package sfu

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"github.com/pion/webrtc/v4"
	"go.uber.org/zap"
)

// maxTransports is how many participants a node takes, in all rooms.
const maxTransports = 10000

// Node forwards the media of all rooms through one UDP port.
type Node struct {
	// Immutable.
	mux  *udpMux
	api  *webrtc.API
	log  *zap.Logger
	tap  func(Tapped)
	born time.Time
	// patience is how long a PeerConnection may take to connect.
	patience time.Duration
	// negotiating holds a token for each offer that is being answered. Half of the
	// processors are for packets whatever is offered.
	negotiating chan struct{}

	// background are the goroutines that end PeerConnections.
	background sync.WaitGroup
	// ended sums the counters of streams that have ended.
	ended counters

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
	mux, err := listen(cfg, log)
	if err != nil {
		return nil, fmt.Errorf("sfu: %w", err)
	}
	api, err := newAPI(mux, log)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("sfu: configure: %w", err), mux.Close())
	}
	return &Node{
		mux: mux, api: api, log: log, tap: cfg.Tap,
		born: time.Now(), patience: connectTimeout, rooms: map[string]*room{},
		negotiating: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
	}, nil
}

// Addr is the UDP address that the node listens on.
func (n *Node) Addr() netip.AddrPort {
	a := n.mux.socket.AddrPort()
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
	sent := n.mux.conn.Stats()
	s.SendMessages, s.SendCalls = sent.Messages, sent.Calls
	s.Dropped[reasonNames[dropSendError]] += sent.Failed
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
	return n.mux.Close()
}
