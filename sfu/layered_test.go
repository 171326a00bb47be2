package sfu

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/conclave-sfu/conclave/sfu/dd"
	"github.com/conclave-sfu/conclave/sfu/dd/recorded"
	"github.com/conclave-sfu/conclave/sfu/layer"
	"github.com/conclave-sfu/conclave/sfu/packetcache"
)

// layeredSource sends packets with Dependency Descriptors: the pictures that a
// descriptor's layers make, each packet with random bytes of a frame.
type layeredSource struct {
	u      *upTrack
	random *rand.Rand
	reader dd.Reader
	last   dd.Descriptor
	seq    uint16
	stamp  uint32
	now    int64
	frames map[uint16]layer.Layer // by the descriptor's number as sent
	sent   [][]byte               // frame bytes by packet
}

func newLayeredSource(u *upTrack, random *rand.Rand) *layeredSource {
	u.format.ddExtension = 9
	return &layeredSource{u: u, random: random, seq: uint16(random.Uint32()), stamp: random.Uint32(), frames: map[uint16]layer.Layer{}}
}

// send sends one packet with the descriptor. A picture ends when the next frame's layer
// is not above the one before.
func (s *layeredSource) send(t testing.TB, front, extension []byte) {
	t.Helper()
	before := s.last
	if err := s.reader.Read(extension, &s.last); err != nil {
		t.Fatal(err)
	}
	if before.FrameNumber != s.last.FrameNumber && (s.last.Spatial <= before.Spatial || before.Structure == nil) {
		s.stamp += 3000
		s.now += frameTime
	}
	s.frames[s.last.FrameNumber] = layer.Layer(s.last.Layer)
	frame := make([]byte, 1+s.random.IntN(1000))
	for i := range frame {
		frame[i] = byte(s.random.Uint32())
	}
	p := rtp.Packet{
		Header:  rtp.Header{Version: 2, SequenceNumber: s.seq, Timestamp: s.stamp, SSRC: 42, Extension: true, ExtensionProfile: rtp.ExtensionProfileTwoByte},
		Payload: append(bytes.Clone(front), frame...),
	}
	if err := p.SetExtension(9, extension); err != nil {
		t.Fatal(err)
	}
	s.seq++
	s.sent = append(s.sent, frame)
	raw, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	q := packetcache.New()
	if !s.u.receive(q, copy(q.Buffer[:], raw), s.now) {
		q.Release()
	}
}

// fronts are the packetiser's bytes before a frame, for each codec, and what is left of
// them: none where the codec's own first bytes are the frame's.
var fronts = map[codec]struct{ in, out []byte }{
	codecVP8:  {[]byte{0x90, 0xe0, 0x80, 0x01, 0x07, 0x00}, []byte{0x10}},
	codecVP9:  {[]byte{0xac, 0x80, 0x01, 0x05, 0x07}, []byte{0x4c}},
	codecAV1:  {[]byte{0x10}, []byte{0x10}},
	codecH264: {[]byte{0x7c, 0x41}, []byte{0x7c, 0x41}},
}

// TestLayeredFrames sends Chromium's streams of all codecs and modes, with random frame
// bytes, to slots that want different layers: what comes out is continuous, is of the
// layers wanted, refers only to what was sent, ends its pictures, and no byte of a frame
// has changed, in retransmissions neither.
func TestLayeredFrames(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for _, c := range []codec{codecVP8, codecVP9, codecAV1, codecH264} {
		for _, name := range []string{"vp8_simulcast_q", "vp9_L1T3", "vp9_L3T3", "vp9_L3T3_KEY", "av1_L3T3", "av1_L3T3_KEY"} {
			for _, want := range []layer.Layer{layer.Highest, {Spatial: 2, Temporal: 0}, {Spatial: 1, Temporal: 1}, {Spatial: 0, Temporal: 2}, {}} {
				t.Run(c.String()+" "+name, func(t *testing.T) {
					testLayeredFrames(t, rand.New(rand.NewPCG(seed, 8)), c, name, want)
				})
			}
		}
	}
}

func testLayeredFrames(t *testing.T, random *rand.Rand, c codec, name string, want layer.Layer) {
	u, _ := newTestUp(true)
	u.format = plainFormat(c)
	w := &fakeWriter{}
	d := newTestSlot(t, true, w)
	describe(d)
	s := newLayeredSource(u, random)
	d.layers.want(want)
	d.connect(u, 0)
	for _, extension := range recorded.Descriptors(t, name) {
		s.send(t, fronts[c].in, extension)
	}
	checkContinuity(t, w.packets)
	front := fronts[c].out
	var reader dd.Reader
	var out dd.Descriptor
	there := map[uint16]bool{}
	next := 0 // among what was received
	// The highest spatial layers of the picture and the one before. A picture in which it
	// changes may end twice.
	top, before, marks := uint8(0), uint8(0), 0
	for i, p := range w.packets {
		if err := reader.Read(p.GetExtension(9), &out); err != nil {
			t.Fatalf("packet %d: %v", i, err)
		}
		if i == 0 && out.FrameNumber != 1 {
			t.Errorf("the first slot of a receiver has frame %d", out.FrameNumber)
		}
		at := layer.Layer(out.Layer)
		if at.Spatial > want.Spatial || at.Temporal > want.Temporal || s.frames[out.FrameNumber] != at {
			t.Fatalf("packet %d is of layer %v", i, at)
		}
		there[out.FrameNumber] = true
		for _, diff := range out.Diffs {
			if !there[out.FrameNumber-diff] {
				t.Fatalf("packet %d: frame %d {%v} refers to %d, which was not sent", i, out.FrameNumber, at, out.FrameNumber-diff)
			}
		}
		if i > 0 && p.Timestamp != w.packets[i-1].Timestamp {
			if marks == 0 || !w.packets[i-1].Marker || marks > 1 && top == before {
				t.Errorf("the picture before packet %d ends %d times", i, marks)
			}
			before, top, marks = top, 0, 0
		}
		if top = max(top, at.Spatial); p.Marker {
			marks++
		}
		if !bytes.Equal(p.Payload[:len(front)], front) {
			t.Fatalf("packet %d begins with %x, want %x", i, p.Payload[:len(front)], front)
		}
		for next < len(s.sent) && !bytes.Equal(p.Payload[len(front):], s.sent[next]) {
			next++
		}
		if next == len(s.sent) {
			t.Fatalf("packet %d: the frame's bytes have changed", i)
		}
	}
	checkResent(t, d, w, random)
}

// describe gives a slot the Dependency Descriptor.
func describe(d *downTrack) { d.ddExtension, d.layers.flat = 9, false }

// checkResent asks for a packet again.
func checkResent(t *testing.T, d *downTrack, w *fakeWriter, random *rand.Rand) {
	t.Helper()
	lost := w.packets[len(w.packets)-1-random.IntN(10)]
	d.feedback([]rtcp.Packet{&rtcp.TransportLayerNack{
		MediaSSRC: d.ssrc, Nacks: []rtcp.NackPair{{PacketID: lost.SequenceNumber}},
	}}, 0)
	again := w.packets[len(w.packets)-1]
	if again.SSRC != d.rtxSSRC || binary.BigEndian.Uint16(again.Payload) != lost.SequenceNumber ||
		!bytes.Equal(again.Payload[2:], lost.Payload) || again.Timestamp != lost.Timestamp || again.Marker != lost.Marker {
		t.Errorf("sent again %+v of %+v", again.Header, lost.Header)
	}
	if a, b := again.GetExtension(9), lost.GetExtension(9); len(a) < 3 || !bytes.Equal(a[:3], b[:3]) {
		t.Errorf("descriptor %x, was %x", a, b)
	}
}

// TestFrameNumbersGoOn: the frame numbers of a slot's sources follow each other, by one
// offset a source.
func TestFrameNumbersGoOn(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	w := &fakeWriter{}
	d := newTestSlot(t, true, w)
	describe(d)
	now := int64(0)
	for round, name := range []string{"vp9_L3T3", "av1_L1T3", "vp8_simulcast_q", "vp9_L3T3_KEY"} {
		u, _ := newTestUp(true)
		u.format = plainFormat(codecAV1)
		s := newLayeredSource(u, random)
		s.now = now
		before := len(w.packets)
		d.connect(u, now)
		for _, extension := range recorded.Descriptors(t, name) {
			shifted := bytes.Clone(extension)
			dd.Shift(shifted, uint16(40000*round))
			s.send(t, []byte{0x10}, shifted)
		}
		now = s.now
		checkResent(t, d, w, random)
		w.packets = w.packets[:len(w.packets)-1] // the one sent again
		if round == 0 {
			continue
		}
		last := binary.BigEndian.Uint16(w.packets[before-1].GetExtension(9)[1:])
		first := binary.BigEndian.Uint16(w.packets[before].GetExtension(9)[1:])
		if first != last+1 {
			t.Errorf("%s: frame %d after %d", name, first, last)
		}
	}
	checkContinuity(t, w.packets)
}

// TestDescriptorNotNegotiated: a slot without the extension gets the packets of the
// lowest spatial layer, without it; one of another codec nothing.
func TestDescriptorNotNegotiated(t *testing.T) {
	u, _ := newTestUp(true)
	u.format = plainFormat(codecAV1)
	w, none := &fakeWriter{}, &fakeWriter{}
	d, other := newTestSlot(t, true, w), newTestSlot(t, true, none)
	other.types[codecAV1] = payloadTypes{}
	s := newLayeredSource(u, rand.New(rand.NewPCG(1, 3)))
	d.connect(u, 0)
	other.connect(u, 0)
	for _, extension := range recorded.Descriptors(t, "vp9_L3T3") {
		s.send(t, fronts[codecAV1].in, extension)
	}
	if len(w.packets) == 0 || len(w.packets) == len(s.sent) || len(none.packets) != 0 {
		t.Fatalf("%d and %d packets of %d", len(w.packets), len(none.packets), len(s.sent))
	}
	if at := unpackLayer(d.layers.current.Load()); at != (layer.Layer{Temporal: 2}) {
		t.Errorf("at %v", at)
	}
	checkContinuity(t, w.packets)
	for _, p := range w.packets {
		if p.Extension {
			t.Fatal("an extension that was not negotiated")
		}
	}
	if other.takes(u) || !d.takes(u) {
		t.Error("who takes AV1?")
	}
}

// TestLayerSteps: a slot goes down with the next picture, and up again; its receiver
// learns which decode targets are active.
func TestLayerSteps(t *testing.T) {
	u, _ := newTestUp(true)
	u.format = plainFormat(codecVP9)
	w := &fakeWriter{}
	d := newTestSlot(t, true, w)
	describe(d)
	s := newLayeredSource(u, rand.New(rand.NewPCG(1, 4)))
	d.connect(u, 0)
	var reader dd.Reader
	var out dd.Descriptor
	read, active := 0, uint32(0)
	drain := func() (top layer.Layer) {
		for ; read < len(w.packets); read++ {
			if err := reader.Read(w.packets[read].GetExtension(9), &out); err != nil {
				t.Fatal(err)
			}
			if out.ActiveSaid {
				active = out.Active
			}
			top.Spatial, top.Temporal = max(top.Spatial, out.Spatial), max(top.Temporal, out.Temporal)
		}
		return top
	}
	list := recorded.Descriptors(t, "vp9_L3T3")
	for i, extension := range list[:100] {
		s.send(t, fronts[codecVP9].in, extension)
		if i == 40 {
			drain()
			d.layers.want(layer.Layer{Spatial: 1, Temporal: 0})
		}
		if i == 44 {
			drain()
		}
	}
	if top := drain(); top != (layer.Layer{Spatial: 1}) {
		t.Errorf("top layer %v", top)
	}
	if want := uint32(0b000_001_001); active != want {
		t.Errorf("active decode targets %09b, want %09b", active, want)
	}
	if now := unpackLayer(d.layers.current.Load()); now != (layer.Layer{Spatial: 1}) || d.layers.blocked.Load() {
		t.Errorf("now at %v", now)
	}
	d.layers.want(layer.Layer{Spatial: 1, Temporal: 2})
	for _, extension := range list[100:130] {
		s.send(t, fronts[codecVP9].in, extension)
	}
	if top := drain(); top != (layer.Layer{Spatial: 1, Temporal: 2}) || active != 0b000_111_111 {
		t.Errorf("top layer %v, active %09b", top, active)
	}
	d.layers.want(layer.Highest)
	for _, extension := range list[130:] {
		s.send(t, fronts[codecVP9].in, extension)
	}
	if top := drain(); top.Spatial != 1 || !d.layers.blocked.Load() {
		t.Errorf("top layer %v without a key frame, blocked %t", top, d.layers.blocked.Load())
	}
	checkContinuity(t, w.packets)
}

// TestTemporalLayersOfVP8: without descriptors, by the payload descriptor's numbers, at
// full, half and quarter rate; a late packet of what is left out becomes an empty one.
func TestTemporalLayersOfVP8(t *testing.T) {
	u, _ := newTestUp(true)
	w := &fakeWriter{}
	d := newTestSlot(t, true, w)
	s := &source{u: u, seq: 65500}
	frame := func(i int) []byte {
		s.stamp += 3000
		s.now += frameTime
		tid := []byte{0, 2, 1, 2}[i%4]
		sync := map[bool]byte{true: 0x20}[i%4 != 0]
		first := byte(1)
		if i == 0 {
			first = 0
		}
		p := rtp.Packet{
			Header:  rtp.Header{Version: 2, SequenceNumber: s.seq, Timestamp: s.stamp, SSRC: 42, Marker: true},
			Payload: []byte{0x90, 0xe0, 0x11, 0x07, tid<<6 | sync, first, byte(i)},
		}
		s.seq++
		raw, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	d.connect(u, 0)
	for i, want := range []struct{ top, packets int }{{2, 40}, {1, 20}, {0, 10}, {2, 40}} {
		d.layers.want(layer.Layer{Spatial: 255, Temporal: uint8(want.top)})
		before := len(w.packets)
		for j := range 40 {
			s.receive(t, 0, frame(40*i+j))
		}
		if got := len(w.packets) - before; got != want.packets {
			t.Errorf("up to layer %d: %d packets of 40, want %d", want.top, got, want.packets)
		}
	}
	checkContinuity(t, w.packets)
	d.layers.want(layer.Layer{Spatial: 255})
	s.receive(t, 0, frame(160))
	late := frame(161)
	s.receive(t, 0, frame(164))
	s.receive(t, 0, late)
	n := len(w.packets)
	if last := w.packets[n-1]; len(last.Payload) != 0 || last.SequenceNumber != w.packets[n-2].SequenceNumber-1 {
		t.Errorf("in the place of a late packet: %+v after %d", last, w.packets[n-2].SequenceNumber)
	}
}

// TestStepsAllocateNothing: choosing layers and rewriting descriptors do not allocate.
func TestStepsAllocateNothing(t *testing.T) {
	u, _ := newTestUp(true)
	u.format = plainFormat(codecVP9)
	s := newLayeredSource(u, rand.New(rand.NewPCG(1, 5)))
	for i := range 50 {
		d := newTestSlot(t, true, &fakeWriter{discard: true})
		describe(d)
		d.layers.want(layer.Layer{Spatial: uint8(i % 3), Temporal: uint8(i % 2)})
		d.connect(u, 0)
	}
	list := recorded.Descriptors(t, "vp9_L3T3")
	for _, extension := range list {
		s.send(t, fronts[codecVP9].in, extension)
	}
	var packets [][]byte
	for i := range 600 {
		extension := []byte{list[60][0], byte(i >> 8), byte(i)}
		p := rtp.Packet{
			Header:  rtp.Header{Version: 2, SequenceNumber: s.seq + uint16(i), Timestamp: s.stamp + uint32(3000*i), Extension: true, ExtensionProfile: rtp.ExtensionProfileOneByte},
			Payload: append(bytes.Clone(fronts[codecVP9].in), make([]byte, 1000)...),
		}
		if err := p.SetExtension(9, extension); err != nil {
			t.Fatal(err)
		}
		raw, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		packets = append(packets, raw)
	}
	p := packetcache.New()
	i := 0
	receive := func() {
		if u.receive(p, copy(p.Buffer[:], packets[i]), s.now) {
			p = packetcache.New()
		}
		i++
	}
	for range 300 {
		receive()
	}
	if n := testing.AllocsPerRun(200, receive); n >= 1 {
		t.Errorf("%v allocations a packet", n)
	}
}
