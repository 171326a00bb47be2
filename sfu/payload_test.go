package sfu

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/conclave-sfu/conclave/sfu/packetcache"
)

func TestReadVP8Layers(t *testing.T) {
	for _, test := range []struct {
		name     string
		payload  []byte
		layered  bool
		temporal uint8
		switches bool
		starts   bool
	}{
		{"no layers", []byte{0x90, 0x80, 0x7f, 0x01}, false, 0, false, true},
		{"key index without layers", []byte{0x90, 0x10, 0x9f, 0x01}, false, 0, false, true},
		{"layer 0", []byte{0x90, 0xe0, 0x7f, 0x01, 0x00, 0x01}, true, 0, false, true},
		{"layer 2", []byte{0x90, 0xe0, 0x7f, 0x01, 0x80, 0x01}, true, 2, false, true},
		{"layer 1, a synchronisation", []byte{0x90, 0xe0, 0x7f, 0x01, 0x60, 0x01}, true, 1, true, true},
		{"key frame", []byte{0x90, 0xe0, 0x7f, 0x01, 0x00, 0x00}, true, 0, true, true},
		{"a frame's middle", []byte{0x80, 0xe0, 0x7f, 0x01, 0x80, 0x00}, true, 2, false, false},
	} {
		got, ok := readVP8(test.payload)
		if !ok || got.layered != test.layered || got.layer.Temporal != test.temporal || got.switches != test.switches || got.starts != test.starts {
			t.Errorf("%s: %+v, %t", test.name, got, ok)
		}
	}
}

func TestReadVP9(t *testing.T) {
	for _, test := range []struct {
		name    string
		payload []byte
		size    int // of the descriptor
		kept    byte
		ok      bool
		want    string // what is said: begins, starts, ends, independent, layered spatial.temporal, switches
	}{
		{"empty", nil, 0, 0, false, ""},
		{"only a descriptor", []byte{0x0c}, 0, 0, false, ""},
		{"plain key frame", []byte{0x0c, 0xaa}, 1, 0x0c, true, "begins starts ends independent"},
		{"plain delta frame", []byte{0x4c, 0xaa}, 1, 0x4c, true, "starts ends"},
		{"middle of a key frame", []byte{0x00, 0xaa}, 1, 0x00, true, "independent"},
		{"short picture id", []byte{0xc8, 0x7f, 0xaa}, 2, 0x48, true, "starts"},
		{"long picture id", []byte{0xc4, 0x80, 0xff, 0xaa}, 3, 0x44, true, "ends"},
		{"layers, not flexible", []byte{0xe8, 0x01, 0x40, 0x07, 0xaa}, 4, 0x48, true, "starts layered 0.2"},
		{"switching up", []byte{0xe8, 0x01, 0x30, 0x07, 0xaa}, 4, 0x48, true, "starts layered 0.1 switches"},
		{"upper layer of a key picture", []byte{0xac, 0x01, 0x05, 0x07, 0xaa}, 4, 0x4c, true, "starts ends independent layered 2.0"},
		{"upper layer on its own", []byte{0xac, 0x01, 0x04, 0x07, 0xaa}, 4, 0x0c, true, "starts ends independent layered 2.0"},
		{"flexible, a difference", []byte{0xf9, 0x01, 0x02, 0x08, 0xaa}, 4, 0x49, true, "starts layered 1.0"},
		{"flexible, three differences", []byte{0xf8, 0x01, 0x00, 0x09, 0x0b, 0x0c, 0xaa}, 6, 0x48, true, "starts layered 0.0"},
		{"flexible, four differences", []byte{0xf8, 0x01, 0x00, 0x09, 0x0b, 0x0d, 0x02, 0xaa}, 0, 0, false, ""},
		{"structure with sizes and a group", []byte{
			0xaa, 0x01, 0x00, 0x00, 0x38, 0, 1, 0, 2, 0, 3, 0, 4, 2, 0x04, 1, 0x48, 1, 2, 0xaa,
		}, 19, 0x08, true, "begins starts independent layered 0.0"},
		{"structure of nothing", []byte{0x0a, 0x00, 0xaa}, 2, 0x08, true, "begins starts independent"},
		{"Chromium's L3T3", []byte{0xbe, 0xd3, 0x8f, 0x10, 0x10, 0x01, 0x40, 0x00, 0xb4, 0x83}, 9, 0x0c, true, "begins starts ends independent layered 0.0 switches"},
	} {
		got, ok := readVP9(bytes.Clone(test.payload))
		if ok != test.ok {
			t.Errorf("%s: %t", test.name, ok)
			continue
		}
		if !ok {
			continue
		}
		said := ""
		for _, s := range []struct {
			is   bool
			word string
		}{
			{got.begins, "begins"}, {got.starts, "starts"}, {got.ends, "ends"}, {got.independent, "independent"},
			{got.layered, fmt.Sprintf("layered %d.%d", got.layer.Spatial, got.layer.Temporal)}, {got.switches, "switches"},
		} {
			if s.is {
				said += " " + s.word
			}
		}
		if said != " "+test.want {
			t.Errorf("%s: %q, want %q", test.name, said[1:], test.want)
		}
		if got.payload[0] != test.kept || !bytes.Equal(got.payload[1:], test.payload[test.size:]) {
			t.Errorf("%s: cut to %x", test.name, got.payload)
		}
		for n := range test.size {
			if _, ok := readVP9(bytes.Clone(test.payload[:n])); ok {
				t.Errorf("%s: %d bytes of it are read", test.name, n)
			}
		}
	}
}

func TestReadH264(t *testing.T) {
	for _, test := range []struct {
		name    string
		payload []byte
		begins  bool
		ok      bool
	}{
		{"empty", nil, false, false},
		{"one byte", []byte{0x67}, false, false},
		{"parameter set", []byte{0x67, 0x42}, true, true},
		{"picture parameter set", []byte{0x68, 0x42}, false, true},
		{"IDR slice", []byte{0x65, 0x88}, true, true},
		{"other slice", []byte{0x61, 0x88}, false, true},
		{"aggregate with parameter sets", []byte{0x78, 0, 2, 0x09, 0x10, 0, 2, 0x67, 0x42}, true, true},
		{"aggregate without", []byte{0x78, 0, 2, 0x09, 0x10, 0, 2, 0x61, 0x42}, false, true},
		{"aggregate cut short", []byte{0x78, 0xff, 0xff, 0x09, 0x10}, false, true},
		{"aggregate of nothing", []byte{0x78, 0, 0, 0, 0}, false, true},
		{"fragment that starts an IDR slice", []byte{0x7c, 0x85, 0x88}, true, true},
		{"fragment that goes on", []byte{0x7c, 0x05, 0x88}, false, true},
		{"fragment of another slice", []byte{0x7c, 0x81, 0x88}, false, true},
		{"Chromium's", []byte{0x78, 0x00, 0x13, 0x67, 0x42, 0xc0, 0x15, 0x8c}, true, true},
	} {
		got, ok := readH264(bytes.Clone(test.payload))
		if ok != test.ok || got.begins != test.begins || ok && !bytes.Equal(got.payload, test.payload) {
			t.Errorf("%s: %+v, %t", test.name, got, ok)
		}
	}
}

func TestReadAV1(t *testing.T) {
	for first, want := range map[byte]bool{0x18: true, 0x10: false, 0x98: false, 0x28: true, 0x90: false} {
		payload := []byte{first, 1, 2}
		got, ok := readAV1(payload)
		if !ok || got.begins != want || !bytes.Equal(got.payload, []byte{first, 1, 2}) {
			t.Errorf("%#x: %+v, %t", first, got, ok)
		}
	}
	if _, ok := readAV1([]byte{0x18}); ok {
		t.Error("a header alone is read")
	}
}

// checkFront puts a descriptor together again, and moves its numbers to and fro.
func checkFront(t *testing.T, payload []byte, u *unit) {
	t.Helper()
	if u.front == nil {
		return
	}
	p := &packetcache.Packet{Front: u.front, FrontEnd: u.frontEnd}
	var b descriptorBuffer
	front := b.front(p)
	if whole := slices.Concat(front, u.payload[1:]); !bytes.Equal(whole, payload) {
		t.Fatalf("%x put together as %x", payload, whole)
	}
	count, by := vp9CountOf(front), vp9Count{4711, 99}
	if front[0]&vp9Flexible != 0 {
		by.base = 0 // there is none
	}
	putVP9Count(front, count.add(by))
	moved, ok := readVP9(slices.Concat(front, u.payload[1:]))
	if !ok || moved.layer != u.layer || moved.begins != u.begins || len(moved.front) != len(u.front) || vp9CountOf(b.front(&packetcache.Packet{Front: moved.front, FrontEnd: moved.frontEnd})) != count.add(by) {
		t.Fatalf("%x moved to %x: %+v, was %+v", payload, front, moved, *u)
	}
}

// FuzzParsePayload: of no codec a byte behind the descriptor changes.
func FuzzParsePayload(f *testing.F) {
	f.Add([]byte{0x90, 0xf0, 0x81, 0x02, 0x03, 0x24, 0x00, 1, 2, 3})
	f.Add([]byte{0xaa, 0x01, 0x00, 0x00, 0x38, 0, 1, 0, 2, 0, 3, 0, 4, 2, 0x04, 1, 0x48, 1, 2, 0xaa})
	f.Add([]byte{0xac, 0x80, 0x01, 0x05, 0x07, 1, 2, 3})
	f.Add([]byte{0xfc, 0xff, 0xff, 0x25, 0x03, 0x02, 1, 2, 3})
	f.Add([]byte{0x78, 0, 2, 0x09, 0x10, 0, 2, 0x67, 0x42})
	f.Fuzz(func(t *testing.T, payload []byte) {
		for c := codecOpus; int(c) < numCodecs; c++ {
			got, ok := parsePayload(c, bytes.Clone(payload))
			if !ok {
				continue
			}
			size := len(payload) - len(got.payload)
			if size < 0 || len(got.payload) == 0 || !bytes.Equal(got.payload[1:], payload[size+1:]) {
				t.Fatalf("%s: %x cut to %x", c, payload, got.payload)
			}
			checkFront(t, payload, &got)
			if (c == codecAV1 || c == codecH264 || c == codecOpus) && size != 0 {
				t.Fatalf("%s: %x cut to %x", c, payload, got.payload)
			}
		}
	})
}
