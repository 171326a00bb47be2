package room

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/conclave-sfu/conclave/room/signal"
)

// Bounds of an outbox, beside the backlog that a new connection has to read first.
const (
	outboxFrames = 4096
	outboxBytes  = 4 << 20 // bytes, and two of the room's largest messages
)

// In a large room somebody joins, or says something, all the time, and each time all are
// told. So who was just written to waits a moment for more, which goes out together: for
// gatherEach for each receiver of a message, gatherMost at most, and not at all if few are told.
// What answers a message does not wait, nor does what has waited behind it.
const (
	gatherEach = 100 * time.Microsecond
	gatherMost = 100 * time.Millisecond
	gatherFrom = 32 // receivers
)

// patience is how long a message that goes to so many may wait for others.
func patience(receivers int) time.Duration {
	if receivers < gatherFrom {
		return 0
	}
	return min(time.Duration(receivers)*gatherEach, gatherMost)
}

// rosterChunk is how many participants a message names at most, of some hundred bytes each.
const rosterChunk = 256

// backlogChunk is about the size in bytes of a log message of a backlog.
const backlogChunk = 128 << 10

// Ended is the error of [Connection.Next] after the last message.
type Ended struct {
	// Why is what to tell the client; nil if it left or is gone.
	Why *signal.Error
}

func (e *Ended) Error() string {
	if e.Why == nil {
		return "connection ended"
	}
	return fmt.Sprintf("connection ended: %s", e.Why.Code)
}

// outbox is what a connection has yet to write. One goroutine reads it, in runs: all that is
// there, and then it may rest.
type outbox struct {
	ready    chan struct{} // holds a token when there is something new
	pressing chan struct{} // and one when that must not wait
	ended    chan struct{} // closed at the end

	mu    sync.Mutex
	items []item // those from read on are to be taken
	read  int
	bytes int64
	end   *Ended
	// urgent says that something of the items must not wait.
	urgent bool
	// running says that the reader has taken something and not found the end; then it
	// rests for as long as the most patient item could wait, until resting.
	running  bool
	patience time.Duration
	resting  time.Time

	reading *catchUp    // owned by the reader
	rest    *time.Timer // the same
}

// item is a frame, which is shared with other outboxes, or a backlog.
type item struct {
	frame    []byte
	backlog  *catchUp
	patience time.Duration // for how long it may wait for others
}

func newOutbox() *outbox {
	return &outbox{ready: make(chan struct{}, 1), pressing: make(chan struct{}, 1), ended: make(chan struct{})}
}

// push appends an item. It reports false if that was too much: the outbox has ended
// with code slow. largest is the size of the room's largest message.
func (o *outbox) push(it item, largest int64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.end != nil {
		return true
	}
	if len(o.items)-o.read >= outboxFrames || o.bytes+int64(len(it.frame)) > outboxBytes+2*largest {
		o.items, o.read = nil, 0
		o.finishLocked(&Ended{refusal(signal.CodeSlow, "the connection reads too slowly: resume")})
		return false
	}
	if len(o.items) == cap(o.items) && o.read > len(o.items)/2 {
		o.items, o.read = slices.Delete(o.items, 0, o.read), 0
	}
	o.items = append(o.items, it)
	o.bytes += int64(len(it.frame))
	if it.patience == 0 || len(o.items)-o.read >= outboxFrames/8 || o.bytes >= backlogChunk {
		o.urgent = true
		wake(o.pressing)
	}
	wake(o.ready)
	return true
}

// finish lets the reader have what is there, and then the end.
func (o *outbox) finish(end *Ended) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.end == nil {
		o.finishLocked(end)
	}
}

func (o *outbox) finishLocked(end *Ended) {
	o.end = end
	close(o.ended)
	wake(o.pressing)
	wake(o.ready)
}

func wake(who chan struct{}) {
	select {
	case who <- struct{}{}:
	default:
	}
}

// next waits for the next frame.
func (o *outbox) next(ctx context.Context) ([]byte, error) {
	for {
		if frame, err := o.nextOfBacklog(); frame != nil || err != nil {
			return frame, err
		}
		it, err := o.pop(ctx)
		if err != nil || it.frame != nil {
			return it.frame, err
		}
		o.reading = it.backlog
	}
}

// tryNext gives the next frame of a run; nil at its end.
func (o *outbox) tryNext() ([]byte, error) {
	for {
		if frame, err := o.nextOfBacklog(); frame != nil || err != nil {
			return frame, err
		}
		it, _, ok, err := o.tryPop()
		if !ok || err != nil || it.frame != nil {
			return it.frame, err
		}
		o.reading = it.backlog
	}
}

func (o *outbox) nextOfBacklog() ([]byte, error) {
	if o.reading == nil {
		return nil, nil
	}
	frame, err := o.reading.next()
	if frame == nil {
		o.reading = nil
	}
	return frame, err
}

func (o *outbox) pop(ctx context.Context) (item, error) {
	for {
		it, wait, ok, err := o.tryPop()
		if ok || err != nil {
			return it, err
		}
		var rested <-chan time.Time // never, without anything to write
		news := o.ready
		if wait > 0 {
			rested, news = o.restFor(wait), o.pressing
		}
		select {
		case <-news:
		case <-rested:
		case <-ctx.Done():
			return item{}, ctx.Err()
		}
	}
}

func (o *outbox) restFor(wait time.Duration) <-chan time.Time {
	if o.rest == nil {
		o.rest = time.NewTimer(wait)
	}
	o.rest.Reset(wait)
	return o.rest.C
}

// tryPop takes an item. If there are some that may wait, it says how long.
func (o *outbox) tryPop() (it item, wait time.Duration, ok bool, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case len(o.items) > o.read:
		if !o.running && !o.urgent && o.end == nil {
			if wait = time.Until(o.resting); wait > 0 {
				return item{}, wait, false, nil
			}
		}
		return o.take(), 0, true, nil
	case o.end != nil:
		return item{}, 0, false, o.end
	case o.running:
		o.running, o.resting, o.patience = false, time.Now().Add(o.patience), 0
	}
	return item{}, 0, false, nil
}

// take takes the first item.
func (o *outbox) take() item {
	it := o.items[o.read]
	o.items[o.read] = item{}
	if o.read++; o.read == len(o.items) {
		o.items, o.read, o.urgent = o.items[:0], 0, false
	}
	o.bytes -= int64(len(it.frame))
	o.running, o.patience = true, max(o.patience, it.patience)
	return it
}

// next encodes the next message of a backlog; nil after the last one.
func (c *catchUp) next() ([]byte, error) {
	switch {
	case len(c.records) > 0:
		return signal.EncodeServer(0, &signal.Log{Entries: c.chunk()})
	case len(c.roster) > 0 && c.lists:
		some := c.roster[:min(len(c.roster), rosterChunk)]
		c.roster = c.roster[len(some):]
		return signal.EncodeServer(0, &signal.Participants{Participants: some})
	case len(c.roster) > 0:
		info := c.roster[0]
		c.roster = c.roster[1:]
		return signal.EncodeServer(0, &info)
	case len(c.media) > 0:
		said := c.media[0]
		c.media = c.media[1:]
		return signal.EncodeServer(0, said)
	}
	return nil, nil
}

// chunk takes the next entries, at least one, of about [backlogChunk] bytes.
func (c *catchUp) chunk() (entries []signal.Entry) {
	for size := 0; len(c.records) > 0; c.records = c.records[1:] {
		r := c.records[0]
		e := r.view(c.pid, c.joinedAt)
		if size += entrySize(&e); size > backlogChunk && len(entries) > 0 {
			break
		}
		entries = append(entries, e)
	}
	return entries
}
