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

	mu     sync.Mutex
	closed bool
	reports
}

// reports are those that wait: the latest of each kind, nil for none.
type reports struct {
	published *[]Source
	slots     *slotsReport
	demand    *demandReport
	down      *downReport
}

type slotsReport struct {
	connection uint32
	slots      []Slot
}

type demandReport struct {
	connection uint32
	demand     []Demand
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

func (n *notifier) demandIs(connection uint32, demand []Demand) {
	n.post(func() { n.demand = &demandReport{connection, demand} })
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
		waiting, closed := n.take()
		if closed {
			return
		}
		n.deliver(waiting)
	}
}

func (n *notifier) take() (waiting reports, closed bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	waiting, n.reports = n.reports, reports{}
	return waiting, n.closed
}

func (n *notifier) deliver(r reports) {
	if r.published != nil && n.events.Published != nil {
		n.events.Published(slices.Clone(*r.published))
	}
	if r.slots != nil && n.events.Slots != nil {
		n.events.Slots(r.slots.connection, slices.Clone(r.slots.slots))
	}
	if r.demand != nil && n.events.Demand != nil {
		n.events.Demand(r.demand.connection, slices.Clone(r.demand.demand))
	}
	if r.down != nil && n.events.Down != nil {
		n.events.Down(r.down.connection, r.down.err)
	}
}
