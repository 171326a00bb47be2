package pace

import "time"

// Bounds of a queue.
const (
	// MaxAge is how long a packet may wait: a picture that is later is of no use.
	MaxAge = 400 * time.Millisecond
	// MaxPackets of one slot wait: a key frame of 280 kB.
	MaxPackets = 256
)

// Queue holds the packets of one slot that wait, in order. It belongs to one goroutine.
// The zero value is ready, and holds no memory while it is empty.
type Queue[T any] struct {
	items []item[T]
	head  int
	bytes int
}

type item[T any] struct {
	value T
	size  int
	since int64
}

// Len is how many packets wait.
func (q *Queue[T]) Len() int { return len(q.items) - q.head }

// Bytes is how many bytes wait.
func (q *Queue[T]) Bytes() int { return q.bytes }

// Push appends a packet. It is false if the queue is full.
func (q *Queue[T]) Push(now int64, value T, size int) bool {
	if q.Len() >= MaxPackets {
		return false
	}
	if q.head > 0 && len(q.items) == cap(q.items) {
		n := copy(q.items, q.items[q.head:])
		clear(q.items[n:])
		q.items, q.head = q.items[:n], 0
	}
	q.items = append(q.items, item[T]{value, size, now})
	q.bytes += size
	return true
}

// Front is the packet that has waited longest.
func (q *Queue[T]) Front() (value T, size int, ok bool) {
	if q.Len() == 0 {
		return value, 0, false
	}
	return q.items[q.head].value, q.items[q.head].size, true
}

// Late says whether the first packet has waited longer than [MaxAge].
func (q *Queue[T]) Late(now int64) bool {
	return q.Len() > 0 && now-q.items[q.head].since > int64(MaxAge)
}

// Pop takes the first packet out.
func (q *Queue[T]) Pop() (value T, ok bool) {
	if q.Len() == 0 {
		return value, false
	}
	first := &q.items[q.head]
	value = first.value
	q.bytes -= first.size
	*first = item[T]{}
	if q.head++; q.head == len(q.items) {
		q.items, q.head = nil, 0
	}
	return value, true
}
