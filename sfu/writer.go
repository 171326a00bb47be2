package sfu

import "sync"

// writerBatch is how many packets a writer sends at a time: those to one receiver follow each
// other, so that more would not make fewer messages of them.
const writerBatch = 512

// writers are the goroutines of a node that run shards beside the media loops. They begin
// with the first shard that is theirs. A shard that is to be run waits in one queue for all
// of them, so that none has nothing to do while another has several.
type writers struct {
	// Immutable.
	count     int // of goroutines
	sizes     sizes
	now       func() int64
	newEgress func(i int) *egress

	group sync.WaitGroup

	mu          sync.Mutex
	wake        sync.Cond
	first, last *shard // that wait
	begun       bool
	closed      bool
}

func newWriters(count int, now func() int64, newEgress func(int) *egress) *writers {
	w := &writers{count: count, sizes: usualSizes, now: now, newEgress: newEgress}
	w.wake.L = &w.mu
	return w
}

// begin starts the goroutines, once.
func (w *writers) begin() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.begun || w.closed {
		return
	}
	w.begun = true
	for i := range w.count {
		e := w.newEgress(i)
		w.group.Go(func() { w.work(e) })
	}
}

// work runs shards until the node is closed.
func (w *writers) work(e *egress) {
	for s := w.take(); s != nil; s = w.take() {
		e.now = w.now()
		if s.run(e) {
			w.submit(s) // behind those that wait
		}
	}
}

// submit has a shard run. It is in the queue at most once, since it is scheduled.
func (w *writers) submit(s *shard) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		s.ring.clear()
		return
	}
	if w.first == nil {
		w.first = s
	} else {
		w.last.next = s
	}
	w.last = s
	w.wake.Signal()
}

// take waits for a shard that is to be run. It is nil when there will be no more.
func (w *writers) take() *shard {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.first == nil && !w.closed {
		w.wake.Wait()
	}
	s := w.first
	if s != nil {
		w.first, s.next = s.next, nil
	}
	return s
}

// stop ends the goroutines when they have done what waits. Nothing is sent by them then.
func (w *writers) stop() {
	w.mu.Lock()
	w.closed = true
	w.wake.Broadcast()
	w.mu.Unlock()
	w.group.Wait()
}
