//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/offer"
)

// What a publisher sends: video of 1.5 Mbit/s at 30 frames a second, audio of 50
// packets a second.
const (
	frameInterval = time.Second / 30
	frameSize     = 1_500_000 / 8 / 30 // bytes, on average
	packetSize    = 1100               // bytes of a payload, at most
	audioInterval = 20 * time.Millisecond
	audioSize     = 100 // bytes, on average
)

// publication is a stream that a client sends.
type publication struct {
	client    *client
	audio     bool
	size      int           // of a frame in bytes, on average
	interval  time.Duration // between frames
	step      uint32        // the same by the stream's clock
	header    rtp.Header
	transport *uint16 // the transport-wide sequence number, of all streams of the client
	random    *rand.Rand
	packets   uint32
	octets    uint32
	sealed    [][]byte
	plain     []byte
}

// newPublication sends at so many times the usual rate.
func newPublication(c *client, s offer.Section, mid int, transport *uint16, rate float64, seed uint64) *publication {
	p := &publication{
		client: c, audio: s.Audio, size: frameSize, transport: transport,
		random: rand.New(rand.NewPCG(seed, uint64(s.SSRC))), plain: make([]byte, maxDatagram),
	}
	p.header = rtp.Header{
		Version: 2, SSRC: s.SSRC, PayloadType: offer.VP8,
		SequenceNumber: uint16(p.random.Uint32()), Timestamp: p.random.Uint32(),
	}
	_ = p.header.SetExtension(offer.MID, []byte(strconv.Itoa(mid)))
	_ = p.header.SetExtension(offer.TransportCC, []byte{0, 0})
	if s.Audio {
		p.header.PayloadType, p.size = offer.Opus, audioSize
		_ = p.header.SetExtension(offer.Level, []byte{30})
	}
	clock := 90000.0
	p.interval = frameInterval
	if s.Audio {
		clock, p.interval = 48000, audioInterval
	}
	p.interval = time.Duration(float64(p.interval) / rate)
	p.step = uint32(clock * p.interval.Seconds())
	return p
}

// run sends until ctx ends, beginning at a random place of its interval.
func (p *publication) run(ctx context.Context) {
	p.repeat(ctx, p.interval, func(due time.Time) time.Time {
		p.send()
		return due.Add(p.interval)
	}, nil, nil)
}

// repeat calls send until ctx ends: at first within a time, then when it says, given when it was due. What
// comes by hurry moves that: hurried is given when send is due, and says when instead. Both may be nil.
func (p *publication) repeat(ctx context.Context, within time.Duration, send func(due time.Time) time.Time,
	hurry <-chan struct{}, hurried func(due time.Time) time.Time) {
	due := time.Now().Add(time.Duration(p.random.Int64N(int64(within))))
	timer := time.NewTimer(time.Until(due))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-hurry:
			due = hurried(due)
		case <-timer.C:
			due = send(due)
		}
		timer.Reset(time.Until(due))
	}
}

// send sends one frame.
func (p *publication) send() {
	c := p.client
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sealer == nil {
		return
	}
	sizes := []int{p.size*4/5 + p.random.IntN(p.size*2/5)}
	p.header.Timestamp += p.step
	if !p.audio {
		sizes = split(p.size*3/4+p.random.IntN(p.size/2), packetSize)
	}
	keyFrame := !p.audio && c.keyFrames.Swap(false)
	p.sealed = p.sealed[:0]
	sent := time.Now().UnixNano()
	for i, size := range sizes {
		p.seal(size, i == 0, i == len(sizes)-1, keyFrame, sent)
	}
	_ = c.writeAll(p.sealed...)
}

// seal adds one packet to those to be sent.
func (p *publication) seal(size int, first, last, keyFrame bool, sent int64) {
	h := &p.header
	h.SequenceNumber++
	h.Marker = last && !p.audio
	*p.transport++
	binary.BigEndian.PutUint16(h.GetExtension(offer.TransportCC), *p.transport)
	n, err := h.MarshalTo(p.plain)
	if err != nil {
		return
	}
	payload := p.plain[n : n+size]
	payload[0], payload[1] = 0, 1 // the VP8 descriptor; a frame that is no key frame
	if first {
		payload[0] = 0x10 // a frame begins
		if keyFrame {
			payload[1] = 0
		}
	}
	stamp{sent, h.SSRC}.write(payload)
	sealed, err := p.client.sealer.EncryptRTP(nil, p.plain[:n+size], nil)
	if err != nil {
		return
	}
	p.sealed = append(p.sealed, sealed)
	p.packets++
	p.octets += uint32(size)
}

// senderReport says which timestamp the stream has now (RFC 3550, Section 6.4.1).
func (p *publication) senderReport(now time.Time) rtcp.Packet {
	const epoch = 2208988800
	ntp := uint64(now.Unix()+epoch)<<32 | uint64(now.Nanosecond())<<32/uint64(time.Second)
	return &rtcp.SenderReport{
		SSRC: p.header.SSRC, NTPTime: ntp, RTPTime: p.header.Timestamp,
		PacketCount: p.packets, OctetCount: p.octets,
	}
}

// split gives the sizes of a frame's packets about equally, the larger ones last, as
// browsers do.
func split(size, most int) []int {
	n := (size + most - 1) / most
	sizes := make([]int, n)
	for i := range sizes {
		sizes[i] = size / n
		if i >= n-size%n {
			sizes[i]++
		}
	}
	return sizes
}
