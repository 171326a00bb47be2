package sframe

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
)

var suites = []Suite{AES128GCMSHA256, AES256GCMSHA512}

func testKey(t testing.TB, s Suite, kid KID) *Key {
	t.Helper()
	k, err := NewKey(s, bytes.Repeat([]byte{7}, s.KeySize()), kid)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSealOpen(t *testing.T) {
	for _, s := range suites {
		k := testKey(t, s, 0x1234)
		for _, ctr := range []CTR{0, 7, 8, 1 << 40, math.MaxUint64} {
			for _, frame := range [][]byte{nil, {1}, bytes.Repeat([]byte{2}, 1500)} {
				sealed := k.Seal([]byte("dst"), ctr, []byte("meta"), frame)
				opened, err := k.Open([]byte("dst"), []byte("meta"), sealed[3:])
				if err != nil || string(opened) != "dst"+string(frame) {
					t.Fatalf("suite %d, counter %d: opened %x, %v", s, ctr, opened, err)
				}
			}
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	k := testKey(t, AES128GCMSHA256, 0x1234)
	meta, frame := []byte("meta"), []byte("a frame")
	sealed := k.Seal(nil, 300, meta, frame)

	for n := range sealed {
		if opened, err := k.Open(nil, meta, sealed[:n]); err == nil {
			t.Errorf("cut to %d bytes: opened %x", n, opened)
		}
	}
	for bit := range 8 * len(sealed) {
		bad := bytes.Clone(sealed)
		bad[bit/8] ^= 1 << (bit % 8)
		if opened, err := k.Open(nil, meta, bad); err == nil {
			t.Errorf("bit %d flipped: opened %x", bit, opened)
		}
	}
	for name, c := range map[string]struct {
		key  *Key
		meta string
		want error
	}{
		"other metadata": {k, "Meta", ErrDecrypt},
		"no metadata":    {k, "", ErrDecrypt},
		"other KID":      {testKey(t, AES128GCMSHA256, 0x1235), "meta", ErrKID},
		"other suite":    {testKey(t, AES256GCMSHA512, 0x1234), "meta", ErrDecrypt},
	} {
		if _, err := c.key.Open(nil, []byte(c.meta), sealed); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	// A header in a longer form says the same and is still another header.
	long := append([]byte{0xa9, 0, 0x12, 0x34}, sealed[3:]...)
	if h, _, err := ParseHeader(long); err != nil || h != (Header{0x1234, 300}) {
		t.Fatalf("long form parsed as %+v, %v", h, err)
	}
	if _, err := k.Open(nil, meta, long); !errors.Is(err, ErrDecrypt) {
		t.Errorf("header in a longer form: %v, want ErrDecrypt", err)
	}
}

// The metadata, the KID and the suite are each bound into the ciphertext.
func TestKeysDiffer(t *testing.T) {
	seen := map[string]string{}
	for _, s := range suites {
		for kid := range KID(64) {
			key, salt, err := s.Derive(make([]byte, s.KeySize()), kid)
			if err != nil {
				t.Fatal(err)
			}
			for what, secret := range map[string][]byte{"key": key, "salt": salt} {
				name := fmt.Sprintf("%s of suite %d, KID %d", what, s, kid)
				if other, ok := seen[string(secret)]; ok {
					t.Errorf("%s is the %s", name, other)
				}
				seen[string(secret)] = name
			}
		}
	}
}

func TestUnknownSuite(t *testing.T) {
	for _, s := range []Suite{0, 1, 2, 3, 6, 0xf00e} {
		if _, err := NewKey(s, make([]byte, 16), 1); !errors.Is(err, ErrSuite) {
			t.Errorf("suite %d: %v, want ErrSuite", s, err)
		}
	}
}

func TestKeyDoesNotPrint(t *testing.T) {
	k := testKey(t, AES128GCMSHA256, 9)
	in := struct{ k *Key }{k}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q"} {
		if got := fmt.Sprintf(format, k); !strings.Contains(got, "[secret]") && got != "5b7365637265745d" {
			t.Errorf("%s: %s", format, got)
		}
		if got := fmt.Sprintf(format, in); strings.Contains(got, fmt.Sprintf("%x", k.salt)) {
			t.Errorf("%s of a struct: %s", format, got)
		}
	}
}

func TestNoAllocations(t *testing.T) {
	k := testKey(t, AES128GCMSHA256, 0x2345)
	meta, frame := []byte("meta"), make([]byte, 1200)
	sealed := make([]byte, 0, len(frame)+MaxOverhead)
	opened := make([]byte, 0, len(frame))
	var ctr CTR
	n := testing.AllocsPerRun(1000, func() {
		ctr++
		sealed = k.Seal(sealed[:0], ctr, meta, frame)
		var err error
		if opened, err = k.Open(opened[:0], meta, sealed); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}

func FuzzOpen(f *testing.F) {
	k := testKey(f, AES128GCMSHA256, 0x123)
	f.Add([]byte("m"), k.Seal(nil, 5, []byte("m"), []byte("frame")))
	f.Add([]byte(nil), []byte{0x99, 1, 0x23})
	f.Fuzz(func(t *testing.T, meta, data []byte) {
		// The key is known to the fuzzer's seeds only: what opens is one of them.
		frame, err := k.Open(nil, meta, data)
		if err == nil && !bytes.Equal(k.Seal(nil, 5, meta, frame), data) {
			t.Fatalf("opened %x", data)
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	for _, size := range []int{160, 1200, 10_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			k := testKey(b, AES128GCMSHA256, 0x2345)
			frame, dst := make([]byte, size), make([]byte, 0, size+MaxOverhead)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			var ctr CTR
			for b.Loop() {
				ctr++
				k.Seal(dst, ctr, nil, frame)
			}
		})
	}
}
