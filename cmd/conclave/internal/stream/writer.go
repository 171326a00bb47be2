// Package stream sends packets over a TCP or TLS connection without ever waiting for it.
//
// Media over TCP has a choice when the line is too thin: wait or drop. Forwarding must not
// wait, and what waits long is of no use, so a [Writer] keeps little and drops what does not
// fit. Whole packets only: the frames on the wire stay in step.
package stream

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxQueued is how many bytes wait to be written: a key frame with what comes beside it,
	// and 0.3 s of a 3 Mbit/s line.
	maxQueued = 128 << 10
	// writeTimeout is how long the other side may take nothing before the connection is
	// given up. ICE has given up on the path before.
	writeTimeout = 20 * time.Second
)

// Writer is the sending side of a connection. Its goroutine ends with [Writer.Close], or
// when writing fails, which closes the connection too.
type Writer struct {
	// Immutable.
	conn net.Conn
	wake chan struct{} // holds a token when there is something
	done chan struct{} // closed by Close or when writing failed
	over sync.Once
	// ended is closed when the goroutine has ended.
	ended chan struct{}

	dropped atomic.Uint64

	// Guarded by mu.
	mu      sync.Mutex
	pending []byte
	writing int // bytes that the connection is being given
}

// NewWriter starts writing to conn.
func NewWriter(conn net.Conn) *Writer {
	w := &Writer{conn: conn, wake: make(chan struct{}, 1), done: make(chan struct{}), ended: make(chan struct{})}
	go w.run()
	return w
}

// Send queues one packet, its parts in a row, or drops it whole if too much waits. It does not
// block and keeps none of the parts. Any goroutine may call it.
func (w *Writer) Send(parts ...[]byte) {
	if !w.add(parts) {
		w.dropped.Add(1)
		return
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *Writer) add(parts [][]byte) bool {
	size := 0
	for _, p := range parts {
		size += len(p)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.pending)+size > maxQueued {
		return false
	}
	for _, p := range parts {
		w.pending = append(w.pending, p...)
	}
	return true
}

// Dropped is how many packets did not fit.
func (w *Writer) Dropped() uint64 { return w.dropped.Load() }

// Queued is how many bytes the connection has not taken yet: those that wait, and those
// that are being written.
func (w *Writer) Queued() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.pending) + w.writing
}

// Close closes the connection and waits for the goroutine. What waits is lost.
func (w *Writer) Close() {
	w.fail()
	<-w.ended
}

func (w *Writer) fail() {
	w.over.Do(func() { close(w.done) })
	w.conn.Close()
}

// run writes all that has come since the last write in one go: a TLS record and a segment
// for many packets.
func (w *Writer) run() {
	defer close(w.ended)
	var spare []byte
	for {
		select {
		case <-w.wake:
		case <-w.done:
			return
		}
		batch := w.next(spare)
		_ = w.conn.SetWriteDeadline(time.Now().Add(writeTimeout)) // fails only if it is closed
		if _, err := w.conn.Write(batch); err != nil {
			w.fail()
			return
		}
		w.written()
		spare = batch
	}
}

// next gives all that waits, and takes the memory of what has been written for more.
func (w *Writer) next(spare []byte) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	batch := w.pending
	w.pending, w.writing = spare[:0], len(batch)
	return batch
}

func (w *Writer) written() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writing = 0
}
