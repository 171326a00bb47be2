package sfu

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pion/rtp"

	"github.com/conclave-sfu/conclave/sfu/layer"
)

// vp9Source sends VP9 with three spatial and two temporal layers whose payload
// descriptors name them, without Dependency Descriptor.
type vp9Source struct {
	*source
	random *rand.Rand
	count  vp9Count
	sent   map[string]vp9Packet // by the bytes of the frame
}

// vp9Packet is what a descriptor says.
type vp9Packet struct {
	count      vp9Count
	at         layer.Layer
	descriptor []byte
}

func newVP9Source(u *upTrack, random *rand.Rand) *vp9Source {
	count := vp9Count{uint16(random.Uint32()) & vp9Pictures, uint8(random.Uint32())}
	return &vp9Source{source: &source{u: u, seq: uint16(random.Uint32()), stamp: random.Uint32()}, random: random, count: count, sent: map[string]vp9Packet{}}
}

// structureVP9 is that of three spatial layers, with their sizes and one picture group.
var structureVP9 = []byte{2<<5 | vp9Sizes | vp9Group, 1, 0, 0, 144, 2, 0, 1, 32, 4, 0, 2, 64, 2, 0x04, 1, 0x34, 1}

// picture sends one of all layers, in some packets each. A key picture refers to no earlier
// one.
func (s *vp9Source) picture(t testing.TB, temporal uint8, key bool) {
	t.Helper()
	s.stamp += 3000
	s.now += frameTime
	s.count.picture = (s.count.picture + 1) & vp9Pictures
	if temporal == 0 {
		s.count.base++
	}
	for spatial := range uint8(3) {
		packets := 1 + s.random.IntN(3)
		for i := range packets {
			d := []byte{vp9PictureID | vp9Layers, 0, 0, temporal<<5 | spatial<<1, 0}
			if !key {
				d[0] |= vp9Inter
				d[3] |= vp9SwitchUp
			}
			if spatial > 0 {
				d[3] |= vp9InterLayer
			}
			if i == 0 {
				d[0] |= vp9Begins
			}
			if i == packets-1 {
				d[0] |= vp9Ends
			}
			putVP9Count(d, s.count)
			if key && spatial == 0 && i == 0 {
				d[0] |= vp9Scalable
				d = append(d, structureVP9...)
			}
			frame := make([]byte, 1+s.random.IntN(900))
			for i := range frame {
				frame[i] = byte(s.random.Uint32())
			}
			frame = append(frame, byte(s.seq>>8), byte(s.seq))
			s.sent[string(frame)] = vp9Packet{s.count, layer.Layer{Spatial: spatial, Temporal: temporal}, d}
			p := rtp.Packet{
				Header:  rtp.Header{Version: 2, SequenceNumber: s.seq, Timestamp: s.stamp, SSRC: 42, Marker: spatial == 2 && i == packets-1},
				Payload: append(bytes.Clone(d), frame...),
			}
			s.seq++
			raw, err := p.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			s.receive(t, 0, raw)
		}
	}
}

// findVP9 splits a packet that went out into descriptor and frame.
func (s *vp9Source) find(payload []byte) (vp9Packet, []byte, bool) {
	u, ok := readVP9(bytes.Clone(payload))
	if !ok {
		return vp9Packet{}, nil, false
	}
	p, ok := s.sent[string(u.payload[1:])]
	return p, payload[:len(payload)-len(u.payload)+1], ok
}

// TestVP9WithoutDependencyDescriptor: a slot without it gets the layers that its size
// wants, with payload descriptors as they came but for two numbers, which go on from one
// source to the next. No byte of a frame changes; packets sent again are the same.
func TestVP9WithoutDependencyDescriptor(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 9))
	w := &fakeWriter{}
	d := newTestSlot(t, true, w)
	now := int64(0)
	var last vp9Count
	for round, want := range []layer.Layer{layer.Highest, {Spatial: 1, Temporal: 0}, {Temporal: 1}, {Spatial: 2, Temporal: 0}} {
		u, _ := newTestUp(true)
		u.format = plainFormat(codecVP9)
		s := newVP9Source(u, random)
		s.now = now
		first := len(w.packets)
		d.layers.want(want)
		d.connect(u, now)
		for i := range 40 {
			s.picture(t, uint8(i%2), i == 0)
		}
		now = s.now
		checkContinuity(t, w.packets)
		top := layer.Layer{}
		by := vp9Count{}
		for i, p := range w.packets[first:] {
			was, descriptor, ok := s.find(p.Payload)
			if !ok {
				t.Fatalf("round %d, packet %d: the frame's bytes have changed", round, i)
			}
			if was.at.Spatial > want.Spatial || was.at.Temporal > want.Temporal {
				t.Fatalf("round %d, packet %d is of layer %v", round, i, was.at)
			}
			top = layer.Layer{Spatial: max(top.Spatial, was.at.Spatial), Temporal: max(top.Temporal, was.at.Temporal)}
			count := vp9CountOf(descriptor)
			if i == 0 {
				by = was.count.to(count)
				if next := last.add(vp9Count{1, 1}); round > 0 && count != next || round == 0 && by != (vp9Count{}) {
					t.Errorf("round %d begins at %v after %v", round, count, last)
				}
			}
			expected := bytes.Clone(was.descriptor)
			putVP9Count(expected, was.count.add(by))
			if !bytes.Equal(descriptor, expected) {
				t.Fatalf("round %d, packet %d: descriptor %x, want %x", round, i, descriptor, expected)
			}
			if end := i+1 == len(w.packets[first:]) || w.packets[first+i+1].Timestamp != p.Timestamp; end != p.Marker {
				t.Errorf("round %d, packet %d: marker %t", round, i, p.Marker)
			}
			last = count
		}
		if top.Spatial != min(want.Spatial, 2) || top.Temporal != min(want.Temporal, 1) {
			t.Errorf("round %d: up to %v", round, top)
		}
		checkResentWhole(t, d, w, random)
		w.packets = w.packets[:len(w.packets)-1] // the one sent again
	}
}

func checkResentWhole(t *testing.T, d *downTrack, w *fakeWriter, random *rand.Rand) {
	t.Helper()
	lost := w.packets[len(w.packets)-1-random.IntN(10)]
	p, mark, ok := d.cached(d.feed.Load(), lost.SequenceNumber)
	if !ok || d.resend(d.feed.Load(), p, mark, lost.SequenceNumber) == 0 {
		t.Fatal("not sent again")
	}
	p.Release()
	again := w.packets[len(w.packets)-1]
	if binary.BigEndian.Uint16(again.Payload) != lost.SequenceNumber || !bytes.Equal(again.Payload[2:], lost.Payload) ||
		again.Marker != lost.Marker || again.Timestamp != lost.Timestamp {
		t.Errorf("sent again %+v %x of %+v %x", again.Header, again.Payload, lost.Header, lost.Payload)
	}
}

// TestVP9Counts: numbers wrap at 15 and 8 bits, and the flexible mode has but one.
func TestVP9Counts(t *testing.T) {
	for _, test := range []struct{ from, to vp9Count }{
		{vp9Count{0, 0}, vp9Count{0, 0}},
		{vp9Count{vp9Pictures, 255}, vp9Count{0, 0}},
		{vp9Count{0, 0}, vp9Count{vp9Pictures, 255}},
		{vp9Count{12345, 17}, vp9Count{23, 200}},
	} {
		by := test.from.to(test.to)
		if got := test.from.add(unpackVP9Count(by.pack())); got != test.to || by.pack() == 0 {
			t.Errorf("from %v by %v to %v, want %v", test.from, by, got, test.to)
		}
		front := []byte{vp9PictureID | vp9Layers, 0, 0, 0, 0}
		putVP9Count(front, test.to)
		if got := vp9CountOf(front); got != test.to || front[vp9PictureAt]&vp9LongID == 0 {
			t.Errorf("%x has %v, want %v", front, got, test.to)
		}
	}
	flexible := []byte{vp9PictureID | vp9Layers | vp9Flexible | vp9Inter, 0, 0, 2, 7}
	putVP9Count(flexible, vp9Count{300, 9})
	if want := []byte{0xf0, 0x81, 0x2c, 2, 7}; !bytes.Equal(flexible, want) {
		t.Errorf("%x, want %x", flexible, want)
	}
}

// TestUncountedVP9: descriptors without a picture id of two bytes are cut, and their slots
// get the lowest spatial layer.
func TestUncountedVP9(t *testing.T) {
	for _, payload := range [][]byte{
		{vp9Begins, 1, 2},
		{vp9PictureID | vp9Begins, 7, 1, 2},
		{vp9PictureID | vp9Layers, 7, 2, 9, 1, 2},
		{vp9PictureID, 0x80, 7, 1, 2},
		{vp9Layers, 2, 9, 1, 2},
	} {
		if u, ok := readVP9(bytes.Clone(payload)); !ok || u.front != nil || len(u.payload) != 3 {
			t.Errorf("%x: %+v, %t", payload, u, ok)
		}
	}
}
