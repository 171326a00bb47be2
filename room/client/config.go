package client

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"go.uber.org/zap"

	"github.com/conclave-sfu/conclave/e2ee"
	"github.com/conclave-sfu/conclave/e2ee/framecrypt"
	"github.com/conclave-sfu/conclave/e2ee/sframe"
	"github.com/conclave-sfu/conclave/room/signal"
)

// Errors of [Join] and [Client.Err]. They come wrapped with what was tried.
var (
	// ErrConfig: the configuration cannot be used.
	ErrConfig = errors.New("client: config is not usable")
	// ErrRefused: the room refused the participant for good. The text has its code.
	ErrRefused = errors.New("client: refused by the room")
	// ErrUnreachable: the server could not be reached for as long as it was tried.
	ErrUnreachable = errors.New("client: server is unreachable")
	// ErrProtocol: the server sent what the protocol does not allow.
	ErrProtocol = errors.New("client: protocol violated by the server")
	// ErrEnded: the encrypted session ended and cannot go on.
	ErrEnded = errors.New("client: session ended")
	// ErrClosed: the client was closed.
	ErrClosed = errors.New("client: closed")
)

// Pool sizes. The client starts with few slots and offers more when it needs them.
const (
	defaultVideoSlots = 4
	defaultAudioSlots = 3
	maxVideoSlots     = signal.MaxWants
	maxAudioSlots     = 32
	slotStep          = 4 // slots that an offer adds at least
)

// The size in pixels that a client without a View asks for.
const (
	viewWidth  = 640
	viewHeight = 360
)

// Config says who joins what, and what it sends and receives.
type Config struct {
	Link e2ee.Link
	// Name is the display name, shown to the others.
	Name string
	// Publish are the tracks to send, at most one a source.
	Publish []Track
	// VideoSlots and AudioSlots are how many tracks can be received without another
	// offer; the pool grows with the publications that there are. 0: a few.
	VideoSlots, AudioSlots int
	// View chooses what to see among those who are here, in the order that they came.
	// Nil: every camera and screen. It is called by the client's loop and must not block.
	View func([]signal.Participant) []signal.Want
	// OnFrame takes every frame that was opened. It is called by the goroutine of the
	// slot, so several at a time, and must not block. Nil: frames are only counted.
	OnFrame func(Frame)
	// OnRoster, if set, is told each epoch that begins. It is called by the client's loop
	// and must not block.
	OnRoster func(Roster)
	// Way is how media goes; empty: by UDP.
	Way Way
	// Route, if set, leads media through a relay: it is told where the server's media is,
	// and gives where to send instead. It is called by the client's loop.
	Route func(server netip.AddrPort) (netip.AddrPort, error)
	// Logger takes joins, losses and what is odd. Nil logs nothing.
	Logger *zap.Logger
}

// Track is a source that a participant publishes. Next is called by the goroutine of
// the track, never twice at a time.
type Track struct {
	Source signal.Source
	// Codec is framecrypt.VP8 for video, framecrypt.Opus for audio.
	Codec framecrypt.Codec
	// Next gives the next frame. keyFrame asks that it be a key frame, since somebody
	// cannot decode: audio ignores it. The track ends with an empty sample of no
	// duration.
	Next func(keyFrame bool) Sample
	// Sent, if set, is told under which KID and CTR the last sample was sealed, before
	// it is written to the network.
	Sent func(Sealed)
	// Layers, if there are any, are the encodings of a video's simulcast, lowest first;
	// Next and Sent of the track are not used then. Upper layers are not sent, nor asked
	// for key frames, while the path does not bear them.
	Layers []Layer
}

// Layer is one encoding of a simulcast. Its functions are called by a goroutine of the
// layer.
type Layer struct {
	// RID names the layer (RFC 8851).
	RID  string
	Next func(keyFrame bool) Sample
	Sent func(Sealed)
}

// Sample is one encoded frame.
type Sample struct {
	// Data is not changed and not kept.
	Data []byte
	// Ticks is the duration on the codec's RTP clock: 90 kHz for video, 48 kHz for Opus.
	Ticks uint32
	// Loudness of audio in dB above the lowest that a header extension can say (RFC 6464),
	// 0 for silence, to 127.
	Loudness uint8
}

// Sealed says what a frame was sealed under.
type Sealed struct {
	KID   sframe.KID
	Epoch framecrypt.Epoch
	CTR   sframe.CTR
}

// Frame is a frame that was opened.
type Frame struct {
	// From is the member whose leaf is in the frame's KID.
	From   e2ee.Member
	Source signal.Source
	Codec  framecrypt.Codec
	Sealed
	// Timestamp is the RTP timestamp in the slot.
	Timestamp uint32
	// MID is the slot.
	MID string
	// Received is when the frame was complete and open.
	Received time.Time
	// Key says that it is a key frame. Decodable, that a decoder could show it: nothing is
	// missing since the last key frame. Of audio both are true.
	Key, Decodable bool
	// Data is valid until OnFrame returns.
	Data []byte
}

// Roster is the group as MLS has it.
type Roster struct {
	Epoch        framecrypt.Epoch
	Own          framecrypt.Leaf
	Members      []e2ee.Member
	SafetyNumber string
}

// check fills in what was left out.
func (c *Config) check() error {
	if c.Logger == nil {
		c.Logger = zap.NewNop()
	}
	if c.VideoSlots == 0 {
		c.VideoSlots = defaultVideoSlots
	}
	if c.AudioSlots == 0 {
		c.AudioSlots = defaultAudioSlots
	}
	if c.VideoSlots < 0 || c.VideoSlots > maxVideoSlots || c.AudioSlots < 0 || c.AudioSlots > maxAudioSlots {
		return fmt.Errorf("%w: %d video and %d audio slots, at most %d and %d",
			ErrConfig, c.VideoSlots, c.AudioSlots, maxVideoSlots, maxAudioSlots)
	}
	if !c.Way.Valid() {
		return fmt.Errorf("%w: way %q", ErrConfig, c.Way)
	}
	if c.View == nil {
		c.View = viewAll
	}
	return checkTracks(c.Publish)
}

func checkTracks(tracks []Track) error {
	seen := make(map[signal.Source]bool)
	for _, t := range tracks {
		ctx, ok := contextOf(t.Source)
		switch {
		case !ok || seen[t.Source]:
			return fmt.Errorf("%w: source %q unknown or given twice", ErrConfig, t.Source)
		case t.Next == nil && len(t.Layers) == 0:
			return fmt.Errorf("%w: %s has no Next", ErrConfig, t.Source)
		case !layersFit(t):
			return fmt.Errorf("%w: %s has %d layers, not all of them with a RID and Next of their own", ErrConfig, t.Source, len(t.Layers))
		case t.Codec != codecFor(ctx):
			return fmt.Errorf("%w: %s with codec %d", ErrConfig, t.Source, t.Codec)
		}
		seen[t.Source] = true
	}
	return nil
}

// maxLayers is how many encodings browsers send.
const maxLayers = 3

func layersFit(t Track) bool {
	rids := make(map[string]bool)
	for _, l := range t.Layers {
		if l.RID == "" || l.Next == nil || rids[l.RID] {
			return false
		}
		rids[l.RID] = true
	}
	return len(t.Layers) == 0 || !t.Codec.Audio() && len(t.Layers) <= maxLayers
}

// contextOf is the SFrame context of a source.
func contextOf(s signal.Source) (framecrypt.Context, bool) {
	for ctx := framecrypt.Mic; ctx <= framecrypt.ScreenAudio; ctx++ {
		if ctx.String() == string(s) {
			return ctx, true
		}
	}
	return 0, false
}

// codecFor is the one codec that this client has for audio, and for video.
func codecFor(ctx framecrypt.Context) framecrypt.Codec {
	if ctx.Audio() {
		return framecrypt.Opus
	}
	return framecrypt.VP8
}

// viewAll wants every video of everyone.
func viewAll(here []signal.Participant) []signal.Want {
	var wants []signal.Want
	for _, p := range here {
		for _, pub := range p.Publications {
			if ctx, ok := contextOf(pub.Source); ok && !ctx.Audio() {
				wants = append(wants, signal.Want{PID: p.PID, Source: pub.Source, Width: viewWidth, Height: viewHeight})
			}
		}
	}
	return wants
}
