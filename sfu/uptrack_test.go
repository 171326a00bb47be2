package sfu

import (
	"testing"
	"time"

	"github.com/conclave-sfu/conclave/sfu/speaker"
)

// TestRepeatsBeginAnew: who asks for a key frame while former requests are being repeated has
// as many repeats as anybody.
func TestRepeatsBeginAnew(t *testing.T) {
	u, asked := newTestUp(true)
	const ms = int64(time.Millisecond)
	u.keyFrameTime.Store(150 * ms)
	for _, step := range []struct {
		at      int64 // ms
		request bool
		asked   int
	}{
		{0, true, 1}, {299, false, 1}, {300, false, 2}, {600, false, 3}, {700, true, 3},
		{1100, false, 4}, {1400, false, 5}, {1700, false, 6}, {2000, false, 7}, {2300, false, 7}, {9000, false, 7},
	} {
		if step.request {
			u.requestKeyFrame(step.at * ms)
		}
		if u.flushKeyFrame(step.at * ms); *asked != step.asked {
			t.Errorf("after %d ms: asked %d times, want %d", step.at, *asked, step.asked)
		}
	}
}

// TestKeyFramePatience: twice what it takes, within bounds; a quarter of what is new counts.
func TestKeyFramePatience(t *testing.T) {
	u, _ := newTestUp(true)
	const ms = time.Millisecond
	if got := u.keyFramePatience(); got != keyFrameInterval {
		t.Errorf("%s while nothing is known", got)
	}
	now := int64(0)
	for i, step := range []struct{ took, want time.Duration }{
		{150 * ms, 300 * ms}, {150 * ms, 300 * ms}, {350 * ms, 400 * ms}, {10 * time.Second, maxKeyFramePatience},
	} {
		now += int64(time.Minute)
		u.requestKeyFrame(now)
		u.keyFrameAnswered(now + int64(step.took))
		if got := u.keyFramePatience(); got != step.want {
			t.Errorf("answer %d: %s, want %s", i, got, step.want)
		}
		u.keyFrameAnswered(now + int64(time.Hour)) // nobody asked for this one
		if got := u.keyFramePatience(); got != step.want {
			t.Errorf("after a key frame that nobody asked for: %s, want %s", got, step.want)
		}
	}
	quick, _ := newTestUp(true)
	quick.requestKeyFrame(0)
	if quick.keyFrameAnswered(int64(ms)); quick.keyFramePatience() != minKeyFramePatience {
		t.Errorf("%s of one who takes a millisecond", quick.keyFramePatience())
	}
}

// TestLoudnessMeter: levels are how far below the loudest a packet is, in dB; the bit that says
// that it is speech does not count (RFC 6464, Section 3).
func TestLoudnessMeter(t *testing.T) {
	var m loudnessMeter
	for i, test := range []struct {
		levels  [][]byte
		want    speaker.Loudness
		packets int
	}{
		{nil, 0, 0},
		{[][]byte{nil, {}}, 0, 0},
		{[][]byte{{0}}, 127, 1},
		{[][]byte{{0x80 | 30}, {30}, {0x80 | 36, 0}}, 95, 3},
		{[][]byte{{127}, {0xff}}, 0, 2},
		{nil, 0, 0},
	} {
		for _, level := range test.levels {
			m.add(level)
		}
		if got, n := m.read(); got != test.want || n != test.packets {
			t.Errorf("reading %d: %v of %d packets, want %v of %d", i, got, n, test.want, test.packets)
		}
	}
}

// TestWithoutPadding: the last byte of padding says how much there is (RFC 3550, Section 5.1).
func TestWithoutPadding(t *testing.T) {
	for _, test := range []struct {
		size   int
		last   byte
		padded bool
		want   int // bytes of payload; negative: malformed
	}{
		{20, 5, false, 8}, {20, 5, true, 3}, {20, 8, true, 0}, {20, 9, true, -1}, {20, 255, true, -1},
		{12, 0, false, 0}, {12, 0, true, 0}, {12, 1, true, -1}, {11, 0, false, -1},
	} {
		raw := make([]byte, test.size)
		raw[test.size-1] = test.last
		if got, ok := withoutPadding(raw, 12, test.padded); ok != (test.want >= 0) || ok && len(got) != test.want {
			t.Errorf("%+v: %d bytes, %t", test, len(got), ok)
		}
	}
}
