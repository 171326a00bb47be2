//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/conclave-sfu/conclave/room/signal"
)

// Height and width of a tile.
const (
	tileWidth  = 320
	tileHeight = 180
)

// viewer is what a participant of a crowd looks at, is told and receives. It may be used from any
// goroutine. Sources go by the SSRCs of their senders.
type viewer struct {
	number int
	usher  bool // sends nothing

	mu sync.Mutex
	// order are those who are looked at, view their cameras.
	order []int
	view  map[uint32]*waiting
	// spoken are those whose voices are waited for.
	spoken map[uint32]*waiting
	// shown and heard are the cameras and microphones that the server says its slots carry, since
	// toldAt.
	shown, heard map[uint32]bool
	toldAt       int64
	// said and saidBytes count the server's messages by their types.
	said      map[signal.Type]int
	saidBytes int64
	counts
}

// waiting is a source that is waited for, from a time on, until a packet came at another; 0 before.
type waiting struct{ since, came int64 }

// counts are of a window, of which packets has those that were sent in it, by source.
type counts struct {
	since   int64
	packets map[uint32]int
	// strays are packets of what was not shown any more, and not looked at, when they were sent.
	strays int
	// turnedVideo and turnedAudio say how often a slot was given another source.
	turnedVideo, turnedAudio int
	// seenAfter and heardAfter are how long it took until what is looked at, or who speaks, came;
	// passed is how many were not waited for.
	seenAfter, heardAfter []time.Duration
	passed                int
}

func newViewer(number int) *viewer {
	v := &viewer{
		number: number, view: map[uint32]*waiting{}, spoken: map[uint32]*waiting{},
		shown: map[uint32]bool{}, heard: map[uint32]bool{}, said: map[signal.Type]int{},
	}
	v.packets = map[uint32]int{}
	return v
}

// outsider is 1 for who sends nothing, so that there is one voice more to hear.
func (v *viewer) outsider() int {
	if v.usher {
		return 1
	}
	return 0
}

// begin begins a window.
func (v *viewer) begin() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.counts = counts{since: time.Now().UnixNano(), packets: map[uint32]int{}}
}

// counted is what the window has shown.
func (v *viewer) counted() counts {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.counts
}

// messages are how many of a type came.
func (v *viewer) messages(t signal.Type) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.said[t]
}

// look says whom the participant looks at from now on.
func (v *viewer) look(now time.Time, list []int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	before := v.view
	v.order, v.view = list, map[uint32]*waiting{}
	for _, n := range list {
		source := ssrcOf(n, false)
		w := before[source]
		if w == nil {
			w = &waiting{since: now.UnixNano()}
		}
		v.view[source] = w
	}
	for source, w := range before {
		if v.view[source] == nil && w.came == 0 {
			v.passed++
		}
	}
}

// first is the first that is looked at.
func (v *viewer) first() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.order[0]
}

func (v *viewer) wants() (list []signal.Want) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, n := range v.order {
		list = append(list, signal.Want{PID: pidOf(n), Source: signal.SourceCamera, Width: tileWidth, Height: tileHeight})
	}
	return list
}

// expect says that somebody begins to speak.
func (v *viewer) expect(now time.Time, source uint32) {
	v.mu.Lock()
	defer v.mu.Unlock()
	clear(v.spoken)
	v.spoken[source] = &waiting{since: now.UnixNano()}
}

// String says what a viewer waits for.
func (v *viewer) String() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	var dark, unsaid []uint32
	for source, w := range v.view {
		if w.came == 0 {
			dark = append(dark, source)
		}
		if !v.shown[source] {
			unsaid = append(unsaid, source)
		}
	}
	slices.Sort(dark)
	slices.Sort(unsaid)
	return fmt.Sprintf("of %d that it looks at nothing came of %d, %d are not said to be shown; it hears %d", len(v.view), dark, unsaid, len(v.heard))
}

// ask asks something of the viewer.
func (v *viewer) ask(is func(*viewer) bool) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return is(v)
}

// settled says whether what is looked at is shown, as the server says and as packets have. An usher
// looks at more than it can be shown.
func (v *viewer) settled() bool {
	if v.usher {
		return len(v.shown) == 1
	}
	for source, w := range v.view {
		if w.came == 0 || !v.shown[source] {
			return false
		}
	}
	return len(v.shown) == len(v.view)
}

// hasAll says whether something of all that is shown and heard has come in the window.
func (v *viewer) hasAll() bool {
	for _, some := range []map[uint32]bool{v.shown, v.heard} {
		for source := range some {
			if v.packets[source] == 0 {
				return false
			}
		}
	}
	return true
}

// watch sees a packet that came.
func (v *viewer) watch(s stamp, arrived int64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if s.sent > v.since {
		v.packets[s.source]++
	}
	seen, heard := v.view[s.source], v.spoken[s.source]
	if seen != nil && seen.came == 0 && arrived > seen.since {
		seen.came = arrived
		v.seenAfter = append(v.seenAfter, time.Duration(arrived-seen.since))
	}
	if heard != nil && heard.came == 0 && arrived > heard.since {
		heard.came = arrived
		v.heardAfter = append(v.heardAfter, time.Duration(arrived-heard.since))
	}
	if seen == nil && !v.shown[s.source] && !v.heard[s.source] && !isAudio(s.source) && s.sent > v.toldAt {
		v.strays++
	}
}

// isAudio tells a microphone's SSRC (see ssrcOf).
func isAudio(ssrc uint32) bool { return ssrc%10 == 1 }

// hear takes a message of the server.
func (v *viewer) hear(raw []byte) {
	kind := typeOf(raw)
	v.mu.Lock()
	v.said[kind]++
	v.saidBytes += int64(len(raw))
	v.mu.Unlock()
	if kind != signal.TypeSlots {
		return
	}
	var message struct{ Body signal.Slots }
	if err := json.Unmarshal(raw, &message); err == nil {
		v.told(time.Now(), message.Body.Slots)
	}
}

// typeOf reads a message's type, which comes first.
func typeOf(raw []byte) signal.Type {
	rest, _ := bytes.CutPrefix(raw, []byte(`{"type":"`))
	name, _, _ := strings.Cut(string(rest[:min(len(rest), 32)]), `"`)
	return signal.Type(name)
}

// told takes what the server says that the slots carry.
func (v *viewer) told(now time.Time, slots []signal.Slot) {
	v.mu.Lock()
	defer v.mu.Unlock()
	shown, heard := map[uint32]bool{}, map[uint32]bool{}
	for _, s := range slots {
		audio := s.Source == signal.SourceMic
		source := ssrcOf(numberOf(s.PID), audio)
		switch {
		case audio:
			heard[source] = true
			v.turnedAudio += added(v.heard, source)
		default:
			shown[source] = true
			v.turnedVideo += added(v.shown, source)
		}
	}
	v.shown, v.heard, v.toldAt = shown, heard, now.UnixNano()
}

func added(before map[uint32]bool, source uint32) int {
	if before[source] {
		return 0
	}
	return 1
}

// exact says whether nothing came in the window but what is looked at, and heard.
func (v *viewer) exact() (videos, voices int, ok bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	var got []uint32
	for source := range v.packets {
		if isAudio(source) {
			voices++
			continue
		}
		videos++
		got = append(got, source)
	}
	return videos, voices, !slices.ContainsFunc(got, func(s uint32) bool { return v.view[s] == nil })
}
