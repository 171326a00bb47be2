package e2ee

import (
	"testing"
	"time"
)

func TestTurns(t *testing.T) {
	a, b, c, d := PID{1}, PID{2}, PID{3}, PID{4}
	start := time.Unix(1000, 0)
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	due := func(t *testing.T, u *turns, pid PID, ms int) {
		t.Helper()
		if got := u.due(pid); !got.Equal(at(ms)) {
			t.Errorf("due after %v, want %d ms", got.Sub(start), ms)
		}
	}

	t.Run("rank", func(t *testing.T) {
		u := newTurns(commitDelay)
		u.want(start, start, []PID{a, b, c})
		due(t, &u, a, 150)
		due(t, &u, b, 2000)
		due(t, &u, c, 4000)
		if !u.due(d).IsZero() || u.mine(at(149), a) || !u.mine(at(150), a) {
			t.Error("turns of a and d")
		}
	})
	t.Run("more come behind", func(t *testing.T) {
		u := newTurns(commitDelay)
		u.want(start, start, []PID{a, b})
		u.want(at(1000), at(1000), []PID{a, b, c})
		due(t, &u, b, 2000)
		due(t, &u, c, 4000)
	})
	t.Run("the first leaves", func(t *testing.T) {
		u := newTurns(commitDelay)
		u.want(start, start, []PID{a, b})
		u.want(at(1000), at(1000), []PID{b})
		due(t, &u, b, 1150)
	})
	t.Run("who lets a turn pass ranks last for a minute", func(t *testing.T) {
		u := newTurns(commitDelay)
		u.want(start, start, []PID{a, b, c})
		u.tick(at(2000))
		u.moved(at(2100), b, true)
		u.want(at(3000), at(3000), []PID{a, b, c})
		due(t, &u, b, 3150)
		due(t, &u, c, 5000)
		due(t, &u, a, 7000)
		u.stop()
		u.want(at(62100), at(62100), []PID{a, b, c})
		due(t, &u, a, 62250)
	})
	t.Run("the author of an invalid entry ranks last", func(t *testing.T) {
		u := newTurns(commitDelay)
		u.want(start, start, []PID{a, b})
		u.moved(at(200), a, false)
		u.want(at(200), at(200), []PID{a, b})
		due(t, &u, b, 350)
		due(t, &u, a, 2200)
	})
	t.Run("a round without anyone begins again", func(t *testing.T) {
		u := newTurns(commitDelay)
		u.want(start, start, []PID{a, b})
		u.acted = true
		due(t, &u, a, 4000)
		u.tick(at(4000))
		due(t, &u, a, 4150)
		if u.acted {
			t.Error("acted in a round that has just begun")
		}
	})
}
