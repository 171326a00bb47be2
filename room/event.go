package room

import "github.com/conclave-sfu/conclave/room/signal"

// EventKind says what an [Event] is.
type EventKind string

// The kinds of events.
const (
	Opened      EventKind = "room opened"
	Closed      EventKind = "room closed"
	Arrived     EventKind = "participant arrived"
	Refused     EventKind = "participant refused" // the server has no place; Err says of what
	Away        EventKind = "participant away"    // its connection is lost
	Resumed     EventKind = "participant resumed" // on another connection
	Left        EventKind = "participant left"
	Slow        EventKind = "connection dropped as too slow"
	MediaFailed EventKind = "media failed"
	Broken      EventKind = "message could not be encoded" // our bug
)

// Event is something that happened in a room. It holds nothing secret.
type Event struct {
	Kind EventKind
	Room string
	PID  signal.PID // empty if it is about the room
	// Participants is how many are in the room now.
	Participants int
	Err          error // may be nil
}
