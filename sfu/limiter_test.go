package sfu

import (
	"testing"
	"time"
)

// quietRoom is a room that keeps no house by itself, in which alice's screen can be seen in
// bob's one slot.
func quietRoom(t *testing.T) (r *room, bob *Transport, asked *int) {
	t.Helper()
	n := startNode(t, nil)
	r = &room{
		node: n, id: "r",
		mutes: bucket{interval: loudnessInterval, burst: changeBurst},
	}
	for _, name := range []string{"alice", "bob"} {
		transport, ok := r.join(name, Events{})
		if !ok {
			t.Fatal("joined before")
		}
		t.Cleanup(transport.events.close)
	}
	u, asked := newTestUp(true)
	key := pubKey{"alice", Screen}
	r.publications.put(key, &publication{key: key, owner: r.transports.get("alice"), layers: []*encoding{{up: u, place: -1}}, stale: true})
	bob = r.transports.get("bob")
	bob.connection = &connection{transport: bob, ready: true, video: []*downTrack{newTestSlot(t, true, &fakeWriter{})}}
	return r, bob, asked
}

// TestTogglingAsksLittle: a viewer that takes a publication out of view and in again, twice
// a second, costs the others a key frame in two seconds and not more.
func TestTogglingAsksLittle(t *testing.T) {
	_, bob, asked := quietRoom(t)
	key, slot := pubKey{"alice", Screen}, bob.connection.video[0]
	up := bob.room.publications.get(key).layers[0].up
	ask := up.askKeyFrame
	up.askKeyFrame = func(ssrc uint32) { // a key frame comes
		ask(ssrc)
		up.keyFrameAnswered(up.keyFrameAt.Load())
	}
	const seconds = 40
	second := int64(time.Second)
	for now := second; now < (seconds+1)*second; now += second / 10 {
		switch now * 10 / second % 5 {
		case 0:
			slot.asks = bob.asksFor(key, now)
			slot.connect(up, now)
		case 4:
			slot.disconnect()
		}
		slot.repeatRequest(now)
		up.flushKeyFrame(now)
	}
	if most := askBurst + seconds/2; *asked > most || *asked < seconds/4 {
		t.Errorf("%d key frames asked for in %d s, at most %d", *asked, seconds, most)
	}
}

// TestOverflowedAsksOn: a slot that gave up what waited for its path asks for key frames until
// one has come, since its receiver, who gets nothing, sees nothing that is missing.
func TestOverflowedAsksOn(t *testing.T) {
	u, asked := newTestUp(true)
	d := newTestSlot(t, true, &fakeWriter{})
	s := &source{u: u}
	d.connect(u, 0)
	s.send(t, true, true, []byte("key frame"))
	for range 30 {
		s.send(t, true, false, []byte("a frame"))
	}
	d.heard.Store(true)
	d.overflow(u)
	const minute = int64(time.Minute)
	before := *asked
	for s.now < minute {
		d.repeatRequest(s.now)
		u.flushKeyFrame(s.now)
		s.send(t, true, false, []byte("no key frame"))
		if s.now > minute/2 && before >= 0 {
			if *asked-before < 30 {
				t.Errorf("asked %d times in half a minute", *asked-before)
			}
			before = -1
			s.send(t, true, true, []byte("key frame"))
		}
	}
	if d.phase != live || d.overflowed.Load() {
		t.Fatal("the slot has not begun anew")
	}
	before = *asked
	for range 100 {
		s.now += int64(loudnessInterval)
		d.repeatRequest(s.now)
		u.flushKeyFrame(s.now)
	}
	if *asked != before {
		t.Error("it asks although it has begun")
	}
}

// TestDarkSlotAsksOn: a slot that has sent nothing of a source that goes on asks for a key frame until one
// has come, however many requests were lost: its receiver sees no packet, and asks for nothing. Where
// the source has stopped, it asks a few times and no more.
func TestDarkSlotAsksOn(t *testing.T) {
	u, asked := newTestUp(true)
	d := newTestSlot(t, true, &fakeWriter{})
	d.asks = &bucket{interval: askInterval, burst: askBurst}
	s := &source{u: u}
	const minute = int64(time.Minute)
	pass := func(until int64, sends bool) (times int) {
		before := *asked
		for s.now < until {
			s.now += int64(loudnessInterval)
			d.repeatRequest(s.now)
			u.flushKeyFrame(s.now)
			if sends {
				s.send(t, true, false, []byte("no key frame"))
			}
		}
		return *asked - before
	}
	s.send(t, true, false, []byte("no key frame"))
	d.connect(u, s.now)
	pass(minute/4, true) // all that is asked for at first
	if n := pass(minute, true); n < 15 || n > 45/2*(1+maxKeyFrameRepeats) {
		t.Errorf("asked %d times in three quarters of a minute", n)
	}
	pass(minute+minute/4, false)
	if n := pass(2*minute, false); n > 0 {
		t.Errorf("asked %d times though the source has stopped", n)
	}
	if n := pass(2*minute+minute/4, true); n == 0 {
		t.Error("did not ask though the source goes on")
	}
	s.send(t, true, true, []byte("key frame"))
	if d.phase != live {
		t.Fatal("the slot has not begun")
	}
	d.heard.Store(true)
	if n := pass(3*minute, true); n > 0 {
		t.Errorf("asked %d times though it has begun", n)
	}
}

// TestAsksAreForgotten: what a viewer asked for long ago is not kept.
func TestAsksAreForgotten(t *testing.T) {
	_, bob, _ := quietRoom(t)
	for i := range 1000 {
		now := int64(i) * int64(time.Second)
		bob.asksFor(pubKey{participant: string(rune('a' + i))}, now).take(now)
	}
	if len(bob.asks) > 3 {
		t.Errorf("%d are kept", len(bob.asks))
	}
}

// TestAsksAreNotRenewed: who has asked for too much of one publication has not more for having
// looked at others.
func TestAsksAreNotRenewed(t *testing.T) {
	_, bob, _ := quietRoom(t)
	key, now := pubKey{"alice", Screen}, int64(time.Minute)
	for range askBurst {
		if !bob.asksFor(key, now).take(now) {
			t.Fatal("the burst is less than is said")
		}
	}
	bob.asksFor(pubKey{"carol", Camera}, now).take(now)
	if bob.asksFor(key, now).take(now) {
		t.Error("what was asked for is forgotten")
	}
	if bob.asksFor(pubKey{}, now) != nil {
		t.Error("there is something to ask of nobody")
	}
}

// TestBlockedAsksOn: a slot whose better layer comes with a key frame only asks for one each
// askInterval, until it has come.
func TestBlockedAsksOn(t *testing.T) {
	u, asked := newTestUp(true)
	d := newTestSlot(t, true, &fakeWriter{})
	d.connect(u, 0)
	(&source{u: u}).send(t, true, true, []byte("key frame"))
	d.heard.Store(true)
	d.layers.blocked.Store(true)
	*asked = 0
	const seconds = 20
	for now := int64(loudnessInterval); now <= seconds*int64(time.Second); now += int64(loudnessInterval) {
		d.repeatRequest(now)
		u.flushKeyFrame(now)
		u.keyFrameAnswered(now)
	}
	if want := int(seconds * time.Second / askInterval); *asked < want-1 || *asked > want {
		t.Errorf("asked %d times in %d s, want %d", *asked, seconds, want)
	}
	d.layers.blocked.Store(false)
	*asked = 0
	d.repeatRequest(int64(time.Minute))
	if u.flushKeyFrame(int64(time.Minute)); *asked != 0 {
		t.Error("it asks for what it has")
	}
}

// TestViewsAreFew: views beyond some at once wait for the next round of housekeeping; the
// latest counts.
func TestViewsAreFew(t *testing.T) {
	r, bob, _ := quietRoom(t)
	wants := []Want{{Participant: "alice", Source: Screen}}
	slot := bob.connection.video[0]
	r.setView(bob, wants)
	if slot.key.participant != "alice" {
		t.Fatal("the first view has no effect")
	}
	bob.views.full = r.node.now() + int64(time.Hour)
	r.setView(bob, nil)
	if slot.key.participant != "alice" {
		t.Error("a view too many has an effect at once")
	}
	r.housekeeping(r.node.now(), 0, unsent)
	if slot.key.participant != "" {
		t.Error("the latest view has no effect")
	}
}

// TestMutesAreFew: so do mutes, which concern all slots of the room.
func TestMutesAreFew(t *testing.T) {
	r, bob, _ := quietRoom(t)
	slot := bob.connection.video[0]
	r.setView(bob, []Want{{Participant: "alice", Source: Screen}})
	r.mutes.full = r.node.now() + int64(time.Hour)
	r.setMuted(r.transports.get("alice"), Screen, true)
	if slot.key.participant != "alice" {
		t.Error("a mute too many has an effect at once")
	}
	r.housekeeping(r.node.now(), 0, unsent)
	if slot.key.participant != "" {
		t.Error("the mute has no effect")
	}
}

// TestSlotsThatCarry: the count of slots is of those that carry something.
func TestSlotsThatCarry(t *testing.T) {
	r, bob, _ := quietRoom(t)
	if _, slots := r.count(&counters{}); slots != 0 {
		t.Errorf("%d slots carry something", slots)
	}
	r.setView(bob, []Want{{Participant: "alice", Source: Screen}})
	if _, slots := r.count(&counters{}); slots != 1 {
		t.Errorf("%d slots carry something, want 1", slots)
	}
}
