package client

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/conclave-sfu/conclave/room/signal"
)

// inboxSize bounds the events that wait for the loop. Senders wait when it is full.
const inboxSize = 128

// Client is one participant of a meeting. Its methods may be called from any
// goroutine.
type Client struct {
	// Immutable.
	cfg   Config
	keys  *keyring
	inbox chan event
	stop  chan struct{} // closed by Close
	// joined is closed when the participant is a member and its media is connected.
	joined chan struct{}
	done   chan struct{} // closed when all has ended
	count  counters

	stopOnce sync.Once
	ctx      context.Context // of all goroutines
	cancel   context.CancelFunc
	running  sync.WaitGroup

	mu     sync.Mutex
	roster Roster // Guarded by mu.
	err    error  // Guarded by mu. Set before done is closed.
}

// Join joins a meeting, and returns when the participant is a member of the group and
// its media is connected. ctx is for joining only: the client then lives until
// [Client.Close], or until [Client.Done] says that it has ended by itself.
func Join(ctx context.Context, cfg Config) (*Client, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	c := &Client{
		cfg:    cfg,
		keys:   newKeyring(),
		inbox:  make(chan event, inboxSize),
		stop:   make(chan struct{}),
		joined: make(chan struct{}),
		done:   make(chan struct{}),
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	l, err := newLoop(c)
	if err != nil {
		c.cancel()
		return nil, err
	}
	go l.run()
	select {
	case <-c.joined:
		return c, nil
	case <-c.done:
		return nil, fmt.Errorf("join %s: %w", cfg.Link.Page(), c.Err())
	case <-ctx.Done():
		_ = c.Close()
		return nil, fmt.Errorf("join %s: %w", cfg.Link.Page(), ctx.Err())
	}
}

// Close leaves the meeting and returns when every goroutine of the client has ended.
// Its error is what had ended the client before, if anything did.
func (c *Client) Close() error {
	c.stopOnce.Do(func() { close(c.stop) })
	<-c.done
	if err := c.Err(); !errors.Is(err, ErrClosed) {
		return err
	}
	return nil
}

// Done is closed when the client has ended; [Client.Err] says why.
func (c *Client) Done() <-chan struct{} { return c.done }

// Err is why the client has ended: [ErrClosed] after Close; nil while it lives.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Roster is the group as it is now, empty before the first epoch.
func (c *Client) Roster() Roster {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.roster
}

// Stats are the counters as they are now.
func (c *Client) Stats() Stats { return c.count.snapshot() }

// Mute stops a track, or lets it go on with a key frame, and tells the room.
func (c *Client) Mute(source signal.Source, muted bool) { c.post(mute{source, muted}) }

// NetworkChanged says that the network is another one: media looks for a way through it at
// once, by a restart of ICE on the same PeerConnection. Without it the client does so two
// seconds after its PeerConnection was disconnected.
func (c *Client) NetworkChanged() { c.post(networkChanged{}) }

// post hands an event to the loop. It reports false if the client has ended.
func (c *Client) post(e event) bool {
	select {
	case c.inbox <- e:
		return true
	case <-c.ctx.Done():
		return false
	}
}

func (c *Client) setRoster(r Roster) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.roster = r
}

// end says why the client has ended. The first reason stays.
func (c *Client) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
	}
}
