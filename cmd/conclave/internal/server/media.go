package server

import (
	"context"
	"fmt"

	"github.com/conclave-sfu/conclave/room"
	"github.com/conclave-sfu/conclave/room/signal"
	"github.com/conclave-sfu/conclave/sfu"
)

// forwarder is what the adapter needs of an [sfu.Node].
type forwarder interface {
	Join(room, participant string, ev sfu.Events) (transport, error)
}

// transport is what the adapter needs of an [sfu.Transport].
type transport interface {
	Answer(ctx context.Context, o sfu.Offer) (string, error)
	View(wants []sfu.Want)
	Mute(source sfu.Source, muted bool)
	Close()
}

// node makes an [sfu.Node] a forwarder.
type node struct{ *sfu.Node }

func (n node) Join(room, participant string, ev sfu.Events) (transport, error) {
	t, err := n.Node.Join(room, participant, ev)
	if err != nil {
		return nil, err // a nil *sfu.Transport must not become a transport
	}
	return t, nil
}

// media lets rooms use a forwarder, and nothing more: it turns the words of the
// signalling into those of the forwarder and back. It implements [room.Media].
type media struct{ forwarder forwarder }

// Attach opens a transport whose events go to events.
func (m media) Attach(roomID string, pid signal.PID, events room.MediaEvents) (room.MediaSession, error) {
	t, err := m.forwarder.Join(roomID, string(pid), sfu.Events{
		Published: func(sources []sfu.Source) { events.Published(signalSources(sources)) },
		Slots: func(connection uint32, slots []sfu.Slot) {
			events.Slots(signal.Slots{Connection: connection, Slots: signalSlots(slots)})
		},
		Demand: func(connection uint32, demand []sfu.Demand) {
			events.Demand(signal.Demand{Connection: connection, Sources: signalDemand(demand)})
		},
		Down: func(connection uint32, _ error) { // the forwarder has logged why
			events.Down(signal.MediaDown{Connection: connection, Code: signal.CodeMediaFailed})
		},
	})
	if err != nil {
		return nil, fmt.Errorf("attach %s to media: %w", pid, err)
	}
	return mediaSession{t}, nil
}

// mediaSession implements [room.MediaSession].
type mediaSession struct{ transport transport }

// Offer hands an offer on. A track of an unknown source makes it a bad offer.
func (s mediaSession) Offer(ctx context.Context, offer signal.Offer) (signal.Answer, error) {
	sources, err := offeredSources(offer.Tracks)
	if err != nil {
		return signal.Answer{}, err
	}
	sdp, err := s.transport.Answer(ctx, sfu.Offer{Connection: offer.Connection, SDP: offer.SDP, Sources: sources})
	if err != nil {
		return signal.Answer{}, fmt.Errorf("answer offer %d: %w", offer.Connection, err)
	}
	return signal.Answer{Connection: offer.Connection, SDP: sdp}, nil
}

// View hands a view on; wants of unknown sources are left out, since nobody
// publishes them.
func (s mediaSession) View(view signal.View) {
	wants := make([]sfu.Want, 0, len(view.Wants))
	for _, w := range view.Wants {
		if source, ok := sfu.ParseSource(string(w.Source)); ok {
			wants = append(wants, sfu.Want{
				Participant: string(w.PID), Source: source,
				Width: w.Width, Height: w.Height, Priority: w.Priority,
			})
		}
	}
	s.transport.View(wants)
}

// Mute hands a mute on.
func (s mediaSession) Mute(source signal.Source, muted bool) {
	if src, ok := sfu.ParseSource(string(source)); ok {
		s.transport.Mute(src, muted)
	}
}

// Close ends the transport.
func (s mediaSession) Close() { s.transport.Close() }

func offeredSources(tracks []signal.OfferTrack) (map[string]sfu.Source, error) {
	sources := make(map[string]sfu.Source, len(tracks))
	for _, t := range tracks {
		source, ok := sfu.ParseSource(string(t.Source))
		if !ok {
			return nil, fmt.Errorf("track %q of unknown source: %w", t.MID, sfu.ErrBadOffer)
		}
		if _, twice := sources[t.MID]; twice {
			return nil, fmt.Errorf("track %q named twice: %w", t.MID, sfu.ErrBadOffer)
		}
		sources[t.MID] = source
	}
	return sources, nil
}

func signalSources(sources []sfu.Source) []signal.Source {
	out := make([]signal.Source, len(sources))
	for i, s := range sources {
		out[i] = signal.Source(s.String())
	}
	return out
}

func signalDemand(demand []sfu.Demand) []signal.SourceDemand {
	out := make([]signal.SourceDemand, len(demand))
	for i, d := range demand {
		out[i] = signal.SourceDemand{
			Source: signal.Source(d.Source.String()), Watched: d.Watched, RIDs: append([]string{}, d.RIDs...),
			Height: d.Height,
		}
	}
	return out
}

func signalSlots(slots []sfu.Slot) []signal.Slot {
	out := make([]signal.Slot, len(slots))
	for i, s := range slots {
		out[i] = signal.Slot{MID: s.MID, PID: signal.PID(s.Participant), Source: signal.Source(s.Source.String())}
	}
	return out
}
