package sfu

import (
	"bytes"
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conclave-sfu/conclave/sfu/impair"
)

// simLine is the way of a publisher to the server and back, and what the server knows of it.
type simLine struct {
	*simulation
	up, down *impair.Link
	in       uplink
	kept     map[uint16][]byte // for retransmission
}

// overLine puts a source behind a line.
func (s *simulation) overLine(source *simSource, up, down *impair.Link) {
	l := &simLine{simulation: s, up: up, down: down, kept: map[uint16][]byte{}}
	l.in.up, l.in.format.rtx = source.u, 1
	source.line = l
	source.u.askKeyFrame = func(uint32) { s.over(down, 100, func() { source.key = true }) }
}

// post sends a packet to the server.
func (l *simLine) post(t *testing.T, source *simSource, raw []byte) {
	seq := binary.BigEndian.Uint16(raw[2:])
	if _, ok := l.kept[seq]; !ok {
		l.kept[seq] = bytes.Clone(raw)
		delete(l.kept, seq-1024)
	}
	l.over(l.up, len(raw)+sealed, func() { l.take(t, source, raw) })
}

// take is what an uplink does with a packet.
func (l *simLine) take(t *testing.T, source *simSource, raw []byte) {
	source.now = l.room.node.now()
	number := l.in.unwrapper.Unwrap(binary.BigEndian.Uint16(raw[2:]))
	l.in.missing.Received(number, source.now)
	before := source.u.keyFrame.number.Load()
	source.receive(t, 0, raw)
	if source.u.keyFrame.number.Load() != before {
		l.in.missing.KeyFrame(number)
	}
}

// ask asks the publisher for what is missing.
func (l *simLine) ask(t *testing.T, source *simSource, now int64) {
	due := l.in.due(now)
	if len(due) == 0 {
		return
	}
	l.over(l.down, 100, func() {
		for _, seq := range due {
			if raw, ok := l.kept[seq]; ok {
				l.post(t, source, raw)
			}
		}
	})
}

// watchLossy has somebody watch a camera while packets are lost on all four ways, and gives what the
// viewer saw in some time, and how many frames there were.
func watchLossy(t *testing.T, seed uint64, c impair.Conditions, d time.Duration) (seen *screen, frames int) {
	synctest.Test(t, func(t *testing.T) {
		s := newSimulation(t, seed, c)
		key := s.publish(t, map[string]int{"f": 1_500_000}, "f")
		s.reverse = impair.NewLink(seed+100, c)
		source := s.sources[len(s.sources)-1]
		s.overLine(source, impair.NewLink(seed+200, c), impair.NewLink(seed+300, c))
		s.run(t, time.Second)
		s.begin(key)
		s.run(t, 2*time.Second)
		seen = s.screens[0]
		seen.clear()
		before := source.frame
		s.run(t, d)
		frames = source.frame - before
	})
	return seen, frames
}

// TestLossyWays: where much is lost from the publisher, to the viewer, and of what both ask for, a
// picture hardly ever stands still until the receiver, who has asked for a packet ten times, asks
// for a key frame instead.
func TestLossyWays(t *testing.T) {
	const seeds, span = 8, 30 * time.Second
	for _, tt := range []struct {
		loss  float64
		shown float64 // share of the frames, at least
		long  int     // times that a picture stood still for two seconds, at most
	}{{0.2, 0.98, 1}, {0.25, 0.94, 3}} {
		shown, frames, long, longest := 0, 0, 0, time.Duration(0)
		for seed := range uint64(seeds) {
			seen, all := watchLossy(t, seed, impair.Conditions{Loss: tt.loss, Delay: 20 * time.Millisecond, Rate: 3_000_000}, span)
			shown += seen.shown
			frames += all
			for _, still := range seen.stills {
				if still > 2*time.Second {
					long++
				}
				longest = max(longest, still)
			}
		}
		share := float64(shown) / float64(frames)
		t.Logf("loss %.2f: %.1f %% were shown; %d times still for two seconds in %v, %v at most", tt.loss, 100*share, long, seeds*span, longest)
		if share < tt.shown || long > tt.long {
			t.Errorf("loss %.2f: %.3f were shown, want %.2f; %d times still for two seconds, at most %d", tt.loss, share, tt.shown, long, tt.long)
		}
	}
}
