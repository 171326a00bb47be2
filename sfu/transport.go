package sfu

import (
	"context"
	"fmt"
	"slices"
)

// maxWants is how many videos a view may name.
const maxWants = 100

// Transport is one participant's media: at most one PeerConnection at a time.
// Its methods may be called from any goroutine; only Answer may block.
type Transport struct {
	// Immutable.
	room        *room
	participant string
	events      *notifier
	// negotiating holds a token while an offer is answered.
	negotiating chan struct{}

	// incoming is the ceiling of what the participant sends, outgoing that of what it is sent.
	// For any goroutine.
	incoming, outgoing ceiling

	// Guarded by the room's lock.
	connection *connection // nil for none
	highest    uint32      // Connection number of the latest offer that was answered
	wants      []Want
	// stale says that the video slots are to be mapped anew, deaf that those for audio are, unsteady
	// that what the path takes is to be shared anew among the former.
	stale, deaf, unsteady bool

	views  bucket             // that are worth a mapping at once
	asks   map[pubKey]*bucket // for key frames, by what is asked for
	muted  [numSources]bool
	closed bool
}

// Answer answers an offer. Offers of one transport are answered one after the
// other, those of a node some at a time. It fails with [ErrBadOffer], [ErrStaleConnection], [ErrClosed] or the
// error of ctx. Where the offer was for a PeerConnection that exists, a failure of
// the negotiation ends that PeerConnection: offer a new one.
//
// Slots may be reported before Answer returns.
func (t *Transport) Answer(ctx context.Context, o Offer) (string, error) {
	answer, err := t.answer(ctx, o)
	if err != nil {
		return "", fmt.Errorf("sfu: offer for connection %d: %w", o.Connection, err)
	}
	return answer, nil
}

func (t *Transport) answer(ctx context.Context, o Offer) (string, error) {
	p, err := parseOffer(o)
	if err != nil {
		return "", err
	}
	for _, turn := range []chan struct{}{t.negotiating, t.room.node.negotiating} {
		select {
		case turn <- struct{}{}:
			defer func() { <-turn }()
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
	present, err := t.connectionFor(o.Connection)
	if err != nil {
		return "", err
	}
	if present != nil {
		return t.renegotiate(present, p)
	}
	return t.connect(ctx, o.Connection, p)
}

// connectionFor gives the connection that an offer renegotiates, or nil if it is
// for a new one.
func (t *Transport) connectionFor(number uint32) (*connection, error) {
	t.room.mu.Lock()
	defer t.room.mu.Unlock()
	switch {
	case t.closed:
		return nil, ErrClosed
	case number > t.highest:
		return nil, nil
	case number < t.highest || t.connection == nil:
		return nil, fmt.Errorf("%w: the latest is %d", ErrStaleConnection, t.highest)
	}
	return t.connection, nil
}

// connect makes a new PeerConnection, which replaces the one before.
func (t *Transport) connect(ctx context.Context, number uint32, p plan) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	c := newConnection(t, number)
	answer, added, err := c.negotiate(p)
	if err == nil {
		err = t.room.replaceConnection(t, c, p, added)
	}
	if err != nil {
		c.closeLater()
		return "", err
	}
	c.expectConnected()
	return answer, nil
}

func (t *Transport) renegotiate(c *connection, p plan) (string, error) {
	if err := c.mayBecome(p); err != nil {
		return "", fmt.Errorf("%w: %w", ErrBadOffer, err)
	}
	answer, added, err := c.negotiate(p)
	if err != nil {
		c.fail(err)
		return "", err
	}
	t.room.extendConnection(c, p, added)
	c.explore()
	return answer, nil
}

// View replaces what the participant wants to see. Wants beyond the first 100 are
// ignored, as are those of the participant's own.
func (t *Transport) View(wants []Want) {
	wants = slices.Clone(wants[:min(len(wants), maxWants)])
	t.room.setView(t, wants)
}

// Mute says that a source sends nothing for now, or sends again. A muted source
// holds no slot.
func (t *Transport) Mute(source Source, muted bool) {
	if source >= numSources {
		return
	}
	t.room.setMuted(t, source, muted)
}

// Close ends the transport. It waits for an event that is being delivered, so it
// must not be called from one; none follows. The PeerConnection is torn down in
// the background.
func (t *Transport) Close() {
	if t.room.leave(t) {
		t.room.node.left(t.room, t.participant)
	}
	t.events.close()
}

// settle waits for an offer that is being answered. After Close no further one is.
func (t *Transport) settle() {
	t.negotiating <- struct{}{}
	<-t.negotiating
}
