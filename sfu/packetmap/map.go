package packetmap

import (
	"runtime"
	"sync/atomic"
)

// spanCount is how many spans a [Map] remembers. Each packet left out and each
// change of source begins one: 64 span more than a second of a stream from which
// every second frame is left out at 60 frames a second.
const spanCount = 64

// Map gives each packet of a stream its number in the stream that goes out. Its
// source may change; numbers go on without a gap, and no number is given twice.
//
// One goroutine at a time may call Start, Forward, Shorten and Skip. Lookup and High may be
// called from any, at any time: they wait for nobody.
//
// The zero value forwards nothing until Start.
type Map struct {
	// version is odd while spans change; Lookup then reads again.
	version atomic.Uint64
	// high is the highest number that went out.
	high atomic.Int64
	// highIn is the highest number that came in from the present source.
	highIn int64
	// spans is a ring; count has ever been begun, the newest is count-1.
	count atomic.Int64
	spans [spanCount]span
}

// span is a run of numbers with one distance between in and out: in+i goes out as
// out+i, up to where the next span begins.
type span struct {
	in, out atomic.Int64
	tag     atomic.Uint64
}

// Begin says which number goes out first. Without it that is the first one that comes in.
// Nothing else may have been called.
func (m *Map) Begin(out int64) { m.high.Store(out - 1) }

// Start makes a new source the one that is forwarded, from number in on. The tag
// comes back from Lookup. Packets of the source before are no longer forwarded.
func (m *Map) Start(in int64, tag uint64) {
	if m.count.Load() == 0 && m.high.Load() == 0 {
		m.high.Store(in - 1)
	}
	m.highIn = in - 1
	m.begin(in, m.high.Load()+1, tag)
}

// Forward gives the number under which packet in goes out. It is false for
// packets from before Start, for those that Skip has left out, and for those
// older than the Map remembers.
func (m *Map) Forward(in int64) (out int64, ok bool) {
	newest := m.count.Load() - 1
	if newest < 0 {
		return 0, false
	}
	s := m.at(newest)
	if in >= s.in.Load() {
		out = s.out.Load() + in - s.in.Load()
		m.highIn = max(m.highIn, in)
		m.sent(out)
		return out, true
	}
	return m.forwardLate(newest, in)
}

// forwardLate looks for the span of a packet that is older than the newest one.
// Nobody else can have its number: spans do not overlap.
func (m *Map) forwardLate(newest, in int64) (out int64, ok bool) {
	tag := m.at(newest).tag.Load()
	for i := newest; i > max(newest-spanCount+1, 0); i-- {
		older, end := m.at(i-1), m.at(i).out.Load()
		if older.tag.Load() != tag {
			return 0, false
		}
		if first := older.in.Load(); in >= first {
			out = older.out.Load() + in - first
			if out >= end {
				return 0, false
			}
			m.sent(out)
			return out, true
		}
	}
	return 0, false
}

func (m *Map) sent(out int64) {
	if out > m.high.Load() {
		m.high.Store(out)
	}
}

// Skip leaves packet in out. It closes the gap, and says so, if nothing after the
// packet has gone out; otherwise the receiver sees a loss.
func (m *Map) Skip(in int64) bool {
	newest := m.count.Load() - 1
	if newest < 0 || in <= m.highIn {
		return false
	}
	m.highIn = in
	s := m.at(newest)
	out := s.out.Load() + in - s.in.Load()
	if s.in.Load() == in {
		m.change(newest, in+1, out, s.tag.Load())
	} else {
		m.begin(in+1, out, s.tag.Load())
	}
	return true
}

// Shorten has packet in, which is not given yet, follow what has come after a gap of most
// packets at most. What would be in the rest of the gap is not forwarded any more.
func (m *Map) Shorten(in, most int64) {
	newest := m.count.Load() - 1
	if newest < 0 || in-m.highIn <= most {
		return
	}
	s := m.at(newest)
	m.begin(in, s.out.Load()+m.highIn+most-s.in.Load(), s.tag.Load())
}

// High is the highest number that went out.
func (m *Map) High() int64 { return m.high.Load() }

// Lookup goes back from a sequence number that went out to the packet and the tag
// of its source. It is false for what did not go out or is forgotten.
func (m *Map) Lookup(seq uint16) (in int64, tag uint64, ok bool) {
	for {
		version := m.version.Load()
		if version%2 == 1 {
			runtime.Gosched()
			continue
		}
		in, tag, ok = m.lookup(seq)
		if m.version.Load() == version {
			return in, tag, ok
		}
	}
}

func (m *Map) lookup(seq uint16) (in int64, tag uint64, ok bool) {
	count, high := m.count.Load(), m.high.Load()
	out := Near(high, seq)
	if out > high {
		return 0, 0, false
	}
	for i := count - 1; i >= max(count-spanCount, 0); i-- {
		s := m.at(i)
		if first := s.out.Load(); out >= first {
			return s.in.Load() + out - first, s.tag.Load(), true
		}
	}
	return 0, 0, false
}

func (m *Map) at(i int64) *span { return &m.spans[i%spanCount] }

func (m *Map) begin(in, out int64, tag uint64) {
	n := m.count.Load()
	m.version.Add(1)
	m.set(n, in, out, tag)
	m.count.Store(n + 1)
	m.version.Add(1)
}

func (m *Map) change(i, in, out int64, tag uint64) {
	m.version.Add(1)
	m.set(i, in, out, tag)
	m.version.Add(1)
}

func (m *Map) set(i, in, out int64, tag uint64) {
	s := m.at(i)
	s.in.Store(in)
	s.out.Store(out)
	s.tag.Store(tag)
}
