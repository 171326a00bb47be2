package room

import (
	"context"

	"github.com/conclave-sfu/conclave/room/signal"
)

// Media is what a room asks of a forwarder. It never sees a PeerConnection, and the
// forwarder never sees a room's log.
type Media interface {
	// Attach opens a media session for one participant of one room. It does not
	// block. Participants attached under the same room id see each other's tracks.
	Attach(roomID string, pid signal.PID, events MediaEvents) (MediaSession, error)
}

// MediaSession is one participant's media. Its methods may be called from any
// goroutine; only Offer may block.
type MediaSession interface {
	// Offer answers an offer. A higher Connection replaces the PeerConnection.
	Offer(ctx context.Context, offer signal.Offer) (signal.Answer, error)
	// View replaces what the participant wants to see.
	View(view signal.View)
	// Mute says that a source sends nothing for now.
	Mute(source signal.Source, muted bool)
	// Close ends the session. No event follows its return.
	Close()
}

// MediaEvents is what a media session reports. The calls come from the forwarder's
// goroutines, one at a time, and must not block.
type MediaEvents interface {
	// Published says which sources of the participant are received, as a whole.
	Published(sources []signal.Source)
	// Slots says what the participant's slots carry, as a whole.
	Slots(slots signal.Slots)
	// Demand says what of the participant's videos is watched, as a whole.
	Demand(demand signal.Demand)
	// Down says that a PeerConnection failed; the participant should offer a new one.
	Down(down signal.MediaDown)
}
