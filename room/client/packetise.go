package client

import (
	"math/rand/v2"

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
)

// maxRTP bounds an RTP packet in bytes, header included: with the header extensions,
// the SRTP tag and the headers below it a packet, and its retransmission, stay within
// 1,280 bytes, IPv6's smallest MTU.
const maxRTP = 1180

// packetiser cuts sealed frames into RTP packets. To it a frame is opaque bytes.
// Payload type and SSRC are set by the track that the packets are written to.
type packetiser struct {
	payloader rtp.Payloader
	video     bool
	sequence  uint16
	timestamp uint32
}

func newPacketiser(video bool) *packetiser {
	p := &packetiser{
		video:     video,
		sequence:  uint16(rand.Uint32()),
		timestamp: rand.Uint32(),
		payloader: &codecs.OpusPayloader{},
	}
	if video {
		p.payloader = &codecs.VP8Payloader{EnablePictureID: true}
	}
	return p
}

// packets makes the packets of one frame. The marker bit is on the last packet of a
// video frame; Opus has it at the start of a talk spurt only (RFC 7587, Section 4.1),
// and a clip is one.
func (p *packetiser) packets(frame []byte) []*rtp.Packet {
	payloads := p.payloader.Payload(maxRTP-12, frame)
	packets := make([]*rtp.Packet, len(payloads))
	for i, payload := range payloads {
		packets[i] = &rtp.Packet{
			Header: rtp.Header{
				Version:        2,
				Marker:         p.video && i == len(payloads)-1,
				SequenceNumber: p.sequence,
				Timestamp:      p.timestamp,
			},
			Payload: payload,
		}
		p.sequence++
	}
	return packets
}

// paddingSize is the most that a packet without payload holds, in bytes (RFC 3550,
// Section 5.1), and has on the wire but for its header.
const paddingSize = 255

// padding makes so many packets of nothing else.
func (p *packetiser) padding(n int) []*rtp.Packet {
	packets := make([]*rtp.Packet, n)
	for i := range packets {
		packets[i] = &rtp.Packet{Header: rtp.Header{
			Version: 2, Padding: true, PaddingSize: paddingSize,
			SequenceNumber: p.sequence, Timestamp: p.timestamp,
		}}
		p.sequence++
	}
	return packets
}

// advance moves the timestamp by ticks of the codec's RTP clock.
func (p *packetiser) advance(ticks uint32) { p.timestamp += ticks }
