//go:build linux

package main

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/offer"
)

// tileSize is that of a camera's frame in a crowd: of a picture of 180 lines, of which 15 frames a
// second would take 200 kbit/s.
const tileSize = 1700 // bytes, on average

// camera is a publication that sends few frames, and a key frame with the next picture that its
// sensor has when one is asked for.
type camera struct{ *publication }

func newCamera(p *publication) camera {
	p.size = tileSize
	return camera{p}
}

func (c camera) run(ctx context.Context) {
	last := time.Now()
	c.repeat(ctx, c.interval, func(due time.Time) time.Time {
		now := time.Now()
		c.sendAfter(now.Sub(last))
		last = now
		return due.Add(c.interval)
	}, c.client.asked, func(due time.Time) time.Time {
		for time.Until(due) > frameInterval {
			due = due.Add(-frameInterval)
		}
		return due
	})
}

// sendAfter sends a frame so long after the one before.
func (p *publication) sendAfter(elapsed time.Duration) {
	clock := 90000.0
	if p.audio {
		clock = 48000
	}
	p.step = uint32(elapsed.Seconds() * clock)
	p.send()
}

// Levels in the header extension of RFC 6464: of who speaks, and of who does not.
const (
	spoken = 30
	silent = 127
)

// silence is the time between two packets of Opus that tells of nothing but silence (RFC 7587,
// Section 3.1.3).
const silence = 400 * time.Millisecond

// voice is a microphone whose owner speaks at times.
type voice struct {
	*publication
	speaks  atomic.Bool
	changed chan struct{}
}

func newVoice(p *publication) *voice { return &voice{publication: p, changed: make(chan struct{}, 1)} }

// speak begins or ends to speak.
func (v *voice) speak(speaks bool) {
	v.speaks.Store(speaks)
	select {
	case v.changed <- struct{}{}:
	default:
	}
}

func (v *voice) run(ctx context.Context) {
	last := time.Now()
	v.repeat(ctx, silence, func(due time.Time) time.Time {
		now := time.Now()
		v.sendAt(v.speaks.Load(), now.Sub(last))
		last = now
		if !v.speaks.Load() {
			return now.Add(silence)
		}
		return due.Add(audioInterval)
	}, v.changed, func(time.Time) time.Time { return time.Now() })
}

// sendAt sends a packet with the level of who speaks, or does not.
func (v *voice) sendAt(speaks bool, elapsed time.Duration) {
	level := byte(silent)
	if speaks {
		level = spoken
	}
	v.client.mu.Lock()
	v.header.GetExtension(offer.Level)[0] = level
	v.client.mu.Unlock()
	v.sendAfter(elapsed)
}
