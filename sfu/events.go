package sfu

import (
	"slices"
	"sync"
)

// notifier delivers the events of one transport, one at a time, from its own
// goroutine. Reports of a whole replace those that wait: what waits is bounded.
type notifier struct {
	events Events
	wake   chan struct{}
	done   chan struct{}

	mu        sync.Mutex
	closed    bool
	published *[]Source
	slots     *slotsReport
	down      *downReport
}

type slotsReport struct {
	connection uint32
	slots      []Slot
}

type downReport struct {
	connection uint32
	err        error
}

func newNotifier(events Events) *notifier {
	n := &notifier{events: events, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go n.run()
	return n
}

func (n *notifier) sourcesAre(sources []Source) {
	n.post(func() { n.published = &sources })
}

func (n *notifier) slotsAre(connection uint32, slots []Slot) {
	n.post(func() { n.slots = &slotsReport{connection, slots} })
}

// isDown reports the failure of a connection. Of several that wait, the latest
// matters: connections only replace each other.
func (n *notifier) isDown(connection uint32, err error) {
	n.post(func() { n.down = &downReport{connection, err} })
}

func (n *notifier) post(set func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return
	}
	set()
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// close returns when the last event has been delivered; those that wait are not.
func (n *notifier) close() {
	n.mu.Lock()
	if !n.closed {
		n.closed = true
		close(n.wake)
	}
	n.mu.Unlock()
	<-n.done
}

func (n *notifier) run() {
	defer close(n.done)
	for range n.wake {
		published, slots, down, closed := n.take()
		if closed {
			return
		}
		n.deliver(published, slots, down)
	}
}

func (n *notifier) take() (published *[]Source, slots *slotsReport, down *downReport, closed bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	published, slots, down = n.published, n.slots, n.down
	n.published, n.slots, n.down = nil, nil, nil
	return published, slots, down, n.closed
}

func (n *notifier) deliver(published *[]Source, slots *slotsReport, down *downReport) {
	if published != nil && n.events.Published != nil {
		n.events.Published(slices.Clone(*published))
	}
	if slots != nil && n.events.Slots != nil {
		n.events.Slots(slots.connection, slices.Clone(slots.slots))
	}
	if down != nil && n.events.Down != nil {
		n.events.Down(down.connection, down.err)
	}
}
