package sfu

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/conclave-sfu/conclave/sfu/speaker"
)

// parseKeys reads "alice bob:screen -" as publications, cameras where not said.
func parseKeys(text string, source Source) []pubKey {
	var list []pubKey
	for _, word := range strings.Fields(text) {
		name, what, ok := strings.Cut(word, ":")
		key := pubKey{name, source}
		if ok {
			key.source, _ = ParseSource(what)
		}
		if word == "-" {
			key = pubKey{}
		}
		list = append(list, key)
	}
	return list
}

func TestAssignVideo(t *testing.T) {
	for _, test := range []struct{ name, slots, wants, there, want, dominant string }{
		{"nobody wanted", "- -", "", "a b", "- -", ""},
		{"in order", "- -", "a b", "a b", "a b", ""},
		{"who is not there", "- -", "x a", "a b", "a -", ""},
		{"too few slots", "- -", "a b c", "a b c", "a b", ""},
		{"keeps its slot", "b a", "a b", "a b", "b a", ""},
		{"a leaves, c takes its slot", "a b", "b c", "b c", "c b", ""},
		{"muted away", "a b", "a b", "b", "- b", ""},
		{"wanted twice", "- -", "a a", "a", "a -", ""},
		{"screen and camera", "- - -", "a:screen a b", "a a:screen b", "a:screen a b", ""},
		{"priority", "- -", "a b c/1", "a b c", "c a", ""},
		{"priority takes a slot", "a b", "a b c/1", "a b c", "a c", ""},
		{"no slots", "", "a", "a", "", ""},
		{"the dominant speaker first", "- -", "a b c", "a b c", "c a", "c"},
		{"the dominant speaker, but for priority", "- -", "a b/1 c", "a b c", "b c", "c"},
		{"the dominant speaker keeps the slot", "a c", "a b c", "a b c", "a c", "c"},
		{"the dominant speaker takes a slot", "a b", "a b c", "a b c", "a c", "c"},
		{"the dominant speaker is not wanted", "- -", "a b c", "a b c", "a b", "d"},
	} {
		var wants []Want
		for _, word := range strings.Fields(test.wants) {
			name, priority, _ := strings.Cut(word, "/")
			key := parseKeys(name, Camera)[0]
			wants = append(wants, Want{Participant: key.participant, Source: key.source, Priority: len(priority)})
		}
		there := parseKeys(test.there, Camera)
		got := assignVideo(parseKeys(test.slots, Camera), wants, test.dominant, func(k pubKey) bool { return slices.Contains(there, k) })
		if want := parseKeys(test.want, Camera); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", test.name, got, want)
		}
	}
}

func TestAssignAudio(t *testing.T) {
	for _, test := range []struct{ name, slots, speakers, want string }{
		{"all while slots last", "- - -", "a=0 b=0", "a b -"},
		{"stays", "- b -", "a=90 b=0", "a b -"},
		{"the loudest", "- -", "a=10 b=50 c=40", "b c"},
		{"equally loud: who came first", "- -", "a=0 b=0 c=0", "a b"},
		{"a voice takes the quietest's slot", "a b", "a=30 b=5 c=60", "a c"},
		{"not without the margin", "a b", "a=30 b=55 c=39", "a b"},
		{"with the margin", "a b", "a=30 b=55 c=40", "c b"},
		{"two voices", "a b", "a=0 b=0 c=50 d=60", "d c"},
		{"who left", "a b", "b=0 c=0", "c b"},
		{"no slots", "", "a=50", ""},
	} {
		var voices []voice
		for _, word := range strings.Fields(test.speakers) {
			name, loudness, _ := strings.Cut(word, "=")
			v := voice{Key: pubKey{name, Mic}}
			if _, err := fmt.Sscan(loudness, &v.Loudness); err != nil {
				t.Fatal(err)
			}
			voices = append(voices, v)
		}
		got := assignAudio(parseKeys(test.slots, Mic), "me", voices)
		if want := parseKeys(test.want, Mic); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", test.name, got, want)
		}
	}
}

// FuzzAssign: nobody has two slots, and who stays chosen stays in place.
func FuzzAssign(f *testing.F) {
	f.Add(uint8(3), []byte("abcde"), []byte("bcxyz"))
	f.Fuzz(func(t *testing.T, n uint8, first, second []byte) {
		slots := make([]pubKey, n%8)
		for _, round := range [][]byte{first, second} {
			var voices []voice
			var wants []Want
			for i, b := range round {
				name := string(rune('a' + b%16))
				wants = append(wants, Want{Participant: name, Source: Camera, Priority: int(b / 64)})
				if key := (pubKey{name, Mic}); !slices.ContainsFunc(voices, func(v voice) bool { return v.Key == key }) {
					voices = append(voices, voice{Key: key, Loudness: speaker.Loudness(int(b) * (i + 1) % 128)})
				}
			}
			audio := assignAudio(slots, "a", voices)
			video := assignVideo(slots, wants, "b", func(pubKey) bool { return true })
			for _, next := range [][]pubKey{audio, video} {
				checkAssignment(t, slots, next)
			}
			slots = audio
		}
	})
}

func checkAssignment(t *testing.T, before, next []pubKey) {
	t.Helper()
	for i, key := range next {
		if key == (pubKey{}) {
			continue
		}
		if slices.Contains(next[i+1:], key) {
			t.Fatalf("%v has two slots: %v", key, next)
		}
		if was := slices.Index(before, key); was >= 0 && was != i {
			t.Fatalf("%v went from slot %d to %d", key, was, i)
		}
	}
}

func TestReadVP8(t *testing.T) {
	for _, test := range []struct {
		name    string
		payload []byte
		size    int
		key, ok bool
	}{
		{"empty", nil, 0, false, false},
		{"one byte", []byte{0x10}, 0, false, false},
		{"plain key frame", []byte{0x10, 0x00}, 1, true, true},
		{"plain delta frame", []byte{0x10, 0x01}, 1, false, true},
		{"a frame's middle", []byte{0x00, 0x00}, 1, false, true},
		{"second partition", []byte{0x11, 0x00}, 1, false, true},
		{"extended, nothing in it", []byte{0x90, 0x00, 0x00}, 2, true, true},
		{"short picture id", []byte{0x90, 0x80, 0x7f, 0x00}, 3, true, true},
		{"long picture id", []byte{0x90, 0x80, 0x80, 0xff, 0x00}, 4, true, true},
		{"TL0PICIDX", []byte{0x90, 0x40, 0xff, 0x00}, 3, true, true},
		{"TID only", []byte{0x90, 0x20, 0xff, 0x00}, 3, true, true},
		{"KEYIDX only", []byte{0x90, 0x10, 0xff, 0x00}, 3, true, true},
		{"all of it", []byte{0x90, 0xf0, 0x81, 0x02, 0x03, 0x24, 0x00}, 6, true, true},
		{"all of it, a delta frame", []byte{0x90, 0xf0, 0x81, 0x02, 0x03, 0x24, 0x31}, 6, false, true},
	} {
		payload := slices.Clone(test.payload)
		got, ok := readVP8(payload)
		if ok != test.ok || ok && (len(test.payload)-len(got.payload)+1 != test.size || got.begins != test.key) {
			t.Errorf("%s: %+v, %t", test.name, got, ok)
		}
		for n := range len(test.payload) {
			if cut, ok := readVP8(slices.Clone(test.payload[:n])); ok && n-len(cut.payload)+1 != test.size {
				t.Errorf("%s, %d bytes of it: %+v", test.name, n, cut)
			}
		}
	}
}

func TestBucket(t *testing.T) {
	b := bucket{interval: time.Second, burst: 3}
	count := func(now int64) (n int) {
		for b.take(now) {
			n++
		}
		return n
	}
	for i, test := range []struct {
		after time.Duration
		want  int
	}{{0, 3}, {0, 0}, {time.Second, 1}, {time.Second / 2, 0}, {time.Second / 2, 1}, {time.Hour, 3}} {
		at := int64(0)
		for _, earlier := range []time.Duration{0, 0, time.Second, time.Second / 2, time.Second / 2, time.Hour}[:i+1] {
			at += int64(earlier)
		}
		if got := count(at); got != test.want {
			t.Errorf("step %d: %d events, want %d", i, got, test.want)
		}
	}
}

func TestAnchor(t *testing.T) {
	a := anchor{at: int64(time.Hour), stamp: 1<<32 - 45000}
	for _, test := range []struct {
		stamp uint32
		after time.Duration
	}{{1<<32 - 45000, 0}, {0, time.Second / 2}, {45000, time.Second}, {1<<32 - 135000, -time.Second}} {
		at := int64(time.Hour + test.after)
		if got := a.time(test.stamp, 90000); got != at {
			t.Errorf("stamp %d: %s, want %s", test.stamp, time.Duration(got), time.Duration(at))
		}
		if got := a.stampAt(at, 90000); got != test.stamp {
			t.Errorf("%s: stamp %d, want %d", time.Duration(at), got, test.stamp)
		}
	}
}

// TestMediaClock: an anchor that is far from what arrives is not believed.
func TestMediaClock(t *testing.T) {
	c := mediaClock{rate: 90000}
	if got := c.at(5, 77); got != 77 {
		t.Errorf("without anchor: %d", got)
	}
	c.anchor.Store(&anchor{at: int64(time.Minute), stamp: 1000})
	arrival := int64(time.Minute + 300*time.Millisecond)
	if got, want := c.at(1000+9000, arrival), int64(time.Minute+100*time.Millisecond); got != want {
		t.Errorf("%d, want %d", got, want)
	}
	if got := c.at(1000+900000, arrival); got != arrival {
		t.Errorf("10 s off: %d, want %d", got, arrival)
	}
}

// TestSenderClock: the report with the shortest way sets the clock, and a lie moves
// it little.
func TestSenderClock(t *testing.T) {
	var c senderClock
	start := time.Date(2026, 11, 21, 12, 0, 0, 500_000_000, time.UTC)
	at := func(sent, arrived time.Duration) time.Duration {
		return time.Duration(c.report(ntpTime(start.Add(sent)), int64(arrived)))
	}
	for i, test := range []struct{ sent, arrived, want time.Duration }{
		{0, 50 * time.Millisecond, 50 * time.Millisecond},
		{time.Second, 1030 * time.Millisecond, 1030 * time.Millisecond},
		{2 * time.Second, 2094 * time.Millisecond, 2031 * time.Millisecond},
		{3 * time.Second, 3030 * time.Millisecond, 3030 * time.Millisecond},
	} {
		if got := at(test.sent, test.arrived); got.Round(time.Microsecond) != test.want {
			t.Errorf("report %d: %s, want %s", i, got, test.want)
		}
	}
}

func TestSources(t *testing.T) {
	for s := range Source(numSources) {
		if got, ok := ParseSource(s.String()); !ok || got != s {
			t.Errorf("%s comes back as %s", s, got)
		}
	}
	if _, ok := ParseSource("desk"); ok {
		t.Error("a source of another name")
	}
	if got := Source(9).String(); got != "source(9)" {
		t.Error(got)
	}
}

// TestNotifier: reports of a whole are merged while a receiver is slow, and none
// comes after close.
func TestNotifier(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	var got []string
	n := newNotifier(Events{
		Published: func(s []Source) {
			got = append(got, fmt.Sprint(s))
			entered <- struct{}{}
			<-leave
		},
	})
	n.sourcesAre([]Source{Mic})
	<-entered
	for range 1000 {
		n.sourcesAre([]Source{Camera})
		n.slotsAre(1, nil)
	}
	n.sourcesAre([]Source{Mic, Camera})
	leave <- struct{}{}
	<-entered
	leave <- struct{}{}
	n.close()
	n.sourcesAre(nil)
	n.close()
	if want := "[[mic] [mic camera]]"; fmt.Sprint(got) != want {
		t.Errorf("%v, want %s", got, want)
	}
}
