package bwe

import (
	"container/heap"
	"testing"
	"time"

	"github.com/conclave-sfu/conclave/sfu/impair"
)

// uplink is a sender that takes REMB: it sends frames at what it was told, up to most.
type uplink struct {
	*network
	r         *Receiver
	most      float64
	told      float64
	receiving *stalls
	queue     []float64 // ms, each 100 ms
	estimates []float64
}

func newUplink(seed uint64, c impair.Conditions, most float64) *uplink {
	return &uplink{network: newNetwork(seed, c), r: NewReceiver(Config{Start: 600_000, Min: 50_000, Max: 10_000_000}), most: most, told: 300_000}
}

// run lets d pass: a frame each 33 ms, what was told each second.
func (u *uplink) run(d time.Duration) {
	for end := u.now + int64(d); u.now < end; u.now += simStep {
		for len(u.events.list) > 0 && u.events.list[0].at <= u.now {
			e := heap.Pop(&u.events).(event)
			e.do(e.at)
		}
		turn := u.now / simStep
		if turn%33 == 0 {
			for left := min(u.told, u.most) / 8 / 30; left > 0; left -= 1100 {
				u.send(int(min(left, 1100)) + 40)
			}
		}
		if turn%100 == 0 {
			u.queue = append(u.queue, u.link.Backlog(u.now).Seconds()*1000)
			u.estimates = append(u.estimates, float64(u.r.Estimate()))
		}
		if turn%1000 == 0 || float64(u.r.Estimate()) < 0.97*u.told {
			u.told = float64(u.r.Estimate())
		}
	}
}

func (u *uplink) send(size int) {
	stamp := uint32(uint64(u.now) << 18 / uint64(time.Second) & 0xffffff)
	at, copies := u.link.Send(u.now, size)
	for _, arrival := range at[:copies] {
		u.at(u.receiving.end(arrival), func(now int64) { u.r.Add(now, stamp, size) })
	}
}

func mean(values []float64) float64 {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	return sum / float64(max(len(values), 1))
}

// TestReceiver takes senders that know nothing but REMB through paths of all kinds, for two
// minutes: the sender's clock wraps.
func TestReceiver(t *testing.T) {
	for _, tt := range []struct {
		name       string
		c          impair.Conditions
		most       float64
		least, top float64 // of the estimate, after 20 s
		queue      float64 // ms, mean
	}{
		{"wide", impair.Conditions{Delay: 20 * ms, Rate: 100_000_000}, 2.5e6, 2.5e6, 10e6, 5},
		{"wide, jitter", impair.Conditions{Delay: 20 * ms, Jitter: 15 * ms, Rate: 100_000_000}, 2.5e6, 2.5e6, 10e6, 5},
		{"500 kbit/s", impair.Conditions{Delay: 20 * ms, Rate: 500_000, Queue: 500 * ms}, 2.5e6, 350e3, 525e3, 90},
		{"1 Mbit/s, jitter, loss", impair.Conditions{Delay: 50 * ms, Rate: 1_000_000, Jitter: 10 * ms, Loss: 0.02, Queue: 300 * ms}, 2.5e6, 650e3, 1050e3, 90},
		{"little is sent", impair.Conditions{Delay: 20 * ms, Rate: 3_000_000}, 100e3, 200e3, 700e3, 5},
	} {
		for _, seed := range seeds {
			u := newUplink(seed, tt.c, tt.most)
			u.run(120 * second)
			estimate, queue := mean(u.estimates[200:]), mean(u.queue[200:])
			t.Logf("%s, seed %d: %.0f kbit/s, queue %.0f ms", tt.name, seed, estimate/1e3, queue)
			between(t, tt.name, estimate, tt.least, tt.top)
			between(t, tt.name+": queue", queue, 0, tt.queue)
		}
	}
}

// TestReceiverSteps cuts the path to a sixth, and gives it back.
func TestReceiverSteps(t *testing.T) {
	for _, seed := range seeds {
		c := impair.Conditions{Delay: 20 * ms, Rate: 3_000_000, Queue: 500 * ms}
		u := newUplink(seed, c, 2.5e6)
		u.run(20 * second)
		c.Rate = 500_000
		u.link.Set(c)
		u.run(20 * second)
		c.Rate = 3_000_000
		u.link.Set(c)
		u.run(40 * second)
		t.Logf("seed %d: %.0f, %.0f (queue %.0f ms), %.0f kbit/s", seed, mean(u.estimates[100:200])/1e3, mean(u.estimates[250:400])/1e3, mean(u.queue[250:400]), mean(u.estimates[700:])/1e3)
		between(t, "at first", mean(u.estimates[100:200]), 2.2e6, 10e6)
		between(t, "thin", mean(u.estimates[250:400]), 350e3, 525e3)
		between(t, "queue", mean(u.queue[250:400]), 0, 150)
		between(t, "at last", mean(u.estimates[700:]), 2.2e6, 10e6)
	}
}

// TestReceiverStalls has the receiver stand still for 5 to 50 ms where there is no queue.
func TestReceiverStalls(t *testing.T) {
	for _, seed := range seeds {
		u := newUplink(seed, impair.Conditions{Delay: 5 * ms, Rate: 100_000_000}, 2.5e6)
		u.receiving = newStalls(seed, 5*ms, 50*ms, 150*ms)
		u.run(60 * second)
		for i, estimate := range u.estimates[200:] {
			if estimate < 2.5e6 {
				t.Fatalf("seed %d: the estimate is %.0f after %v", seed, estimate, time.Duration(i+200)*100*ms)
			}
		}
	}
}

// TestReceiverTakesAnything: no times and sizes take the estimate out of its bounds.
func FuzzReceiver(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := NewReceiver(Config{Start: 600_000, Min: 50_000, Max: 10_000_000})
		now := int64(0)
		for ; len(data) >= 6; data = data[6:] {
			now += int64(data[0]) * int64(ms)
			r.Add(now, uint32(data[1])<<16|uint32(data[2])<<8|uint32(data[3]), int(data[4])<<8|int(data[5]))
			if e := r.Estimate(); e < 50_000 || e > 10_000_000 {
				t.Fatalf("estimate %d", e)
			}
		}
	})
}

// TestReceiverAllocatesNothing: it is called for each packet.
func TestReceiverAllocatesNothing(t *testing.T) {
	r := NewReceiver(Config{Start: 600_000, Min: 50_000, Max: 10_000_000})
	now := int64(0)
	if n := testing.AllocsPerRun(1000, func() { now += int64(7 * ms); r.Add(now, uint32(now<<18/int64(second)), 1100) }); n != 0 {
		t.Errorf("%.1f allocations", n)
	}
}

func BenchmarkReceiver(b *testing.B) {
	r := NewReceiver(Config{Start: 600_000, Min: 50_000, Max: 10_000_000})
	now := int64(0)
	for b.Loop() {
		now += int64(2 * ms)
		r.Add(now, uint32(uint64(now)<<18/uint64(second)), 1100)
	}
}
