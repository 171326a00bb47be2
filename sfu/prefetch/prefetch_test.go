package prefetch

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"unsafe"
)

// TestBytes: nothing changes, nothing is read out of bounds, and no address is refused.
func TestBytes(t *testing.T) {
	for size := range 200 {
		b := make([]byte, size+1)
		for i := range b {
			b[i] = byte(i)
		}
		Bytes(unsafe.Pointer(&b[0]), uintptr(size))
		for i := range b {
			if b[i] != byte(i) {
				t.Fatalf("byte %d of %d is %d", i, size, b[i])
			}
		}
	}
	Bytes(nil, 1000)
	var last [1]byte
	Bytes(unsafe.Pointer(&last), 1<<20) // whatever is behind, mapped or not
}

func TestBytesAllocatesNothing(t *testing.T) {
	x := new([256]byte)
	if n := testing.AllocsPerRun(100, func() { Bytes(unsafe.Pointer(x), unsafe.Sizeof(*x)) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkWalk counts in 64 MB, in an order that no processor guesses, with so many places fetched ahead.
func BenchmarkWalk(b *testing.B) {
	type counter struct {
		atomic.Uint64
		_ [Line - 8]byte
	}
	places := make([][4]counter, 1<<18)
	order := rand.New(rand.NewPCG(1, 2)).Perm(len(places))
	for _, ahead := range []int{0, 1, 4} {
		b.Run(fmt.Sprintf("ahead=%d", ahead), func(b *testing.B) {
			i := 0
			for b.Loop() {
				if ahead > 0 {
					next := &places[order[(i+ahead)%len(order)]]
					Bytes(unsafe.Pointer(next), unsafe.Sizeof(*next))
				}
				for at := range places[order[i%len(order)]] {
					places[order[i%len(order)]][at].Add(1)
				}
				i++
			}
		})
	}
}
