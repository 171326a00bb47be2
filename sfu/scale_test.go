package sfu

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/conclave-sfu/conclave/sfu/allocate"
	"github.com/conclave-sfu/conclave/sfu/bwe"
)

// crowd is a room with many participants, each with a camera and a microphone, slots for
// 25 videos and 8 voices, and no network.
type crowd struct {
	room    *room
	members []*member
	came    int // ever
}

type member struct {
	*Transport
	camera, mic *upTrack
}

const (
	tiles  = 25
	voices = 8
)

func newCrowd(t testing.TB, n int) *crowd {
	t.Helper()
	c := &crowd{room: &room{
		node:  &Node{born: time.Now()},
		mutes: bucket{interval: loudnessInterval, burst: changeBurst},
	}}
	for range n {
		c.join(t)
	}
	return c
}

// join adds a participant.
func (c *crowd) join(t testing.TB) *member {
	t.Helper()
	name := fmt.Sprintf("p%03d", c.came)
	c.came++
	transport, ok := c.room.join(name, Events{})
	if !ok {
		t.Fatal("joined before")
	}
	t.Cleanup(transport.events.close)
	m := &member{Transport: transport}
	connection := &connection{transport: transport, closing: true} // there is nothing to tear down
	for range voices {
		connection.audio = append(connection.audio, newTestSlot(t, false, &fakeWriter{discard: true}))
	}
	for range tiles {
		connection.video = append(connection.video, newTestSlot(t, true, &fakeWriter{discard: true}))
	}
	transport.connection = connection
	t.Cleanup(func() { transport.connection = nil })
	c.room.connected(connection)
	m.camera, _ = newTestUp(true)
	m.mic, _ = newTestUp(false)
	c.room.addLayer(connection, Camera, m.camera)
	c.room.addLayer(connection, Mic, m.mic)
	c.members = append(c.members, m)
	return m
}

// scroll lets a participant see 25 others from a place on, itself among them as it may be.
func (c *crowd) scroll(m *member, from int) {
	var wants []Want
	for i := range tiles {
		other := c.members[(from+i)%len(c.members)]
		wants = append(wants, Want{Participant: other.participant, Source: Camera, Width: 320, Height: 180})
	}
	m.View(wants)
}

// speak sends audio packets of a loudness, in dB above the lowest.
func (m *member) speak(loudness uint8) {
	for range 10 {
		m.mic.loudness.add([]byte{127 - loudness})
	}
}

// tick lets time pass until the next round of housekeeping.
func (c *crowd) tick() {
	c.room.node.born = c.room.node.born.Add(-loudnessInterval)
	c.room.housekeeping(c.room.node.now(), 0, unsent)
}

// others is how many of those that a participant looks at are somebody else.
func (m *member) others() (n int) {
	for _, w := range m.wants {
		if w.Participant != m.participant {
			n++
		}
	}
	return n
}

// check counts what a participant is sent: each video that is wanted once, and as many voices
// as there are slots.
func (c *crowd) check(t *testing.T, m *member) {
	t.Helper()
	seen, video, audio := map[pubKey]bool{}, 0, 0
	for _, s := range m.connection.report() {
		key := pubKey{s.Participant, s.Source}
		if seen[key] || s.Participant == m.participant {
			t.Fatalf("%s gets %v twice, or its own", m.participant, key)
		}
		seen[key] = true
		if s.Source.Audio() {
			audio++
			continue
		}
		video++
		if at := c.room.placedAs(key, m.wants); at.height() == 0 {
			t.Fatalf("%s gets %v, which it does not want", m.participant, key)
		}
	}
	if video != m.others() || audio != min(voices, len(c.members)-1) {
		t.Fatalf("%s gets %d videos of %d wanted, and %d voices", m.participant, video, m.others(), audio)
	}
	if len(m.connection.video) != tiles || len(m.connection.audio) != voices {
		t.Fatal("the slots have changed")
	}
}

// film has everybody send a key frame, another frame, and sound, of a packet each.
func (c *crowd) film(t *testing.T) {
	t.Helper()
	for _, m := range c.members {
		s := &source{u: m.camera, seq: 1, now: c.room.node.now()}
		s.send(t, true, true, []byte("key"))
		s.send(t, true, false, []byte("next"))
		s = &source{u: m.mic, seq: 1, now: c.room.node.now()}
		s.send(t, false, false, []byte("sound"))
	}
}

// written counts the packets that went to slots.
func written(slots []*downTrack) (n int) {
	for _, d := range slots {
		n += d.writer.(*fakeWriter).written
	}
	return n
}

// TestCrowd: 500 participants join, speak and scroll. Each receives the videos of its tiles
// and the voices of its slots, no packet of anybody else, and all changes are in those slots.
func TestCrowd(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 9))
	c := newCrowd(t, 30)
	for len(c.members) < 500 {
		m := c.join(t)
		c.scroll(m, random.IntN(len(c.members)))
	}
	for range 50 {
		for range 5 {
			c.scroll(c.members[random.IntN(len(c.members))], random.IntN(len(c.members)))
			c.members[random.IntN(len(c.members))].speak(uint8(60 + random.IntN(60)))
		}
		c.tick()
	}
	c.film(t)
	for _, m := range c.members {
		c.check(t, m)
		if seen, heard := written(m.connection.video), written(m.connection.audio); seen != 2*m.others() || heard != voices {
			t.Fatalf("%s is sent %d packets of %d videos, %d of %d voices", m.participant, seen, m.others(), heard, voices)
		}
	}
	loud := c.members[400]
	for range 10 {
		loud.speak(120)
		c.tick()
	}
	if got := c.room.dominant(); got != loud.participant {
		t.Errorf("%q has the floor, want %q", got, loud.participant)
	}
	for _, m := range c.members {
		c.check(t, m)
		if m != loud && !carries(m.connection.audio, pubKey{loud.participant, Mic}) {
			t.Fatalf("%s does not hear who speaks", m.participant)
		}
	}
	c.check(t, c.members[0])
	c.room.endConnection(loud.connection)
	c.room.settleRest()
	if carries(c.members[0].connection.audio, pubKey{loud.participant, Mic}) {
		t.Error("who has left is still heard")
	}
}

func carries(slots []*downTrack, key pubKey) bool {
	for _, d := range slots {
		if d.key == key {
			return true
		}
	}
	return false
}

// TestOthersAreLeftAlone: a change concerns those who want what has changed, and nobody
// else's slots are mapped anew.
func TestOthersAreLeftAlone(t *testing.T) {
	c := newCrowd(t, 60)
	for i, m := range c.members {
		c.scroll(m, i)
	}
	c.tick()
	concerned := func() (n int) {
		for _, m := range c.members {
			if m.stale {
				n++
			}
		}
		return n
	}
	if n := concerned(); n != 0 {
		t.Errorf("%d are to be mapped when all is quiet", n)
	}
	c.room.touch(pubKey{c.members[30].participant, Camera})
	if n := concerned(); n != tiles {
		t.Errorf("a camera concerns %d, want %d", n, tiles)
	}
	c.room.settleRest()
	c.room.touch(pubKey{c.members[30].participant, Screen})
	if n := concerned(); n != 0 {
		t.Errorf("a screen that nobody wants concerns %d", n)
	}
}

// TestSharingKeepsSlots: on thin lines, housekeeping shares anew what each takes, among the slots as
// they are; mapping all slots anew at any time would change none of them.
func TestSharingKeepsSlots(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 11))
	c := newCrowd(t, 60)
	c.tighten(600_000)
	for range 40 {
		for range 4 {
			m := c.members[random.IntN(len(c.members))]
			switch random.IntN(4) {
			case 0:
				m.Mute(Camera, !m.muted[Camera])
			case 1:
				m.speak(uint8(60 + random.IntN(60)))
			default:
				c.scroll(m, random.IntN(len(c.members)))
			}
		}
		c.tick()
		shown := c.shown()
		for _, m := range c.members {
			m.stale = true
		}
		c.room.settleRest()
		if again := c.shown(); !maps.Equal(shown, again) {
			t.Fatalf("mapped anew, slots show something else:\n%v\n%v", shown, again)
		}
	}
}

// shown is what each slot carries, and sends.
func (c *crowd) shown() map[*downTrack]option {
	all := map[*downTrack]option{}
	for _, m := range c.members {
		for _, d := range m.connection.video {
			at := c.room.placedAs(d.key, nil)
			if at.sends() {
				all[d] = option{up: d.up, limit: unpackLayer(d.layers.limit.Load()), height: at.publication.arrival}
			}
		}
	}
	return all
}

// TestCodecChanges: who is shown a camera that changes to a codec that it does not take is shown
// it no more after a measurement, and again when it changes back.
func TestCodecChanges(t *testing.T) {
	c := newCrowd(t, 4)
	viewer, sender := c.members[0], c.members[1]
	for _, d := range viewer.connection.video {
		d.types[codecH264] = payloadTypes{}
	}
	c.scroll(viewer, 1)
	carried := func() bool { return carries(viewer.connection.video, pubKey{sender.participant, Camera}) }
	for _, step := range []struct {
		codec codec
		want  bool
	}{{codecVP8, true}, {codecH264, false}, {codecVP8, true}} {
		sender.camera.codec.Store(uint32(step.codec))
		for range 2 * layerInterval / loudnessInterval {
			c.tick()
		}
		if carried() != step.want {
			t.Errorf("of codec %d it is shown: %t", step.codec, carried())
		}
	}
}

// TestSpeakerHasPriority: who speaks is shown if there are more wants than slots, and
// stays a while after.
func TestSpeakerHasPriority(t *testing.T) {
	c := newCrowd(t, 40)
	viewer, speaker := c.members[0], c.members[39]
	var wants []Want
	for _, m := range c.members[1:] {
		wants = append(wants, Want{Participant: m.participant, Source: Camera, Height: 180})
	}
	viewer.View(wants)
	shown := func() bool { return carries(viewer.connection.video, pubKey{speaker.participant, Camera}) }
	if shown() {
		t.Fatal("shown before speaking")
	}
	for range 10 {
		speaker.speak(110)
		c.tick()
	}
	if !shown() {
		t.Error("who speaks is not shown")
	}
	for range 20 {
		c.tick()
	}
	if !shown() {
		t.Error("a pause costs the tile")
	}
}

// tighten has each participant's line take so many bits a second, less than all want; 0 for no limit.
func (c *crowd) tighten(bits int64) {
	for _, m := range c.members {
		var line *budget
		if bits > 0 {
			line = newBudget(bwe.NewSentLog(bwe.DefaultLogSize), &m.connection.bucket, &m.connection.repairs, bits)
		}
		m.connection.budget.Store(line)
		m.stale = true
	}
	c.room.settleRest()
}

func BenchmarkCrowd(b *testing.B) {
	c := newCrowd(b, 500)
	random := rand.New(rand.NewPCG(1, 1))
	for _, m := range c.members {
		c.scroll(m, random.IntN(500))
	}
	c.tick()
	b.Run("quiet tick", func(b *testing.B) {
		for b.Loop() {
			c.tick()
		}
	})
	b.Run("tight tick", func(b *testing.B) {
		c.tighten(400_000)
		defer c.tighten(0)
		for b.Loop() {
			c.tick()
		}
	})
	b.Run("camera changes", func(b *testing.B) {
		for b.Loop() {
			c.room.touch(pubKey{c.members[random.IntN(500)].participant, Camera})
			c.room.settleRest()
		}
	})
	b.Run("scroll", func(b *testing.B) {
		for b.Loop() {
			m := c.members[random.IntN(500)]
			m.views = bucket{interval: loudnessInterval, burst: changeBurst}
			c.scroll(m, random.IntN(500))
		}
	})
	b.Run("mute and unmute", func(b *testing.B) {
		for b.Loop() {
			m := c.members[random.IntN(500)]
			c.room.mutes = bucket{interval: loudnessInterval, burst: changeBurst}
			m.Mute(Mic, true)
			m.Mute(Mic, false)
		}
	})
}

// TestSharesAreRanked: allocation is told who has the floor, what is a screen, and what the
// receiver itself says of size and order.
func TestSharesAreRanked(t *testing.T) {
	c := newCrowd(t, 3)
	speaker := c.members[1]
	for range 10 {
		speaker.speak(110)
		c.tick()
	}
	wants := []Want{
		{Participant: "p000", Source: Camera, Width: 320, Height: 180, Priority: 3},
		{Participant: "p001", Source: Camera, Width: 640, Height: 360},
		{Participant: "p001", Source: Screen, Width: 10, Height: 10, Priority: 1},
	}
	for i, want := range []allocate.Slot{
		{Class: allocate.Tile, Priority: 3, Pixels: 320 * 180},
		{Class: allocate.Speaker, Pixels: 640 * 360},
		{Class: allocate.Screen, Priority: 1, Pixels: 100},
	} {
		at := c.room.placedAs(pubKey{wants[i].Participant, wants[i].Source}, wants)
		got := c.room.shareOf(&at, menu{})
		if got.Class != want.Class || got.Priority != want.Priority || got.Pixels != want.Pixels {
			t.Errorf("%v is shared as %+v, want %+v", wants[i], got, want)
		}
	}
}
