package sfu

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
)

// h264Source sends one encoding of a simulcast in H.264: pictures of two slices, of which key
// pictures begin with their parameter sets, in packets that Pion's packetiser makes (STAP-A,
// FU-A and single NAL units; RFC 6184, packetization mode 1).
type h264Source struct {
	*source
	rid       string
	random    *rand.Rand
	packetise codecs.H264Payloader
	pictures  []h264Picture
}

// h264Picture is one that was packetised.
type h264Picture struct {
	key      bool
	stamp    uint32
	units    []byte // the NAL units, each with its size before it
	payloads [][]byte
}

func newH264Source(rid string, random *rand.Rand) *h264Source {
	u, _ := newTestUp(true)
	u.format, u.rid = plainFormat(codecH264), rid
	return &h264Source{source: &source{u: u, seq: uint16(random.Uint32()), stamp: random.Uint32()}, rid: rid, random: random}
}

// nal makes a NAL unit of this type: bytes without a start code, in which there is no way to
// tell what they are.
func (s *h264Source) nal(header byte, size int) []byte {
	unit := []byte{header}
	for range size {
		unit = append(unit, 1+byte(s.random.IntN(255)))
	}
	return unit
}

// picture makes the packets of the next one. Of small slices each is a packet, large ones are
// several.
func (s *h264Source) picture(t *testing.T, key bool) (packets [][]byte) {
	t.Helper()
	s.stamp += 3000
	s.now += frameTime
	units := [][]byte{s.nal(0x61, 1+s.random.IntN(2500)), s.nal(0x41, 1+s.random.IntN(900))}
	if key {
		units = [][]byte{s.nal(0x67, 20), s.nal(0x68, 5), s.nal(0x65, 1500+s.random.IntN(3000)), s.nal(0x65, 1+s.random.IntN(3000))}
	}
	p := h264Picture{key: key, stamp: s.stamp}
	var stream []byte
	for _, unit := range units {
		stream = slices.Concat(stream, []byte{0, 0, 0, 1}, unit)
		p.units = append(p.units, byte(len(unit)>>24), byte(len(unit)>>16), byte(len(unit)>>8), byte(len(unit)))
		p.units = append(p.units, unit...)
	}
	p.payloads = s.packetise.Payload(1100, stream)
	for i, payload := range p.payloads {
		q := rtp.Packet{
			Header:  rtp.Header{Version: 2, SequenceNumber: s.seq, Timestamp: s.stamp, SSRC: 42, Marker: i == len(p.payloads)-1},
			Payload: payload,
		}
		s.seq++
		raw, err := q.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		packets = append(packets, raw)
	}
	s.pictures = append(s.pictures, p)
	return packets
}

// h264Simulcast is three encodings and a slot that changes among them.
type h264Simulcast struct {
	random    *rand.Rand
	encodings []*h264Source
	slot      *downTrack
	writer    *fakeWriter
}

func newH264Simulcast(t *testing.T, seed uint64) *h264Simulcast {
	random := rand.New(rand.NewPCG(seed, 10))
	s := &h264Simulcast{random: random, writer: &fakeWriter{}}
	s.slot = newTestSlot(t, true, s.writer)
	for _, rid := range []string{"q", "h", "f"} {
		e := newH264Source(rid, random)
		e.u.wake = func() {
			if s.slot.next == e.u { // as the room does
				s.slot.connect(e.u, e.now)
			}
		}
		s.encodings = append(s.encodings, e)
	}
	return s
}

// send sends a picture of each encoding, with their packets mixed. Those in key begin anew.
func (s *h264Simulcast) send(t *testing.T, key ...*h264Source) {
	t.Helper()
	left := make([][][]byte, len(s.encodings))
	for i, e := range s.encodings {
		left[i] = e.picture(t, slices.Contains(key, e))
	}
	for len(slices.Concat(left...)) > 0 {
		if i := s.random.IntN(len(left)); len(left[i]) > 0 {
			s.encodings[i].receive(t, 0, left[i][0])
			left[i] = left[i][1:]
		}
	}
}

// shown is a picture as it came out of the slot.
type shown struct {
	of    *h264Source
	at    int // among its pictures
	whole bool
}

// pictures puts what the slot was sent together again, with Pion's depacketiser. Each packet
// must be one of an encoding's, byte for byte, and all of a picture in their order.
func (s *h264Simulcast) pictures(t *testing.T) (list []shown) {
	t.Helper()
	checkContinuity(t, s.writer.packets)
	for i := 0; i < len(s.writer.packets); {
		n := i
		for n < len(s.writer.packets) && s.writer.packets[n].Timestamp == s.writer.packets[i].Timestamp {
			n++
		}
		list = append(list, s.match(t, s.writer.packets[i:n]))
		i = n
	}
	return list
}

// match finds the picture whose packets these are, the first ones at least.
func (s *h264Simulcast) match(t *testing.T, packets []rtp.Packet) shown {
	t.Helper()
	for _, e := range s.encodings {
		for at, p := range e.pictures {
			if !bytes.Equal(packets[0].Payload, p.payloads[0]) {
				continue
			}
			d := &codecs.H264Packet{IsAVC: true}
			var units []byte
			for i, q := range packets {
				if i >= len(p.payloads) || !bytes.Equal(q.Payload, p.payloads[i]) || q.Marker != (i == len(p.payloads)-1) {
					t.Fatalf("%s, picture %d: packet %d has changed", e.rid, at, i)
				}
				part, err := d.Unmarshal(q.Payload)
				if err != nil {
					t.Fatal(err)
				}
				units = append(units, part...)
			}
			return shown{e, at, bytes.Equal(units, p.units)}
		}
	}
	t.Fatalf("%d packets that begin with no picture: %x", len(packets), packets[0].Payload[:2])
	return shown{}
}

// TestH264Simulcast: a slot changes among three encodings at their key pictures only, parameter
// sets first. To its receiver it is one stream of whole pictures, and no byte of one changes.
func TestH264Simulcast(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	s := newH264Simulcast(t, seed)
	q, h, f := s.encodings[0], s.encodings[1], s.encodings[2]
	s.slot.connect(q.u, 0)
	s.send(t) // nothing to begin with
	s.send(t, q, h, f)
	want := []*h264Source{q}
	for _, to := range []*h264Source{h, f, q, f, h, q} {
		for range 10 {
			s.send(t)
		}
		s.slot.await(to.u, to.now)
		others := slices.DeleteFunc(slices.Clone(s.encodings), func(e *h264Source) bool { return e == to })
		s.send(t)
		s.send(t, others...) // key pictures of those that are not meant
		for range 8 {
			s.send(t)
		}
		if s.slot.up == to.u {
			t.Fatalf("to %s without a key picture", to.rid)
		}
		s.send(t, to)
		if s.slot.up != to.u || s.slot.next != nil {
			t.Fatalf("not at %s after its key picture", to.rid)
		}
		want = append(want, to)
	}
	for range 10 {
		s.send(t)
	}
	list := s.pictures(t)
	if p := list[0]; !p.of.pictures[p.at].key {
		t.Error("begins without a key picture")
	}
	got := []*h264Source{list[0].of}
	for i, p := range list[1:] {
		before := list[i]
		switch {
		case p.of != before.of:
			got = append(got, p.of)
			if key := p.of.pictures[p.at]; !key.key || key.payloads[0][0]&nalType != nalSTAPA {
				t.Errorf("picture %d: changes to %s without parameter sets", i+1, p.of.rid)
			}
		case !before.whole:
			t.Errorf("picture %d, of %s, is torn", i, before.of.rid)
		case p.at != before.at+1:
			t.Errorf("picture %d: number %d of %s after %d", i+1, p.at, p.of.rid, before.at)
		}
	}
	if !slices.Equal(got, want) || !list[len(list)-1].whole {
		t.Errorf("showed %s, want %s", rids(got), rids(want))
	}
	checkResentWhole(t, s.slot, s.writer, s.random)
}

func rids(list []*h264Source) (names []string) {
	for _, e := range list {
		names = append(names, e.rid)
	}
	return names
}

// TestH264ParametersLost: the packet with the parameter sets of a key picture is lost and comes
// again. A slot does not begin with the slice behind it, but with that packet, late as it is.
func TestH264ParametersLost(t *testing.T) {
	for _, late := range []int{1, 2, 4} {
		t.Run(fmt.Sprint(late), func(t *testing.T) {
			s := newH264Simulcast(t, uint64(late))
			q, h := s.encodings[0], s.encodings[1]
			s.slot.connect(q.u, 0)
			s.send(t, q, h)
			s.slot.await(h.u, h.now)
			packets := h.picture(t, true)
			lost := packets[0]
			for i, raw := range slices.Concat(packets[1:], h.picture(t, false)) {
				if i == late-1 {
					h.receive(t, 0, lost)
				}
				if i < late-1 && s.slot.up != q.u {
					t.Fatal("begins without parameter sets")
				}
				h.receive(t, 0, raw)
			}
			h.u.drain(h.now)
			if s.slot.up != h.u {
				t.Fatal("does not begin with parameter sets that come late")
			}
			list := s.pictures(t)
			if n := len(list); n < 3 || list[n-2].of != h || !list[n-2].whole || list[n-1].of != h || !list[n-1].whole {
				t.Errorf("pictures %+v", list)
			}
		})
	}
}

// TestH264WithoutParameters: of a sender that has put parameter sets before no key picture, a
// slice is a beginning.
func TestH264WithoutParameters(t *testing.T) {
	u, _ := newTestUp(true)
	u.format = plainFormat(codecH264)
	s := &source{u: u, seq: 7}
	w := &fakeWriter{}
	d := newTestSlot(t, true, w)
	d.connect(u, 0)
	for i, header := range []byte{0x61, 0x65, 0x61} {
		p := rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: uint16(i), Timestamp: uint32(3000 * i), Marker: true}, Payload: []byte{header, 1, 2}}
		raw, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		s.receive(t, 0, raw)
	}
	if len(w.packets) != 2 || w.packets[0].Payload[0] != 0x65 {
		t.Errorf("packets %v", w.packets)
	}
}
