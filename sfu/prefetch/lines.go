//go:build amd64 || arm64

package prefetch

import "unsafe"

// lines asks for so many lines, one at least.
//
//go:noescape
func lines(p unsafe.Pointer, count uintptr)
