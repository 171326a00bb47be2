package sfu

import (
	"fmt"
	"strings"

	"github.com/pion/webrtc/v4"
)

// slotTrack is how Pion sees a slot.
type slotTrack struct {
	down *downTrack
	kind webrtc.RTPCodecType
	// codec is the one that is forwarded, for the kind.
	codec string
}

func newSlotTrack(s section) *slotTrack {
	t := &slotTrack{kind: webrtc.NewRTPCodecType(s.kind.String()), codec: webrtc.MimeTypeOpus}
	t.down = &downTrack{mid: s.mid, midExtension: s.extensions.mid}
	if s.kind == videoKind {
		t.codec, t.down.video = webrtc.MimeTypeVP8, true
	}
	return t
}

// Bind is called when the negotiation has found the codecs.
func (t *slotTrack) Bind(ctx webrtc.TrackLocalContext) (webrtc.RTPCodecParameters, error) {
	codecs := ctx.CodecParameters()
	for _, codec := range codecs {
		if !strings.EqualFold(codec.MimeType, t.codec) {
			continue
		}
		return codec, t.down.bind(ctx.WriteStream(), uint32(ctx.SSRC()), uint32(ctx.SSRCRetransmission()),
			uint8(codec.PayloadType), retransmissionType(codecs, codec.PayloadType))
	}
	return webrtc.RTPCodecParameters{}, fmt.Errorf("%w: no %s for slot %q", ErrBadOffer, t.codec, t.down.mid)
}

// retransmissionType is the payload type of RTX for another one (RFC 4588, Section
// 8.6), or 0.
func retransmissionType(codecs []webrtc.RTPCodecParameters, of webrtc.PayloadType) uint8 {
	apt := fmt.Sprintf("apt=%d", of)
	for _, codec := range codecs {
		if strings.EqualFold(codec.MimeType, webrtc.MimeTypeRTX) && codec.SDPFmtpLine == apt {
			return uint8(codec.PayloadType)
		}
	}
	return 0
}

// Unbind is called when the slot ends. Writing to it then fails.
func (t *slotTrack) Unbind(webrtc.TrackLocalContext) error { return nil }

// ID names the track in the answer.
func (t *slotTrack) ID() string { return t.down.mid }

// StreamID names the slot's stream. Each has its own: what belongs together
// changes.
func (t *slotTrack) StreamID() string { return "slot-" + t.down.mid }

// RID is empty: a slot has one encoding.
func (t *slotTrack) RID() string { return "" }

// Kind is audio or video.
func (t *slotTrack) Kind() webrtc.RTPCodecType { return t.kind }
