package sfu

import (
	"fmt"
	"testing"

	"github.com/conclave-sfu/conclave/sfu/speaker"
)

func micOf(name string) pubKey { return pubKey{name, Mic} }

// TestContested: audio slots are looked at anew where a voice may have one, and nowhere else.
func TestContested(t *testing.T) {
	for _, test := range []struct {
		name   string
		slots  []string // whom they carry; empty for nobody
		voices map[string]speaker.Loudness
		want   bool
	}{
		{"nobody is there", []string{""}, nil, false},
		{"all are heard", []string{"bob", "carol"}, map[string]speaker.Loudness{"bob": 50, "carol": 0}, false},
		{"a slot is free, and all are heard", []string{"bob", ""}, map[string]speaker.Loudness{"bob": 50}, false},
		{"a slot is free for a newcomer, however quiet", []string{"bob", ""}, map[string]speaker.Loudness{"bob": 50, "carol": 0}, true},
		{"one's own voice needs none", []string{"bob", ""}, map[string]speaker.Loudness{"bob": 50, "alice": 100}, false},
		{"a little louder than the quietest", []string{"bob", "carol"}, map[string]speaker.Loudness{"bob": 50, "carol": 40, "dave": 40 + speaker.Margin - 1}, false},
		{"much louder than the quietest", []string{"bob", "carol"}, map[string]speaker.Loudness{"bob": 50, "carol": 40, "dave": 40 + speaker.Margin}, true},
		{"a slot whose voice is gone", []string{"bob", "gone"}, map[string]speaker.Loudness{"bob": 50, "carol": 0}, true},
		{"no slots", nil, map[string]speaker.Loudness{"bob": 100}, false},
	} {
		var slots []*downTrack
		for _, name := range test.slots {
			d := &downTrack{}
			if name != "" {
				d.key = micOf(name)
			}
			slots = append(slots, d)
		}
		var voices []voice
		for name, loudness := range test.voices {
			voices = append(voices, voice{Key: micOf(name), Loudness: loudness})
		}
		if got := contested(slots, "alice", voices); got != test.want {
			t.Errorf("%s: %t", test.name, got)
		}
	}
}

// TestVoicesAreTheLoudest: of many those compete that are loudest, in the order of their
// arrival, and nobody who is muted.
func TestVoicesAreTheLoudest(t *testing.T) {
	const many = 2 * maxVoices
	r, muted, here := &room{}, &Transport{}, &Transport{}
	muted.muted[Mic] = true
	add := func(i int, owner *Transport, key pubKey, loudness speaker.Loudness) {
		p := &publication{key: key, owner: owner, arrival: i}
		p.meter.Hear(loudness, 1)
		r.publications.put(key, p)
	}
	for i := range many {
		add(i, here, micOf(fmt.Sprint(i)), speaker.Loudness(i*37%many+1)) // each another one
	}
	add(many, muted, micOf("muted"), 127)
	add(many+1, here, pubKey{"camera", Camera}, 127)
	voices := r.voices()
	if len(voices) != maxVoices {
		t.Fatalf("%d voices, want %d", len(voices), maxVoices)
	}
	last := -1
	for _, v := range voices {
		p := r.publications.get(v.Key)
		if v.Loudness != p.meter.Loudness() || 2*v.Loudness <= maxVoices || v.Loudness > many {
			t.Errorf("%s is among the loudest with %v", v.Key.participant, v.Loudness)
		}
		if p.arrival <= last {
			t.Errorf("%s is not in the order of arrival", v.Key.participant)
		}
		last = p.arrival
	}
}

// TestMicrophonesAlone: what plays from a screen does not take the floor.
func TestMicrophonesAlone(t *testing.T) {
	voices := []voice{{Key: pubKey{"bob", ScreenAudio}}, {Key: micOf("bob")}, {Key: pubKey{"carol", ScreenAudio}}}
	if got := microphones(voices); len(got) != 1 || got[0].Key != micOf("bob") || len(voices) != 3 {
		t.Errorf("%v of %v", got, voices)
	}
}

// TestFormerSpeaker: who wanted to see somebody less than another one sees that one again when
// the floor passes to a third, whom they do not want to see.
func TestFormerSpeaker(t *testing.T) {
	r, viewer, _ := quietRoom(t)
	slot := viewer.connection.video[0]
	speak := map[string]*publication{}
	for i, name := range []string{"carol", "dave", "erin"} {
		owner, ok := r.join(name, Events{})
		if !ok {
			t.Fatal("joined before")
		}
		t.Cleanup(owner.events.close)
		for _, source := range []Source{Mic, Camera} {
			u, _ := newTestUp(!source.Audio())
			p := &publication{key: pubKey{name, source}, owner: owner, arrival: i, layers: []*encoding{{up: u, place: -1}}, stale: true}
			r.publications.put(p.key, p)
			if source == Mic {
				speak[name] = p
			}
		}
	}
	r.setView(viewer, []Want{{Participant: "carol", Source: Camera}, {Participant: "dave", Source: Camera}})
	now := int64(0)
	for _, step := range []struct{ speaker, sees string }{{"dave", "dave"}, {"erin", "carol"}, {"dave", "dave"}} {
		for range 100 {
			now += int64(loudnessInterval)
			for name, p := range speak {
				if p.meter.Hear(0, 0); name == step.speaker {
					p.meter.Hear(100, 1)
				}
			}
			r.hearVoices(now, nil)
		}
		if holder, _ := r.floor.Holder(); holder.participant != step.speaker {
			t.Fatalf("%s has the floor", holder.participant)
		}
		if slot.key.participant != step.sees {
			t.Errorf("while %s speaks the slot shows %s, want %s", step.speaker, slot.key.participant, step.sees)
		}
	}
}

// TestReportOfNewSource: a slot that gets another source tells the receiver its clock with the next
// round, not when the reports of the other slots are due.
func TestReportOfNewSource(t *testing.T) {
	r, bob, _ := quietRoom(t)
	c := bob.connection
	now := r.node.now()
	if c.senderReports(now, 0); c.reportsDue <= now {
		t.Fatal("nothing is shown, and a report is due")
	}
	if r.setView(bob, []Want{{Participant: "alice", Source: Screen}}); c.reportsDue > now {
		t.Errorf("the next report is due in %d ms", (c.reportsDue-now)/1e6)
	}
}
