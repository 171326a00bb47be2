package signal

import "encoding/json"

// Subprotocol is the WebSocket subprotocol; a connection without it is refused.
const Subprotocol = "conclave.v1"

// Type names the body of an envelope.
type Type string

// Messages of a client.
const (
	TypeHello   Type = "hello"
	TypeJoin    Type = "join"
	TypeCreate  Type = "create"
	TypeCommit  Type = "commit"
	TypeMessage Type = "message" // both ways
	TypeOffer   Type = "offer"
	TypeView    Type = "view"
	TypeMute    Type = "mute"
	TypeLeave   Type = "leave"
)

// Messages of the server.
const (
	TypeReady       Type = "ready"
	TypeLog         Type = "log"
	TypeParticipant Type = "participant"
	TypeGone        Type = "gone"
	TypeAppended    Type = "appended"
	TypeAnswer      Type = "answer"
	TypeSlots       Type = "slots"
	TypeMediaDown   Type = "media-down"
	TypeError       Type = "error"
)

// Envelope is one message as it travels.
type Envelope struct {
	Type Type `json:"type"`
	// ID is a client's number for a message that it wants answered.
	ID uint32 `json:"id,omitempty"`
	// Re is the ID that an answer answers.
	Re   uint32          `json:"re,omitempty"`
	Body json.RawMessage `json:"body,omitempty" tstype:"unknown"`
}
