package framecrypt

import "github.com/conclave-sfu/conclave/e2ee/sframe"

// How far behind the highest counter of a KID a frame may come, in frames: wide
// enough for what a network reorders and a codec's layers interleave.
const (
	audioWindow = 128
	videoWindow = 512
)

// window refuses counters that were seen before or are too old. The zero window
// has no room for anything: see newWindow.
type window struct {
	size uint64
	// next is the highest counter seen, plus one.
	next uint64
	// seen has a bit for each of the size counters below next, at counter mod size.
	seen [videoWindow / 64]uint64
}

func newWindow(ctx Context) window {
	if ctx.Audio() {
		return window{size: audioWindow}
	}
	return window{size: videoWindow}
}

// fresh says whether a frame of this counter may be opened. It changes nothing.
func (w *window) fresh(ctr sframe.CTR) bool {
	c := uint64(ctr)
	if c >= w.next {
		return true
	}
	return c+w.size >= w.next && !w.has(c)
}

// advance marks a counter that was fresh and whose frame was authentic.
func (w *window) advance(ctr sframe.CTR) {
	c := uint64(ctr)
	if c >= w.next {
		w.slide(c + 1)
	}
	w.seen[c%w.size/64] |= 1 << (c % 64)
}

// slide moves the window up to next, and forgets what falls out of it.
func (w *window) slide(next uint64) {
	if next-w.next >= w.size {
		clear(w.seen[:])
		w.next = next
		return
	}
	for ; w.next < next; w.next++ {
		w.seen[w.next%w.size/64] &^= 1 << (w.next % 64)
	}
}

func (w *window) has(c uint64) bool { return w.seen[c%w.size/64]&(1<<(c%64)) != 0 }
