package room

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/conclave-sfu/conclave/room/signal"
)

// Errors of [Registry.Connect].
var (
	ErrRoomName     = errors.New("room name is not valid")
	ErrClosed       = errors.New("server is stopping")
	ErrTooManyRooms = errors.New("too many rooms")
)

// Config is what a [Registry] needs.
type Config struct {
	// Media forwards the rooms' media.
	Media Media
	// Now is the server's clock; time.Now if nil.
	Now func() time.Time
	// Rand gives tokens and log ids; crypto/rand if nil.
	Rand io.Reader
	// Grace is how long a lost connection can be resumed; 15 s if 0.
	Grace time.Duration
	// MaxRooms bounds the rooms; 1000 if 0.
	MaxRooms int
	// MaxParticipants bounds each room; signal.MaxParticipants if 0.
	MaxParticipants int
	// Observe, if set, is told what happens, for logs and metrics. It is called by the
	// rooms' goroutines and must not block.
	Observe func(Event)
}

// Event is something that happened in a room.
type Event struct {
	Room string
	PID  signal.PID
	Kind string
}

// Registry holds the rooms of this node.
type Registry struct{ cfg Config }

// NewRegistry returns a registry without rooms.
func NewRegistry(cfg Config) *Registry { return &Registry{cfg: cfg} }

// Connect opens a connection to a room by its first message.
func (g *Registry) Connect(ctx context.Context, name string, id uint32, hello signal.Hello) (*Connection, error) {
	return nil, ErrClosed
}

// Close stops all rooms.
func (g *Registry) Close(ctx context.Context) error { return nil }

// Connection is one participant's end of a room.
type Connection struct{}
