package sfu

import (
	"testing"
	"time"

	"github.com/pion/rtcp"
)

// TestFeedbackOfOthers: a compound packet comes to every slot that any part of it names; a slot
// takes what is of itself.
func TestFeedbackOfOthers(t *testing.T) {
	type effect struct {
		again, keyFrames int
		heard, losing    bool
	}
	for _, test := range []struct {
		name   string
		packet func(ssrc uint32, seq uint16) rtcp.Packet
		own    effect
	}{
		{"a report of much lost", func(ssrc uint32, _ uint16) rtcp.Packet {
			return &rtcp.ReceiverReport{Reports: []rtcp.ReceptionReport{{SSRC: 5}, {SSRC: ssrc, FractionLost: muchLost}}}
		}, effect{heard: true, losing: true}},
		{"a report of little lost", func(ssrc uint32, _ uint16) rtcp.Packet {
			return &rtcp.ReceiverReport{Reports: []rtcp.ReceptionReport{{SSRC: 5, FractionLost: 255}, {SSRC: ssrc, FractionLost: muchLost - 1}}}
		}, effect{heard: true}},
		{"packets that are missing", func(ssrc uint32, seq uint16) rtcp.Packet {
			return &rtcp.TransportLayerNack{MediaSSRC: ssrc, Nacks: []rtcp.NackPair{{PacketID: seq, LostPackets: 1}}}
		}, effect{again: 2}},
		{"a picture that is lost", func(ssrc uint32, _ uint16) rtcp.Packet {
			return &rtcp.PictureLossIndication{MediaSSRC: ssrc}
		}, effect{keyFrames: 1}},
		{"a key frame that is wanted", func(ssrc uint32, _ uint16) rtcp.Packet {
			return &rtcp.FullIntraRequest{FIR: []rtcp.FIREntry{{SSRC: 5}, {SSRC: ssrc}}}
		}, effect{keyFrames: 1}},
	} {
		for _, own := range []bool{true, false} {
			u, asked := newTestUp(true)
			w := &fakeWriter{}
			d := newTestSlot(t, true, w)
			d.connect(u, 0)
			s := &source{u: u}
			s.send(t, true, true, []byte("key frame"))
			s.send(t, true, false, []byte("a frame"))
			*asked = 0
			ssrc, want := d.ssrc, test.own
			if !own {
				ssrc, want = d.ssrc+1, effect{}
			}
			d.feedback([]rtcp.Packet{test.packet(ssrc, w.packets[0].SequenceNumber)}, int64(time.Minute))
			if got := (effect{len(w.packets) - 2, *asked, d.heard.Load(), d.losing}); got != want {
				t.Errorf("%s, own: %t: %+v, want %+v", test.name, own, got, want)
			}
		}
	}
}

// TestNobodyAsksTheStopped: a receiver that misses a picture of an encoding whose sender has
// stopped it asks for nothing.
func TestNobodyAsksTheStopped(t *testing.T) {
	u, asked := newTestUp(true)
	d := newTestSlot(t, true, &fakeWriter{})
	d.connect(u, 0)
	(&source{u: u}).send(t, true, true, []byte("key frame"))
	u.pulse.Store(&pulse{})
	*asked = 0
	for _, stopped := range []bool{true, false} {
		u.pulse.Load().stalled.Store(stopped)
		d.feedback([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: d.ssrc}}, int64(time.Minute))
		if asks := *asked > 0; asks == stopped {
			t.Errorf("stopped: %t; a key frame is asked for: %t", stopped, asks)
		}
	}
}

// TestNothingToSendAgainWith: what the receiver has no stream, or no payload type, for is not
// sent again, however it asks.
func TestNothingToSendAgainWith(t *testing.T) {
	for _, test := range []struct {
		name    string
		rtxSSRC uint32
		types   func(*[numCodecs]payloadTypes)
		again   uint64
	}{
		{"all is offered", 222, func(*[numCodecs]payloadTypes) {}, 1},
		{"no stream", 0, func(*[numCodecs]payloadTypes) {}, 0},
		{"no payload type of this codec", 222, func(types *[numCodecs]payloadTypes) { types[codecVP8].rtx = 0 }, 0},
	} {
		u, _ := newTestUp(true)
		w := &fakeWriter{}
		types := testTypes()
		test.types(&types)
		d := &downTrack{mid: "7", video: true}
		d.bind(w, 111, test.rtxSSRC, types)
		d.connect(u, 0)
		(&source{u: u}).send(t, true, true, []byte("key frame"))
		nack := &rtcp.TransportLayerNack{MediaSSRC: d.ssrc, Nacks: []rtcp.NackPair{{PacketID: w.packets[0].SequenceNumber}}}
		d.feedback([]rtcp.Packet{nack}, int64(time.Second))
		again, gone := u.counters.retransmitted.Load(), u.counters.dropped[dropNACKGone].Load()
		if again != test.again || uint64(len(w.packets)-1) != again || gone != 1-again {
			t.Errorf("%s: sent again %d times, counted as %d, and %d gone", test.name, len(w.packets)-1, again, gone)
		}
	}
}

// TestNothingOfAnotherSource: what was sent of the source before is not sent again: its number may be
// that of another packet by now.
func TestNothingOfAnotherSource(t *testing.T) {
	w := &fakeWriter{}
	d := newTestSlot(t, true, w)
	for range 2 {
		u, _ := newTestUp(true)
		d.connect(u, int64(time.Second))
		(&source{u: u}).send(t, true, true, []byte("key frame"))
	}
	f := d.feed.Load()
	if len(w.packets) != 2 {
		t.Fatalf("%d packets were sent, of two sources", len(w.packets))
	}
	for i, of := range []string{"before", "now"} {
		nack := &rtcp.TransportLayerNack{MediaSSRC: d.ssrc, Nacks: []rtcp.NackPair{{PacketID: w.packets[i].SequenceNumber}}}
		d.feedback([]rtcp.Packet{nack}, int64(2*time.Second))
		if again := f.up.counters.retransmitted.Load(); again != uint64(i) {
			t.Errorf("a packet of the source %s: %d were sent again", of, again)
		}
	}
}

// TestRepairsTakeRoom: what is sent again counts as sent, and is not sent where the participant may
// not be sent more.
func TestRepairsTakeRoom(t *testing.T) {
	p := newPaced(t, 300_000)
	p.frame(t, true, 1)
	ask := func() bool {
		before := len(p.writer.packets)
		nack := &rtcp.TransportLayerNack{MediaSSRC: p.slot.ssrc, Nacks: []rtcp.NackPair{{PacketID: p.writer.packets[0].SequenceNumber}}}
		p.slot.feedback([]rtcp.Packet{nack}, p.now)
		return len(p.writer.packets) > before
	}
	for range 10 { // 40 ms at 750 kbit/s are 3750 bytes
		if !ask() {
			t.Fatal("a packet is not sent again")
		}
	}
	p.frame(t, false, 1)
	if p.slot.phase != behind {
		t.Errorf("phase %d: repairs took no room", p.slot.phase)
	}
	p.slot.ceiling = &ceiling{}
	p.slot.ceiling.set(8 * 1000)
	for ask() {
	}
	if p.u.counters.dropped[dropOutgoing].Load() != 1 {
		t.Errorf("%d were refused since too much is sent", p.u.counters.dropped[dropOutgoing].Load())
	}
}
