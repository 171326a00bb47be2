package client

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"github.com/conclave-sfu/conclave/e2ee/framecrypt"
	"github.com/conclave-sfu/conclave/room/signal"
)

// maxBehind is how far a track may fall behind its clock before it goes on from now
// rather than sending a burst.
const maxBehind = 500 * time.Millisecond

// uplink sends one track, in one encoding or in several. It outlives a PeerConnection.
type uplink struct {
	// Immutable.
	track   Track
	context framecrypt.Context
	keys    *keyring
	count   *counters
	layers  []*encoding // lowest first

	muted atomic.Bool
	// labels and path are those of the PeerConnection that there is; nil before the first.
	labels atomic.Pointer[labels]
	path   atomic.Pointer[congestion]
}

// encoding is one layer of a track: it takes samples at their time, seals and packetises
// them.
type encoding struct {
	// Immutable.
	*uplink
	Layer
	place int // among the layers
	local *webrtc.TrackLocalStaticRTP
	write func(*rtp.Packet) error // to local; its error says that nobody is bound

	wantKey   atomic.Bool // a key frame was asked for
	unwatched atomic.Bool // nobody watches the layer

	// Owned by run.
	packets *packetiser
	sealed  []byte
	above   bool // the layer above was sent too
	// successor is when a key frame is due for those who saw the layer above; zero for never.
	successor time.Time
}

func newUplink(t Track, keys *keyring, count *counters) (*uplink, error) {
	ctx, _ := contextOf(t.Source)
	u := &uplink{track: t, context: ctx, keys: keys, count: count}
	layers := t.Layers
	if len(layers) == 0 {
		layers = []Layer{{Next: t.Next, Sent: t.Sent}}
	}
	for i, l := range layers {
		e, err := newEncoding(u, i, l)
		if err != nil {
			return nil, err
		}
		u.layers = append(u.layers, e)
	}
	return u, nil
}

func newEncoding(u *uplink, place int, l Layer) (*encoding, error) {
	var options []func(*webrtc.TrackLocalStaticRTP)
	if l.RID != "" {
		options = append(options, webrtc.WithRTPStreamID(l.RID))
	}
	local, err := webrtc.NewTrackLocalStaticRTP(capabilityOf(u.track.Codec), string(u.track.Source), "conclave", options...)
	if err != nil {
		return nil, fmt.Errorf("make a track for %s: %w", u.track.Source, err)
	}
	e := &encoding{
		uplink: u, Layer: l, place: place, local: local, write: local.WriteRTP,
		packets: newPacketiser(!u.context.Audio()),
	}
	e.wantKey.Store(true)
	return e, nil
}

// run sends until ctx is done or the track ends. It waits for start first.
func (e *encoding) run(ctx context.Context, start <-chan struct{}) {
	select {
	case <-start:
	case <-ctx.Done():
		return
	}
	rate := time.Duration(e.local.Codec().ClockRate)
	due := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		sample := e.Next(e.succeeds(time.Now()) || e.wantKey.Swap(false))
		if sample.Ticks == 0 {
			return
		}
		e.send(sample)
		due = due.Add(time.Duration(sample.Ticks) * time.Second / rate)
		if now := time.Now(); now.Sub(due) > maxBehind {
			due = now
		}
		timer.Reset(time.Until(due))
	}
}

// askKeyFrames has every layer go on with a key frame.
func (u *uplink) askKeyFrames() {
	for _, e := range u.layers {
		e.wantKey.Store(true)
	}
}

// demand takes what somebody watches of the track; nil for all of it.
func (u *uplink) demand(d *signal.SourceDemand) {
	for _, e := range u.layers {
		watched := d == nil || d.Watched && (e.RID == "" || slices.Contains(d.RIDs, e.RID))
		e.unwatched.Store(!watched)
	}
}

// silent says whether the layer is not sent for now.
func (e *encoding) silent() bool {
	return e.muted.Load() || e.unwatched.Load() || e.place >= e.path.Load().allowed()
}

// succession is when after a layer has stopped, since the path is full, the layer below
// sends a key frame for those who saw it: before that there is no room.
const succession = 200 * time.Millisecond

// succeeds says whether to go on with such a key frame now.
func (e *encoding) succeeds(now time.Time) bool {
	above := e.place+1 < min(len(e.layers), e.path.Load().allowed())
	switch {
	case above || e.silent():
		e.successor = time.Time{}
	case e.above:
		e.successor = now.Add(succession)
	}
	e.above = above
	due := !e.successor.IsZero() && !now.Before(e.successor)
	if due {
		e.successor = time.Time{}
	}
	return due
}

// send seals a sample and writes its packets. Without a key it is dropped, and the
// next one has to be a key frame.
func (e *encoding) send(sample Sample) {
	defer e.packets.advance(sample.Ticks)
	if e.silent() {
		e.wantKey.Store(true)
		return
	}
	sealed, by, err := e.keys.seal(e.sealed[:0], e.context, e.track.Codec, sample.Data)
	if err != nil {
		e.count.unsent.Add(1)
		e.wantKey.Store(true)
		return
	}
	e.sealed = sealed
	if e.Sent != nil && len(sealed) > 0 {
		e.Sent(by)
	}
	e.path.Load().wrote(e.place, e.put(e.packets.packets(sealed), sample.Loudness))
	e.count.sent.Add(1)
	e.pad(time.Now())
}

// put labels and writes packets, and gives their size in bytes.
func (e *encoding) put(packets []*rtp.Packet, loudness uint8) (size int) {
	l := e.labels.Load()
	for _, p := range packets {
		l.put(&p.Header, e.RID, loudness, e.context.Audio())
		size += p.MarshalSize()
		_ = e.write(p) // fails only where a PeerConnection has just closed
	}
	return size
}

// pad sends a train of padding with the lowest layer of a simulcast if one is due.
func (e *encoding) pad(now time.Time) {
	if e.place == 0 && len(e.layers) > 1 {
		e.put(e.packets.padding(e.path.Load().padding(paddingSize, now)), 0)
	}
}

// feedback reads what the forwarder says of the layer, until the sender ends. The
// interceptors below answer the NACKs, and take what is said of the path.
func (e *encoding) feedback(sender *webrtc.RTPSender) {
	for {
		packets, _, err := sender.ReadSimulcastRTCP(e.RID)
		if err != nil {
			return
		}
		e.answer(packets)
	}
}

func (e *encoding) answer(packets []rtcp.Packet) {
	for _, p := range packets {
		switch p.(type) {
		case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
			e.count.keyFramesAsked.Add(1)
			e.wantKey.Store(true)
		}
	}
}

// labels are the header extensions (RFC 8285) that say what a packet belongs to, and how
// loud it is. An id of 0 was not negotiated.
type labels struct {
	midID, ridID, levelID uint8
	mid                   string
}

// labelsOf reads what was negotiated for a transceiver.
func labelsOf(t *webrtc.RTPTransceiver) *labels {
	l := &labels{mid: t.Mid()}
	for _, e := range t.Sender().GetParameters().HeaderExtensions {
		switch e.URI {
		case sdp.SDESMidURI:
			l.midID = uint8(e.ID)
		case sdp.SDESRTPStreamIDURI:
			l.ridID = uint8(e.ID)
		case sdp.AudioLevelURI:
			l.levelID = uint8(e.ID)
		}
	}
	return l
}

// put labels a packet; nil puts nothing.
func (l *labels) put(h *rtp.Header, rid string, loudness uint8, audio bool) {
	if l == nil {
		return
	}
	set := func(id uint8, value []byte) {
		if id != 0 && len(value) > 0 {
			_ = h.SetExtension(id, value) // fails for values longer than the form bears
		}
	}
	set(l.midID, []byte(l.mid))
	if audio {
		set(l.levelID, []byte{levelOf(loudness)})
		return
	}
	set(l.ridID, []byte(rid))
}

// levelOf is the octet of an audio level (RFC 6464, Section 3): the top bit says that
// it is speech, the others how far below the loudest it is, in dB.
func levelOf(loudness uint8) byte {
	if loudness == 0 {
		return 127
	}
	return 0x80 | 127 - min(loudness, 127)
}
