package server

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"

	"github.com/conclave-sfu/conclave/room/signal"
	"github.com/conclave-sfu/conclave/sfu"
)

// fakeForwarder remembers what it was asked.
type fakeForwarder struct {
	joined   string
	events   sfu.Events
	err      error
	answered sfu.Offer
	wants    []sfu.Want
	mutes    []string
	closed   bool
}

func (f *fakeForwarder) Join(room, participant string, ev sfu.Events) (transport, error) {
	f.joined, f.events = room+"/"+participant, ev
	return f, f.err
}

func (f *fakeForwarder) Answer(_ context.Context, o sfu.Offer) (string, error) {
	f.answered = o
	return "answer to " + o.SDP, f.err
}

func (f *fakeForwarder) View(wants []sfu.Want) { f.wants = wants }
func (f *fakeForwarder) Mute(s sfu.Source, muted bool) {
	f.mutes = append(f.mutes, fmt.Sprint(s, muted))
}
func (f *fakeForwarder) Close() { f.closed = true }

// heard remembers the events of a session.
type heard struct{ events []any }

func (h *heard) Published(s []signal.Source) { h.events = append(h.events, s) }
func (h *heard) Slots(s signal.Slots)        { h.events = append(h.events, s) }
func (h *heard) Demand(d signal.Demand)      { h.events = append(h.events, d) }
func (h *heard) Down(d signal.MediaDown)     { h.events = append(h.events, d) }

func attach(t *testing.T) (*fakeForwarder, *heard, mediaSession) {
	t.Helper()
	f, h := &fakeForwarder{}, &heard{}
	s, err := media{f}.Attach("den", "alice", h)
	if err != nil {
		t.Fatal(err)
	}
	if f.joined != "den/alice" {
		t.Fatalf("joined %q", f.joined)
	}
	return f, h, s.(mediaSession)
}

func TestMediaOffer(t *testing.T) {
	f, _, s := attach(t)
	got, err := s.Offer(t.Context(), signal.Offer{
		Connection: 3, SDP: "v=0",
		Tracks: []signal.OfferTrack{{MID: "0", Source: signal.SourceMic}, {MID: "x", Source: signal.SourceScreenAudio}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := (signal.Answer{Connection: 3, SDP: "answer to v=0"}); got != want {
		t.Errorf("answer %+v, want %+v", got, want)
	}
	want := sfu.Offer{Connection: 3, SDP: "v=0", Sources: map[string]sfu.Source{"0": sfu.Mic, "x": sfu.ScreenAudio}}
	if !reflect.DeepEqual(f.answered, want) {
		t.Errorf("offered %+v, want %+v", f.answered, want)
	}
}

func TestMediaRefusesOffer(t *testing.T) {
	tests := []struct {
		name   string
		tracks []signal.OfferTrack
	}{
		{"unknown source", []signal.OfferTrack{{MID: "0", Source: "thoughts"}}},
		{"empty source", []signal.OfferTrack{{MID: "0"}}},
		{"one mid twice", []signal.OfferTrack{{MID: "0", Source: signal.SourceMic}, {MID: "0", Source: signal.SourceCamera}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, _, s := attach(t)
			_, err := s.Offer(t.Context(), signal.Offer{Connection: 1, SDP: "v=0", Tracks: tt.tracks})
			if !errors.Is(err, sfu.ErrBadOffer) {
				t.Errorf("error %v, want ErrBadOffer", err)
			}
			if f.answered.SDP != "" {
				t.Error("the forwarder was asked all the same")
			}
		})
	}
}

func TestMediaErrors(t *testing.T) {
	f := &fakeForwarder{err: sfu.ErrFull}
	if _, err := (media{f}).Attach("den", "alice", &heard{}); !errors.Is(err, sfu.ErrFull) {
		t.Errorf("attach: %v, want ErrFull", err)
	}
	f, _, s := attach(t)
	f.err = sfu.ErrStaleConnection
	if _, err := s.Offer(t.Context(), signal.Offer{Connection: 1}); !errors.Is(err, sfu.ErrStaleConnection) {
		t.Errorf("offer: %v, want ErrStaleConnection", err)
	}
}

func TestMediaViewMuteClose(t *testing.T) {
	f, _, s := attach(t)
	s.View(signal.View{Wants: []signal.Want{
		{PID: "bob", Source: signal.SourceCamera, Width: 640, Height: 360, Priority: 2},
		{PID: "bob", Source: "thoughts", Width: 1, Height: 1},
	}})
	if want := []sfu.Want{{Participant: "bob", Source: sfu.Camera, Width: 640, Height: 360, Priority: 2}}; !reflect.DeepEqual(f.wants, want) {
		t.Errorf("wants %+v, want %+v", f.wants, want)
	}
	s.View(signal.View{})
	if f.wants == nil || len(f.wants) != 0 {
		t.Errorf("wants %+v after an empty view", f.wants)
	}
	s.Mute(signal.SourceMic, true)
	s.Mute("thoughts", true)
	s.Mute(signal.SourceCamera, false)
	if want := []string{"mic true", "camera false"}; !reflect.DeepEqual(f.mutes, want) {
		t.Errorf("mutes %q, want %q", f.mutes, want)
	}
	s.Close()
	if !f.closed {
		t.Error("not closed")
	}
}

func TestMediaEvents(t *testing.T) {
	f, h, _ := attach(t)
	f.events.Published([]sfu.Source{sfu.Mic, sfu.Screen})
	f.events.Slots(2, []sfu.Slot{{MID: "5", Participant: "bob", Source: sfu.Camera}})
	f.events.Slots(2, nil)
	f.events.Demand(2, []sfu.Demand{{Source: sfu.Camera, Watched: true, RIDs: []string{"q"}}, {Source: sfu.Screen}})
	f.events.Down(2, fmt.Errorf("ice: %w", sfu.ErrMediaFailed))
	want := []any{
		[]signal.Source{signal.SourceMic, signal.SourceScreen},
		signal.Slots{Connection: 2, Slots: []signal.Slot{{MID: "5", PID: "bob", Source: signal.SourceCamera}}},
		signal.Slots{Connection: 2, Slots: []signal.Slot{}},
		signal.Demand{Connection: 2, Sources: []signal.SourceDemand{
			{Source: signal.SourceCamera, Watched: true, RIDs: []string{"q"}}, {Source: signal.SourceScreen, RIDs: []string{}},
		}},
		signal.MediaDown{Connection: 2, Code: signal.CodeMediaFailed},
	}
	if !reflect.DeepEqual(h.events, want) {
		t.Errorf("events\n%+v, want\n%+v", h.events, want)
	}
}

// TestSourceNames holds the two packages to the same names.
func TestSourceNames(t *testing.T) {
	for i, s := range []signal.Source{signal.SourceMic, signal.SourceCamera, signal.SourceScreen, signal.SourceScreenAudio} {
		got, ok := sfu.ParseSource(string(s))
		if !ok || got != sfu.Source(i) || got.String() != string(s) {
			t.Errorf("source %q is %v (%v) to the forwarder, want number %d", s, got, ok, i)
		}
	}
}
