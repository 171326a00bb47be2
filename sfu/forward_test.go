package sfu

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/conclave-sfu/conclave/sfu/packetcache"
)

// fakeWriter keeps what is written to it.
type fakeWriter struct {
	packets []rtp.Packet
	err     error
	discard bool
	written int // packets of media
	rtxSeq  uint16
}

func (w *fakeWriter) writeMedia(o *outgoing) bool {
	w.written++
	w.keep(o, rtp.Header{SequenceNumber: o.seq, SSRC: 111}, nil)
	return w.err == nil
}

func (w *fakeWriter) writeRTX(o *outgoing, osn uint16) bool {
	w.rtxSeq++
	w.keep(o, rtp.Header{SequenceNumber: w.rtxSeq, SSRC: 222}, []byte{byte(osn >> 8), byte(osn)})
	return w.err == nil
}

// keep adds a packet; the Dependency Descriptor has the id 9.
func (w *fakeWriter) keep(o *outgoing, h rtp.Header, front []byte) {
	if w.err != nil || w.discard {
		return
	}
	h.Version, h.Timestamp, h.Marker, h.PayloadType = 2, o.stamp, o.marker, o.payloadType
	if o.descriptor != nil {
		h.Extension, h.ExtensionProfile = true, rtp.ExtensionProfileTwoByte
		if err := h.SetExtension(9, bytes.Clone(o.descriptor)); err != nil {
			panic(err)
		}
	}
	w.packets = append(w.packets, rtp.Packet{Header: h, Payload: slices.Concat(front, o.front, o.payload)})
}

// testTypes are the payload types of slots in tests: 90 and the codec, 100 and the codec
// for retransmissions.
func testTypes() (types [numCodecs]payloadTypes) {
	for c := codecOpus; int(c) < numCodecs; c++ {
		types[c] = payloadTypes{90 + uint8(c), 100 + uint8(c)}
	}
	return types
}

// newTestSlot is a bound slot that writes to w.
func newTestSlot(t testing.TB, video bool, w rtpWriter) *downTrack {
	t.Helper()
	d := &downTrack{mid: "7", video: video}
	d.bind(w, 111, 222, testTypes())
	return d
}

// plainFormat is that of a section with one codec, whatever the payload type.
func plainFormat(c codec) *uplinkFormat {
	f := &uplinkFormat{}
	for i := range f.codecs {
		f.codecs[i] = c
	}
	return f
}

func newTestUp(video bool) (*upTrack, *int) {
	asked := 0
	u := newUpTrack(video, 42)
	u.via = new(egress)
	u.format = plainFormat(codecOpus)
	if video {
		u.format = plainFormat(codecVP8)
	}
	u.askKeyFrame = func(uint32) { asked++ }
	return u, &asked
}

// source makes the packets of a received stream.
type source struct {
	u     *upTrack
	seq   uint16
	stamp uint32
	now   int64
}

const frameTime = int64(time.Second) / 30

// send gives u a packet. The frame's bytes come behind a descriptor of 4 bytes.
func (s *source) send(t testing.TB, begins, key bool, frame []byte) {
	t.Helper()
	if begins {
		s.stamp += 3000
		s.now += frameTime
	}
	s.receive(t, s.seq, s.packet(t, s.seq, begins, key, frame))
	s.seq++
}

func (s *source) packet(t testing.TB, seq uint16, begins, key bool, frame []byte) []byte {
	t.Helper()
	p := rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: seq, Timestamp: s.stamp, SSRC: 42}}
	if s.u.video {
		p.Payload = []byte{0x80, 0x80, 0x80 | byte(seq>>8)&0x7f, byte(seq)}
		if begins {
			p.Payload[0] |= vp8Begins
			frame = bytes.Clone(frame)
			frame[0] = frame[0] &^ 1
			if !key {
				frame[0] |= 1
			}
		}
	}
	p.Payload = append(p.Payload, frame...)
	raw, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func (s *source) receive(t testing.TB, _ uint16, raw []byte) {
	t.Helper()
	p := packetcache.New()
	if !s.u.receive(p, copy(p.Buffer[:], raw), s.now) {
		p.Release()
	}
}

// TestRandomFrames: frames of random bytes pass bit for bit, through forwarding and
// retransmission, and only the descriptor before them is cut.
func TestRandomFrames(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 3))
	for _, video := range []bool{true, false} {
		u, _ := newTestUp(video)
		w := &fakeWriter{}
		d := newTestSlot(t, video, w)
		d.connect(u, 0)
		s := &source{u: u, seq: uint16(r.Uint32()), stamp: r.Uint32()}
		var frames [][]byte
		for i := range 300 {
			frame := make([]byte, 1+r.IntN(1200))
			for j := range frame {
				frame[j] = byte(r.Uint32())
			}
			begins := i%3 == 0
			if video && begins {
				frame[0] = frame[0] &^ 1
			}
			frames = append(frames, frame)
			s.send(t, begins, true, frame)
		}
		if len(w.packets) != len(frames) {
			t.Fatalf("%d packets sent, %d received", len(w.packets), len(frames))
		}
		for i, p := range w.packets {
			payload := p.Payload
			if video {
				if want := map[bool]byte{true: vp8Begins, false: 0}[i%3 == 0]; payload[0] != want {
					t.Errorf("packet %d: descriptor %#x, want %#x", i, payload[0], want)
				}
				payload = payload[1:]
			}
			if !bytes.Equal(payload, frames[i]) {
				t.Fatalf("packet %d has changed", i)
			}
		}
		if !video {
			continue
		}
		lost := w.packets[200]
		d.feedback([]rtcp.Packet{&rtcp.TransportLayerNack{
			MediaSSRC: d.ssrc, Nacks: []rtcp.NackPair{{PacketID: lost.SequenceNumber}},
		}}, s.now)
		again := w.packets[len(w.packets)-1]
		if again.SSRC != d.rtxSSRC || again.PayloadType != d.types[codecVP8].rtx || again.Timestamp != lost.Timestamp {
			t.Errorf("retransmission %+v of %+v", again.Header, lost.Header)
		}
		if osn := []byte{byte(lost.SequenceNumber >> 8), byte(lost.SequenceNumber)}; !bytes.Equal(again.Payload, append(osn, lost.Payload...)) {
			t.Error("the retransmitted payload has changed")
		}
	}
}

// TestSwitches: to its receiver a slot is one stream, whatever sources it has.
func TestSwitches(t *testing.T) {
	for _, video := range []bool{true, false} {
		t.Run(fmt.Sprintf("video %t", video), func(t *testing.T) {
			w := &fakeWriter{}
			d := newTestSlot(t, video, w)
			now := int64(time.Second)
			for i := range 20 {
				u, asked := newTestUp(video)
				s := &source{u: u, seq: uint16(65500 + 7000*i), stamp: uint32(i) * 0x9e3779b9, now: now}
				d.connect(u, now)
				if want := map[bool]int{true: 1, false: 0}[video]; *asked != want {
					t.Errorf("key frames asked for: %d, want %d", *asked, want)
				}
				if video {
					s.send(t, true, false, []byte("before the key frame"))
				}
				for range 60 {
					s.send(t, true, true, []byte("a frame of two packets"))
					s.send(t, false, true, []byte("the second"))
				}
				d.disconnect()
				s.send(t, true, true, []byte("after the switch"))
				now = s.now
			}
			if len(w.packets) != 20*120 {
				t.Fatalf("%d packets, want %d", len(w.packets), 20*120)
			}
			checkContinuity(t, w.packets)
		})
	}
}

// checkContinuity wants sequence numbers without a gap and timestamps that never
// go back, nor forward by more than a tenth of a second more than time has.
func checkContinuity(t *testing.T, packets []rtp.Packet) {
	t.Helper()
	for i := 1; i < len(packets); i++ {
		before, p := packets[i-1], packets[i]
		if p.SequenceNumber != before.SequenceNumber+1 {
			t.Fatalf("packet %d: sequence number %d after %d", i, p.SequenceNumber, before.SequenceNumber)
		}
		if step := int32(p.Timestamp - before.Timestamp); step < 0 || step > 9000+3000 {
			t.Fatalf("packet %d: timestamp %d ticks after the one before", i, step)
		}
	}
}

// TestCatchUp: a slot begins with a key frame that has just been, and asks for none.
func TestCatchUp(t *testing.T) {
	for _, test := range []struct {
		name    string
		packets int // since the key frame
		want    bool
	}{{"just now", 10, true}, {"too long ago", 50, false}} {
		u, asked := newTestUp(true)
		s := &source{u: u, seq: 65530}
		s.send(t, true, true, []byte("a key frame"))
		for range test.packets / 5 {
			s.send(t, true, false, []byte("a frame of five packets"))
			for range 4 {
				s.send(t, false, false, []byte("and so on"))
			}
		}
		w := &fakeWriter{}
		d := newTestSlot(t, true, w)
		d.connect(u, s.now)
		if (*asked == 0) != test.want {
			t.Errorf("%s: key frames asked for: %d", test.name, *asked)
		}
		if want := map[bool]int{true: test.packets + 1, false: 0}[test.want]; len(w.packets) != want {
			t.Fatalf("%s: %d packets at once, want %d", test.name, len(w.packets), want)
		}
		// As if two more had come before the slot was in the fan-out.
		u.detach(d)
		s.send(t, true, false, []byte("meanwhile"))
		s.send(t, false, false, []byte("meanwhile"))
		u.attach(d)
		s.send(t, true, false, []byte("now"))
		if want := map[bool]int{true: test.packets + 4, false: 0}[test.want]; len(w.packets) != want {
			t.Fatalf("%s: %d packets, want %d", test.name, len(w.packets), want)
		}
		if test.want {
			checkContinuity(t, w.packets)
		}
	}
}

// TestHandOver: a slot goes over to another layer with its key frame, which is sent
// though it came while the slot still had the layer before.
func TestHandOver(t *testing.T) {
	low, _ := newTestUp(true)
	high, asked := newTestUp(true)
	woken := 0
	high.wake = func() { woken++ }
	from, to := &source{u: low, seq: 1000}, &source{u: high, seq: 9000, stamp: 123456}
	w := &fakeWriter{}
	d := newTestSlot(t, true, w)
	d.connect(low, 0)
	both := func(key bool) {
		from.send(t, true, len(w.packets) == 0, []byte("low"))
		to.send(t, true, key, []byte("high"))
	}
	for range 30 {
		both(false)
	}
	d.await(high, from.now)
	both(false)
	if *asked != 1 || woken != 0 {
		t.Fatalf("asked %d times, woken %d times", *asked, woken)
	}
	both(true)
	if woken != 1 {
		t.Fatal("nobody was told of the key frame")
	}
	d.connect(d.next, to.now)
	for range 10 {
		both(false)
	}
	checkContinuity(t, w.packets)
	if got := len(w.packets); got != 32+11 {
		t.Errorf("%d packets, want 32 of the low and 11 of the high layer", got)
	}
	if *asked != 1 {
		t.Errorf("asked %d times", *asked)
	}
}

// TestCleaning: probes leave neither a gap nor a second copy.
func TestCleaning(t *testing.T) {
	u, _ := newTestUp(true)
	w := &fakeWriter{}
	d := newTestSlot(t, true, w)
	d.connect(u, 0)
	s := &source{u: u, seq: 65534}
	padding := func() {
		p := rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: s.seq, Timestamp: s.stamp, SSRC: 42, Padding: true, PaddingSize: 200}}
		raw, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		s.receive(t, s.seq, raw)
		s.seq++
	}
	for i := range 10 {
		s.send(t, true, true, []byte{byte(i), 1})
		repeated := s.packet(t, s.seq-1, true, true, []byte{byte(i), 1})
		s.receive(t, s.seq-1, repeated)
		padding()
		padding()
	}
	if len(w.packets) != 10 {
		t.Fatalf("%d packets, want 10", len(w.packets))
	}
	checkContinuity(t, w.packets)
	if padding, duplicate := u.counters.dropped[dropPadding].Load(), u.counters.dropped[dropDuplicate].Load(); padding != 20 || duplicate != 10 {
		t.Errorf("%d padding packets and %d duplicates dropped, want 20 and 10", padding, duplicate)
	}
}

// TestLatePackets: what comes out of order goes out in its place, and a slot does
// not begin with it.
func TestLatePackets(t *testing.T) {
	u, _ := newTestUp(true)
	w := &fakeWriter{}
	d := newTestSlot(t, true, w)
	s := &source{u: u, seq: 100, stamp: 5000}
	late := s.packet(t, 101, true, false, []byte("late frame"))
	s.send(t, true, false, []byte("first"))
	s.seq++
	s.send(t, true, false, []byte("third"))
	d.connect(u, 0)
	s.receive(t, 101, late)
	if len(w.packets) != 0 {
		t.Fatal("the slot began with a late packet")
	}
	s.send(t, true, true, []byte("key frame")) // 103
	missing := s.packet(t, 104, false, false, []byte("missing"))
	s.seq++
	s.send(t, true, false, []byte("next")) // 105
	s.receive(t, 104, missing)
	var got []uint16
	for _, p := range w.packets {
		got = append(got, p.SequenceNumber-w.packets[0].SequenceNumber)
	}
	if fmt.Sprint(got) != "[0 2 1]" {
		t.Errorf("numbers %v, want [0 2 1]", got)
	}
}

// TestDisconnectWhileWaiting: a slot that waits for a source has sent nothing of it: when that one
// gives way to another, the timeline goes on from what was sent last, by the clock of whose that was.
func TestDisconnectWhileWaiting(t *testing.T) {
	var stamps []uint32
	for _, waits := range []bool{false, true} {
		first, _ := newTestUp(true)
		second, _ := newTestUp(true)
		third, _ := newTestUp(true)
		w := &fakeWriter{}
		d := newTestSlot(t, true, w)
		a, c := &source{u: first}, &source{u: third, stamp: 1 << 20, now: int64(time.Second)}
		d.connect(first, 0)
		for i := range 5 {
			a.send(t, true, i == 0, []byte("frame"))
		}
		if waits { // by its clock what was sent last is of later
			second.clock.anchor.Store(&anchor{at: a.now + int64(400*time.Millisecond), stamp: a.stamp})
			d.connect(second, a.now)
			if d.phase != waiting {
				t.Fatal("the slot does not wait")
			}
		}
		d.disconnect()
		if d.up != nil || len(*second.fanOut.Load()) != 0 {
			t.Error("the slot has a source")
		}
		d.connect(third, a.now)
		c.send(t, true, true, []byte("frame"))
		last := len(w.packets) - 1
		stamps = append(stamps, w.packets[last].Timestamp-w.packets[last-1].Timestamp)
	}
	if stamps[0] != stamps[1] {
		t.Errorf("the next source begins %d later, and %d where the slot has waited for another one between", stamps[0], stamps[1])
	}
}

// TestLateKeyFrame: a slot begins with a key frame whose beginning was lost and sent again,
// with what has come since, in order; not if another came meanwhile, or too much.
func TestLateKeyFrame(t *testing.T) {
	for _, test := range []struct {
		name    string
		since   int  // packets until it comes
		another bool // key frame among them, the last
		want    int  // packets at once
		asked   bool // whether the publisher's answer is still awaited
	}{
		{"soon", 5, false, 6, false},
		{"too late", maxBehind, false, 0, true},
		{"another since", 5, true, 1, false},
	} {
		u, _ := newTestUp(true)
		w := &fakeWriter{}
		d := newTestSlot(t, true, w)
		s := &source{u: u, seq: 65530}
		s.send(t, true, false, []byte("before"))
		d.connect(u, s.now)
		s.stamp += 3000
		late := s.packet(t, s.seq, true, true, []byte("key frame"))
		number := s.seq
		s.seq++
		for i := range test.since {
			if i == test.since-1 && test.another {
				s.send(t, true, true, []byte("another"))
				continue
			}
			s.receive(t, s.seq, s.packet(t, s.seq, false, false, []byte("the rest")))
			s.seq++
		}
		s.receive(t, number, late)
		s.receive(t, number, late)
		if len(w.packets) != test.want {
			t.Errorf("%s: %d packets, want %d", test.name, len(w.packets), test.want)
		}
		checkContinuity(t, w.packets)
		if got := u.keyFrameAwaited.Load(); got != test.asked {
			t.Errorf("%s: awaited %t", test.name, got)
		}
	}
}

// TestKeyFrameRepeats: a request that brings nothing is repeated after twice the time that
// the publisher takes, a few times.
func TestKeyFrameRepeats(t *testing.T) {
	u, asked := newTestUp(true)
	s := &source{u: u}
	at := func(ms int64) int64 { return ms * int64(time.Millisecond) }
	u.requestKeyFrame(0)
	for now := int64(0); now < 400; now += 50 {
		u.flushKeyFrame(at(now))
	}
	if *asked != 1 {
		t.Fatalf("asked %d times while it is not known how long the publisher takes", *asked)
	}
	s.now = at(150) - frameTime
	s.send(t, true, true, []byte("the key frame"))
	for _, test := range []struct {
		at    int64
		asked int
	}{{1000, 2}, {1100, 2}, {1290, 2}, {1300, 3}, {1590, 3}, {1600, 4}, {1900, 5}, {2200, 5}, {9000, 5}} {
		if test.at == 1000 {
			u.requestKeyFrame(at(1000))
		}
		if u.flushKeyFrame(at(test.at)); *asked != test.asked {
			t.Errorf("after %d ms: asked %d times, want %d", test.at, *asked, test.asked)
		}
	}
	s.now = at(10_000)
	s.send(t, true, true, []byte("the key frame"))
	if u.flushKeyFrame(at(12_000)); *asked != 5 {
		t.Error("asked although a key frame has come")
	}
}

// TestRefreshPrices: how often a viewer gets a key frame that asks all the time, by how many
// others have to take it, and whether it says that it loses much.
func TestRefreshPrices(t *testing.T) {
	for _, test := range []struct {
		viewers int
		lost    uint8
		want    int // in 60 s, after the first 16 s of its credit are spent
	}{{1, 0, 120}, {2, 0, 60}, {4, 0, 30}, {100, 0, 30}, {100, 12, 30}, {100, 13, 60}, {1, 255, 120}} {
		u, asked := newTestUp(true)
		var d *downTrack
		for range test.viewers {
			d = newTestSlot(t, true, &fakeWriter{discard: true})
			d.connect(u, 0)
		}
		u.keyFrameAwaited.Store(false)
		pli := &rtcp.PictureLossIndication{MediaSSRC: d.ssrc}
		report := &rtcp.ReceiverReport{Reports: []rtcp.ReceptionReport{{SSRC: d.ssrc, FractionLost: test.lost}}}
		before := 0
		for now := int64(time.Second); now <= 121*int64(time.Second); now += int64(10 * time.Millisecond) {
			if now == 61*int64(time.Second) {
				before = *asked
			}
			d.feedback([]rtcp.Packet{report, pli}, now)
			u.flushKeyFrame(now)
			u.keyFrameAnswered(now)
		}
		if got := *asked - before; got < test.want-1 || got > test.want+1 {
			t.Errorf("%d viewers, %d/256 lost: %d key frames a minute, want %d", test.viewers, test.lost, got, test.want)
		}
	}
}

// TestMalformed: what is no RTP, or no VP8, goes nowhere.
func TestMalformed(t *testing.T) {
	u, _ := newTestUp(true)
	w := &fakeWriter{}
	d := newTestSlot(t, true, w)
	d.connect(u, 0)
	s := &source{u: u}
	good := s.packet(t, 1, true, true, []byte("x"))
	for n := range len(good) {
		s.receive(t, 0, good[:n])
	}
	padded := bytes.Clone(good)
	padded[0] |= 0x20
	padded[len(padded)-1] = 255
	s.receive(t, 0, padded)
	if len(w.packets) != 0 {
		t.Errorf("%d packets forwarded", len(w.packets))
	}
}

func FuzzReceive(f *testing.F) {
	u, _ := newTestUp(true)
	s := &source{u: u}
	f.Add([]byte{})
	raw := (&rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: 3}, Payload: []byte{0x90, 0x80, 1, 0, 0xff}})
	b, err := raw.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, video := range []bool{true, false} {
			u, _ := newTestUp(video)
			u.format.levelExtension = 1
			d := newTestSlot(t, video, &fakeWriter{})
			d.connect(u, 0)
			s.u = u
			s.receive(t, 0, raw[:min(len(raw), packetcache.MaxPacket)])
		}
	})
}

func TestSendErrors(t *testing.T) {
	u, _ := newTestUp(true)
	d := newTestSlot(t, true, &fakeWriter{err: errors.New("gone")})
	d.connect(u, 0)
	s := &source{u: u}
	s.send(t, true, true, []byte("x"))
	if got := u.counters.dropped[dropSendError].Load(); got != 1 {
		t.Errorf("%d send errors counted, want 1", got)
	}
}

// TestStorms: what a receiver asks for is bounded.
func TestStorms(t *testing.T) {
	u, asked := newTestUp(true)
	w := &fakeWriter{}
	d := newTestSlot(t, true, w)
	d.connect(u, 0)
	s := &source{u: u}
	s.send(t, true, true, []byte("x"))
	number := w.packets[0].SequenceNumber
	nack := &rtcp.TransportLayerNack{MediaSSRC: d.ssrc, Nacks: []rtcp.NackPair{{PacketID: number}}}
	pli := &rtcp.PictureLossIndication{MediaSSRC: d.ssrc}
	for range 10000 {
		d.feedback([]rtcp.Packet{nack, pli}, s.now)
	}
	if got := len(w.packets) - 1; got != resendBurst {
		t.Errorf("%d packets sent again, want %d", got, resendBurst)
	}
	if *asked != 1 {
		t.Errorf("%d key frames asked for at once, want 1", *asked)
	}
	for i := range int64(1000) {
		d.feedback([]rtcp.Packet{pli}, s.now+i*int64(10*time.Millisecond))
	}
	// 10 s: one each refreshInterval, none sooner than keyFrameInterval after another.
	if *asked > 1+1+int(10*time.Second/refreshInterval) {
		t.Errorf("%d key frames asked for in 10 s", *asked)
	}
	other := &rtcp.PictureLossIndication{MediaSSRC: d.ssrc + 1}
	before := u.counters.plisIn.Load()
	d.feedback([]rtcp.Packet{other}, s.now)
	if u.counters.plisIn.Load() != before {
		t.Error("another slot's request was taken")
	}
}

// TestKeyFrameThrottle: a request within the interval is sent when it is over,
// unless a key frame has come.
func TestKeyFrameThrottle(t *testing.T) {
	u, asked := newTestUp(true)
	at := func(d time.Duration) int64 { return int64(d) }
	u.requestKeyFrame(at(0))
	u.requestKeyFrame(at(100 * time.Millisecond))
	u.flushKeyFrame(at(499 * time.Millisecond))
	if *asked != 1 {
		t.Fatalf("%d requests within the interval", *asked)
	}
	u.flushKeyFrame(at(keyFrameInterval))
	if *asked != 2 {
		t.Fatalf("%d requests after the interval, want 2", *asked)
	}
	u.requestKeyFrame(at(600 * time.Millisecond))
	s := &source{u: u}
	s.send(t, true, true, []byte("the key frame"))
	u.flushKeyFrame(at(2 * time.Second))
	if *asked != 2 {
		t.Error("asked although a key frame has come")
	}
}

// TestSenderReports: the slot's reports map its own timestamps to the node's time,
// also after a switch.
func TestSenderReports(t *testing.T) {
	d := newTestSlot(t, true, &fakeWriter{})
	w := d.writer.(*fakeWriter)
	now := int64(0)
	for i := range 3 {
		u, _ := newTestUp(true)
		if _, ok := d.senderReport(now, 0); ok != (i > 0) {
			t.Fatalf("source %d: a report before its first packet: %t", i, ok)
		}
		d.connect(u, now)
		if _, ok := d.senderReport(now, 0); ok {
			t.Fatal("a report of the source before")
		}
		s := &source{u: u, seq: 500, stamp: uint32(i) * 1e9, now: now}
		for range 10 {
			s.send(t, true, true, []byte("x"))
		}
		now = s.now
		last := w.packets[len(w.packets)-1]
		sr, ok := d.senderReport(now, 99)
		if !ok || sr.SSRC != d.ssrc || sr.NTPTime != 99 || sr.PacketCount != uint32(len(w.packets)) {
			t.Fatalf("report %+v", sr)
		}
		if off := int32(sr.RTPTime - last.Timestamp); off < -90 || off > 90 {
			t.Errorf("source %d: the report is %d ticks off", i, off)
		}
		d.disconnect()
		now += int64(time.Second) / 10
	}
}

// TestForwardAllocatesNothing: from the received packet to 50 writes.
func TestForwardAllocatesNothing(t *testing.T) {
	for _, video := range []bool{true, false} {
		forward := forwardLoop(t, video, 50)
		if got := testing.AllocsPerRun(2000, forward); got != 0 {
			t.Errorf("video %t: %v allocations a packet", video, got)
		}
	}
}

// forwardLoop gives a function that has one packet of 1,100 bytes forwarded to n slots.
func forwardLoop(t testing.TB, video bool, n int) func() {
	u, _ := newTestUp(video)
	for range n {
		newTestSlot(t, video, &fakeWriter{discard: true}).connect(u, 0)
	}
	s := &source{u: u}
	s.stamp = 3000
	raw := s.packet(t, 0, true, true, make([]byte, 1100))
	p := packetcache.New()
	seq, now := uint16(0), int64(0)
	forward := func() {
		seq++
		now += 1e6
		size := copy(p.Buffer[:], raw)
		p.Buffer[2], p.Buffer[3] = byte(seq>>8), byte(seq)
		if u.receive(p, size, now) {
			p = packetcache.New()
		}
	}
	for range 2 * cacheSize {
		forward()
	}
	return forward
}

// BenchmarkForward is the cost of a packet to all its subscribers, without
// encryption and sending.
func BenchmarkForward(b *testing.B) {
	for _, n := range []int{0, 1, 10, 100} {
		b.Run(fmt.Sprintf("subscribers=%d", n), func(b *testing.B) {
			forward := forwardLoop(b, true, n)
			b.ReportAllocs()
			for b.Loop() {
				forward()
			}
			if n > 0 {
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/subscriber")
			}
		})
	}
}
