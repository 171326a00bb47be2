// Package bitrate reads rates as people write them: "300k", "1.5M", "64000".
package bitrate

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrSyntax: a rate is written in a way that is not understood, is negative, or above 1 Tbit/s.
var ErrSyntax = errors.New("want something like 300k or 1.5M")

const most = 1e12

// Rate is in bits a second.
type Rate int64

// UnmarshalText implements [encoding.TextUnmarshaler]. It fails with [ErrSyntax].
func (r *Rate) UnmarshalText(text []byte) error {
	number, unit := string(text), 1.0
	for suffix, factor := range map[string]float64{"k": 1e3, "M": 1e6, "G": 1e9} {
		if cut, ok := strings.CutSuffix(number, suffix); ok {
			number, unit = cut, factor
			break
		}
	}
	f, err := strconv.ParseFloat(number, 64)
	if err != nil || !(f >= 0 && f*unit <= most) {
		return fmt.Errorf("rate %.20q: %w", text, ErrSyntax)
	}
	*r = Rate(f * unit)
	return nil
}
