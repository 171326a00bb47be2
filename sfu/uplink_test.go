package sfu

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"testing"
	"time"

	"github.com/pion/rtp"

	"github.com/conclave-sfu/conclave/sfu/packetcache"
	"github.com/conclave-sfu/conclave/sfu/srtp"
)

// FuzzExtension: header extensions (RFC 8285) are what an independent reader finds, and are
// nothing where it finds the header malformed.
func FuzzExtension(f *testing.F) {
	for _, profile := range []uint16{oneByteProfile, twoByteProfile, twoByteProfile | 5, 0x1234} {
		h := rtp.Header{Version: 2, CSRC: []uint32{7}, Extension: true, ExtensionProfile: profile}
		for id, value := range map[uint8]string{1: "a", 4: "mid", 9: "0123456789abcdef"} {
			_ = h.SetExtension(id, []byte(value)) // what the profile bears
		}
		raw, err := h.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		size, ok := srtp.HeaderSize(raw)
		if !ok {
			return
		}
		var h rtp.Header
		_, err := h.Unmarshal(raw)
		for id := uint8(1); id < 15; id++ {
			got := extension(raw[:size], id)
			if len(got) > 255 {
				t.Fatalf("%d bytes of extension", len(got))
			}
			if err == nil && (h.ExtensionProfile == oneByteProfile || h.ExtensionProfile == twoByteProfile) && !bytes.Equal(got, h.GetExtension(id)) {
				t.Errorf("id %d: %x, want %x, of %x", id, got, h.GetExtension(id), raw)
			}
		}
	})
}

// FuzzIntake gives a connection what a participant may seal: headers and payloads of any
// kind, of streams that it offered and of others, of retransmissions too. Whatever it is,
// what was offered is received afterwards as before, and nothing is kept beyond the bounds.
func FuzzIntake(f *testing.F) {
	f.Add([]byte{20, 0x80, 96, 0, 5, 0, 0, 0, 0, 0, 0, 0, 70, 0x10, 1, 2, 3, 4, 5, 6, 7})
	f.Add([]byte{18, 0xa0, 97, 0, 5, 0, 0, 0, 0, 0, 0, 0, 71, 0, 9, 0x10, 0, 0, 2})
	f.Add([]byte{24, 0x90, 0xe0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 99, 0xbe, 0xde, 0, 1, 0x20, 'v', 0, 0, 0x10, 1, 2, 3})
	f.Fuzz(func(t *testing.T, data []byte) {
		n := startNode(t, nil)
		r := newRig(t, n, "alice", map[string]Source{"v": Camera}, rigSection("video", "v", "sendonly", "a=ssrc-group:FID 70 71\r\n"))
		for i := 0; len(data) > 0 && i < 50; i++ {
			size := min(int(data[0])+1, len(data)-1)
			r.takePlain(data[1 : 1+size])
			data = data[1+size:]
		}
		if len(r.uplinks) > maxUplinks {
			t.Errorf("%d streams", len(r.uplinks))
		}
		r.send(r.packet(70, 96, 1, keyFrame))
		u := r.uplinks[70]
		if u == nil || u.up == nil {
			t.Fatal("what was offered is not received any more")
		}
		if got := r.acknowledged(); got > 1<<16 {
			t.Errorf("%d arrivals are held", got)
		}
	})
}

// TestPacketsLead: of one that is heard, media goes by the way that an authentic packet came by,
// and no other.
func TestPacketsLead(t *testing.T) {
	n := startNode(t, nil)
	r := newRig(t, n, "alice", map[string]Source{"a": Mic}, rigSection("audio", "a", "sendonly"))
	home, away := &fakePath{sent: [][]byte{}}, &fakePath{sent: [][]byte{}}
	r.checks(home, nominating)
	r.checks(away)
	genuine := r.seal(r.packet(9, 111, 1, "x"))
	forged := bytes.Clone(genuine)
	forged[len(forged)-1]++
	for _, step := range []struct {
		name   string
		packet []byte
		path   *fakePath
		want   *fakePath
	}{
		{"a forged one", forged, away, home}, {"an authentic one", genuine, away, away}, {"the same again", genuine, home, away},
		{"another one", r.seal(r.packet(9, 111, 2, "x")), away, away},
	} {
		n.Receive(step.path, step.packet)
		if got := r.way.Load().path; got != step.want {
			t.Errorf("%s: media goes by the wrong way", step.name)
		}
	}
	if !r.proved.Load() {
		t.Error("it has not proved that it has the keys")
	}
}

// TestNothingAfterTheEnd: of a connection that is closed nothing is taken in any more.
func TestNothingAfterTheEnd(t *testing.T) {
	n := startNode(t, nil)
	r := newRig(t, n, "alice", map[string]Source{"a": Mic}, rigSection("audio", "a", "sendonly"))
	r.send(r.packet(9, 111, 1, "x"))
	u := r.uplinks[9]
	if u == nil || u.up == nil {
		t.Fatal("nothing is received")
	}
	r.close()
	r.send(r.packet(9, 111, 2, "x"))
	r.send(r.packet(10, 111, 1, "x"))
	if got := u.up.counters.packetsIn.Load(); got != 1 || r.uplinks[10] != nil {
		t.Errorf("%d packets of a stream that has ended; a new one: %t", got, r.uplinks[10] != nil)
	}
}

// TestLongestSilentMakesRoom: for a stream too many, and none that was heard within uplinkIdle.
func TestLongestSilentMakesRoom(t *testing.T) {
	n := startNode(t, nil)
	r := newRig(t, n, "alice", map[string]Source{"a": Mic}, rigSection("audio", "a", "sendonly"))
	const second = int64(time.Second)
	for ssrc := range uint32(maxUplinks) { // the first is heard last
		r.egress.now = int64(maxUplinks-ssrc) * second
		r.send(r.packet(ssrc+1, 111, 1, "x"))
	}
	r.egress.now = int64(maxUplinks) * second
	for i, last := uint32(0), uint32(maxUplinks); i < 3; i++ {
		r.send(r.packet(1000+i, 111, 1, "x"))
		if r.uplinks[1000+i] == nil || r.uplinks[last-i] != nil || r.uplinks[last-i-1] == nil {
			t.Errorf("newcomer %d has not the place of who was silent for the longest time", i)
		}
	}
	r.egress.now = 2 + int64(uplinkIdle) // all but one were heard a moment ago
	for _, u := range r.uplinks {
		u.heardAt = 3
	}
	r.uplinks[1].heardAt = 2
	for i, want := range []bool{true, false} {
		if r.send(r.packet(2000+uint32(i), 111, 1, "x")); (r.uplinks[2000+uint32(i)] != nil) != want {
			t.Errorf("newcomer %d has a place: %t, want %t", i, !want, want)
		}
	}
}

// TestRemovedStreamsKeepNothing: the packets of a stream that is forgotten, or whose connection
// ends, are given back.
func TestRemovedStreamsKeepNothing(t *testing.T) {
	for name, end := range map[string]func(*rig, *uplink){
		"forgotten": func(r *rig, u *uplink) {
			r.intake.Lock()
			defer r.intake.Unlock()
			r.removeUplink(u)
		},
		"closed": func(r *rig, _ *uplink) { r.close() },
	} {
		n := startNode(t, nil)
		r := newRig(t, n, "alice", map[string]Source{"v": Camera}, rigSection("video", "v", "sendonly", "a=ssrc:70 cname:x\r\n"))
		r.send(r.packet(70, 96, 1, keyFrame))
		u := r.uplinks[70]
		p, ok := u.up.cache.Get(u.up.newest.Load())
		if !ok {
			t.Fatal("nothing is kept of a stream")
		}
		if end(r, u); p.Holders() != 1 {
			t.Errorf("%s: a packet has %d holders beside the test", name, p.Holders()-1)
		}
		p.Release()
	}
}

// TestClocksOfReports: reports tell of jitter in the units of the codec.
func TestClocksOfReports(t *testing.T) {
	n := startNode(t, nil)
	r := newRig(t, n, "alice", map[string]Source{"a": Mic, "v": Camera},
		rigSection("audio", "a", "sendonly"), rigSection("video", "v", "sendonly", "a=ssrc:70 cname:x\r\n"))
	r.send(r.packet(9, 111, 1, "x"))
	r.send(r.packet(70, 96, 1, keyFrame))
	for ssrc, want := range map[uint32]int64{9: 48000, 70: 90000} {
		if got := int64(r.uplinks[ssrc].reception.Rate); got != want {
			t.Errorf("%d ticks a second, want %d", got, want)
		}
	}
}

// takePlain takes a packet as if it had been opened.
func (r *rig) takePlain(raw []byte) {
	p := packetcache.New()
	plain := p.Buffer[:copy(p.Buffer[:], raw)]
	header, ok := srtp.HeaderSize(plain)
	if !ok {
		p.Release()
		return
	}
	r.intake.Lock()
	defer r.intake.Unlock()
	ssrc := binary.BigEndian.Uint32(plain[8:])
	u := r.uplinks[ssrc]
	if u == nil {
		if u = (&uplink{ssrc: ssrc, in: r.in.Stream()}); !r.admit(u, r.egress.now) {
			p.Release()
			return
		}
	}
	if !r.takeMedia(r.egress, u, p, plain, header) {
		p.Release()
	}
}

// TestSSRCIsInherited: a sender that begins anew under another SSRC is followed with its
// retransmissions; what is late of the stream before changes nothing, and its packets are given
// back. When the new one is silent the one before may come back.
func TestSSRCIsInherited(t *testing.T) {
	n := startNode(t, nil)
	r := newRig(t, n, "alice", map[string]Source{"v": Camera},
		rigSection("video", "v", "sendonly", "a=rid:lo send\r\na=rid:hi send\r\na=simulcast:send lo;hi\r\n"))
	media := func(ssrc uint32, seq uint16) {
		r.send(r.packet(ssrc, 96, seq, keyFrame, id(rigMID), "v", id(rigRID), "lo"))
	}
	r.send(r.packet(99, 96, 1, keyFrame, id(rigMID), "v", id(rigRID), "hi"))
	const housekeepers = 1
	var before *upTrack
	for i := range uint32(12) {
		ssrc := 100 + 2*i
		media(ssrc, 1)
		r.send(r.packet(ssrc+1, 97, 1, "\x00\x02"+keyFrame, id(rigMID), "v", id(rigRRID), "lo"))
		u, repair := r.uplinks[ssrc], r.uplinks[ssrc+1]
		if repair.media != u || u.up.counters.packetsIn.Load() != 2 {
			t.Fatalf("stream %d: its retransmissions are those of another", i)
		}
		if before != nil {
			media(ssrc-2, 3) // late
			r.send(r.packet(ssrc-1, 97, 2, "\x00\x04"+keyFrame))
			if got := before.counters.packetsIn.Load(); got != 2 {
				t.Errorf("stream %d: %d packets are taken of that before", i, got)
			}
		}
		before = u.up
	}
	kept := func(u *upTrack) bool {
		p, ok := u.cache.Get(u.newest.Load())
		if ok {
			p.Release()
		}
		return ok
	}
	for first := r.uplinks[100].up; kept(first); {
		runtime.Gosched()
	}
	if !kept(before) {
		t.Error("the packets of the present one are given back")
	}
	current := func() *upTrack {
		for n.background.running() > housekeepers {
			runtime.Gosched()
		}
		r.transport.room.mu.Lock()
		defer r.transport.room.mu.Unlock()
		for _, l := range r.transport.room.publications.list[0].layers {
			if l.up.rid == "lo" {
				return l.up
			}
		}
		return nil
	}
	if current() != before {
		t.Error("another stream than the latest is shown")
	}
	r.egress.now += int64(heirSilence)
	if media(100, 9); current() != r.uplinks[100].up || r.uplinks[100].heir != nil || r.uplinks[122].heir != r.uplinks[100] {
		t.Error("the one before does not come back")
	}
	if !kept(r.uplinks[100].up) {
		t.Error("what comes then is not kept")
	}
}

// TestPairsAreKept: an SSRC that the offer names for what is sent is not taken for what is sent
// again, nor the other way round, whatever its first packet says.
func TestPairsAreKept(t *testing.T) {
	n := startNode(t, nil)
	r := newRig(t, n, "alice", map[string]Source{"v": Camera}, rigSection("video", "v", "sendonly", "a=ssrc-group:FID 70 71\r\n"))
	r.send(r.packet(70, 97, 1, "\x00\x02"+keyFrame))
	r.send(r.packet(71, 96, 1, keyFrame))
	if r.uplinks[70].section != nil || r.uplinks[71].section != nil {
		t.Error("the offer is contradicted")
	}
	r.send(r.packet(70, 96, 2, keyFrame))
	r.send(r.packet(71, 97, 2, "\x00\x03"+keyFrame))
	if u := r.uplinks[70]; u.up == nil || r.uplinks[71].media != u || u.up.counters.packetsIn.Load() != 2 {
		t.Error("what was offered is not received")
	}
}

// TestNothingIsAskedForWithoutRTX: a publisher that offers no retransmissions is asked for none: what it
// would send again under the same numbers is a replay.
func TestNothingIsAskedForWithoutRTX(t *testing.T) {
	n := startNode(t, nil)
	r := newRig(t, n, "alice", map[string]Source{"v": Camera}, testSection("video", "v", "sendonly", "a=ssrc:70 cname:x\r\n"))
	r.send(r.packet(70, 96, 1, keyFrame))
	u := r.uplinks[70]
	newTestSlot(t, true, &fakeWriter{}).connect(u.up, r.egress.now)
	r.send(r.packet(70, 96, 5, "\x10y"))
	if !u.missing.Waiting() || r.hunting || u.asks() || len(u.due(r.egress.now+int64(time.Second))) > 0 {
		t.Errorf("something is missing: %t, and asked for: %t", u.missing.Waiting(), r.hunting || u.asks())
	}
}

// TestEarlyIsGivenBack: what came before the keys, and is not kept when they are there, is given back.
func TestEarlyIsGivenBack(t *testing.T) {
	n := startNode(t, nil)
	r := newRig(t, n, "alice", nil, rigSection("audio", "a", "recvonly"))
	in := r.in
	r.in = nil
	r.greeted.Store(true)
	p := packetcache.New()
	if !r.takeProtected(r.egress, p, 40, nil) {
		t.Fatal("it is not kept")
	}
	p.Share()
	p.Retain() // by the test
	r.intake.Lock()
	defer r.intake.Unlock()
	r.in = in
	if r.takeEarly(r.egress); p.Holders() != 1 || r.early != nil {
		t.Errorf("%d holders beside the test, %d packets are kept", p.Holders()-1, len(r.early))
	}
	p.Release()
}

// TestTooManyStreamsAreNone: of a stream for which there is no place nothing is taken, and it
// becomes part of no publication.
func TestTooManyStreamsAreNone(t *testing.T) {
	n := startNode(t, nil)
	r := newRig(t, n, "alice", map[string]Source{"a": Mic}, rigSection("audio", "a", "sendonly"))
	for ssrc := range uint32(maxUplinks) {
		r.send(r.packet(ssrc+1, 111, 1, "x"))
	}
	before := n.ended.dropped[dropUnknown].Load()
	r.send(r.packet(1000, 111, 1, "x"))
	if got := n.ended.dropped[dropUnknown].Load() - before; got != 1 || r.uplinks[1000] != nil {
		t.Errorf("%d packets are dropped, want 1; it has a place: %t", got, r.uplinks[1000] != nil)
	}
}

// TestRepairsFindTheirMedia: retransmissions may come before what they repair, and outlive it.
func TestRepairsFindTheirMedia(t *testing.T) {
	n := startNode(t, nil)
	r := newRig(t, n, "alice", map[string]Source{"v": Camera}, rigSection("video", "v", "sendonly", "a=ssrc-group:FID 70 71\r\n"))
	r.send(r.packet(71, 97, 1, "\x00\x01"+keyFrame))
	r.send(r.packet(70, 96, 2, keyFrame))
	if got := r.uplinks[71].media; got != nil {
		t.Error("it repairs what has not come")
	}
	r.send(r.packet(71, 97, 2, "\x00\x03\x10y"))
	u := r.uplinks[70]
	if got := u.up.counters.packetsIn.Load(); r.uplinks[71].media != u || got != 2 {
		t.Fatalf("%d packets, want one and one that was sent again", got)
	}
	r.intake.Lock()
	r.removeUplink(u)
	r.intake.Unlock()
	if r.uplinks[71].media != nil {
		t.Error("it repairs what is forgotten")
	}
	r.send(r.packet(70, 96, 4, keyFrame))
	r.send(r.packet(71, 97, 3, "\x00\x05\x10y"))
	if again := r.uplinks[70]; again == u || r.uplinks[71].media != again {
		t.Error("it does not repair what has come since")
	}
}

// TestStreamsOfSections: an offer ends the streams of sections that send no more, and leaves the others, those
// of which nothing is known too, with what their sections say now.
func TestStreamsOfSections(t *testing.T) {
	n := startNode(t, nil)
	const pair = "a=ssrc-group:FID 70 71\r\n"
	sources := map[string]Source{"v": Camera, "s": Screen}
	r := newRig(t, n, "alice", sources, rigSection("video", "v", "sendonly", pair), rigSection("video", "s", "sendonly"))
	r.send(r.packet(70, 96, 1, keyFrame))
	r.send(r.packet(90, 96, 1, keyFrame)) // of either
	for _, direction := range []string{"sendonly", "inactive"} {
		offer := Offer{1, testSDP(rigSection("video", "v", direction, pair), rigSection("video", "s", "sendonly")), sources}
		if _, err := r.transport.Answer(t.Context(), offer); err != nil {
			t.Fatal(err)
		}
		u := r.uplinks[70]
		if (u != nil) != (direction == "sendonly") || r.uplinks[90] == nil {
			t.Errorf("%s: its stream is there: %t, the unknown one: %t", direction, u != nil, r.uplinks[90] != nil)
		}
		if u != nil && u.section != r.section("v") {
			t.Errorf("%s: the stream is of the section before", direction)
		}
	}
}
