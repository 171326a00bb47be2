package reception

import (
	"testing"
	"time"
)

const ms = int64(time.Millisecond)

// TestLoss: the fraction is that since the last report, the total that of all.
func TestLoss(t *testing.T) {
	s := &Stream{Rate: 90000}
	if _, ok := s.Report(0); ok {
		t.Fatal("a report of nothing")
	}
	n := int64(65500)
	for _, test := range []struct {
		drop     int64 // every so many packets
		fraction int
		total    uint32
	}{{4, 64, 25}, {0, 0, 25}, {2, 128, 74}, {1, 255, 174}} {
		for i := range int64(100) {
			n++
			if test.drop == 0 || i%test.drop != 1 && (test.drop != 1 || i == 99) {
				s.Received(n, uint32(n*3000), n*33*ms)
			}
		}
		r, ok := s.Report(n * 33 * ms)
		if !ok || int(r.FractionLost) > test.fraction || int(r.FractionLost)+3 < test.fraction || r.TotalLost != test.total {
			t.Errorf("every %d lost: %+v", test.drop, r)
		}
	}
}

// TestDuplicates: more than was expected is no negative fraction.
func TestDuplicates(t *testing.T) {
	s := &Stream{Rate: 48000}
	for range 5 {
		s.Received(7, 960, 0)
	}
	if r, _ := s.Report(0); r.FractionLost != 0 || int32(r.TotalLost<<8)>>8 != -4 {
		t.Errorf("%+v", r)
	}
}

// TestJitter: none on time; about the average deviation if not.
func TestJitter(t *testing.T) {
	for _, test := range []struct {
		wobble   int64 // ms
		min, max uint32
	}{{0, 0, 0}, {10, 400, 1000}} {
		s := &Stream{Rate: 48000}
		for i := range int64(500) {
			s.Received(i, uint32(i*960), (i*20+i%2*test.wobble)*ms)
		}
		if r, _ := s.Report(0); r.Jitter < test.min || r.Jitter > test.max {
			t.Errorf("wobble of %d ms: jitter %d ticks", test.wobble, r.Jitter)
		}
	}
}

func TestSenderReport(t *testing.T) {
	s := &Stream{Rate: 48000}
	s.Received(1, 2, 3)
	s.SenderReport(0x1122334455667788, 5*int64(time.Second))
	if r, _ := s.Report(int64(5500 * time.Millisecond)); r.LastReport != 0x33445566 || r.Delay != 32768 {
		t.Errorf("%+v", r)
	}
}

func BenchmarkReceived(b *testing.B) {
	s, n := &Stream{Rate: 90000}, int64(0)
	for b.Loop() {
		n++
		s.Received(n, uint32(n), n)
	}
}
