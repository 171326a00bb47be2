package framecrypt

import (
	"math/rand/v2"
	"testing"

	"github.com/conclave-sfu/conclave/e2ee/sframe"
)

func TestWindow(t *testing.T) {
	type step struct {
		ctr  sframe.CTR
		want bool
	}
	for name, c := range map[string]struct {
		ctx   Context
		steps []step
	}{
		"in order":              {Mic, []step{{0, true}, {1, true}, {2, true}}},
		"twice":                 {Mic, []step{{0, true}, {0, false}, {5, true}, {5, false}}},
		"late":                  {Mic, []step{{5, true}, {3, true}, {4, true}, {3, false}, {0, true}}},
		"edge of audio":         {Mic, []step{{128, true}, {1, true}, {0, false}, {1, false}}},
		"edge of screen audio":  {ScreenAudio, []step{{128, true}, {1, true}, {0, false}}},
		"edge of video":         {Camera, []step{{512, true}, {1, true}, {0, false}, {1, false}}},
		"edge of screen":        {Screen, []step{{512, true}, {1, true}, {0, false}}},
		"jump by the window":    {Mic, []step{{3, true}, {131, true}, {3, false}, {4, true}, {5, true}}},
		"jump beyond":           {Mic, []step{{3, true}, {132, true}, {3, false}, {4, false}, {5, true}}},
		"any jump":              {Camera, []step{{0, true}, {MaxCTR, true}, {0, false}, {MaxCTR, false}, {MaxCTR - 511, true}, {MaxCTR - 512, false}}},
		"slots are used again":  {Mic, []step{{1, true}, {129, true}, {128, true}, {130, true}, {2, false}, {3, true}}},
		"highest seen is first": {Mic, []step{{7, true}, {8, true}, {6, true}, {7, false}}},
	} {
		w := newWindow(c.ctx)
		for i, s := range c.steps {
			got := w.fresh(s.ctr)
			if got != s.want {
				t.Errorf("%s: step %d, counter %d: fresh is %v", name, i, s.ctr, got)
			}
			if got {
				w.advance(s.ctr)
			}
		}
	}
}

// A frame that is not authentic changes nothing: fresh alone has no effect.
func TestWindowAdvancesOnlyWhenTold(t *testing.T) {
	w := newWindow(Mic)
	w.advance(10)
	before := w
	for ctr := range sframe.CTR(1000) {
		w.fresh(ctr)
	}
	if w != before {
		t.Error("fresh changed the window")
	}
}

// TestWindowModel compares with the plain rule: not seen, and not more than the
// window's size behind the highest.
func TestWindowModel(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	t.Logf("seed %d", seed)
	for _, ctx := range []Context{Mic, Camera} {
		w := newWindow(ctx)
		seen, highest := map[uint64]bool{}, uint64(0)
		for i := range 20_000 {
			at := max(0, int64(highest)+rng.Int64N(int64(w.size)+40)-int64(w.size)-20)
			if rng.IntN(200) == 0 {
				at += rng.Int64N(3 * int64(w.size))
			}
			c := uint64(at)
			want := !seen[c] && c+w.size > highest
			if got := w.fresh(sframe.CTR(c)); got != want {
				t.Fatalf("step %d, counter %d, highest %d: fresh is %v", i, c, highest, got)
			}
			if want {
				w.advance(sframe.CTR(c))
				seen[c], highest = true, max(highest, c)
			}
		}
	}
}
