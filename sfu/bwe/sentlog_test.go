package bwe

import (
	"sync"
	"testing"
	"time"
)

func TestSentLog(t *testing.T) {
	l := NewSentLog(100)
	if len(l.entries) != 128 {
		t.Fatalf("room for %d packets, want 128", len(l.entries))
	}
	now := int64(3 * time.Hour)
	for i := range 300 {
		if i == 200 {
			l.SetCluster(31)
		}
		if seq := l.Add(now+int64(i)*1000, 100+i); seq != uint16(i) {
			t.Fatalf("packet %d has number %d", i, seq)
		}
	}
	for i := range uint64(400) {
		s, ok := l.Get(i, now+int64(time.Minute))
		if want := i >= 172 && i < 300; ok != want {
			t.Fatalf("packet %d: held %t, want %t", i, ok, want)
		}
		if !ok {
			continue
		}
		want := Sent{Number: i, At: now + int64(i)*1000, Size: 100 + int(i)}
		if i >= 200 {
			want.Cluster = 31
		}
		if s != want {
			t.Fatalf("packet %d: %+v, want %+v", i, s, want)
		}
	}
}

func TestSentLogWraps(t *testing.T) {
	for _, first := range []uint64{1<<16 - 3, 1<<32 - 3, 1<<40 - 3} {
		l := NewSentLog(64)
		l.next.Store(first)
		for _, now := range []int64{0, 1, 1 << 32 * 1000, 1<<32*1000 - 1000, 1 << 52} {
			n := l.Count()
			if seq := l.Add(now, 5000); seq != uint16(n) {
				t.Fatalf("number %d, want %d", seq, uint16(n))
			}
			s, ok := l.Get(n, now+int64(30*time.Minute))
			if !ok || s.At != now/1000*1000 || s.Size != maxSize {
				t.Errorf("packet %d at %d: %+v, %t", n, now, s, ok)
			}
			if _, ok := l.Get(n+64, now); ok {
				t.Error("a packet to come is there")
			}
			if _, ok := l.Get(n-64, now); ok {
				t.Error("a packet that is gone is there")
			}
		}
	}
}

// TestSentLogConcurrent has many senders and a reader: numbers are given once, and what is
// read is whole.
func TestSentLogConcurrent(t *testing.T) {
	const senders, each = 4, 20_000
	l := NewSentLog(256)
	var tasks sync.WaitGroup
	seen := make([][]uint16, senders)
	for i := range seen {
		tasks.Go(func() {
			for range each {
				seen[i] = append(seen[i], l.Add(int64(i+1)*1_000_000, 100*(i+1)))
			}
		})
	}
	done := make(chan struct{})
	go func() { tasks.Wait(); close(done) }()
	for reading := true; reading; {
		select {
		case <-done:
			reading = false
		default:
		}
		for n := l.oldest(); n < l.Count(); n++ {
			if s, ok := l.Get(n, 0); ok && s.At != int64(s.Size)*10_000 {
				t.Fatalf("half of one and half of another: %+v", s)
			}
		}
	}
	counts := map[uint16]int{}
	for _, list := range seen {
		for _, seq := range list {
			counts[seq]++
		}
	}
	for seq, n := range counts {
		if want := (senders*each - int(seq) + 1<<16 - 1) / (1 << 16); n != want {
			t.Fatalf("number %d was given %d times, want %d", seq, n, want)
		}
	}
}

func TestSentLogAllocatesNothing(t *testing.T) {
	l := NewSentLog(DefaultLogSize)
	if n := testing.AllocsPerRun(1000, func() { l.Add(1, 1200) }); n != 0 {
		t.Errorf("%.0f allocations", n)
	}
}

func BenchmarkSentLogAdd(b *testing.B) {
	l := NewSentLog(DefaultLogSize)
	for b.Loop() {
		l.Add(1_000_000, 1200)
	}
}
