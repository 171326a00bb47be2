// Package prefetch asks the processor for memory that is needed soon. It goes on at once, and the
// memory is in its cache when somebody comes to it:
//
//	prefetch.Bytes(unsafe.Pointer(next), unsafe.Sizeof(*next))
//	work(this)
//	work(next)
//
// It pays where much state is gone through in an order that is known, each part of it long after
// the last time: that of hundreds of receivers. Atomic operations make such code wait for one part after the
// other, since nothing that follows them begins before they have ended.
//
// It is a hint: of any address, mapped or not, and without effect on what a program computes. Only amd64 and
// arm64 take it.
package prefetch

import "unsafe"

// Line is what a processor fetches at once, in bytes.
const Line = 64

// Bytes asks for n bytes from p on; for nothing if p is nil.
func Bytes(p unsafe.Pointer, n uintptr) {
	if p != nil && n > 0 {
		lines(p, (n+Line-1)/Line)
	}
}
