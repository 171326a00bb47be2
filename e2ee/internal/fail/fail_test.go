package fail

import (
	"errors"
	"fmt"
	"io"
	"testing"
)

var errRule = errors.New("the rule")

// What this package writes is what fmt would, and what it wraps is found.
func TestAsFmtDoes(t *testing.T) {
	cause := fmt.Errorf("read: %w", io.ErrUnexpectedEOF)
	for _, c := range []struct {
		got, want error
		wraps     []error
	}{
		{With(errRule, "parent hash"), fmt.Errorf("%w: %s", errRule, "parent hash"), []error{errRule}},
		{With(errRule, ""), fmt.Errorf("%w: %s", errRule, ""), []error{errRule}},
		{At("commit", cause), fmt.Errorf("%s: %w", "commit", cause), []error{cause, io.ErrUnexpectedEOF}},
		{Both(errRule, cause), fmt.Errorf("%w: %w", errRule, cause), []error{errRule, cause, io.ErrUnexpectedEOF}},
		{At("outer", With(Both(errRule, cause), "inner")), fmt.Errorf("%s: %w", "outer", fmt.Errorf("%w: %s", fmt.Errorf("%w: %w", errRule, cause), "inner")), []error{errRule, io.ErrUnexpectedEOF}},
	} {
		if c.got.Error() != c.want.Error() {
			t.Errorf("%q, fmt says %q", c.got, c.want)
		}
		for _, err := range c.wraps {
			if !errors.Is(c.got, err) || !errors.Is(c.want, err) {
				t.Errorf("%q does not wrap %q", c.got, err)
			}
		}
		if errors.Is(c.got, io.EOF) {
			t.Errorf("%q wraps what it should not", c.got)
		}
	}
}

// Both are found by type as well, the error before its cause.
func TestAs(t *testing.T) {
	cause := &numbered{2}
	for _, c := range []struct {
		err  error
		want int
	}{
		{With(cause, "text"), 2},
		{At("what", cause), 2},
		{Both(errRule, cause), 2},
		{At("outer", Both(&numbered{1}, cause)), 1},
	} {
		var got *numbered
		if !errors.As(c.err, &got) || got.n != c.want {
			t.Errorf("%q gives %v, want %d", c.err, got, c.want)
		}
	}
	var none *numbered
	if errors.As(Both(errRule, io.EOF), &none) {
		t.Error("found what is not there")
	}
}

type numbered struct{ n int }

func (n *numbered) Error() string { return fmt.Sprint(n.n) }

func TestHex(t *testing.T) {
	for n := range 1 << 16 {
		if got, want := Hex(uint16(n)), fmt.Sprintf("0x%04X", n); got != want {
			t.Fatalf("%s, want %s", got, want)
		}
	}
}
