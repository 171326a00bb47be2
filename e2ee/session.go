package e2ee

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// Errors of [New] and [Session.Step]. None of them is the room's doing: they are
// mistakes of the caller.
var (
	ErrConfig   = errors.New("e2ee: config is not usable")
	ErrName     = errors.New("e2ee: display name is not usable")
	ErrInput    = errors.New("e2ee: input does not fit")
	errSkeleton = errors.New("e2ee: not available in this build")
)

// Config is what a [Session] is made of.
type Config struct {
	Link Link
	// PID is fresh and random for each session.
	PID PID
	// Name is the display name; see [CheckName].
	Name string
	// Rand is the only source of randomness. It must be cryptographically secure
	// outside of tests.
	Rand io.Reader
}

// Session is one participant's side of the encrypted meeting. It does no I/O, has no
// clock and starts no goroutine; it is not safe for concurrent use.
type Session struct {
	cfg Config
}

// New returns a session that waits for [LogOpened].
func New(cfg Config) (*Session, error) {
	if err := cfg.Link.check(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConfig, err)
	}
	return &Session{cfg: cfg}, nil
}

// Step takes one input.
func (s *Session) Step(now time.Time, in Input) error { return errSkeleton }

// Poll returns the next output.
func (s *Session) Poll() (Output, bool) { return nil, false }

// Deadline is when the next [Tick] is due.
func (s *Session) Deadline() time.Time { return time.Time{} }
