package signal

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// ClientBody is the body of a message that a client may send.
type ClientBody interface {
	// Validate returns nil or an [*Error] whose text names the field that is wrong.
	Validate() error
}

// FromClient is a decoded message of a client.
type FromClient struct {
	Type Type
	ID   uint32
	Body ClientBody // a pointer to the struct that Type names
}

// FromServer is a decoded message of the server.
type FromServer struct {
	Type Type
	Re   uint32
	Body any // a pointer to the struct that Type names
}

// newClientBody returns an empty body for a message of a client, or nil.
func newClientBody(t Type) ClientBody {
	switch t {
	case TypeHello:
		return new(Hello)
	case TypeJoin:
		return new(Join)
	case TypeCreate:
		return new(Create)
	case TypeCommit:
		return new(Commit)
	case TypeMessage:
		return new(Message)
	case TypeOffer:
		return new(Offer)
	case TypeView:
		return new(View)
	case TypeMute:
		return new(Mute)
	case TypeLeave:
		return new(Leave)
	}
	return nil
}

// newServerBody returns an empty body for a message of the server, or nil.
func newServerBody(t Type) any {
	switch t {
	case TypeReady:
		return new(Ready)
	case TypeLog:
		return new(Log)
	case TypeParticipant:
		return new(Participant)
	case TypeParticipants:
		return new(Participants)
	case TypeGone:
		return new(Gone)
	case TypeMessage:
		return new(Message)
	case TypeAppended:
		return new(Appended)
	case TypeAnswer:
		return new(Answer)
	case TypeSlots:
		return new(Slots)
	case TypeDemand:
		return new(Demand)
	case TypeMediaDown:
		return new(MediaDown)
	case TypeError:
		return new(Error)
	}
	return nil
}

// typeOf names the type of a body, given as pointer or value; "" if it is none.
func typeOf(body any) Type {
	switch body.(type) {
	case Hello, *Hello:
		return TypeHello
	case Join, *Join:
		return TypeJoin
	case Create, *Create:
		return TypeCreate
	case Commit, *Commit:
		return TypeCommit
	case Message, *Message:
		return TypeMessage
	case Offer, *Offer:
		return TypeOffer
	case View, *View:
		return TypeView
	case Mute, *Mute:
		return TypeMute
	case Leave, *Leave:
		return TypeLeave
	case Ready, *Ready:
		return TypeReady
	case Log, *Log:
		return TypeLog
	case Participant, *Participant:
		return TypeParticipant
	case Participants, *Participants:
		return TypeParticipants
	case Gone, *Gone:
		return TypeGone
	case Appended, *Appended:
		return TypeAppended
	case Answer, *Answer:
		return TypeAnswer
	case Slots, *Slots:
		return TypeSlots
	case Demand, *Demand:
		return TypeDemand
	case MediaDown, *MediaDown:
		return TypeMediaDown
	case Error, *Error:
		return TypeError
	}
	return ""
}

// DecodeClient decodes and validates a message of a client. The error is an
// [*Error]; as far as the envelope was readable, Type and ID are set nevertheless,
// so that the error can be sent as an answer. The body does not refer to frame.
func DecodeClient(frame []byte) (FromClient, error) {
	env, err := decodeEnvelope(frame)
	if err != nil {
		return FromClient{}, err
	}
	msg := FromClient{Type: env.Type, ID: env.ID}
	body := newClientBody(env.Type)
	if body == nil {
		return msg, unknownType()
	}
	if err := decodeBody(env, body); err != nil {
		return msg, err
	}
	if err := body.Validate(); err != nil {
		return msg, err
	}
	msg.Body = body
	return msg, nil
}

// DecodeServer decodes a message of the server. The error is an [*Error]; a client
// ignores one with [CodeUnknownType]. The body does not refer to frame.
func DecodeServer(frame []byte) (FromServer, error) {
	env, err := decodeEnvelope(frame)
	if err != nil {
		return FromServer{}, err
	}
	msg := FromServer{Type: env.Type, Re: env.Re, Body: newServerBody(env.Type)}
	if msg.Body == nil {
		return msg, unknownType()
	}
	return msg, decodeBody(env, msg.Body)
}

// EncodeClient encodes a message of a client. With id 0 no answer is asked for.
func EncodeClient(id uint32, body ClientBody) ([]byte, error) {
	return encode(Envelope{ID: id}, body)
}

// EncodeServer encodes a message of the server; re is the id of what it answers, or 0.
func EncodeServer(re uint32, body any) ([]byte, error) {
	return encode(Envelope{Re: re}, body)
}

// sealed is an [Envelope] whose body is not yet JSON: one encoding, not two.
type sealed struct {
	Type Type   `json:"type"`
	ID   uint32 `json:"id,omitempty"`
	Re   uint32 `json:"re,omitempty"`
	Body any    `json:"body"`
}

func encode(env Envelope, body any) ([]byte, error) {
	t := typeOf(body)
	if t == "" {
		return nil, fmt.Errorf("encode %T: not a message", body)
	}
	frame, err := json.Marshal(sealed{Type: t, ID: env.ID, Re: env.Re, Body: body})
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", t, err)
	}
	return frame, nil
}

func decodeEnvelope(frame []byte) (env Envelope, err error) {
	if err := json.Unmarshal(frame, &env); err != nil {
		return Envelope{}, badJSON(err)
	}
	if env.Type == "" {
		return Envelope{}, badField("type", "is missing")
	}
	return env, nil
}

// decodeBody decodes a body, which may be left out where it has no fields to set.
func decodeBody(env Envelope, body any) error {
	if len(env.Body) == 0 {
		if env.Type == TypeLeave {
			return nil
		}
		return badField("body", "is missing")
	}
	if !bytes.HasPrefix(env.Body, []byte("{")) {
		return badField("body", "must be an object")
	}
	if err := json.Unmarshal(env.Body, body); err != nil {
		return badJSON(err)
	}
	return nil
}

// badJSON says where decoding failed. Nothing of the message's values is repeated.
func badJSON(err error) *Error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) && wrong.Field != "" {
		return badField(wrong.Field, "has the wrong JSON type or range")
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return &Error{Code: CodeBadMessage, Message: fmt.Sprintf("not JSON, near byte %d", syntax.Offset)}
	}
	return &Error{Code: CodeBadMessage, Message: "not a message: a JSON value or its base64 is malformed"}
}

func unknownType() *Error {
	return &Error{Code: CodeUnknownType, Message: "no such message type"}
}
