package e2eesim

import (
	"flag"
	"fmt"
	"testing"
	"time"
)

var (
	seeds = flag.Int("seeds", 150, "how many seeds TestRandom runs")
	seed  = flag.Uint64("seed", 0, "the one seed to run, with its transcript")
)

// TestRandom lets everything happen at random: joins, leaves, vanishing, broken
// connections, slow links, sleeping workers, restarts of the room. Then it lets the room
// come to rest, and all who are here must agree.
func TestRandom(t *testing.T) {
	if *seed != 0 {
		w := chaos(*seed)
		t.Log("\n" + w.Transcript())
		check(t, w)
		return
	}
	for i := range *seeds {
		t.Run(fmt.Sprintf("seed=%d", i+1), func(t *testing.T) {
			check(t, chaos(uint64(i+1)))
		})
	}
}

// chaos runs one seed.
func chaos(seed uint64) *World {
	w := NewWorld(seed)
	slow := map[*Participant]time.Duration{}
	w.Delay = func(p *Participant) time.Duration {
		if _, ok := slow[p]; !ok {
			slow[p] = time.Duration(w.Rand.IntN(200)) * time.Millisecond
			if w.Rand.IntN(5) == 0 {
				slow[p] = time.Duration(w.Rand.IntN(3000)) * time.Millisecond
			}
		}
		return time.Millisecond + slow[p] + time.Duration(w.Rand.IntN(20))*time.Millisecond
	}
	for i := range 40 {
		w.disturb(i)
		w.Run(time.Duration(w.Rand.IntN(1500)) * time.Millisecond)
	}
	clear(slow)
	w.Delay = nil
	w.Run(150 * time.Second)
	return w
}

// disturb does one random thing.
func (w *World) disturb(i int) {
	var here []*Participant
	for _, p := range w.People {
		if p.here() {
			here = append(here, p)
		}
	}
	if len(here) == 0 || len(here) < 8 && w.Rand.IntN(3) == 0 {
		for range 1 + w.Rand.IntN(3) {
			w.Join(fmt.Sprintf("p%d", len(w.People)))
		}
		return
	}
	p := here[w.Rand.IntN(len(here))]
	switch w.Rand.IntN(12) {
	case 0, 1:
		p.Leave()
	case 2:
		p.Vanish()
	case 3, 4:
		p.Break()
		p.after(time.Duration(w.Rand.IntN(8000))*time.Millisecond, p.Connect)
	case 5:
		if !p.asleep {
			p.Sleep(time.Duration(w.Rand.IntN(6000)) * time.Millisecond)
		}
	case 6:
		if w.Rand.IntN(10) == 0 {
			w.Restart()
		}
	}
}
