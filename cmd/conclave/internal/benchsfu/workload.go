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
	aims               aims
	// rate is how many times the usual number of frames senders send.
	rate float64
	// stretch is how many times as long as usual a window takes, where little is sent; 0 for once.
	stretch int
}

// aims are what should not be exceeded; 0 for none.
type aims struct {
	Ratio                                 float64 // to the floor
	Added99                               time.Duration
	MemoryParticipant, MemorySubscription int64 // bytes
	Joins, FirstAudio                     time.Duration
}

const firstAudioAim = 40 * time.Millisecond

var workloads = []workload{
	{name: "W1", text: "1 to 50", senders: 1, receivers: 50, video: true, rate: 1,
		aims: aims{Ratio: 1.3, MemoryParticipant: 250 << 10, Joins: 2 * time.Second, FirstAudio: firstAudioAim}},
	{name: "W2", text: "8 to 8", senders: 8, video: true, rate: 1,
		aims: aims{Ratio: 1.6, Added99: 3 * time.Millisecond, FirstAudio: firstAudioAim}},
	{name: "W3", text: "audio, 20 to 20", senders: 20, rate: 1,
		aims: aims{Ratio: 1.8, Added99: 3 * time.Millisecond, MemorySubscription: 30 << 10, FirstAudio: firstAudioAim}},
	{name: "W4", text: "1 to 500", senders: 1, receivers: 500, video: true, rate: 1, aims: aims{Ratio: 1.3}},
}

// scaleReceivers are those of the workloads of `scale`: each gets as much, by so many times
// the usual rate. A room holds a thousand, the sender included.
var scaleReceivers = []int{10, 100, 500, 999}

const (
	scaleRate = 0.25
	// scaleStretch is below how many receivers windows are longer.
	scaleStretch = 200
)

// workloadsNamed gives one workload, or those of `scale`.
func workloadsNamed(name string) ([]workload, error) {
	if name == "scale" {
		var list []workload
		for _, n := range scaleReceivers {
			w := workload{name: fmt.Sprint("scale ", n), senders: 1, receivers: n, video: true, aims: aims{Ratio: 1.3}, rate: 1}
			w.stretch = min(max(1, scaleStretch/n), 4)
			list = append(list, w.at(scaleRate))
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

// joinsAtATime is how many participants join at once: a large audience would take too long
// by two, each of whom waits for a key frame, of which there are two a second.
func (w workload) joinsAtATime() int { return max(2, w.participants()/25) }

// window is how long a measurement takes that usually takes d.
func (w workload) window(d time.Duration) time.Duration { return d * time.Duration(max(w.stretch, 1)) }

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
