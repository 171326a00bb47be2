package pace

import (
	"sync"
	"testing"
	"time"
)

const ms = int64(time.Millisecond)

func TestNoLimit(t *testing.T) {
	var b Bucket
	b.Charge(0, 1<<20)
	for range 1000 {
		if b.Short(0) || !b.Take(0, 1500) {
			t.Fatal("a bucket without a rate is short")
		}
	}
	b.SetRate(1)
	b.SetRate(0)
	for range 2 {
		if !b.Take(0, 1<<20) {
			t.Error("the limit was not lifted")
		}
	}
}

// TestRate asks for more than the rate gives: over any time no more goes than Factor
// times the rate, and a burst.
func TestRate(t *testing.T) {
	for _, rate := range []int64{30_000, 300_000, 3_000_000, 50_000_000} {
		const size, span = 1200, 10_000 * ms
		var b Bucket
		b.SetRate(rate)
		sent := 0
		for now := int64(0); now < span; now += ms / 4 {
			for b.Take(now, size) {
				sent += size
			}
		}
		most := Factor*float64(rate)/8*(time.Duration(span)+Burst).Seconds() + size
		if got := float64(sent); got > most || got < 0.98*most-2*size {
			t.Errorf("at %d bit/s %.0f bytes went in 10 s, want about %.0f", rate, got, most)
		}
	}
}

func TestBurst(t *testing.T) {
	var b Bucket
	b.SetRate(1_000_000) // 2.5 Mbit/s: 40 ms are 12,500 bytes
	now, sent := 1000*ms, 0
	for b.Take(now, 1000) {
		sent += 1000
	}
	if sent != 13_000 {
		t.Errorf("%d bytes at once, want 13000", sent)
	}
	if b.Take(now+ms, 1000) {
		t.Error("taken before its time")
	}
	if !b.Take(now+4*ms, 1000) {
		t.Error("3.2 ms are a packet's time")
	}
}

// TestChargeIsBounded: audio and retransmissions above the rate leave video its turn soon
// after they end.
func TestChargeIsBounded(t *testing.T) {
	var b Bucket
	b.SetRate(100_000)
	for range 10_000 {
		b.Charge(0, 1200)
	}
	if b.Take(int64(Burst)-1, 1000) || !b.Take(int64(Burst), 1000) {
		t.Error("video does not go after one more burst")
	}
}

// TestConcurrent has goroutines share a bucket: none of what is taken may be lost.
func TestConcurrent(t *testing.T) {
	var b Bucket
	b.SetRate(8_000_000)
	var tasks sync.WaitGroup
	taken := make([]int, 4)
	for i := range taken {
		tasks.Go(func() {
			for range 10_000 {
				if b.Take(0, 10) {
					taken[i]++
				}
			}
		})
	}
	tasks.Wait()
	sum := 0
	for _, n := range taken {
		sum += n
	}
	if want := 10_001; sum != want { // 40 ms at 20 Mbit/s are 100,000 bytes
		t.Errorf("%d packets of 10 bytes in a burst, want %d", sum, want)
	}
}

// TestNoAllocations: the straight way costs none, and takes nanoseconds.
func TestNoAllocations(t *testing.T) {
	var b Bucket
	b.SetRate(1 << 40)
	now := int64(0)
	if n := testing.AllocsPerRun(1000, func() { now += ms; b.Take(now, 1200); b.Charge(now, 100) }); n != 0 {
		t.Errorf("%.0f allocations", n)
	}
}

func BenchmarkTake(b *testing.B) {
	var bucket Bucket
	bucket.SetRate(1 << 40)
	now := int64(0)
	for b.Loop() {
		now += 1000
		bucket.Take(now, 1200)
	}
}

// TestBursts: how much goes at once is what was set, what is short or waiting is told by the burst that there
// is for all.
func TestBursts(t *testing.T) {
	const now, size = int64(time.Hour), 100 // 1 Mbit/s: 0.32 ms each
	count := func(b *Bucket) (n int) {
		for b.Take(now, size) {
			n++
		}
		return n
	}
	var b Bucket
	if b.Short(now) || b.Waiting(now) {
		t.Error("there is no limit, and a packet would have to wait")
	}
	b.SetRate(1_000_000)
	if n := count(&b); n < 124 || n > 127 { // 40 ms at 2.5 Mbit/s
		t.Errorf("%d packets at once", n)
	}
	for _, tt := range []struct {
		later          time.Duration
		short, waiting bool
	}{{0, true, true}, {2 * time.Millisecond, false, true}, {19 * time.Millisecond, false, true}, {22 * time.Millisecond, false, false}} {
		at := now + int64(tt.later)
		if b.Short(at) != tt.short || b.Waiting(at) != tt.waiting {
			t.Errorf("after %v: short %t, waiting %t", tt.later, b.Short(at), b.Waiting(at))
		}
	}
	var wide Bucket
	wide.SetRate(1_000_000)
	wide.SetBurst(3 * Burst)
	if n := count(&wide); n < 374 || n > 377 {
		t.Errorf("%d packets at once, of a burst three times as long", n)
	}
	if wide.SetRate(0); !wide.Take(now, size) {
		t.Error("a limit that was lifted")
	}
}
