package room

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/conclave-sfu/conclave/room/signal"
)

// Errors of [Registry.Connect] and [Registry.Locate].
var (
	ErrRoomName     = errors.New("room name is not valid")
	ErrStopped      = errors.New("server is stopping")
	ErrTooManyRooms = errors.New("too many rooms")
	ErrServerFull   = errors.New("too much for this server")
	ErrElsewhere    = errors.New("room lives on another node")
)

// Locator maps a room to the node on which it lives, for its log has one writer.
type Locator interface {
	// Locate returns the base URL of the room's node, or "" if it is this one.
	Locate(ctx context.Context, room string) (string, error)
}

// Config is what a [Registry] needs.
type Config struct {
	// Media forwards the rooms' media.
	Media Media
	// Locator says which rooms live here; all do if it is nil.
	Locator Locator
	// Now is the server's clock; time.Now if nil.
	Now func() time.Time
	// Rand gives tokens and log ids; crypto/rand if nil.
	Rand io.Reader
	// ICEServers gives the relays for a participant, with fresh credentials; none if nil. It
	// must not block, and takes calls at the same time.
	ICEServers func(signal.PID) []signal.ICEServer
	// Grace is how long a lost connection can be resumed; 15 s if 0.
	Grace time.Duration
	// MaxRooms bounds the rooms; 1000 if 0.
	MaxRooms int
	// MaxParticipants bounds each room; signal.MaxParticipants if 0.
	MaxParticipants int
	// MaxTotal bounds the participants of all rooms; 10,000 if 0. Those whose connection is being
	// made, or replaced, count too.
	MaxTotal int
	// Admit, if set, may refuse who would be one more participant, beside these bounds. Who resumes is
	// not asked about. It must not block, and takes calls at the same time.
	Admit func() error
	// Observe, if set, is told what happens, for logs and metrics. The rooms' goroutines
	// call it: it must not block, and takes calls at the same time.
	Observe func(Event)
}

// Registry holds the rooms of this node. Its methods may be called from any goroutine.
type Registry struct {
	// Immutable.
	cfg     Config
	done    chan struct{} // closed when the registry stops
	running sync.WaitGroup

	// Guarded by mu.
	mu      sync.Mutex
	rooms   map[string]*room
	lastID  connID
	stopped bool
}

// NewRegistry returns a registry without rooms.
func NewRegistry(cfg Config) *Registry {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	cfg.Grace = cmp.Or(cfg.Grace, 15*time.Second)
	cfg.MaxRooms = cmp.Or(cfg.MaxRooms, 1000)
	cfg.MaxTotal = cmp.Or(cfg.MaxTotal, 10000)
	cfg.MaxParticipants = min(cmp.Or(cfg.MaxParticipants, signal.MaxParticipants), signal.MaxParticipants)
	return &Registry{cfg: cfg, done: make(chan struct{}), rooms: map[string]*room{}}
}

func (g *Registry) limits() limits {
	return limits{participants: g.cfg.MaxParticipants, grace: g.cfg.Grace, log: defaultLogLimits}
}

// Locate returns nil if a room lives here, [ErrElsewhere] with the other node's URL, or
// [ErrRoomName].
func (g *Registry) Locate(ctx context.Context, name string) error {
	if !signal.ValidRoomName(name) {
		return fmt.Errorf("locate room %.80q: %w", name, ErrRoomName)
	}
	if g.cfg.Locator == nil {
		return nil
	}
	node, err := g.cfg.Locator.Locate(ctx, name)
	if err != nil {
		return fmt.Errorf("locate room %q: %w", name, err)
	}
	if node != "" {
		return fmt.Errorf("locate room %q: %w: %s", name, ErrElsewhere, node)
	}
	return nil
}

// Connect gives a room its first message of a connection, decoded and valid, and id, its
// number. The room is opened if it does not exist. It fails with [ErrRoomName], [ErrStopped],
// [ErrTooManyRooms] or [ErrServerFull]. Whether the room takes the hello
// comes by [Connection.Next]. Connect waits while the room has too much to do.
func (g *Registry) Connect(ctx context.Context, name string, id uint32, hello *signal.Hello) (*Connection, error) {
	if !signal.ValidRoomName(name) {
		return nil, fmt.Errorf("connect to room %.80q: %w", name, ErrRoomName)
	}
	cmd := helloed{id: id, hello: hello}
	if g.cfg.ICEServers != nil {
		cmd.iceServers = g.cfg.ICEServers(hello.PID)
	}
	c, err := g.open(name, &cmd)
	if err != nil {
		g.refused(name, hello.PID, err)
		return nil, fmt.Errorf("connect to room %q: %w", name, err)
	}
	select {
	case c.room.inbox <- inboxItem{cmd: cmd, conn: c}:
		return c, nil
	case <-ctx.Done():
		g.closed(c.room)
		c.room.mail.wake() // it may have no reason left to exist
		return nil, fmt.Errorf("connect to room %q: %w", name, ctx.Err())
	}
}

// open makes a connection to a room, which from then on is kept for it, and fills in
// what cmd needs of us.
func (g *Registry) open(name string, cmd *helloed) (*Connection, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopped {
		return nil, ErrStopped
	}
	if err := g.admit(cmd.hello); err != nil {
		return nil, err
	}
	if err := g.randomise(cmd); err != nil {
		return nil, err
	}
	r := g.rooms[name]
	if r == nil {
		if len(g.rooms) >= g.cfg.MaxRooms {
			return nil, ErrTooManyRooms
		}
		r = newRoom(name, g)
		g.rooms[name] = r
		g.running.Go(r.run)
	}
	r.connections++
	g.lastID++
	cmd.conn = g.lastID
	return &Connection{id: g.lastID, room: r, out: newOutbox()}, nil
}

// admit says whether the server takes one more participant. The caller holds mu.
func (g *Registry) admit(hello *signal.Hello) error {
	if hello.Resume != nil {
		return nil
	}
	total := 0
	for _, r := range g.rooms {
		total += max(int(r.size.Load()), r.connections)
	}
	if total >= g.cfg.MaxTotal {
		return fmt.Errorf("%w: %d participants", ErrServerFull, total)
	}
	if g.cfg.Admit == nil {
		return nil
	}
	if err := g.cfg.Admit(); err != nil {
		return fmt.Errorf("%w: %w", ErrServerFull, err)
	}
	return nil
}

// refused tells of somebody for whom the server has no place.
func (g *Registry) refused(name string, pid signal.PID, err error) {
	if g.cfg.Observe != nil && (errors.Is(err, ErrServerFull) || errors.Is(err, ErrTooManyRooms)) {
		g.cfg.Observe(Event{Kind: Refused, Room: name, PID: pid, Err: err})
	}
}

// randomise draws a resume token and a log id.
func (g *Registry) randomise(cmd *helloed) error {
	var token [32]byte
	if _, err := io.ReadFull(g.cfg.Rand, token[:]); err != nil {
		return fmt.Errorf("read randomness: %w", err)
	}
	if _, err := io.ReadFull(g.cfg.Rand, cmd.logID[:]); err != nil {
		return fmt.Errorf("read randomness: %w", err)
	}
	cmd.token = base64.RawURLEncoding.EncodeToString(token[:])
	return nil
}

// closed takes back a connection of a room.
func (g *Registry) closed(r *room) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r.connections--
}

// retire removes a room unless a connection needs it.
func (g *Registry) retire(r *room) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r.connections > 0 {
		return false
	}
	delete(g.rooms, r.name)
	return true
}

// Stats is what a registry holds.
type Stats struct {
	Rooms, Participants int
}

// Stats counts.
func (g *Registry) Stats() Stats {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := Stats{Rooms: len(g.rooms)}
	for _, r := range g.rooms {
		s.Participants += int(r.size.Load())
	}
	return s
}

// Done is closed when the registry stops.
func (g *Registry) Done() <-chan struct{} { return g.done }

// Close ends all connections with code shutdown and all media sessions, and waits until
// every room has ended, which is when its connections are closed, or until ctx ends.
func (g *Registry) Close(ctx context.Context) error {
	for _, r := range g.stop() {
		select {
		case r.inbox <- inboxItem{cmd: stopped{}}:
		case <-r.ended:
		case <-ctx.Done():
			return fmt.Errorf("stop room %q: %w", r.name, ctx.Err())
		}
	}
	ended := make(chan struct{})
	go func() {
		g.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for the rooms to end: %w", ctx.Err())
	}
}

// stop takes no more connections and returns the rooms.
func (g *Registry) stop() (rooms []*room) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.stopped {
		g.stopped = true
		close(g.done)
	}
	for _, r := range g.rooms {
		rooms = append(rooms, r)
	}
	return rooms
}
