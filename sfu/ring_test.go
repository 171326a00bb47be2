package sfu

import (
	"testing"

	"github.com/conclave-sfu/conclave/sfu/packetcache"
)

// FuzzRing compares a ring with a list: what is put in comes out once, in order, no more than there is
// room for is taken, and each packet in it, and no other, is held.
func FuzzRing(f *testing.F) {
	f.Add(uint64(0), []byte{0, 0, 0, 129, 0, 130, 255})
	f.Add(uint64(ringSize-2), []byte{0, 0, 0, 0, 131, 132})
	f.Add(^uint64(0)-3, append(make([]byte, 2*ringSize), 255, 0))
	f.Fuzz(func(t *testing.T, from uint64, steps []byte) {
		var r ring
		r.put.Store(from)
		r.taken.Store(from)
		var model []*packetcache.Packet
		for _, step := range steps[:min(len(steps), 2000)] {
			switch {
			case step < 128:
				p := packetcache.New()
				p.Share()
				p.Retain()
				took := r.add(item{packet: p, newest: int64(step)})
				if took != (len(model) < ringSize) {
					t.Fatalf("added: %t, with %d in the ring", took, len(model))
				}
				if took {
					model = append(model, p)
				}
			case step < 255:
				most := int(step) - 128
				items := r.first(most)
				if len(items) > min(most, len(model)) || len(items) == 0 && most > 0 && len(model) > 0 {
					t.Fatalf("%d items of %d, at most %d", len(items), len(model), most)
				}
				for i := range items {
					if items[i].packet != model[i] {
						t.Fatalf("item %d is another", i)
					}
				}
				n := len(items)
				r.done(n)
				model = released(t, model, n)
			default:
				r.clear()
				model = released(t, model, len(model))
			}
			if r.isEmpty() != (len(model) == 0) {
				t.Fatalf("empty: %t, with %d in the ring", r.isEmpty(), len(model))
			}
		}
		for i := range r.items {
			if p := r.items[i].packet; p != nil && p.Holders() != 2 {
				t.Errorf("place %d has a packet that %d hold", i, p.Holders())
			}
		}
	})
}

// released takes out packets that nobody but the test holds any more.
func released(t *testing.T, model []*packetcache.Packet, n int) []*packetcache.Packet {
	for _, p := range model[:n] {
		if p.Holders() != 1 {
			t.Fatalf("a packet that was taken out is held by %d", p.Holders())
		}
	}
	return model[n:]
}
