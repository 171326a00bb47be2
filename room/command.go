package room

import (
	"github.com/conclave-sfu/conclave/room/signal"
)

// connID numbers the connections of a registry; 0 is none.
type connID uint64

// seatID numbers the participations of a room; a pid that comes again, in another
// log, has another.
type seatID uint64

// command is what happened to a room: the argument of [state.apply].
type command interface{ isCommand() }

// helloed says that a connection sent its first message. The randomness is for what
// the hello may begin: a participation, and a log if the room has none.
type helloed struct {
	conn  connID
	id    uint32
	hello *signal.Hello
	token string
	logID logID
	// iceServers are told to the client; their credentials are its own.
	iceServers []signal.ICEServer
}

// received says that a connection sent a further message, decoded and valid.
type received struct {
	conn connID
	id   uint32
	body signal.ClientBody
}

// lost says that a connection is no more. ended: its client closed it to leave.
type lost struct {
	conn  connID
	ended bool
}

// ticked says that the time of [state.deadline] has come.
type ticked struct{}

// stopped says that the server stops.
type stopped struct{}

// attachFailed answers attach.
type attachFailed struct{ seat seatID }

// answered answers offer: by an answer or a refusal.
type answered struct {
	seat    seatID
	conn    connID
	id      uint32
	answer  signal.Answer
	refusal *signal.Error
}

// published, slotted, demanded and downed are the events of a media session.
type published struct {
	seat    seatID
	sources []signal.Source
}

type slotted struct {
	seat  seatID
	slots signal.Slots
}

type demanded struct {
	seat   seatID
	demand signal.Demand
}

type downed struct {
	seat seatID
	down signal.MediaDown
}

func (helloed) isCommand()      {}
func (received) isCommand()     {}
func (lost) isCommand()         {}
func (ticked) isCommand()       {}
func (stopped) isCommand()      {}
func (attachFailed) isCommand() {}
func (answered) isCommand()     {}
func (published) isCommand()    {}
func (slotted) isCommand()      {}
func (demanded) isCommand()     {}
func (downed) isCommand()       {}

// effect is what the shell has to do: a result of [state.apply]. Effects are in order.
type effect interface{ isEffect() }

// send gives one message to some connections.
type send struct {
	to   []connID
	re   uint32
	body any
	// waited says that it has waited for others already, and goes at once.
	waited bool
}

// catchUp gives a connection what it has not seen: entries, then the roster, then what
// was last said of its media. It may be long, so it is encoded as it is written.
type catchUp struct {
	conn     connID
	pid      signal.PID
	joinedAt uint64
	lists    bool // the client takes several participants at a time
	records  []*record
	roster   []signal.Participant
	media    []any
}

// hangUp ends a connection: with an error, or, with nil, because its participant left.
type hangUp struct {
	conn connID
	why  *signal.Error
}

// attach opens a participation's media session; detach closes it.
type attach struct {
	seat seatID
	pid  signal.PID
}

type detach struct{ seat seatID }

// offer, view and mute are for a media session. Only offer is answered.
type offer struct {
	seat  seatID
	conn  connID
	id    uint32
	offer signal.Offer
}

type view struct {
	seat seatID
	view signal.View
}

type mute struct {
	seat   seatID
	source signal.Source
	muted  bool
}

// observe tells the observer.
type observe struct{ event Event }

func (send) isEffect()    {}
func (catchUp) isEffect() {}
func (hangUp) isEffect()  {}
func (attach) isEffect()  {}
func (detach) isEffect()  {}
func (offer) isEffect()   {}
func (view) isEffect()    {}
func (mute) isEffect()    {}
func (observe) isEffect() {}
