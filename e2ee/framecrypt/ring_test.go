package framecrypt

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/conclave-sfu/conclave/e2ee/sframe"
)

// Frames of each kind, long enough to be real.
var (
	opusFrame = bytes.Repeat([]byte{0xfc, 1}, 40)
	vp8Key    = append([]byte{0x10, 2, 3, 0x9d, 1, 0x2a, 7, 8, 9, 10}, bytes.Repeat([]byte("key"), 30)...)
	vp8Delta  = append([]byte{0x11, 2, 3}, bytes.Repeat([]byte("delta"), 30)...)
)

// baseKey is a different key for each number.
func baseKey(n int) BaseKey {
	b := make([]byte, 16)
	copy(b, fmt.Sprintf("key %d", n))
	return NewBaseKey(b)
}

// number is an epoch of the first generation.
func number(n uint64) Epoch { return Epoch{Generation: 1, Number: n} }

func start(t testing.TB, r *Ring, id Epoch, own Leaf, members, removed []Leaf) {
	t.Helper()
	if err := r.Start(id, own, members, removed, baseKey(int(id.Generation)*1000+int(id.Number))); err != nil {
		t.Fatal(err)
	}
}

// sending makes a ring of a member that seals under an epoch.
func sending(t testing.TB, id Epoch, own Leaf, members ...Leaf) *Ring {
	t.Helper()
	r := NewRing()
	start(t, r, id, own, members, nil)
	if err := r.SendWith(id); err != nil {
		t.Fatal(err)
	}
	return r
}

// receiving makes a ring of a member that opens frames of an epoch.
func receiving(t testing.TB, id Epoch, own Leaf, members ...Leaf) *Ring {
	t.Helper()
	r := NewRing()
	start(t, r, id, own, members, nil)
	return r
}

func seal(t testing.TB, r *Ring, ctx Context, codec Codec, frame []byte) []byte {
	t.Helper()
	sealed, err := r.Seal(nil, ctx, codec, frame)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func wantOpen(t testing.TB, r *Ring, codec Codec, sealed, want []byte) Info {
	t.Helper()
	got, info, err := r.Open(nil, codec, sealed)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("opened %x, %v; want %x", got, err, want)
	}
	return info
}

func wantRefused(t testing.TB, r *Ring, codec Codec, sealed []byte, want error) {
	t.Helper()
	got, _, err := r.Open([]byte("dst"), codec, sealed)
	if !errors.Is(err, want) || string(got) != "dst" {
		t.Errorf("opened %q, %v; want %v", got, err, want)
	}
}

func TestSealOpen(t *testing.T) {
	for _, c := range []struct {
		ctx   Context
		codec Codec
		frame []byte
		clear int
	}{
		{Mic, Opus, opusFrame, 0},
		{ScreenAudio, Opus, []byte{1}, 0},
		{Camera, VP8, vp8Key, 10},
		{Camera, VP8, vp8Key[:10], 10},
		{Screen, VP8, vp8Delta, 3},
		{Screen, VP9, vp8Delta, 0},
	} {
		a, b := sending(t, number(70), 3, 3, 5), receiving(t, number(70), 5, 3, 5)
		for ctr := range sframe.CTR(300) {
			sealed := seal(t, a, c.ctx, c.codec, c.frame)
			if !bytes.Equal(sealed[:c.clear], c.frame[:c.clear]) || len(sealed) > len(c.frame)+MaxOverhead {
				t.Fatalf("%v: sealed %x of %x", c.ctx, sealed, c.frame)
			}
			want := Info{MakeKID(c.ctx, 3, 70), number(70), 3, c.ctx, ctr}
			if got := wantOpen(t, b, c.codec, sealed, c.frame); got != want {
				t.Fatalf("info %+v, want %+v", got, want)
			}
		}
	}
}

func TestOpenRefusesEveryChange(t *testing.T) {
	for _, c := range []struct {
		codec Codec
		ctx   Context
		frame []byte
	}{{Opus, Mic, opusFrame}, {VP8, Camera, vp8Key}, {VP8, Camera, vp8Delta}, {VP9, Camera, vp8Delta}} {
		a, b := sending(t, number(1), 3, 3, 5), receiving(t, number(1), 5, 3, 5)
		for range 9 {
			seal(t, a, c.ctx, c.codec, c.frame) // so that the counter has a byte of its own
		}
		sealed := seal(t, a, c.ctx, c.codec, c.frame)
		for n := 1; n < len(sealed); n++ {
			if got, _, err := b.Open(nil, c.codec, sealed[:n]); err == nil || CodeOf(err) == "" {
				t.Errorf("cut to %d bytes: opened %x, %v", n, got, err)
			}
		}
		for bit := range 8 * len(sealed) {
			bad := bytes.Clone(sealed)
			bad[bit/8] ^= 1 << (bit % 8)
			if got, _, err := b.Open(nil, c.codec, bad); err == nil || CodeOf(err) == "" {
				t.Errorf("bit %d flipped: opened %x, %v", bit, got, err)
			}
		}
		// None of that has moved the replay window or spoilt the key.
		wantOpen(t, b, c.codec, sealed, c.frame)
		wantRefused(t, b, c.codec, sealed, ErrReplay)
	}
}

func TestCodecIsAuthenticated(t *testing.T) {
	a, b := sending(t, number(1), 3, 3, 5), receiving(t, number(1), 5, 3, 5)
	sealed := seal(t, a, Camera, VP9, append([]byte{1, 2, 3}, vp8Delta...))
	wantRefused(t, b, Opus, sealed, ErrDecrypt)
	wantRefused(t, b, AV1, sealed, ErrCodec)
	wantRefused(t, b, 0, sealed, ErrCodec)
	if _, _, err := b.Open(nil, VP8, sealed); err == nil {
		t.Error("a VP9 frame opened as VP8")
	}
}

func TestSealRefuses(t *testing.T) {
	for _, c := range []struct {
		name  string
		ctx   Context
		codec Codec
		frame []byte
		want  error
	}{
		{"audio codec on the camera", Camera, Opus, opusFrame, ErrCodec},
		{"video codec on the microphone", Mic, VP8, vp8Key, ErrCodec},
		{"no such context", contexts, VP8, vp8Key, ErrCodec},
		{"AV1", Camera, AV1, vp8Key, ErrCodec},
		{"unknown codec, empty frame", Mic, 77, nil, ErrCodec},
		{"short key frame", Camera, VP8, vp8Key[:9], ErrShortFrame},
	} {
		a := sending(t, number(1), 3, 3, 5)
		if got, err := a.Seal([]byte("dst"), c.ctx, c.codec, c.frame); !errors.Is(err, c.want) || string(got) != "dst" {
			t.Errorf("%s: %q, %v; want %v", c.name, got, err, c.want)
		}
	}
}

func TestNoSendKey(t *testing.T) {
	r := NewRing()
	check := func(when string) {
		t.Helper()
		for _, frame := range [][]byte{nil, opusFrame} {
			if got, err := r.Seal(nil, Mic, Opus, frame); !errors.Is(err, ErrNoSendKey) {
				t.Errorf("%s: sealed %x, %v", when, got, err)
			}
		}
	}
	check("without an epoch")
	start(t, r, number(1), 3, []Leaf{3, 5}, nil)
	check("before SendWith")
	if err := r.SendWith(number(2)); !errors.Is(err, ErrEpoch) {
		t.Errorf("send with an unknown epoch: %v", err)
	}
	check("after a SendWith that failed")
	if err := r.SendWith(number(1)); err != nil {
		t.Fatal(err)
	}
	seal(t, r, Mic, Opus, opusFrame)
	r.End(number(1))
	check("after the end of the epoch")
	if id, ok := r.Sending(); ok {
		t.Errorf("still sending with %v", id)
	}
}

func TestEmptyFramesPass(t *testing.T) {
	a, b := sending(t, number(1), 3, 3, 5), NewRing()
	if got, err := a.Seal(nil, Mic, Opus, nil); err != nil || len(got) != 0 {
		t.Errorf("sealed %x, %v", got, err)
	}
	if got, info, err := b.Open(nil, Opus, []byte{}); err != nil || len(got) != 0 || info != (Info{}) {
		t.Errorf("opened %x, %+v, %v", got, info, err)
	}
}

func TestUnencrypted(t *testing.T) {
	b := receiving(t, number(1), 5, 3, 5)
	body := make([]byte, 40)
	for _, c := range []struct {
		name   string
		header []byte
	}{
		{"context 4", sframe.Header{KID: 4 << 16}.Append(nil)},
		{"a huge KID", sframe.Header{KID: 1 << 63}.Append(nil)},
		{"a counter out of reach", sframe.Header{KID: MakeKID(Mic, 3, 1), CTR: MaxCTR + 1}.Append(nil)},
		{"a KID in a longer form", []byte{0xa0, 0, 0, 0xc1}},
		{"a counter in a longer form", []byte{0x88, 0xc1, 0}},
		{"a short KID in a long form", []byte{0x80, 1}},
	} {
		t.Run(c.name, func(t *testing.T) { wantRefused(t, b, Opus, append(c.header, body...), ErrUnencrypted) })
	}
	t.Run("a header alone", func(t *testing.T) {
		header := sframe.Header{KID: MakeKID(Mic, 3, 1), CTR: MaxCTR}.Append(nil)
		wantRefused(t, b, Opus, append(header, make([]byte, sframe.TagSize-1)...), ErrShortFrame)
	})
	// The bytes of a usual stereo Opus frame are taken for a header with a KID of 8 bytes.
	t.Run("Opus", func(t *testing.T) { wantRefused(t, b, Opus, opusFrame, ErrUnencrypted) })
}

func TestOnlyOtherMembers(t *testing.T) {
	members := []Leaf{3, 5}
	a, b := sending(t, number(1), 3, members...), receiving(t, number(1), 5, members...)
	sealed := seal(t, a, Mic, Opus, opusFrame)
	wantRefused(t, a, Opus, sealed, ErrMissingKey) // our own, sent back
	// A stranger with the epoch's key and a leaf of its own.
	stranger := sending(t, number(1), 7, 3, 5, 7)
	wantRefused(t, b, Opus, seal(t, stranger, Mic, Opus, opusFrame), ErrMissingKey)
	wantRefused(t, NewRing(), Opus, sealed, ErrMissingKey)
	wantOpen(t, b, Opus, sealed, opusFrame)
	if n := len(b.live[0].streams); n != 1 {
		t.Errorf("%d streams, want the one that was authentic", n)
	}
}

// What is claimed and not proven leaves no state behind, whoever claims it.
func TestClaimsKeepNothing(t *testing.T) {
	var members []Leaf
	for l := range MaxLeaf + 1 {
		members = append(members, l)
	}
	b := receiving(t, number(1), 5, members...)
	for ctx := range contexts {
		codec := Opus
		if !ctx.Audio() {
			codec = VP9
		}
		for _, leaf := range members {
			forged := append(sframe.Header{KID: MakeKID(ctx, leaf, 1)}.Append(nil), make([]byte, 20)...)
			if _, _, err := b.Open(nil, codec, forged); err == nil {
				t.Fatal("a forged frame opened")
			}
		}
	}
	if n := len(b.live[0].streams); n != 0 {
		t.Errorf("%d streams", n)
	}
}
