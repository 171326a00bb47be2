package sframe

import (
	"bytes"
	"errors"
	"math"
	"testing"
)

// edges are the values at which a field grows by a byte, and those beside them.
func edges() []uint64 {
	all := []uint64{0, 1, 6, 7, 8, 9, math.MaxUint64}
	for bits := 8; bits < 64; bits += 8 {
		edge := uint64(1) << bits
		all = append(all, edge-1, edge, edge+1)
	}
	return all
}

func TestHeaderRoundTrip(t *testing.T) {
	for _, kid := range edges() {
		for _, ctr := range edges() {
			h := Header{KID: KID(kid), CTR: CTR(ctr)}
			enc := h.Append([]byte("before"))[len("before"):]
			if len(enc) != h.Size() || len(enc) > MaxHeaderSize {
				t.Fatalf("%+v: %d bytes, Size says %d", h, len(enc), h.Size())
			}
			got, n, err := ParseHeader(append(enc, "after"...))
			if err != nil || got != h || n != len(enc) {
				t.Fatalf("%x: parsed %+v, %d, %v; want %+v", enc, got, n, err, h)
			}
			for short := range enc {
				if got, n, err := ParseHeader(enc[:short]); !errors.Is(err, ErrHeader) {
					t.Fatalf("%x cut to %d bytes: %+v, %d, %v; want ErrHeader", enc, short, got, n, err)
				}
			}
		}
	}
}

// RFC 9605 asks writers for the shortest form and lets readers take any.
func TestParseLongForms(t *testing.T) {
	for _, c := range []struct {
		enc  []byte
		want Header
	}{
		{[]byte{0x88, 5, 6}, Header{5, 6}},
		{[]byte{0x95, 0, 5}, Header{5, 5}},
		{[]byte{0x5f, 0, 0, 0, 0, 0, 0, 1, 0}, Header{5, 256}},
		{append([]byte{0xff}, make([]byte, 16)...), Header{0, 0}},
	} {
		got, n, err := ParseHeader(c.enc)
		if err != nil || got != c.want || n != len(c.enc) {
			t.Errorf("%x: parsed %+v, %d, %v; want %+v", c.enc, got, n, err, c.want)
		}
		if c.want.Size() >= len(c.enc) {
			t.Errorf("%x is no long form of %+v", c.enc, c.want)
		}
	}
}

func FuzzParseHeader(f *testing.F) {
	for _, v := range edges() {
		f.Add(Header{KID: KID(v), CTR: CTR(v)}.Append(nil))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		h, n, err := ParseHeader(data)
		if err != nil {
			if h != (Header{}) || n != 0 || len(data) >= MaxHeaderSize {
				t.Fatalf("%x: %+v, %d with %v", data, h, n, err)
			}
			return
		}
		enc := h.Append(nil)
		if n > len(data) || len(enc) > n {
			t.Fatalf("%x: %d bytes read, %d written", data, n, len(enc))
		}
		if len(enc) == n && !bytes.Equal(enc, data[:n]) {
			t.Fatalf("%x: written as %x", data[:n], enc)
		}
	})
}
