package pace

import (
	"math/rand/v2"
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

func TestQueueOrderAndBounds(t *testing.T) {
	var q Queue[int]
	if _, _, ok := q.Front(); ok || q.Late(1<<60) {
		t.Error("an empty queue has a packet")
	}
	if _, ok := q.Pop(); ok {
		t.Error("an empty queue gives a packet")
	}
	for i := range MaxPackets {
		if !q.Push(int64(i)*ms, i, 100) {
			t.Fatalf("packet %d is refused", i)
		}
	}
	if q.Push(0, 0, 100) || q.Len() != MaxPackets || q.Bytes() != 100*MaxPackets {
		t.Errorf("%d packets, %d bytes in a full queue", q.Len(), q.Bytes())
	}
	if q.Late(int64(MaxAge)) || !q.Late(int64(MaxAge)+1) {
		t.Error("the first packet is late after MaxAge")
	}
	for i := range MaxPackets {
		if v, size, ok := q.Front(); !ok || v != i || size != 100 {
			t.Fatalf("front %d, %d bytes, want %d", v, size, i)
		}
		if v, ok := q.Pop(); !ok || v != i {
			t.Fatalf("%d came out, want %d", v, i)
		}
	}
	if q.Len() != 0 || q.Bytes() != 0 {
		t.Errorf("%d packets, %d bytes are left", q.Len(), q.Bytes())
	}
}

// TestQueueModel compares with a slice, and looks for memory that only grows.
func TestQueueModel(t *testing.T) {
	const seed = 3
	random := rand.New(rand.NewPCG(seed, seed))
	var q Queue[int]
	var model []int
	for i := range 100_000 {
		if random.IntN(2) == 0 {
			if q.Push(0, i, i%7) {
				model = append(model, i)
			}
		} else if v, ok := q.Pop(); ok {
			if v != model[0] {
				t.Fatalf("seed %d: %d came out, want %d", seed, v, model[0])
			}
			model = model[1:]
		}
		if q.Len() != len(model) {
			t.Fatalf("seed %d: %d wait, want %d", seed, q.Len(), len(model))
		}
	}
	if cap(q.items) > 4*MaxPackets {
		t.Errorf("room for %d packets", cap(q.items))
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
