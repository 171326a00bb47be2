//go:build linux

package main

import (
	"fmt"
	"strings"
	"time"

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
	// rate is how many times the usual number of frames senders send.
	rate float64
}

var workloads = []workload{
	{"W1", "1 to 50", 1, 50, true, 1.3, 1},
	{"W2", "8 to 8", 8, 0, true, 1.6, 1},
	{"W3", "audio, 20 to 20", 20, 0, false, 1.8, 1},
	{"W4", "1 to 500", 1, 500, true, 1.3, 1},
}

// scale is how many packets a second go out in the workloads of `scale`, as many as a
// hundred receivers take. A room holds a thousand, the sender included.
const scale = 100

var scaleReceivers = []int{10, 100, 999}

// workloadsNamed gives one workload, or those of `scale`: as many packets a second to few
// receivers and to many.
func workloadsNamed(name string) ([]workload, error) {
	if name == "scale" {
		var list []workload
		for _, n := range scaleReceivers {
			list = append(list, workload{fmt.Sprint("scale ", n), "", 1, n, true, 1.3, 1}.at(float64(scale)/float64(n)))
		}
		return list, nil
	}
	for _, w := range workloads {
		if w.name == name {
			return []workload{w}, nil
		}
	}
	return nil, fmt.Errorf("no workload %q", name)
}

// withReceivers changes how many receive, where some only do; 0 changes nothing.
func (w workload) withReceivers(n int) workload {
	if n > 0 && w.receivers > 0 {
		w.receivers = n
		w.text = fmt.Sprintf("%d to %d", w.senders, n)
	}
	return w
}

// at changes how often senders send: rate times as often as usual.
func (w workload) at(rate float64) workload {
	if rate != 1 {
		w.rate *= rate
		w.text = strings.TrimPrefix(fmt.Sprintf("%s at %.3g", w.text, w.rate), " ")
	}
	return w
}

// feedbackInterval is how often a receiver sends feedback.
func (w workload) feedbackInterval() time.Duration {
	return max(time.Duration(float64(feedbackInterval)/w.rate), mostOften).Truncate(beat)
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
