package server

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/conclave-sfu/conclave/room"
	"github.com/conclave-sfu/conclave/room/signal"
)

// TestLoad: what was sent in the latest seconds counts, and nothing before it.
func TestLoad(t *testing.T) {
	var l load
	begun, sent := time.Now(), uint64(0)
	for second, step := range []struct{ bytes, want int }{
		{1 << 40, 0}, {1e6, 8e6}, {3e6, 16e6}, {2e6, 16e6}, {2e6, 16e6}, {0, 12.8e6}, {0, 11.2e6}, {0, 6.4e6}, {0, 3.2e6}, {0, 0}, {0, 0}, {5e6, 8e6},
	} {
		sent += uint64(step.bytes)
		l.take(reading{begun.Add(time.Duration(second) * loadInterval), sent})
		if got := l.bits(); got != int64(step.want) {
			t.Errorf("after %d s %d bit/s are sent, want %d", second, got, step.want)
		}
	}
	l.take(l.taken[(l.count-1)%len(l.taken)])
	if l.bits() < 0 || (&load{}).bits() != 0 {
		t.Error("a load that cannot be")
	}
}

// TestFullLine: nobody new is let in while as much is sent as may be; who is there may resume; and
// when less is sent the next one is let in. 0 is no limit.
func TestFullLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 10_000_000
		ctx, stop := context.WithCancel(t.Context())
		var l load
		var sent, perSecond atomic.Uint64
		go l.watch(ctx, func() uint64 { return sent.Add(perSecond.Load()) })
		for _, step := range []struct {
			bytes uint64
			full  bool
		}{{0, false}, {most / 8, true}, {most/8 - 1, false}, {most, true}} {
			perSecond.Store(step.bytes)
			time.Sleep((loadSeconds + 1) * loadInterval)
			synctest.Wait()
			if err := l.admit(most); err != nil != step.full || l.admit(0) != nil {
				t.Errorf("at %d bit/s: %v", 8*step.bytes, err)
			}
		}
		refused := 0
		rooms := room.NewRegistry(room.Config{
			Admit:   func() error { return l.admit(most) },
			Observe: func(e room.Event) { refused += map[room.EventKind]int{room.Refused: 1}[e.Kind] },
		})
		_, err := rooms.Connect(t.Context(), "room", 1, &signal.Hello{PID: "0123456789abcdef0123456789abcdef"})
		if !errors.Is(err, room.ErrServerFull) || refused != 1 {
			t.Errorf("who comes then: %v; %d refused", err, refused)
		}
		stop()
	})
}
