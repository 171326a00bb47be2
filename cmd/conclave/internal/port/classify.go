package port

import "encoding/binary"

// use is what a connection is for.
type use uint8

const (
	forNothing use = iota
	forTLS
	forHTTP
	forClearHTTP // where HTTPS is spoken
	forTURN
	forICE
	forSTUN // TURN or ICE
)

// useOf tells by the first byte. STUN messages, and the lengths of those that a packet can
// hold, begin with a small one.
func useOf(first byte) use {
	switch {
	case first == 0x16:
		return forTLS
	case first >= 'A' && first <= 'Z':
		return forHTTP
	case first < 0x06:
		return forSTUN
	}
	return forNothing
}

const (
	stunPeek    = 10 // bytes
	magicCookie = 0x2112A442
	// bindingRequest is the type of a connectivity check (RFC 8489, Section 6).
	bindingRequest = 0x0001
)

// useOfSTUN tells TURN from ICE by where the magic cookie is: in the fifth to eighth byte of a
// STUN message (RFC 8489, Section 5), before which ICE has two bytes of length.
func useOfSTUN(head [stunPeek]byte) use {
	switch {
	case binary.BigEndian.Uint32(head[4:]) == magicCookie:
		return forTURN
	case binary.BigEndian.Uint32(head[6:]) == magicCookie && binary.BigEndian.Uint16(head[2:]) == bindingRequest:
		return forICE
	}
	return forNothing
}
