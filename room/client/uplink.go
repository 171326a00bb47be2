package client

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"github.com/conclave-sfu/conclave/e2ee/framecrypt"
)

// maxBehind is how far a track may fall behind its clock before it goes on from now
// rather than sending a burst.
const maxBehind = 500 * time.Millisecond

// uplink sends one track: it takes samples at their time, seals and packetises them.
// It outlives a PeerConnection.
type uplink struct {
	// Immutable.
	track   Track
	context framecrypt.Context
	local   *webrtc.TrackLocalStaticRTP
	keys    *keyring
	count   *counters
	write   func(*rtp.Packet) error // to local; its error says that nobody is bound

	wantKey atomic.Bool // a key frame was asked for
	muted   atomic.Bool

	// Owned by run.
	packets *packetiser
	sealed  []byte
}

func newUplink(t Track, keys *keyring, count *counters) (*uplink, error) {
	ctx, _ := contextOf(t.Source)
	local, err := webrtc.NewTrackLocalStaticRTP(capabilityOf(t.Codec), string(t.Source), "conclave")
	if err != nil {
		return nil, fmt.Errorf("make a track for %s: %w", t.Source, err)
	}
	u := &uplink{
		track: t, context: ctx, local: local, keys: keys, count: count,
		write:   local.WriteRTP,
		packets: newPacketiser(!ctx.Audio()),
	}
	u.wantKey.Store(true)
	return u, nil
}

// run sends until ctx is done or the track ends. It waits for start first.
func (u *uplink) run(ctx context.Context, start <-chan struct{}) {
	select {
	case <-start:
	case <-ctx.Done():
		return
	}
	rate := time.Duration(u.local.Codec().ClockRate)
	due := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		sample := u.track.Next(u.wantKey.Swap(false))
		if sample.Ticks == 0 {
			return
		}
		u.send(sample)
		due = due.Add(time.Duration(sample.Ticks) * time.Second / rate)
		if now := time.Now(); now.Sub(due) > maxBehind {
			due = now
		}
		timer.Reset(time.Until(due))
	}
}

// send seals a sample and writes its packets. Without a key it is dropped, and the
// next one has to be a key frame.
func (u *uplink) send(sample Sample) {
	defer u.packets.advance(sample.Ticks)
	if u.muted.Load() {
		u.wantKey.Store(true)
		return
	}
	sealed, by, err := u.keys.seal(u.sealed[:0], u.context, u.track.Codec, sample.Data)
	if err != nil {
		u.count.unsent.Add(1)
		u.wantKey.Store(true)
		return
	}
	u.sealed = sealed
	if u.track.Sent != nil && len(sealed) > 0 {
		u.track.Sent(by)
	}
	for _, p := range u.packets.packets(sealed) {
		_ = u.write(p) // fails only where a PeerConnection has just closed
	}
	u.count.sent.Add(1)
}

// feedback reads what the forwarder says of the track, until the sender ends. The
// interceptors below answer the NACKs.
func (u *uplink) feedback(sender *webrtc.RTPSender) {
	for {
		packets, _, err := sender.ReadRTCP()
		if err != nil {
			return
		}
		u.answer(packets)
	}
}

func (u *uplink) answer(packets []rtcp.Packet) {
	for _, p := range packets {
		switch p.(type) {
		case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
			u.count.keyFramesAsked.Add(1)
			u.wantKey.Store(true)
		}
	}
}
