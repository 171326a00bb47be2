// Package packetmap rewrites the sequence numbers and timestamps of RTP streams
// (RFC 3550, Section 5.1).
//
// A stream that is forwarded is rarely sent as it was received: packets without
// payload are left out, and a slot shows one source now and another a second
// later. The receiver must see one stream without a gap. The steps are
//
//	seq (16 bits) -> [Unwrapper] -> number (64 bits) -> [Window] new? -> [Map] -> number -> seq
//
// and [Map.Lookup] goes back from a number that a receiver asks for again (RFC
// 4585, Section 6.2.1) to what was received.
//
// The package knows no socket, clock or lock.
package packetmap

// Unwrapper extends 16-bit sequence numbers to 64 bits: wraps become growth. The
// zero value is ready.
type Unwrapper struct {
	high    int64
	started bool
}

// wrap is the size of the sequence number space. The first number is above it, so
// that packets from before the first one have numbers above zero too.
const wrap = 1 << 16

// Unwrap gives the number of seq that is nearest to the highest so far.
func (u *Unwrapper) Unwrap(seq uint16) int64 {
	if !u.started {
		u.started = true
		u.high = wrap + int64(seq)
		return u.high
	}
	n := Near(u.high, seq)
	u.high = max(u.high, n)
	return n
}

// Near gives the number that ends in seq and is nearest to ref.
func Near(ref int64, seq uint16) int64 {
	return ref + int64(int16(seq-uint16(ref)))
}

// WindowSize is how far behind the highest number a packet may be and still count
// as new, in packets: about 2 s of video at 2.5 Mbit/s.
const WindowSize = 512

// Window tells new numbers from those seen before: retransmissions arrive twice,
// and senders probe for bandwidth with duplicates. The zero value is ready.
type Window struct {
	high int64
	seen [WindowSize / 64]uint64
}

// Verdict is what a [Window] says of a number.
type Verdict uint8

// The verdicts.
const (
	Newest    Verdict = iota // above all so far
	Late                     // new, but below the highest
	Duplicate                // seen before
	TooLate                  // too far behind to tell
)

// Add marks n as seen and says what it was. Numbers must be positive.
func (w *Window) Add(n int64) Verdict {
	if n > w.high {
		w.advance(n)
		w.mark(n)
		return Newest
	}
	if n <= w.high-WindowSize {
		return TooLate
	}
	if w.mark(n) {
		return Duplicate
	}
	return Late
}

// advance forgets what leaves the window when n becomes the highest.
func (w *Window) advance(n int64) {
	if n-w.high >= WindowSize {
		w.seen = [WindowSize / 64]uint64{}
	} else {
		for i := w.high + 1; i <= n; i++ {
			w.seen[i/64%(WindowSize/64)] &^= 1 << (i % 64)
		}
	}
	w.high = n
}

// mark sets the bit of n and says whether it was set.
func (w *Window) mark(n int64) bool {
	word, bit := &w.seen[n/64%(WindowSize/64)], uint64(1)<<(n%64)
	was := *word&bit != 0
	*word |= bit
	return was
}
