package sfu

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/conclave-sfu/conclave/sfu/packetmap"
)

// publisher adds a participant whose camera has three encodings, and gives what it is
// told of the demand.
func (c *crowd) publisher(t *testing.T) (*member, chan string) {
	t.Helper()
	told := make(chan string, 100)
	transport, ok := c.room.join("publisher", Events{Demand: func(connection uint32, list []Demand) {
		words := []string{fmt.Sprint(connection)}
		for _, d := range list {
			slices.Sort(d.RIDs)
			words = append(words, fmt.Sprint(d.Source, d.Watched, d.RIDs))
		}
		told <- strings.Join(words, " ")
	}})
	if !ok {
		t.Fatal("joined before")
	}
	t.Cleanup(transport.events.close)
	m := &member{Transport: transport}
	transport.connection = &connection{transport: transport, number: 3}
	t.Cleanup(func() { transport.connection = nil })
	c.room.connected(transport.connection)
	format := plainFormat(codecVP8)
	format.rids = []string{"q", "h", "f"}
	for i, rid := range format.rids {
		u, _ := newTestUp(true)
		u.format, u.rid, u.ssrc = format, rid, uint32(i)
		c.room.addLayer(transport.connection, Camera, u)
	}
	return m, told
}

// flow lets the publisher send what it is asked for, and time pass.
func (c *crowd) flow(m *member, d time.Duration) {
	for ; d > 0; d -= loudnessInterval {
		for _, e := range c.room.publications.get(pubKey{m.participant, Camera}).layers {
			if !e.paused {
				e.up.rates[0][0].Add(uint64(5000 * (1 + slices.Index(e.up.format.rids, e.up.rid))))
			}
		}
		c.tick()
	}
}

func (c *crowd) asked(m *member) string {
	c.room.mu.Lock()
	defer c.room.mu.Unlock()
	text := ""
	for _, e := range c.room.publications.get(pubKey{m.participant, Camera}).layers {
		if !e.paused {
			text += e.up.rid
		}
	}
	return text
}

// TestUnseenEncoding: an encoding of which nothing has come yet, since its publisher's line has
// no room so far, is asked for with the others, and let go like them once it is there.
func TestUnseenEncoding(t *testing.T) {
	c := newCrowd(t, 1)
	m, told := c.publisher(t)
	p := c.room.publications.get(pubKey{m.participant, Camera})
	best := p.layers[2].up
	c.room.removeLayer(m.connection, Camera, best)
	expect := func(want string) {
		t.Helper()
		if got := <-told; got != want {
			t.Errorf("told %q, want %q", got, want)
		}
	}
	c.flow(m, 2*demandLinger)
	expect("3 camera false []")
	c.members[0].View([]Want{{Participant: m.participant, Source: Camera, Height: 720}})
	expect("3 camera true [f h q]")
	c.room.addLayer(m.connection, Camera, best)
	c.members[0].View([]Want{{Participant: m.participant, Source: Camera, Height: 180}})
	c.flow(m, 2*demandLinger)
	expect("3 camera true [q]")
}

// TestDemand: a publisher is asked for what somebody watches, and for all lower
// encodings: at once for more, after a while for less.
func TestDemand(t *testing.T) {
	c := newCrowd(t, 2)
	m, told := c.publisher(t)
	see := func(viewer, height int) {
		var wants []Want
		if height > 0 {
			wants = []Want{{Participant: m.participant, Source: Camera, Width: 16 * height / 9, Height: height}}
		}
		c.members[viewer].View(wants)
	}
	for i, step := range []struct {
		do    func()
		after time.Duration
		want  string // encodings asked for
		told  string // what the publisher is told, empty for nothing
	}{
		{func() {}, 3 * time.Second, "qhf", ""},
		{func() {}, 3 * time.Second, "", "3 camera false []"},
		{func() { see(0, 180) }, 0, "q", "3 camera true [q]"},
		{func() { see(1, 720) }, 0, "qhf", "3 camera true [f h q]"},
		{func() { see(1, 360) }, 4 * time.Second, "qhf", ""},
		{func() {}, 2 * time.Second, "qh", "3 camera true [h q]"},
		{func() { see(1, 720) }, time.Second, "qhf", "3 camera true [f h q]"},
		{func() { see(1, 360) }, time.Second, "qhf", ""},
		{func() { see(1, 720) }, 6 * time.Second, "qhf", ""},
		{func() { see(1, 0) }, 6 * time.Second, "q", "3 camera true [q]"},
		{func() { see(0, 0) }, 6 * time.Second, "", "3 camera false []"},
		{func() { see(0, 1080) }, 0, "qhf", "3 camera true [f h q]"},
	} {
		step.do()
		c.flow(m, step.after)
		if got := c.asked(m); got != step.want {
			t.Errorf("step %d: asked for %q, want %q", i, got, step.want)
		}
		if step.told != "" {
			if got := await(t, told, "the demand"); got != step.told {
				t.Errorf("step %d: told %q, want %q", i, got, step.told)
			}
		} else if len(told) > 0 {
			t.Errorf("step %d: told %q", i, <-told)
		}
	}
}

// TestResumedEncoding: a slot that wants an encoding that was stopped waits for it, and
// has what there is meanwhile; if it does not come, that stays.
func TestResumedEncoding(t *testing.T) {
	c := newCrowd(t, 1)
	m, _ := c.publisher(t)
	p := c.room.publications.get(pubKey{m.participant, Camera})
	see := func(height int) {
		c.members[0].View([]Want{{Participant: m.participant, Source: Camera, Height: height}})
	}
	slot := func() *downTrack {
		return c.members[0].connection.video[0]
	}
	see(180)
	c.flow(m, 8*time.Second)
	if got := c.asked(m); got != "q" {
		t.Fatalf("asked for %q", got)
	}
	see(720)
	if got := c.asked(m); got != "qhf" || slot().up.rid != "q" || slot().next == nil || slot().next.rid != "f" {
		t.Fatalf("asked for %q, has %s", got, slot().up.rid)
	}
	for range 30 { // the publisher sends q alone: its line is thin
		p.layers[0].up.rates[0][0].Add(5000)
		c.tick()
	}
	if slot().up.rid != "q" || slot().next != nil {
		t.Errorf("waits for what does not come, has %s", slot().up.rid)
	}
	if got := c.asked(m); got != "qhf" {
		t.Errorf("asked for %q: what comes when the line allows must stay asked for", got)
	}
	c.flow(m, 2*time.Second)
	if slot().next == nil || slot().next.rid != "f" {
		t.Error("does not go over to what comes now")
	}
}

// TestSlotsKeepTime: what a slot carries after something else begins as much later in the
// slot's time as in ours, voices in whole frames of 20 ms: a receiver conceals what seems to be
// missing, and drops, or shows at once, what seems to have come too late.
func TestSlotsKeepTime(t *testing.T) {
	for _, pause := range []time.Duration{20 * time.Millisecond, 300 * time.Millisecond, time.Minute} {
		for _, video := range []bool{false, true} {
			if step := changeAfter(t, video, pause); step != pause {
				t.Errorf("video %t: %s in the slot's time after a pause of %s", video, step, pause)
			}
		}
	}
}

// changeAfter gives the time between two sources in a slot's timestamps.
func changeAfter(t *testing.T, video bool, pause time.Duration) time.Duration {
	t.Helper()
	w := &fakeWriter{}
	d := newTestSlot(t, video, w)
	now, rate := int64(0), int64(packetmap.AudioRate)
	if video {
		rate = packetmap.VideoRate
	}
	for _, start := range []uint32{7, 1 << 31} {
		u, _ := newTestUp(video)
		d.connect(u, now)
		s := &source{u: u, seq: uint16(start), stamp: start, now: now}
		for range 3 {
			s.receive(t, s.seq, s.packet(t, s.seq, video, video, []byte("frame")))
			s.seq++
			s.stamp += uint32(rate / 50)
			s.now += int64(20 * time.Millisecond)
		}
		now = s.now - int64(20*time.Millisecond) + int64(pause)
	}
	return packetmap.Duration(int64(w.packets[3].Timestamp-w.packets[2].Timestamp), rate)
}

// TestDTX: a voice that sends nothing while it is silent (RFC 7587, Section 3.1.3) keeps
// its slot and its time: what comes after a pause is as late as it was spoken, and no
// packet is missing.
func TestDTX(t *testing.T) {
	u, _ := newTestUp(false)
	w := &fakeWriter{}
	d := newTestSlot(t, false, w)
	d.connect(u, 0)
	s := &source{u: u, seq: 65534, stamp: 1 << 31}
	for i, pause := range []uint32{1, 1, 20, 20, 500, 1} { // in frames of 20 ms
		s.stamp += 960 * pause
		s.now += int64(pause) * int64(20*time.Millisecond)
		s.send(t, false, false, []byte{0xf8, byte(i)})
		if i == 0 {
			continue
		}
		last, before := w.packets[i], w.packets[i-1]
		if last.Timestamp-before.Timestamp != 960*pause || last.SequenceNumber != before.SequenceNumber+1 {
			t.Errorf("packet %d: %d ticks after a pause of %d frames, number %d after %d",
				i, last.Timestamp-before.Timestamp, pause, last.SequenceNumber, before.SequenceNumber)
		}
	}
	if len(w.packets) != 6 {
		t.Errorf("%d packets of 6", len(w.packets))
	}
}
