package packetcache

import (
	"encoding/binary"
	"sync"
	"testing"
)

func packet(number int64) *Packet {
	p := New()
	p.Number = number
	p.Payload = p.Buffer[:8]
	binary.BigEndian.PutUint64(p.Payload, uint64(number))
	return p
}

func TestCache(t *testing.T) {
	c := NewCache(4)
	for _, n := range []int64{10, 11, 13, 12} {
		if !c.Put(packet(n)) {
			t.Fatalf("packet %d was not kept", n)
		}
	}
	if c.Put(packet(9)) {
		t.Error("packet 9 was kept in the place of 13")
	}
	if c.Put(packet(13)) {
		t.Error("packet 13 was kept twice")
	}
	if !c.Put(packet(14)) {
		t.Fatal("packet 14 was not kept")
	}
	for n, want := range map[int64]bool{9: false, 10: false, 11: true, 12: true, 13: true, 14: true, 15: false, -1: false} {
		p, ok := c.Get(n)
		if ok != want {
			t.Errorf("Get(%d): %t, want %t", n, ok, want)
		}
		if ok {
			if got := int64(binary.BigEndian.Uint64(p.Payload)); got != n {
				t.Errorf("Get(%d) gave packet %d", n, got)
			}
			p.Release()
		}
	}
	c.Close()
	if _, ok := c.Get(14); ok {
		t.Error("a packet after Close")
	}
}

// TestHolders: whom packets belong to, from filling to the last who lets go. Numbers may be negative.
func TestHolders(t *testing.T) {
	c := NewCache(8)
	kept, old := packet(-1), packet(1)
	for _, p := range []*Packet{kept, old} {
		if p.Holders() != 0 {
			t.Fatalf("%d hold a packet that is being filled", p.Holders())
		}
		c.Put(p)
	}
	for _, n := range []int64{-1, 1} {
		p, ok := c.Get(n)
		if !ok || p.Number != n || p.Holders() != 2 {
			t.Fatalf("packet %d: found is %t", n, ok)
		}
	}
	next := packet(9)
	c.Put(next) // in the place of 1
	if kept.Holders() != 2 || old.Holders() != 1 || next.Holders() != 1 {
		t.Errorf("%d, %d and %d hold the packets", kept.Holders(), old.Holders(), next.Holders())
	}
	c.Close()
	if kept.Holders() != 1 {
		t.Errorf("%d hold a packet after Close", kept.Holders())
	}
	shared := packet(2)
	shared.Share()
	shared.Retain()
	if shared.Holders() != 2 {
		t.Errorf("%d hold a packet that was shared with another", shared.Holders())
	}
}

// TestElsewhere: a packet that was found here, and is one of another cache now, is not given,
// whatever its number.
func TestElsewhere(t *testing.T) {
	here, other := NewCache(2), NewCache(2)
	p := packet(7)
	here.Put(p)
	here.Put(packet(9)) // in its place
	p.Number = 7
	other.Put(p)
	if here.hold(p, 7) {
		t.Error("a packet of another cache")
	}
	if !other.hold(p, 7) || other.hold(p, 8) {
		t.Error("a packet is known by its number")
	}
	p.Release()
	if n := p.refs.Load(); n != 1 {
		t.Errorf("%d references, want the cache's", n)
	}
}

// TestHeldPacket: what a reader holds stays as it is, while the ring goes on.
func TestHeldPacket(t *testing.T) {
	c := NewCache(2)
	c.Put(packet(1))
	held, _ := c.Get(1)
	for n := int64(2); n < 100; n++ {
		c.Put(packet(n))
	}
	if held.Number != 1 || binary.BigEndian.Uint64(held.Payload) != 1 {
		t.Error("a held packet has changed")
	}
	held.Release()
}

// TestReaders lets readers race with the ring; the race detector and the contents
// tell.
func TestReaders(t *testing.T) {
	c := NewCache(8)
	done := make(chan struct{})
	var readers sync.WaitGroup
	for r := range 3 {
		readers.Go(func() {
			for n := int64(r); ; n = (n + 1) % 20000 {
				select {
				case <-done:
					return
				default:
				}
				if p, ok := c.Get(n); ok {
					if p.Number != n || int64(binary.BigEndian.Uint64(p.Payload)) != n {
						t.Errorf("Get(%d) gave %d", n, p.Number)
					}
					p.Release()
				}
			}
		})
	}
	for n := range int64(20000) {
		c.Put(packet(n))
	}
	close(done)
	readers.Wait()
	c.Close()
}

func FuzzCache(f *testing.F) {
	f.Add([]byte{1, 2, 3, 130, 2})
	f.Fuzz(func(t *testing.T, script []byte) {
		c := NewCache(5)
		model := map[int64]int64{} // place to number
		number := int64(100)
		for _, b := range script {
			number = max(number+int64(int8(b)), 0)
			p := packet(number)
			was, taken := model[number%5]
			keep := !taken || was < number
			if c.Put(p) != keep {
				t.Fatalf("Put(%d) with %d there: %t", number, was, !keep)
			}
			if keep {
				model[number%5] = number
			} else {
				p.Release()
			}
			for place, n := range model {
				p, ok := c.Get(n)
				if !ok || p.Number != n {
					t.Fatalf("place %d has lost %d", place, n)
				}
				p.Release()
			}
		}
	})
}

func TestPutAllocatesNothing(t *testing.T) {
	c := NewCache(64)
	for n := range int64(64) {
		c.Put(packet(n))
	}
	n := int64(64)
	if got := testing.AllocsPerRun(1000, func() { c.Put(packet(n)); n++ }); got != 0 {
		t.Errorf("%v allocations a packet", got)
	}
}

func BenchmarkPut(b *testing.B) {
	c := NewCache(512)
	n := int64(0)
	for b.Loop() {
		c.Put(packet(n))
		n++
	}
}

func BenchmarkGet(b *testing.B) {
	c := NewCache(512)
	for n := range int64(512) {
		c.Put(packet(n))
	}
	n := int64(0)
	for b.Loop() {
		p, _ := c.Get(n % 512)
		p.Release()
		n++
	}
}
