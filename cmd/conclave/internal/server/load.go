package server

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// What the server sends is judged over the latest seconds: one alone may be that of key frames.
const (
	loadInterval = time.Second
	loadSeconds  = 5
)

// load is how much the server sends, in all. The zero value has seen nothing.
type load struct {
	mu sync.Mutex
	// taken are the latest readings of what was sent, a ring; count is how many there were.
	taken [loadSeconds + 1]reading
	count int
}

// reading is what had been sent at a time, in bytes.
type reading struct {
	at    time.Time
	bytes uint64
}

// take notes a reading.
func (l *load) take(r reading) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.taken[l.count%len(l.taken)] = r
	l.count++
}

// bits is what was sent between the oldest and the newest of the latest readings, in bits a second.
func (l *load) bits() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.count < 2 {
		return 0
	}
	newest := l.taken[(l.count-1)%len(l.taken)]
	oldest := l.taken[max(l.count-len(l.taken), 0)%len(l.taken)]
	elapsed := newest.at.Sub(oldest.at)
	if elapsed <= 0 {
		return 0
	}
	return int64(8 * float64(newest.bytes-oldest.bytes) / elapsed.Seconds())
}

// watch takes a reading each interval until ctx ends.
func (l *load) watch(ctx context.Context, sent func() uint64) {
	every := time.NewTicker(loadInterval)
	defer every.Stop()
	for {
		l.take(reading{time.Now(), sent()})
		select {
		case <-every.C:
		case <-ctx.Done():
			return
		}
	}
}

// admit refuses one more participant while as much is sent as may be, in bits a second; 0: never.
func (l *load) admit(most int64) error {
	if most == 0 {
		return nil
	}
	if now := l.bits(); now >= most {
		return fmt.Errorf("%d bit/s are sent, of %d", now, most)
	}
	return nil
}
