package client

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
)

func TestSplitVP8(t *testing.T) {
	frame := []byte{0xaa, 0xbb}
	tests := []struct {
		name       string
		descriptor []byte
		start      bool
	}{
		{"one byte, start", []byte{0x10}, true},
		{"one byte, not the start", []byte{0x00}, false},
		{"start of a later partition", []byte{0x11}, false},
		{"non-reference", []byte{0x30}, true},
		{"extension, empty", []byte{0x90, 0x00}, true},
		{"picture id, 7 bits", []byte{0x90, 0x80, 0x11}, true},
		{"picture id, 15 bits", []byte{0x80, 0x80, 0x91, 0x22}, false},
		{"TL0PICIDX", []byte{0x90, 0x40, 0x01}, true},
		{"TID", []byte{0x90, 0x20, 0x01}, true},
		{"KEYIDX", []byte{0x90, 0x10, 0x01}, true},
		{"all, short id", []byte{0x90, 0xf0, 0x11, 0x01, 0x02}, true},
		{"all, long id", []byte{0x90, 0xf0, 0x91, 0x22, 0x01, 0x02}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			start, got, err := splitVP8(append(bytes.Clone(test.descriptor), frame...))
			if err != nil || start != test.start || !bytes.Equal(got, frame) {
				t.Errorf("start %v, frame %x, %v", start, got, err)
			}
			for n := range test.descriptor {
				if _, _, err := splitVP8(test.descriptor[:n]); err == nil {
					t.Errorf("%d bytes of %d accepted", n, len(test.descriptor))
				}
			}
		})
	}
}

// FuzzSplitVP8 compares with Pion's parser, which refuses a descriptor without a frame.
func FuzzSplitVP8(f *testing.F) {
	f.Add([]byte{0x10, 1})
	f.Add([]byte{0x90, 0xf0, 0x91, 0x22, 0x01, 0x02, 3})
	f.Fuzz(func(t *testing.T, payload []byte) {
		start, frame, err := splitVP8(payload)
		var theirs codecs.VP8Packet
		want, theirErr := theirs.Unmarshal(payload)
		if err != nil {
			if theirErr == nil && len(want) > 0 {
				t.Fatalf("%x refused: %v", payload, err)
			}
			return
		}
		if theirErr == nil && (!bytes.Equal(frame, want) || start != (theirs.S == 1 && theirs.PID == 0)) {
			t.Fatalf("%x: start %v, frame %x, want %x", payload, start, frame, want)
		}
	})
}

func TestVP8Assembler(t *testing.T) {
	type in struct {
		payload   string
		timestamp uint32
		marker    bool
		gap       bool
	}
	const s, c = "\x10", "\x00" // start, continuation
	tests := []struct {
		name   string
		in     []in
		want   []string
		broken uint64
	}{
		{"one packet", []in{{s + "a", 1, true, false}}, []string{"a"}, 0},
		{"three packets", []in{{s + "a", 1, false, false}, {c + "b", 1, false, false}, {c + "c", 1, true, false}}, []string{"abc"}, 0},
		{"begins in the middle", []in{{c + "b", 1, true, false}, {s + "d", 2, true, false}}, []string{"d"}, 0},
		{"middle lost", []in{{s + "a", 1, false, false}, {c + "c", 1, true, true}, {s + "d", 2, true, false}}, []string{"d"}, 1},
		{"end lost", []in{{s + "a", 1, false, false}, {s + "d", 2, true, true}}, []string{"d"}, 1},
		{"start without an end before", []in{{s + "a", 1, false, false}, {s + "d", 2, true, false}}, []string{"d"}, 1},
		{"timestamp changes within", []in{{s + "a", 1, false, false}, {c + "b", 2, true, false}}, nil, 1},
		{"padding between", []in{{s + "a", 1, false, false}, {"", 1, false, false}, {c + "b", 1, true, false}}, []string{"ab"}, 0},
		{"broken descriptor", []in{{s + "a", 1, false, false}, {"\x80", 1, false, false}, {c + "b", 1, true, false}}, nil, 1},
		{"empty frame", []in{{s, 1, true, false}}, nil, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a := &vp8Assembler{}
			var got []string
			for _, in := range test.in {
				p := &packet{Packet: rtp.Packet{
					Header:  rtp.Header{Timestamp: in.timestamp, Marker: in.marker},
					Payload: []byte(in.payload),
				}}
				if frame, ok := a.push(p, in.gap); ok {
					got = append(got, string(frame))
				}
			}
			if len(got) != len(test.want) || a.broken() != test.broken {
				t.Fatalf("got %q with %d broken, want %q with %d", got, a.broken(), test.want, test.broken)
			}
			for i := range got {
				if got[i] != test.want[i] {
					t.Errorf("frame %d is %q, want %q", i, got[i], test.want[i])
				}
			}
		})
	}
}

func TestVP8AssemblerIsBounded(t *testing.T) {
	a := &vp8Assembler{}
	payload := make([]byte, 1100)
	payload[0] = 0x10
	for sent := 0; sent <= maxFrame; sent += len(payload) - 1 {
		a.push(&packet{Packet: rtp.Packet{Payload: payload}}, false)
		payload[0] = 0
	}
	if a.open || a.broken() != 1 {
		t.Errorf("a frame of over %d bytes is still open", maxFrame)
	}
}

// TestPacketise sends random frames through packetiser, a forwarder that cuts the
// descriptor to its first byte, and assembler.
func TestPacketise(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for _, video := range []bool{true, false} {
		p := newPacketiser(video)
		out := assembler(opusAssembler{})
		sizes := []int{1, 20, 160, 1000}
		if video {
			out = &vp8Assembler{}
			sizes = append(sizes, 1187, 1188, 1189, 5000, 100_000)
		}
		next, timestamp := p.sequence, p.timestamp
		for i := range 300 {
			frame := make([]byte, sizes[i%len(sizes)])
			for j := range frame {
				frame[j] = byte(rng.Uint32())
			}
			packets := p.packets(frame)
			p.advance(3000)
			var got []byte
			for j, pkt := range packets {
				if pkt.SequenceNumber != next || pkt.Timestamp != timestamp || pkt.MarshalSize() > maxRTP {
					t.Fatalf("packet %d of %d bytes: %v", j, pkt.MarshalSize(), pkt.Header)
				}
				if pkt.Marker != (video && j == len(packets)-1) {
					t.Fatalf("packet %d of %d has marker %v", j, len(packets), pkt.Marker)
				}
				next++
				payload := pkt.Payload
				if video {
					_, rest, err := splitVP8(payload)
					if err != nil {
						t.Fatal(err)
					}
					payload = append([]byte{payload[0] & 0x37}, rest...)
				}
				if f, ok := out.push(&packet{Packet: rtp.Packet{Header: pkt.Header, Payload: payload}}, false); ok {
					got = f
				}
			}
			if !bytes.Equal(got, frame) {
				t.Fatalf("a frame of %d bytes came out with %d", len(frame), len(got))
			}
			timestamp += 3000
		}
	}
}
