//go:build linux

package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/conclave-sfu/conclave/room/signal"
)

// smallCrowd is one of which a test can wait for every packet.
var smallCrowd = crowd{participants: 12, tiles: 5, voices: 3, speakers: 6, rate: 0.2, feedback: feedbackInterval}

// TestCrowd: a room of real participants of which each is shown some and hears fewer, over the
// network. Each receives exactly what it looks at, whoever scrolls; who speaks is heard by all, and
// has the floor; and nobody negotiates after the join.
func TestCrowd(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	t.Cleanup(cancel)
	const seed = 7
	t.Logf("seed %d", seed)
	g := newGathering(smallCrowd, newTestReader(t), serve(ctx, t), seed)
	t.Cleanup(g.meeting.end)
	if err := g.begin(ctx); err != nil {
		t.Fatal(err)
	}
	checkCrowd(ctx, t, g)
	for range 40 {
		if err := g.scrollOne(ctx, g.random.IntN(g.participants)); err != nil {
			t.Fatal(err)
		}
	}
	checkCrowd(ctx, t, g)
	for _, speaker := range g.speaking()[2:4] {
		checkSpeaker(ctx, t, g, speaker)
	}
	checkCrowd(ctx, t, g)
	for _, v := range g.viewers {
		if offers := v.messages(signal.TypeAnswer); offers != 1 {
			t.Errorf("participant %d: %d offers were answered, want that of the join", v.number, offers)
		}
		// That somebody is there, and one for each of what they publish.
		if told := v.messages(signal.TypeParticipant); told > 3*g.participants {
			t.Errorf("participant %d was told of %d others %d times", v.number, g.participants, told)
		}
		if strays := v.counted().strays; strays > 0 {
			t.Errorf("participant %d was sent %d packets of what it was not shown", v.number, strays)
		}
	}
}

// checkCrowd waits until all are shown what they look at, and counts what each is sent from then
// on, until something of all that has come.
func checkCrowd(ctx context.Context, t *testing.T, g *gathering) {
	t.Helper()
	if err := g.settle(ctx); err != nil {
		t.Fatal(err)
	}
	if err := g.count(ctx, 0); err != nil {
		t.Fatal(err)
	}
	for _, v := range g.viewers[:g.participants] {
		if videos, voices, exact := v.exact(); videos != g.tiles || voices != g.crowd.voices || !exact {
			t.Errorf("participant %d receives %d videos (as it looks at them: %t) and %d voices, want %d and %d",
				v.number, videos, exact, voices, g.tiles, g.crowd.voices)
		}
	}
}

// checkSpeaker has somebody speak until all others hear it and the usher is shown it, and nobody
// is heard who was not before, but for that one.
func checkSpeaker(ctx context.Context, t *testing.T, g *gathering, speaker int) {
	t.Helper()
	source, picture := ssrcOf(speaker, true), ssrcOf(speaker, false)
	for _, v := range g.viewers {
		v.begin()
	}
	g.voices[speaker].speak(true)
	defer g.voices[speaker].speak(false)
	err := g.all(ctx, "who speaks is heard, and shown to the usher", func(v *viewer) bool {
		shown := !v.usher || v.shown[picture] && v.packets[picture] > 0
		return shown && (v.number == speaker || v.heard[source] && v.packets[source] > 0)
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range g.viewers {
		if changes := v.counted().turnedAudio; changes > 1 {
			t.Errorf("participant %d: %d slots changed for one who speaks", v.number, changes)
		}
	}
}

// TestPages: a page has as many as are shown, nobody twice, and not who looks.
func TestPages(t *testing.T) {
	c := crowd{participants: 6, tiles: 4, speakers: 3}
	for viewer := range c.participants {
		for from := range c.participants {
			seen := map[int]bool{viewer: true}
			for _, n := range c.page(viewer, from) {
				if seen[n] || n >= c.participants {
					t.Fatalf("%d is shown %v from %d on", viewer, c.page(viewer, from), from)
				}
				seen[n] = true
			}
			if len(seen) != c.tiles+1 {
				t.Fatalf("%d is shown %d from %d on", viewer, len(seen)-1, from)
			}
		}
	}
	if got := c.of(3).page(0, 0); len(got) != 2 {
		t.Errorf("of three, %v are shown", got)
	}
}

// TestViewer: what is not looked at, and sent after the server said that it is not shown, is a
// stray; and what is looked at counts from then on.
func TestViewer(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	slot := func(n int) signal.Slot { return signal.Slot{PID: pidOf(n), Source: signal.SourceCamera} }
	packet := func(n, sent int) stamp { return stamp{at(sent).UnixNano(), ssrcOf(n, false)} }
	v := newViewer(1)
	v.look(at(1), []int{2, 3})
	v.told(at(2), []signal.Slot{slot(2), slot(3)})
	v.watch(packet(2, 3), at(3).UnixNano())
	v.look(at(4), []int{2, 4})
	v.watch(packet(3, 5), at(5).UnixNano()) // the server does not know yet
	v.told(at(6), []signal.Slot{slot(2), slot(4)})
	v.watch(packet(3, 5), at(7).UnixNano()) // was on its way
	if c := v.counted(); c.strays != 0 || c.turnedVideo != 3 || c.passed != 1 || len(c.seenAfter) != 1 || c.seenAfter[0] != 2*time.Second {
		t.Fatalf("%+v", c)
	}
	v.watch(packet(4, 8), at(8).UnixNano())
	v.watch(packet(3, 8), at(8).UnixNano())
	if c := v.counted(); c.strays != 1 || len(c.seenAfter) != 2 || c.seenAfter[1] != 4*time.Second {
		t.Fatalf("%+v", c)
	}
	if !v.settled() {
		t.Error("both are shown")
	}
}

func TestTypeOf(t *testing.T) {
	for raw, want := range map[string]signal.Type{
		`{"type":"slots","body":{}}`: signal.TypeSlots, `{"type":"participant"`: signal.TypeParticipant, `{}`: "{}", "": "",
	} {
		if got := typeOf([]byte(raw)); got != want {
			t.Errorf("%s: %q, want %q", raw, got, want)
		}
	}
}

func TestCrowdReport(t *testing.T) {
	r := report{Crowd: &crowdReport{
		Participants: 500, Tiles: 25, Voices: 8, Videos: [2]int{25, 25}, VoicesHeard: [2]int{7, 8}, Answers: 501, Joins: 501,
		Parts: []part{{Name: "joining", Took: time.Second, CPU: 501 * time.Millisecond, Packets: 1000}},
		Said:  map[signal.Type]float64{signal.TypeSlots: 1.5},
	}}
	var table strings.Builder
	r.write(&table)
	for _, want := range []string{"500 participants", "joining", "0.50", "1.0 ms of processor a join", "slots 1.5"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("no %q in\n%s", want, table.String())
		}
	}
}

func TestWithoutCrowd(t *testing.T) {
	for _, tt := range []struct {
		names, others string
		crowded       bool
	}{{"W1,W2", "W1,W2", false}, {"crowd", "", true}, {"W1,crowd,W2", "W1,W2", true}} {
		if others, crowded := withoutCrowd(tt.names); others != tt.others || crowded != tt.crowded {
			t.Errorf("%s: %q, %t", tt.names, others, crowded)
		}
	}
	if o, err := parse([]string{"--workloads", "crowd"}); o.crowd == nil || len(o.workloads) != 0 || err != nil {
		t.Errorf("%+v, %v", o, err)
	}
}
