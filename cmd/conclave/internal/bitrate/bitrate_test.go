package bitrate

import (
	"errors"
	"testing"
)

func TestRate(t *testing.T) {
	for text, want := range map[string]Rate{"0": 0, "64000": 64_000, "300k": 300_000, "1.5M": 1_500_000, "2G": 2_000_000_000, "1000G": 1e12} {
		var r Rate
		if err := r.UnmarshalText([]byte(text)); err != nil || r != want {
			t.Errorf("%q: %d, %v; want %d", text, r, err, want)
		}
	}
	for _, text := range []string{"", "k", "-1", "-1k", "1001G", "NaN", "Inf", "1 M", "1m", "1kk", "fast"} {
		r := Rate(7)
		if err := r.UnmarshalText([]byte(text)); !errors.Is(err, ErrSyntax) || r != 7 {
			t.Errorf("%q: %d, %v", text, r, err)
		}
	}
}

// FuzzRate: whatever is written, a rate is within its bounds.
func FuzzRate(f *testing.F) {
	f.Add("1.5M")
	f.Add("0x1p30G")
	f.Fuzz(func(t *testing.T, text string) {
		var r Rate
		if err := r.UnmarshalText([]byte(text)); err == nil && (r < 0 || r > most) {
			t.Errorf("%q is %d bits a second", text, r)
		}
	})
}
