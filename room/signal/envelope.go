package signal

import "encoding/json"

// Subprotocol is the WebSocket subprotocol; a connection without it is refused.
const Subprotocol = "conclave.v1"

// Type names the body of an envelope.
type Type string

// The types of messages: those of a client, those of the server, and [Message],
// which goes both ways.
const (
	TypeHello   Type = "hello"
	TypeJoin    Type = "join"
	TypeCreate  Type = "create"
	TypeCommit  Type = "commit"
	TypeOffer   Type = "offer"
	TypeView    Type = "view"
	TypeMute    Type = "mute"
	TypeLeave   Type = "leave"
	TypeMessage Type = "message"

	TypeReady        Type = "ready"
	TypeLog          Type = "log"
	TypeParticipant  Type = "participant"
	TypeParticipants Type = "participants"
	TypeGone         Type = "gone"
	TypeAppended     Type = "appended"
	TypeAnswer       Type = "answer"
	TypeSlots        Type = "slots"
	TypeDemand       Type = "demand"
	TypeMediaDown    Type = "media-down"
	TypeError        Type = "error"
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

//tygo:emit
var _ = `/** ClientMessage is what a client sends. */
export type ClientMessage = { id?: number } & (
  | { type: "hello"; body: Hello }
  | { type: "join"; body: Join }
  | { type: "create"; body: Create }
  | { type: "commit"; body: Commit }
  | { type: "offer"; body: Offer }
  | { type: "view"; body: View }
  | { type: "mute"; body: Mute }
  | { type: "leave"; body: Leave }
  | { type: "message"; body: Message }
);
/** ServerMessage is what the server sends; re is the id of what it answers. */
export type ServerMessage = { re?: number } & (
  | { type: "ready"; body: Ready }
  | { type: "log"; body: Log }
  | { type: "participant"; body: Participant }
  | { type: "participants"; body: Participants }
  | { type: "gone"; body: Gone }
  | { type: "message"; body: Message }
  | { type: "appended"; body: Appended }
  | { type: "answer"; body: Answer }
  | { type: "slots"; body: Slots }
  | { type: "demand"; body: Demand }
  | { type: "media-down"; body: MediaDown }
  | { type: "error"; body: Error }
);
`
