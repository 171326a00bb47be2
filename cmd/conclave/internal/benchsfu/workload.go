//go:build linux

package main

import (
	"fmt"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/offer"
	"github.com/conclave-sfu/conclave/room/signal"
)

// workload says who sends what to whom.
type workload struct {
	name, text string
	// senders also receive each other; receivers only receive.
	senders, receivers int
	video              bool
	aim                float64 // ratio to the floor, at most
}

var workloads = []workload{
	{"W1", "1 to 50", 1, 50, true, 1.3},
	{"W2", "8 to 8", 8, 0, true, 1.6},
	{"W3", "audio, 20 to 20", 20, 0, false, 1.8},
	{"W4", "1 to 500", 1, 500, true, 1.3}, // 110,000 packets a second: two slow cores cannot
}

func workloadNamed(name string) (workload, error) {
	for _, w := range workloads {
		if w.name == name {
			return w, nil
		}
	}
	return workload{}, fmt.Errorf("no workload %q", name)
}

// withReceivers changes how many receive, where some only do; 0 changes nothing.
func (w workload) withReceivers(n int) workload {
	if n > 0 && w.receivers > 0 {
		w.receivers = n
		w.text = fmt.Sprintf("%d to %d", w.senders, n)
	}
	return w
}

func (w workload) participants() int { return w.senders + w.receivers }

// subscriptions are the pairs of one who sends and one who receives.
func (w workload) subscriptions() int { return w.senders * (w.participants() - 1) }

// sources is how many participants somebody receives.
func (w workload) sourcesOf(i int) int {
	if i < w.senders {
		return w.senders - 1
	}
	return w.senders
}

// role is that of participant i; senders come first.
func (w workload) role(i int) role {
	r := role{pid: pidOf(i)}
	add := func(audio bool, ssrc uint32, source signal.Source) {
		if ssrc != 0 {
			r.tracks = append(r.tracks, signal.OfferTrack{MID: fmt.Sprint(len(r.sections)), Source: source})
		}
		r.sections = append(r.sections, offer.Section{Audio: audio, Sends: ssrc != 0, SSRC: ssrc})
	}
	if i < w.senders {
		add(true, ssrcOf(i, true), signal.SourceMic)
		if w.video {
			add(false, ssrcOf(i, false), signal.SourceCamera)
		}
	}
	for range w.sourcesOf(i) {
		add(true, 0, "")
		if w.video {
			add(false, 0, "")
		}
	}
	for other := range w.senders {
		if other != i && w.video {
			r.wants = append(r.wants, signal.Want{PID: pidOf(other), Source: signal.SourceCamera, Width: 1280, Height: 720})
		}
	}
	return r
}

// ssrcOf is that of a sender's stream.
func ssrcOf(sender int, audio bool) uint32 {
	ssrc := uint32(1000 + 10*sender)
	if audio {
		ssrc++
	}
	return ssrc
}
