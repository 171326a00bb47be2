package e2eesim

import (
	"flag"
	"fmt"
	"testing"
	"time"
)

var (
	seeds = flag.Int("seeds", 10, "how many seeds TestRandom and TestHostile run")
	seed  = flag.Uint64("seed", 0, "the one seed to run, with its transcript")
)

// TestRandom lets everything happen at random: joins, leaves, vanishing, broken
// connections, slow links, sleeping workers, restarts of the room. Then it lets the room
// come to rest, and all who are here must agree.
func TestRandom(t *testing.T) { eachSeed(t, chaos) }

// TestHostile adds a server that writes invalid entries into the log, repeats old ones,
// and shows each participant something else now and then.
func TestHostile(t *testing.T) { eachSeed(t, hostility) }

func eachSeed(t *testing.T, run func(seed uint64) *World) {
	if *seed != 0 {
		w := run(*seed)
		t.Log("\n" + w.Transcript())
		check(t, w)
		return
	}
	for i := range *seeds {
		t.Run(fmt.Sprintf("seed=%d", i+1), func(t *testing.T) {
			check(t, run(uint64(i+1)))
		})
	}
}

// chaos disturbs a room of good will.
func chaos(seed uint64) *World {
	return disturbed(seed, func(w *World) {
		if w.Rand.IntN(60) == 0 {
			w.Restart()
		}
	})
}

// hostility disturbs a room of ill will.
func hostility(seed uint64) *World {
	return disturbed(seed, func(w *World) {
		for _, p := range w.People {
			p.Show = nil
		}
		if p := w.anyone(); p != nil {
			w.attack(p)
		}
	})
}

// disturbed runs a room in which something random happens 40 times, and then nothing for
// a long while. The seed chooses the suite as well.
func disturbed(seed uint64, also func(*World)) *World {
	w := NewWorldIn(Formats[seed%uint64(len(Formats))], seed)
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
	for range 40 {
		w.disturb()
		also(w)
		w.Run(time.Duration(w.Rand.IntN(1500)) * time.Millisecond)
	}
	for _, p := range w.People {
		p.Show = nil
	}
	w.Delay = nil
	w.Run(200 * time.Second)
	return w
}

// anyone is a random participant that is here, nil if nobody is.
func (w *World) anyone() *Participant {
	var here []*Participant
	for _, p := range w.People {
		if p.here() {
			here = append(here, p)
		}
	}
	if len(here) == 0 {
		return nil
	}
	return here[w.Rand.IntN(len(here))]
}

// disturb does one random thing.
func (w *World) disturb() {
	p := w.anyone()
	if p == nil || len(w.People) < 8 && w.Rand.IntN(3) == 0 || w.Rand.IntN(8) == 0 {
		for range 1 + w.Rand.IntN(3) {
			w.Join(fmt.Sprintf("p%d", len(w.People)))
		}
		return
	}
	switch w.Rand.IntN(12) {
	case 0, 1:
		p.Leave()
	case 2:
		p.Vanish()
	case 3, 4:
		p.Break()
		p.after(time.Duration(w.Rand.IntN(8000))*time.Millisecond, p.Connect)
	case 5:
		p.Sleep(time.Duration(w.Rand.IntN(6000)) * time.Millisecond)
	case 6:
		p.Sleep(time.Duration(w.Rand.IntN(60000)) * time.Millisecond)
	}
}
