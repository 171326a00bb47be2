package sfu

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/conclave-sfu/conclave/sfu/packetcache"
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
		var types [numCodecs]payloadTypes
		of := codecVP8
		if t.kind == webrtc.RTPCodecTypeAudio {
			of = codecOpus
		}
		types[of] = payloadTypes{uint8(codec.PayloadType), retransmissionType(codecs, codec.PayloadType)}
		w := newPionWriter(ctx.WriteStream(), t.down.mid, t.down.midExtension)
		w.ssrc, w.rtxSSRC = uint32(ctx.SSRC()), uint32(ctx.SSRCRetransmission())
		t.down.bind(w, w.ssrc, w.rtxSSRC, types)
		return codec, nil
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

// pionWriter writes a slot's packets by Pion.
type pionWriter struct {
	stream        webrtc.TrackLocalWriter
	ssrc, rtxSSRC uint32
	header        rtp.Header
	rtx           struct {
		header  rtp.Header
		payload [packetcache.MaxPacket + 2]byte
	}
}

func newPionWriter(stream webrtc.TrackLocalWriter, mid string, midExtension uint8) *pionWriter {
	w := &pionWriter{stream: stream, header: rtp.Header{Version: 2}}
	w.rtx.header.Version = 2
	if midExtension != 0 {
		if midExtension > 14 || len(mid) > 16 {
			w.header.Extension, w.header.ExtensionProfile = true, rtp.ExtensionProfileTwoByte
		}
		_ = w.header.SetExtension(midExtension, []byte(mid)) // an offer's mid always fits
	}
	return w
}

func (w *pionWriter) writeMedia(o *outgoing) bool {
	h := &w.header
	h.SSRC, h.PayloadType, h.SequenceNumber, h.Timestamp, h.Marker = w.ssrc, o.payloadType, o.seq, o.stamp, o.marker
	_, err := w.stream.WriteRTP(h, o.payload)
	return err == nil
}

func (w *pionWriter) writeRTX(o *outgoing, osn uint16) bool {
	binary.BigEndian.PutUint16(w.rtx.payload[:], osn)
	n := 2 + copy(w.rtx.payload[2:], o.payload)
	h := &w.rtx.header
	h.SequenceNumber++
	h.SSRC, h.PayloadType, h.Timestamp, h.Marker = w.rtxSSRC, o.payloadType, o.stamp, o.marker
	_, err := w.stream.WriteRTP(h, w.rtx.payload[:n])
	return err == nil
}
