package loadtest

import (
	"errors"
	"testing"
	"time"

	"github.com/conclave-sfu/conclave/sfu/impair"
)

func TestSharesAndRates(t *testing.T) {
	for text, want := range map[string]float64{"5%": 0.05, "0.05": 0.05, "0": 0, "100%": 1, "1": 1, "0.5%": 0.005} {
		var s Share
		if err := s.UnmarshalText([]byte(text)); err != nil || float64(s) != want {
			t.Errorf("share %q is %v, %v", text, s, err)
		}
	}
	for text, want := range map[string]Bits{"300k": 300_000, "1.5M": 1_500_000, "64000": 64_000, "0": 0, "2G": 2_000_000_000} {
		var b Bits
		if err := b.UnmarshalText([]byte(text)); err != nil || b != want {
			t.Errorf("rate %q is %v, %v", text, b, err)
		}
	}
	for _, text := range []string{"", "%", "-1%", "101%", "2", "NaN", "x"} {
		if err := new(Share).UnmarshalText([]byte(text)); !errors.Is(err, ErrConditions) {
			t.Errorf("share %q: %v", text, err)
		}
	}
	for _, text := range []string{"", "k", "-1k", "NaN", "1e30", "3MM"} {
		if err := new(Bits).UnmarshalText([]byte(text)); !errors.Is(err, ErrConditions) {
			t.Errorf("rate %q: %v", text, err)
		}
	}
}

func TestParseSchedule(t *testing.T) {
	base := impair.Conditions{Delay: 20 * time.Millisecond}
	steps, err := ParseSchedule("10s:rate=3M; 5s:rate=300k,loss=1%,burst=4,delay=1s,jitter=2ms,reorder=0.1,duplicate=2%,queue=1s;1m", base, time.Hour, Down)
	if err != nil || len(steps) != 3 {
		t.Fatalf("%d steps, %v", len(steps), err)
	}
	for i, want := range []struct {
		d    time.Duration
		text string
	}{
		{10 * time.Second, "down delay=20ms,rate=3000k"},
		{5 * time.Second, "down loss=1%,burst=4,delay=1s,jitter=2ms,reorder=10%,duplicate=2%,rate=300k,queue=1s"},
		{time.Minute, "down delay=20ms"},
	} {
		if steps[i].For != want.d || steps[i].String() != want.text || steps[i].Up != (impair.Conditions{}) {
			t.Errorf("step %d: %v %q", i, steps[i].For, steps[i])
		}
	}
	whole, err := ParseSchedule("", base, time.Minute, Both)
	if err != nil || len(whole) != 1 || whole[0].For != time.Minute || whole[0].Up != base || whole[0].Down != base {
		t.Errorf("without a schedule: %+v, %v", whole, err)
	}
	up, _ := ParseSchedule("1s:loss=1", impair.Conditions{}, 0, Up)
	if up[0].String() != "up loss=100%" || (Step{}).String() != "clean" {
		t.Errorf("%q", up[0])
	}
	for _, bad := range []string{";", "x", "0s", "-1s:loss=1", "1s:loss", "1s:loss=2", "1s:luck=1", "1s:delay=-1s", "1s:rate=fast", "1s:burst=x"} {
		if _, err := ParseSchedule(bad, base, 0, Both); !errors.Is(err, ErrConditions) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzParseSchedule(f *testing.F) {
	f.Add("10s:rate=3M;10s:rate=300k,loss=1%")
	f.Fuzz(func(t *testing.T, text string) {
		steps, err := ParseSchedule(text, impair.Conditions{}, time.Second, Both)
		if err != nil && !errors.Is(err, ErrConditions) {
			t.Fatalf("error %v", err)
		}
		for _, s := range steps {
			if s.For <= 0 || s.Down.Loss < 0 || s.Down.Loss > 1 || s.Down.Delay < 0 || s.Down.Rate < 0 {
				t.Errorf("%q gives %+v", text, s)
			}
		}
	})
}

func TestWhoIncludes(t *testing.T) {
	for who, want := range map[Who]string{Everybody: "xxxx", OnlyPublishers: "xx..", OnlySubscribers: "..xx", OnlyLast: "...x", "": "....", "nobody": "...."} {
		got := ""
		for i := range 4 {
			if who.includes(i, 2, 4) {
				got += "x"
			} else {
				got += "."
			}
		}
		if got != want {
			t.Errorf("%q: %s", who, got)
		}
	}
}
