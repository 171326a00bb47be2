package sfu

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

const ms = int64(time.Millisecond)

// TestStalls: what tells a stream that has stopped from one whose source is idle.
func TestStalls(t *testing.T) {
	for _, test := range []struct {
		name     string
		interval int64    // of its frames
		at       int64    // of its latest packet
		others   [3]int64 // frames of another, the latest first
		now      int64
		want     bool
	}{
		{"flows", 33 * ms, 990 * ms, [3]int64{1000 * ms, 967 * ms, 933 * ms}, 1000 * ms, false},
		{"30 a second, stopped", 33 * ms, 800 * ms, [3]int64{1000 * ms, 967 * ms, 933 * ms}, 1000 * ms, true},
		{"not long enough", 33 * ms, 810 * ms, [3]int64{1000 * ms, 967 * ms, 933 * ms}, 1000 * ms, false},
		{"all were idle", 33 * ms, 100 * ms, [3]int64{5000 * ms, 4967 * ms, 90 * ms}, 5000 * ms, false},
		{"15 a second", 66 * ms, 700 * ms, [3]int64{1000 * ms, 967 * ms, 933 * ms}, 1000 * ms, false},
		{"15 a second, stopped", 66 * ms, 670 * ms, [3]int64{1000 * ms, 967 * ms, 933 * ms}, 1000 * ms, true},
		{"1 a second", 1000 * ms, 100 * ms, [3]int64{1000 * ms, 967 * ms, 933 * ms}, 1000 * ms, false},
		{"never slower than a second", 1000 * ms, 0, [3]int64{1000 * ms, 967 * ms, 933 * ms}, 1000 * ms, true},
		{"of unknown rate", 0, 500 * ms, [3]int64{1000 * ms, 967 * ms, 933 * ms}, 1000 * ms, false},
		{"not begun", 33 * ms, never, [3]int64{1000 * ms, 967 * ms, 933 * ms}, 1000 * ms, false},
		{"the other too slow to tell", 33 * ms, 300 * ms, [3]int64{1000 * ms, 600 * ms, 200 * ms}, 1000 * ms, false},
	} {
		r, other := rhythm{interval: test.interval}, rhythm{starts: test.others}
		if got := r.stalls(test.at, &other, test.now); got != test.want {
			t.Errorf("%s: %t", test.name, got)
		}
	}
}

// fleet are the encodings of one publication, and when what flowed changed.
type fleet struct {
	flow   flow
	names  string
	pulses []*pulse
	stamps []uint32
	number int64  // of the latest frame, of one packet
	broken string // the encodings of which only every third frame comes
	log    []string
	now    int64
}

func newFleet(names string) *fleet {
	f := &fleet{names: names}
	f.flow.changed = func() { f.log = append(f.log, fmt.Sprintf("%d:%s", f.now/ms, f.flowing())) }
	for range names {
		f.pulses, f.stamps = append(f.pulses, f.flow.join()), append(f.stamps, 0)
	}
	return f
}

func (f *fleet) flowing() string {
	text := ""
	for i, p := range f.pulses {
		if !p.stalled.Load() {
			text += f.names[i : i+1]
		}
	}
	return text
}

// run lets time go by. The encodings named send a frame each interval, which comes late by
// what delay gives for the time when it was sent.
func (f *fleet) run(names string, interval, d int64, delay func(now int64) int64) {
	end := f.now + d
	for at := f.now + interval; at <= end; at += interval {
		f.now = max(f.now, at+delay(at))
		f.number++
		for i, name := range f.names {
			f.stamps[i] += uint32(interval * 90 / ms)
			if strings.ContainsRune(names, name) && (f.number%3 == 0 || !strings.ContainsRune(f.broken, name)) {
				f.pulses[i].beat(f.number, f.stamps[i], f.now)
			}
		}
	}
	f.now = max(f.now, end)
}

func onTime(int64) int64 { return 0 }

// TestFlow: an encoding that stops is left soon, and is back after it has flowed; the more
// often it stops, the longer.
func TestFlow(t *testing.T) {
	type step struct {
		names       string
		interval, d int64
		delay       func(int64) int64
	}
	const fast, slow = 40 * ms, 200 * ms
	outages := func(now int64) int64 { // of 400 ms, what was sent meanwhile comes at once
		return max(0, 400*ms-now%(1000*ms))
	}
	for _, test := range []struct {
		name  string
		steps []step
		want  string
	}{
		{"all well", []step{{"qhf", fast, 60_000 * ms, onTime}}, ""},
		{"the line is cut", []step{{"qhf", fast, 4000 * ms, onTime}, {"q", fast, 10_000 * ms, onTime}}, "4200:q"},
		{"one after the other", []step{{"qhf", fast, 4000 * ms, onTime}, {"qh", fast, 2000 * ms, onTime}, {"q", fast, 4000 * ms, onTime}}, "4200:qh 6200:q"},
		{"slow pictures", []step{{"qhf", slow, 4000 * ms, onTime}, {"q", slow, 4000 * ms, onTime}}, "5000:q"},
		{"the source is idle", []step{{"qhf", fast, 2000 * ms, onTime}, {"", fast, 30_000 * ms, onTime}, {"qhf", fast, 4000 * ms, onTime}, {"", fast, 700 * ms, onTime}, {"qhf", fast, 4000 * ms, onTime}}, ""},
		{"jitter", []step{{"qhf", fast, 60_000 * ms, outages}}, ""},
		{"all back", []step{{"qhf", fast, 1000 * ms, onTime}, {"q", fast, 1000 * ms, onTime}, {"qhf", fast, 2000 * ms, onTime}}, "1200:q 2560:qh 2560:qhf"},
		{"comes and goes, where one never came", []step{
			{"qf", fast, 1000 * ms, onTime},
			{"q", fast, 1000 * ms, onTime}, {"qf", fast, 3000 * ms, onTime}, // back after 0.5 s
			{"q", fast, 1000 * ms, onTime}, {"qf", fast, 3000 * ms, onTime}, // 1 s
			{"q", fast, 1000 * ms, onTime}, {"qf", fast, 1000 * ms, onTime}, // 2 s: too long
			{"q", fast, 1000 * ms, onTime}, {"qf", fast, 40_000 * ms, onTime}, // 2 s
			{"q", fast, 1000 * ms, onTime}, {"qf", fast, 3000 * ms, onTime}, // calm since: 0.5 s
		}, "1200:qh 2560:qhf 5200:qh 7040:qhf 9200:qh 14040:qhf 52200:qh 53560:qhf"},
	} {
		f := newFleet("qhf")
		for _, s := range test.steps {
			f.run(s.names, s.interval, s.d, s.delay)
		}
		if got := strings.Join(f.log, " "); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

// TestRestOfALine: what loses most of its packets is not back, however evenly the rest comes.
func TestRestOfALine(t *testing.T) {
	f := newFleet("qf")
	f.run("qf", 33*ms, 2000*ms, onTime)
	f.run("q", 33*ms, 1000*ms, onTime)
	if f.broken = "f"; f.flowing() != "q" {
		t.Fatalf("%s flows", f.flowing())
	}
	if f.run("qf", 33*ms, 20_000*ms, onTime); f.flowing() != "q" {
		t.Errorf("%s flows, with two of three packets lost", f.flowing())
	}
	f.broken = ""
	if f.run("qf", 33*ms, 1000*ms, onTime); f.flowing() != "qf" {
		t.Errorf("%s flows, a second after all came again", f.flowing())
	}
}

// TestLeavingWhatStalled: slots that carry an encoding that has stopped wait for the best
// that flows, and ask for its key frame at once; they go back when it flows again. One that
// nobody watches may stop as it likes.
func TestLeavingWhatStalled(t *testing.T) {
	c := newCrowd(t, 1)
	c.room.flows = make(chan struct{}, 1)
	m, _ := c.publisher(t)
	p := c.room.publications.get(pubKey{m.participant, Camera})
	slot := c.members[0].connection.video[0]
	c.members[0].View([]Want{{Participant: m.participant, Source: Camera, Height: 720}})
	var sources []*source
	for _, e := range p.layers {
		sources = append(sources, &source{u: e.up})
	}
	frame, key := 0, ""
	send := func(rids string, d time.Duration) {
		for range int64(d) / frameTime {
			now := c.room.node.now()
			for i, e := range p.layers {
				s := sources[i]
				s.now, s.stamp = now, s.stamp+3000
				if strings.Contains(rids, e.up.rid) {
					s.receive(t, s.seq, s.packet(t, s.seq, true, strings.Contains(key, e.up.rid), []byte("frame")))
					s.seq++
				}
			}
			key = ""
			select {
			case <-c.room.flows:
				c.room.followFlow(c.room.node.now())
			default:
			}
			c.room.handOver()
			if frame++; frame%6 == 0 {
				c.room.housekeeping(c.room.node.now(), 0, unsent)
			}
			c.room.node.born = c.room.node.born.Add(-time.Duration(frameTime))
		}
	}
	has := func(when, want string) {
		t.Helper()
		got := slot.up.rid
		if slot.next != nil {
			got += ">" + slot.next.rid
		}
		if got != want {
			t.Errorf("%s: the slot has %s, want %s", when, got, want)
		}
	}
	key = "qhf"
	send("qhf", 3*time.Second)
	has("at first", "f")
	asked := p.layers[0].up.counters.plisOut.Load()
	send("q", 150*time.Millisecond)
	has("shortly after the upper ones stopped", "f")
	send("q", 100*time.Millisecond)
	has("soon after that", "f>q")
	if got := p.layers[0].up.counters.plisOut.Load(); got != asked+1 {
		t.Errorf("a key frame of the lowest was asked for %d times", got-asked)
	}
	key = "q"
	send("q", frameTimes(1))
	has("with its key frame", "q")
	send("q", 3*time.Second)
	send("qhf", 400*time.Millisecond)
	has("before the others have flowed for a while", "q")
	send("qhf", 400*time.Millisecond)
	has("then", "q>f")
	key = "f"
	send("qhf", frameTimes(1))
	has("with the key frame of the highest", "f")
	send("", 20*time.Second) // a source that is idle
	send("qhf", time.Second)
	has("after a pause of all", "f")
}

// TestStoppedIsNotStalled: what the publisher was asked to stop counts as soon as it comes
// again, however often that happens.
func TestStoppedIsNotStalled(t *testing.T) {
	f := newFleet("qf")
	for range 5 {
		f.run("q", 40*ms, 3000*ms, onTime)
		f.pulses[1].renew()
		f.run("q", 40*ms, 300*ms, onTime) // until the publisher does it
		f.run("qf", 40*ms, 2000*ms, onTime)
	}
	if got := f.flowing(); got != "qf" {
		t.Errorf("%s flows", got)
	}
	for _, entry := range f.log[1:] {
		if strings.HasSuffix(entry, ":qf") {
			t.Errorf("it had to prove that it flows: %s", f.log)
		}
	}
}

// TestRepairsDoNotFlow: what was lost of an encoding before it stopped, and comes late, does not
// show that it flows.
func TestRepairsDoNotFlow(t *testing.T) {
	flow := &flow{changed: func() {}}
	flows, stops := &source{}, &source{}
	for _, s := range []*source{flows, stops} {
		s.u, _ = newTestUp(true)
		s.u.pulse.Store(flow.join())
	}
	var late [][]byte
	for i := range 30 {
		flows.send(t, true, i == 0, []byte("low"))
		if i < 10 || i%2 == 1 {
			stops.send(t, true, i == 0, []byte("high"))
			continue
		}
		stops.stamp += 3000
		stops.now += frameTime
		late = append(late, stops.packet(t, stops.seq, true, false, []byte("high")))
		stops.seq++
	}
	if flows.u.stalled() || stops.u.stalled() {
		t.Fatal("one has stopped while both flow")
	}
	for _, raw := range late {
		flows.send(t, true, false, []byte("low"))
		stops.now = flows.now
		stops.receive(t, 0, raw)
	}
	if !stops.u.stalled() || flows.u.stalled() {
		t.Errorf("after %v of repairs alone: stopped is %t, and the other %t", frameTimes(int64(len(late))), stops.u.stalled(), flows.u.stalled())
	}
}

func frameTimes(n int64) time.Duration { return time.Duration(n * frameTime) }
