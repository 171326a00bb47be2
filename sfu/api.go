package sfu

import (
	"errors"
	"fmt"
	"net/netip"

	"go.uber.org/zap"
)

// Config says where and how a [Node] serves.
type Config struct {
	// Listen is the UDP address of all media. Port 0 lets the kernel choose one; an
	// unspecified address serves every interface.
	Listen netip.AddrPort
	// NodeIPs are the addresses that answers name as candidates, for a node behind
	// NAT or with several addresses. Empty: the addresses of the interfaces that
	// Listen covers, loopback included.
	NodeIPs []netip.Addr
	// Limits bound what each participant may cause.
	Limits Limits
	// Logger takes joins and leaves (info), oddities (warn) and one line a
	// negotiation (debug), never a packet. Nil logs nothing.
	Logger *zap.Logger
	// Tap sees every RTP payload as it was received, before it is forwarded. It is
	// for tests that look for frames in clear, and nil in production. It is called
	// from the goroutine of the received stream and must not keep Payload.
	Tap func(Tapped)
	// Foreign takes packets to the media port that are no media: STUN that is no
	// connectivity check, and TURN's channels (RFC 8656, Section 12). It is called by the
	// media loop, must not block, and must not keep packet. To is our address that it was
	// sent to, the zero Addr if there is one only. Nil drops them.
	Foreign func(packet []byte, from netip.AddrPort, to netip.Addr)
}

// Tapped is what Config.Tap sees of a packet.
type Tapped struct {
	Room, Participant string
	Source            Source
	// Payload is the RTP payload as received; it is valid during the call only.
	Payload []byte
}

// Limits are those of each participant, in bits a second of media, with its headers and
// retransmissions: on average, and a second's worth of video, or two of audio, at once. 0 is no limit.
type Limits struct {
	// Incoming bounds what is taken of what a participant sends, Outgoing what it is sent.
	Incoming, Outgoing int64
}

// Source names what a publication shows. Its number is the SFrame context of its
// frames.
type Source uint8

// The four sources of a participant.
const (
	Mic Source = iota
	Camera
	Screen
	ScreenAudio
	numSources = 4
)

var sourceNames = [numSources]string{"mic", "camera", "screen", "screen-audio"}

// String gives the name that the signalling uses.
func (s Source) String() string {
	if s >= numSources {
		return fmt.Sprintf("source(%d)", uint8(s))
	}
	return sourceNames[s]
}

// ParseSource is the inverse of [Source.String].
func ParseSource(name string) (Source, bool) {
	for s, n := range sourceNames {
		if n == name {
			return Source(s), true
		}
	}
	return 0, false
}

// Audio says whether the source is heard rather than seen.
func (s Source) Audio() bool { return s == Mic || s == ScreenAudio }

// Offer is an SDP offer of a participant's one PeerConnection (RFC 8829).
type Offer struct {
	// Connection numbers the PeerConnection, from 1. A higher one replaces the one
	// before; the same one renegotiates.
	Connection uint32
	SDP        string
	// Sources says what each sendonly media section (by mid) carries.
	Sources map[string]Source
}

// Want is one video that a participant wants to see.
type Want struct {
	Participant string
	Source      Source
	// Width and Height are the shown size in device pixels.
	Width, Height int
	// Priority orders the wants when there are too few slots: higher first, then
	// as listed.
	Priority int
}

// Slot is a recvonly media section of a participant and what it carries.
type Slot struct {
	MID         string
	Participant string
	Source      Source
}

// Demand says what of a video that the participant publishes somebody watches. The rest
// need not be sent.
type Demand struct {
	Source Source
	// Watched says that anybody watches at all.
	Watched bool
	// RIDs are the encodings of a simulcast that are wanted, in no order.
	RIDs []string
	// Height is that of the largest picture in pixels in which one stream with several
	// spatial layers is shown; 0 for any, and for other streams.
	Height int
}

// Events is what a [Transport] reports. The calls come one at a time, in order,
// from a goroutine of the transport; they never delay media. A nil function is
// skipped. Reports of a whole may be merged: a slow function sees the latest.
type Events struct {
	// Published says which sources of the participant are received, as a whole.
	Published func([]Source)
	// Slots says what the participant's slots carry, as a whole. A slot that
	// carries nothing is not listed.
	Slots func(connection uint32, slots []Slot)
	// Demand says what of the participant's videos is watched, as a whole. A new
	// PeerConnection begins with all of it.
	Demand func(connection uint32, demand []Demand)
	// Down says that a PeerConnection failed; the participant should offer a new
	// one under a higher number. The error wraps [ErrMediaFailed].
	Down func(connection uint32, err error)
}

// Errors of the package. They come wrapped with what was tried.
var (
	// ErrBadOffer: the offer is malformed, too large or asks for what is not served.
	ErrBadOffer = errors.New("bad offer")
	// ErrStaleConnection: the offer's Connection is lower than one offered before.
	ErrStaleConnection = errors.New("stale connection")
	// ErrClosed: the node or the transport is closed.
	ErrClosed = errors.New("closed")
	// ErrAlreadyJoined: the participant has a transport in this room.
	ErrAlreadyJoined = errors.New("already joined")
	// ErrFull: the node holds as many transports as it may.
	ErrFull = errors.New("full")
	// ErrMediaFailed: ICE or DTLS failed or timed out.
	ErrMediaFailed = errors.New("media failed")
)
