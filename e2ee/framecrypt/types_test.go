package framecrypt

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/conclave-sfu/conclave/e2ee/sframe"
)

func TestKID(t *testing.T) {
	for _, c := range []struct {
		ctx   Context
		leaf  Leaf
		epoch uint64
		want  sframe.KID
	}{
		{Mic, 0, 0, 0},
		{Mic, 0, 63, 63},
		{Mic, 0, 64, 0},
		{Camera, 1, 1, 1<<16 | 1<<6 | 1},
		{ScreenAudio, MaxLeaf, 1<<40 + 5, 0x3ffc5},
	} {
		kid := MakeKID(c.ctx, c.leaf, c.epoch)
		if kid != c.want {
			t.Errorf("%v, leaf %d, epoch %d: KID %#x, want %#x", c.ctx, c.leaf, c.epoch, kid, c.want)
		}
		ctx, leaf, mod, ok := SplitKID(kid)
		if ctx != c.ctx || leaf != c.leaf || uint64(mod) != c.epoch%64 || !ok {
			t.Errorf("KID %#x split into %v, %d, %d, %v", kid, ctx, leaf, mod, ok)
		}
	}
	for _, kid := range []sframe.KID{1 << 18, 1<<18 | 5, 1 << 40, 1<<64 - 1} {
		if ctx, leaf, mod, ok := SplitKID(kid); ok {
			t.Errorf("KID %#x split into %v, %d, %d", kid, ctx, leaf, mod)
		}
	}
}

func TestEveryKIDSplits(t *testing.T) {
	for kid := range sframe.KID(1 << 18) {
		ctx, leaf, mod, ok := SplitKID(kid)
		if !ok || MakeKID(ctx, leaf, uint64(mod)) != kid {
			t.Fatalf("KID %#x split into %v, %d, %d, %v", kid, ctx, leaf, mod, ok)
		}
	}
}

func TestEpochLess(t *testing.T) {
	order := []Epoch{{0, 0}, {0, 1}, {0, 70}, {1, 0}, {1, 69}, {2, 3}}
	for i, a := range order {
		for j, b := range order {
			if a.Less(b) != (i < j) {
				t.Errorf("%v.Less(%v) is %v", a, b, a.Less(b))
			}
		}
	}
}

func TestClearPrefix(t *testing.T) {
	long := func(first byte) []byte { return append([]byte{first}, make([]byte, 50)...) }
	for _, c := range []struct {
		name  string
		codec Codec
		frame []byte
		want  int
		err   error
	}{
		{"Opus", Opus, long(0), 0, nil},
		{"Opus, short", Opus, []byte{1}, 0, nil},
		{"VP8 key frame", VP8, long(0x10), 10, nil},
		{"VP8 key frame, as short as can be", VP8, long(0)[:10], 10, nil},
		{"VP8 key frame, too short", VP8, long(0)[:9], 0, ErrShortFrame},
		{"VP8 delta", VP8, long(0x11), 3, nil},
		{"VP8 delta, as short as can be", VP8, long(1)[:3], 3, nil},
		{"VP8 delta, too short", VP8, long(1)[:2], 0, ErrShortFrame},
		{"VP8, empty", VP8, nil, 0, ErrShortFrame},
		{"VP9", VP9, long(0x82), 0, nil},
		{"AV1", AV1, long(0), 0, ErrCodec},
		{"H264", H264, long(0), 0, ErrCodec},
		{"none", 0, long(0), 0, ErrCodec},
		{"unknown", 200, long(0), 0, ErrCodec},
	} {
		n, err := ClearPrefix(c.codec, c.frame)
		if n != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: %d, %v; want %d, %v", c.name, n, err, c.want, c.err)
		}
	}
}

func TestBaseKey(t *testing.T) {
	secret := []byte("0123456789abcdef")
	k := NewBaseKey(secret)
	secret[0] = 'x'
	if !k.Equal(NewBaseKey([]byte("0123456789abcdef"))) {
		t.Error("a change of the caller's slice changed the key")
	}
	if k.Equal(NewBaseKey([]byte("0123456789abcdeF"))) || k.Equal(BaseKey{}) || (BaseKey{}).Equal(BaseKey{}) {
		t.Error("different or zero keys are equal")
	}
	inner := struct{ k BaseKey }{k}
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x"} {
		for _, v := range []any{k, &k, inner, []BaseKey{k}} {
			got := fmt.Sprintf(format, v)
			for _, leak := range []string{"0123", "48 49", "30313233", "0x30, 0x31", "0x30313233"} {
				if strings.Contains(got, leak) {
					t.Errorf("%s of %T: %s", format, v, got)
				}
			}
		}
	}
	other := k
	k.Erase()
	k.Erase()
	if other.Equal(NewBaseKey([]byte("0123456789abcdef"))) || len(other.bytes()) != 0 {
		t.Error("a copy survives Erase")
	}
	BaseKey{}.Erase()
}

func TestCodeOf(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range codes {
		if got := CodeOf(fmt.Errorf("wrapped: %w", c.err)); got != c.code || seen[got] {
			t.Errorf("%v: code %q, want %q, once", c.err, got, c.code)
		}
		seen[c.code] = true
	}
	if got := CodeOf(errors.New("other")); got != "" {
		t.Errorf("other error: code %q", got)
	}
}
