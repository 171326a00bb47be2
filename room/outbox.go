package room

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/conclave-sfu/conclave/room/signal"
)

// Bounds of an outbox, beside the backlog that a new connection has to read first.
const (
	outboxFrames = 4096
	outboxBytes  = 4 << 20 // bytes, and two of the room's largest messages
)

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

// outbox is what a connection has yet to write. One goroutine reads it.
type outbox struct {
	ready chan struct{} // holds a token when there is something new
	ended chan struct{} // closed at the end

	mu    sync.Mutex
	items []item // those from read on are to be taken
	read  int
	bytes int64
	end   *Ended

	reading *catchUp // owned by the reader
}

// item is a frame, which is shared with other outboxes, or a backlog.
type item struct {
	frame   []byte
	backlog *catchUp
}

func newOutbox() *outbox {
	return &outbox{ready: make(chan struct{}, 1), ended: make(chan struct{})}
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
	o.wake()
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
	o.wake()
}

func (o *outbox) wake() {
	select {
	case o.ready <- struct{}{}:
	default:
	}
}

// next waits for the next frame.
func (o *outbox) next(ctx context.Context) ([]byte, error) {
	for {
		if o.reading != nil {
			frame, err := o.reading.next()
			if frame != nil || err != nil {
				return frame, err
			}
			o.reading = nil
		}
		it, err := o.pop(ctx)
		if err != nil || it.frame != nil {
			return it.frame, err
		}
		o.reading = it.backlog
	}
}

func (o *outbox) pop(ctx context.Context) (item, error) {
	for {
		it, ok, err := o.tryPop()
		if ok || err != nil {
			return it, err
		}
		select {
		case <-o.ready:
		case <-ctx.Done():
			return item{}, ctx.Err()
		}
	}
}

func (o *outbox) tryPop() (it item, ok bool, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch {
	case len(o.items) > o.read:
		it, o.items[o.read] = o.items[o.read], item{}
		if o.read++; o.read == len(o.items) {
			o.items, o.read = o.items[:0], 0
		}
		o.bytes -= int64(len(it.frame))
		return it, true, nil
	case o.end != nil:
		return item{}, false, o.end
	}
	return item{}, false, nil
}

// next encodes the next message of a backlog; nil after the last one.
func (c *catchUp) next() ([]byte, error) {
	switch {
	case len(c.records) > 0:
		return signal.EncodeServer(0, &signal.Log{Entries: c.chunk()})
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
