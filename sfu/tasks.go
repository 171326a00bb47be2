package sfu

import "sync"

// tasks are goroutines that are waited for. Unlike a sync.WaitGroup, one may be begun
// while others are waited for. The zero value is ready.
type tasks struct {
	mu    sync.Mutex
	count int           // Guarded by mu.
	none  chan struct{} // Guarded by mu: closed when count falls to 0; nil if nobody waits.
}

// Go runs f.
func (t *tasks) Go(f func()) {
	t.mu.Lock()
	t.count++
	t.mu.Unlock()
	go func() {
		defer t.done()
		f()
	}()
}

func (t *tasks) done() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.count--; t.count == 0 && t.none != nil {
		close(t.none)
		t.none = nil
	}
}

// running is how many run now.
func (t *tasks) running() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.count
}

// Wait returns when none runs.
func (t *tasks) Wait() {
	t.mu.Lock()
	if t.count == 0 {
		t.mu.Unlock()
		return
	}
	if t.none == nil {
		t.none = make(chan struct{})
	}
	none := t.none
	t.mu.Unlock()
	<-none
}
