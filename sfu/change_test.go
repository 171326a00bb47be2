package sfu

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conclave-sfu/conclave/sfu/impair"
)

// Paths that change while somebody watches, in virtual time.

// cameraRates are those of a camera as browsers send 720p.
var cameraRates = map[string]int{"q": 150_000, "h": 500_000, "f": 1_500_000}

// watching has a viewer of one camera since some seconds.
func watching(t *testing.T, seed uint64, c impair.Conditions, rids ...string) *simulation {
	s := newSimulation(t, seed, c)
	key := s.publish(t, cameraRates, rids...)
	s.run(t, 3*time.Second)
	s.begin(key)
	return s
}

// showing names the encoding that the viewer gets; empty for none.
func (s *simulation) showing() string {
	if d := s.viewer.connection.video[0]; d.up != nil && d.key != (pubKey{}) {
		return d.up.rid
	}
	return ""
}

// follow lets time pass, and gives when the viewer got another encoding, and which.
func (s *simulation) follow(t *testing.T, d time.Duration) (at []time.Duration, got []string) {
	for passed := time.Duration(0); passed < d; passed += 50 * time.Millisecond {
		before := s.showing()
		s.run(t, 50*time.Millisecond)
		if now := s.showing(); now != before {
			at, got = append(at, passed+50*time.Millisecond), append(got, now)
		}
	}
	return at, got
}

// frames is how many whole ones came.
func (s *simulation) frames() (n int) {
	for name, v := range s.seen {
		if name != "voice" {
			n += v.whole
		}
	}
	return n
}

// TestPathBecomesLonger: packets take 280 ms more each way all of a sudden. A camera with one
// encoding goes on without a gap, one with three is at its best again some seconds later,
// and what the path is held to take is again more than that.
func TestPathBecomesLonger(t *testing.T) {
	for _, tt := range []struct {
		rate     int
		loss     float64
		rids     []string
		best     time.Duration // until the estimate, and the encoding, are back
		switches int
	}{
		{3_000_000, 0, []string{"f"}, 3500 * time.Millisecond, 0},
		{100_000_000, 0, []string{"f"}, 3500 * time.Millisecond, 0},
		{3_000_000, 0.02, []string{"f"}, 7 * time.Second, 0},
		{3_000_000, 0, []string{"q", "h", "f"}, 6500 * time.Millisecond, 3},
		{100_000_000, 0, []string{"q", "h", "f"}, 6500 * time.Millisecond, 3},
	} {
		for _, seed := range []uint64{1, 2, 3} {
			synctest.Test(t, func(t *testing.T) {
				name := fmt.Sprintf("%d kbit/s, loss %.2f, %d encodings, seed %d", tt.rate/1000, tt.loss, len(tt.rids), seed)
				c := impair.Conditions{Rate: tt.rate, Delay: 20 * time.Millisecond, Loss: tt.loss}
				s := watching(t, seed, c, tt.rids...)
				s.run(t, 12*time.Second)
				c.Delay = 300 * time.Millisecond
				s.link.Set(c)
				s.back = c.Delay
				before, best := s.frames(), time.Duration(-1)
				var switches []string
				for passed := time.Duration(0); passed < 15*time.Second; passed += 100 * time.Millisecond {
					_, got := s.follow(t, 100*time.Millisecond)
					switches = append(switches, got...)
					switch well := s.showing() == "f" && s.budget.target.Load() > s.budget.best.Load(); {
					case !well:
						best = -1
					case best < 0:
						best = passed
					}
				}
				share := float64(s.frames()-before) / (15_000 / 33)
				t.Logf("%s: well for good after %v, encodings %v, %.3f of the frames", name, best, switches, share)
				if best < 0 || best > tt.best || len(switches) > tt.switches {
					t.Errorf("%s: well for good after %v, at most %v; encodings %v", name, best, tt.best, switches)
				}
				if tt.loss == 0 && share < 0.95 {
					t.Errorf("%s: %.3f of the frames", name, share)
				}
			})
		}
	}
}

// TestBack: a path of 3 Mbit/s is one of 300 kbit/s for a while. The best encoding is back some
// seconds after the path, in a step, or two where packets are lost, and stays.
func TestBack(t *testing.T) {
	for _, tt := range []struct {
		loss   float64
		seeds  uint64
		steps  int
		within time.Duration
	}{
		{0, 1, 1, 6500 * time.Millisecond},
		{0.02, 10, 2, 7500 * time.Millisecond},
	} {
		for _, thin := range []time.Duration{4 * time.Second, 15 * time.Second} {
			for seed := uint64(1); seed <= tt.seeds; seed++ {
				synctest.Test(t, func(t *testing.T) {
					c := impair.Conditions{Rate: 3_000_000, Delay: 40 * time.Millisecond, Loss: tt.loss}
					s := watching(t, seed, c, "q", "h", "f")
					s.run(t, 12*time.Second)
					c.Rate = 300_000
					s.link.Set(c)
					_, down := s.follow(t, thin)
					c.Rate = 3_000_000
					s.link.Set(c)
					at, up := s.follow(t, 15*time.Second)
					t.Logf("loss %.2f, %v, seed %d: %v; then %v after %v", tt.loss, thin, seed, down, up, at)
					first := slices.Index(up, "f")
					if len(down) > 1 || len(up) > tt.steps || first != len(up)-1 || at[first] > tt.within {
						t.Errorf("loss %.2f, %v, seed %d: %v; then %v after %v", tt.loss, thin, seed, down, up, at)
					}
				})
			}
		}
	}
}

// TestThinLine: a line of 100 kbit/s takes a voice, and not the lowest encoding too. It takes
// two seconds to find that out; then the voice is whole, and on time, and no picture comes.
// When the line becomes wide the picture does.
func TestThinLine(t *testing.T) {
	for _, queue := range []time.Duration{200 * time.Millisecond, 500 * time.Millisecond, 2 * time.Second} {
		for _, seed := range []uint64{1, 2} {
			synctest.Test(t, func(t *testing.T) {
				c := impair.Conditions{Rate: 100_000, Delay: 30 * time.Millisecond, Queue: queue}
				s := watching(t, seed, c, "q", "h", "f")
				s.run(t, 7*time.Second) // a queue of 2 s takes so long to drain
				voice := s.seen["voice"]
				voice.delay = 0
				before, came, turn := s.link.Counts(), voice.whole, s.turn
				_, switches := s.follow(t, 20*time.Second)
				lost := s.link.Counts().Minus(before).Overflowed
				sent := int(s.turn-turn) / 20
				t.Logf("queue %v, seed %d: %d of %d voice packets, late by %v at most, %d packets lost, switches %v",
					queue, seed, voice.whole-came, sent, voice.delay, lost, switches)
				if lost > 0 || voice.whole-came < sent-10 || voice.delay > 250*time.Millisecond || len(switches) > 0 || s.showing() != "" {
					t.Errorf("queue %v, seed %d: %d of %d voice packets, late by %v at most, %d packets lost, switches %v",
						queue, seed, voice.whole-came, sent, voice.delay, lost, switches)
				}
				c.Rate = 3_000_000
				s.link.Set(c)
				if at, got := s.follow(t, 12*time.Second); s.showing() != "f" || len(got) > 3 || at[0] > 8*time.Second {
					t.Errorf("queue %v, seed %d: on a wide line %v after %v", queue, seed, got, at)
				}
			})
		}
	}
}

// TestSeedIsOneRun: what happens depends on nothing but the seed.
func TestSeedIsOneRun(t *testing.T) {
	run := func() (sent []simPacket, switches []time.Duration, took []string) {
		synctest.Test(t, func(t *testing.T) {
			c := impair.Conditions{Rate: 3_000_000, Delay: 40 * time.Millisecond, Loss: 0.02, Jitter: 10 * time.Millisecond, Reorder: 0.01}
			s := newSimulation(t, 5, c)
			one, other := s.publish(t, cameraRates, "q", "h", "f"), s.publish(t, cameraRates, "q", "h", "f")
			s.run(t, 3*time.Second)
			s.begin(one, other)
			s.run(t, 5*time.Second)
			c.Rate = 300_000
			s.link.Set(c)
			s.run(t, 4*time.Second)
			c.Rate = 3_000_000
			s.link.Set(c)
			switches, took = s.follow(t, 8*time.Second)
			sent = s.sent
		})
		return sent, switches, took
	}
	sent, switches, took := run()
	for range 3 {
		again, at, got := run()
		if !slices.Equal(switches, at) || !slices.Equal(took, got) {
			t.Errorf("%v after %v, and %v after %v", took, switches, got, at)
		}
		for i := range min(len(sent), len(again)) {
			if sent[i] != again[i] {
				t.Fatalf("packet %d of %d: %+v, and %+v", i, len(sent), sent[i], again[i])
			}
		}
		if len(sent) != len(again) {
			t.Fatalf("%d packets, and %d", len(sent), len(again))
		}
	}
}
