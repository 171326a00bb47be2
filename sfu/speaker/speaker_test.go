package speaker

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// parseVoices reads "a=30 b=5".
func parseVoices(t *testing.T, text string) []Voice[string] {
	t.Helper()
	var voices []Voice[string]
	for word := range strings.FieldsSeq(text) {
		name, loudness, _ := strings.Cut(word, "=")
		v := Voice[string]{Key: name}
		if _, err := fmt.Sscan(loudness, &v.Loudness); err != nil {
			t.Fatal(err)
		}
		voices = append(voices, v)
	}
	return voices
}

func TestLoudest(t *testing.T) {
	for _, test := range []struct{ name, heard, voices, want string }{
		{"all while slots last", "- - -", "a=10 b=0", "a b"},
		{"who is heard stays", "- b -", "a=90 b=0", "a b"},
		{"the loudest", "- -", "a=10 b=50 c=40", "b c"},
		{"equally loud: who came first", "- -", "a=0 b=0 c=0", "a b"},
		{"a voice takes the quietest's slot", "a b", "a=30 b=5 c=60", "a c"},
		{"not without the margin", "a b", "a=30 b=55 c=39", "a b"},
		{"with the margin", "a b", "a=30 b=55 c=40", "b c"},
		{"two voices", "a b", "a=0 b=0 c=50 d=60", "c d"},
		{"who left", "a b", "b=0 c=0", "b c"},
		{"no slots", "", "a=50", ""},
		{"fewer slots than are heard", "a", "a=50 b=90", "b"},
	} {
		heard := strings.Fields(test.heard)
		got := Loudest(heard, parseVoices(t, test.voices), len(heard))
		slices.Sort(got)
		if want := strings.Fields(test.want); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", test.name, got, want)
		}
	}
}

func TestMeter(t *testing.T) {
	var m Meter
	rounds := 0
	for ; m.Loudness() < 50; rounds++ {
		m.Hear(60, 10)
	}
	if rounds > 3 {
		t.Errorf("a voice of 60 dB takes %d intervals to be heard", rounds)
	}
	for rounds = 0; m.Loudness() > 60-Margin-5; rounds++ {
		m.Hear(127, 0)
	}
	if rounds < 2 {
		t.Errorf("a pause of %d intervals costs the slot", rounds)
	}
}

// TestFloor lets voices speak, each line for a while, and says who has the floor then.
func TestFloor(t *testing.T) {
	var f Floor[string]
	now := int64(0)
	for i, step := range []struct {
		voices string
		for_   time.Duration
		want   string
	}{
		{"a=20 b=30", 5 * time.Second, ""},               // nobody speaks
		{"a=90 b=30", 400 * time.Millisecond, ""},        // a begins
		{"a=90 b=30", 400 * time.Millisecond, "a"},       //
		{"a=90 b=95", 600 * time.Millisecond, "a"},       // b coughs
		{"a=90 b=30", time.Second, "a"},                  //
		{"a=90 b=92", 5 * time.Second, "a"},              // b is no louder, to speak of
		{"a=90 b=95", 600 * time.Millisecond, "a"},       // b interrupts
		{"a=90 b=95", 600 * time.Millisecond, "b"},       //
		{"a=99 b=90", 1600 * time.Millisecond, "b"},      // a interrupts back: not yet
		{"a=99 b=90", 800 * time.Millisecond, "a"},       //
		{"a=10 b=10", time.Minute, "a"},                  // silence
		{"a=10 b=80", 200 * time.Millisecond, "a"},       //
		{"a=10 b=80", 400 * time.Millisecond, "b"},       // b speaks into it
		{"a=90 b=50", 800 * time.Millisecond, "a"},       // b has stopped
		{"b=50", 200 * time.Millisecond, ""},             // a leaves
		{"b=50 c=90", 800 * time.Millisecond, "c"},       //
		{"", 200 * time.Millisecond, ""},                 //
		{"c=90 d=90", 600 * time.Millisecond, "c"},       // equally loud: who came first
		{"c=60 d=90 e=95", 200 * time.Millisecond, "c"},  // two who take turns
		{"c=60 d=95 e=90", 200 * time.Millisecond, "c"},  //
		{"c=60 d=90 e=95", 200 * time.Millisecond, "c"},  //
		{"c=60 d=90 e=95", 1200 * time.Millisecond, "e"}, //
	} {
		for until := now + int64(step.for_); now < until; now += int64(Interval) {
			f.Observe(now, parseVoices(t, step.voices))
		}
		got, held := f.Holder()
		if got != step.want || held != (got != "") {
			t.Errorf("step %d, %s: %q has the floor, want %q", i, step.voices, got, step.want)
		}
	}
}

// TestFloorRarelyChanges: whatever is said, the floor changes hands at most once in the
// time that a challenge takes.
func TestFloorRarelyChanges(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	var f Floor[string]
	last := -int64(time.Hour)
	for now := int64(0); now < int64(time.Hour); now += int64(Interval) {
		before, held := f.Holder()
		changed := f.Observe(now, parseVoices(t, fmt.Sprintf("a=%d b=%d c=%d", random.IntN(127), random.IntN(127), random.IntN(127))))
		after, _ := f.Holder()
		if changed != (before != after) {
			t.Fatalf("%s: from %q to %q, changed %t", time.Duration(now), before, after, changed)
		}
		if !changed {
			continue
		}
		if held && now-last < int64(opening) {
			t.Fatalf("%s: changed after %s", time.Duration(now), time.Duration(now-last))
		}
		last = now
	}
}

func BenchmarkLoudest(b *testing.B) {
	voices := make([]Voice[int], 32)
	for i := range voices {
		voices[i] = Voice[int]{Key: i + 1, Loudness: Loudness(i * 7 % 32)}
	}
	slots := []int{3, 9, 27, 0, 30}
	b.ReportAllocs()
	for b.Loop() {
		Loudest(slots, voices, len(slots))
	}
}
