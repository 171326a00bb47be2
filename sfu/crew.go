package sfu

import (
	"cmp"
	"slices"
	"sync/atomic"
)

// sizes say when a fan-out is divided, and into how many shards.
type sizes struct {
	// crowd is how many slots the goroutine that reads a stream serves alone, at most.
	crowd int
	// shard is how many slots a shard has at least: they have to pay for a wake-up.
	shard int
}

var usualSizes = sizes{crowd: 128, shard: 64}

// shards says into how many shards a fan-out of n slots is to be divided that now has so
// many, 0 for none. What is there stays until there are a quarter fewer slots than it takes,
// so that who comes and goes at a bound moves nobody.
func (z sizes) shards(n, now, most int) int {
	if n <= z.crowd && now == 0 || n <= z.crowd*3/4 {
		return 0
	}
	fits := min(max(n/z.shard, 1), most)
	if fits < now && n > now*z.shard*3/4 {
		return min(now, most)
	}
	return fits
}

// isEven says whether moving slots between shards of these sizes would gain little.
func isEven(crew []*shard) bool {
	least, sum := len(*crew[0].slots.Load()), 0
	greatest := least
	for _, s := range crew {
		n := len(*s.slots.Load())
		least, greatest, sum = min(least, n), max(greatest, n), sum+n
	}
	return greatest-least <= max(8, sum/len(crew)/4)
}

// muster divides the fan-out anew if there are many more or fewer slots than before. It
// belongs to the goroutine that reads the stream: no packet comes meanwhile. It moves slots
// only while all shards are idle, so that all slots are at the same packet, and never waits
// for that.
func (u *upTrack) muster() {
	if u.writers == nil {
		return
	}
	var crew []*shard
	if list := u.crew.Load(); list != nil {
		crew = *list
	}
	want := u.writers.sizes.shards(len(*u.fanOut.Load()), len(crew), u.writers.count+1)
	if want == len(crew) && (want == 0 || isEven(crew)) || !u.roster.TryLock() {
		return
	}
	defer u.roster.Unlock()
	if slices.ContainsFunc(crew, func(s *shard) bool { return s.scheduled.Load() || !s.isIdle() }) {
		return
	}
	u.via.flush() // what it has of slots that get another goroutine
	u.arrange(crew, want)
}

// arrange makes so many shards of the fan-out, whose slots nobody serves meanwhile. The
// caller holds the roster.
func (u *upTrack) arrange(crew []*shard, want int) {
	if want == 0 {
		u.crew.Store(nil)
		for _, d := range *u.fanOut.Load() {
			d.belong(nil, u)
		}
		return
	}
	parts := [][]*downTrack{*u.fanOut.Load()}
	if len(crew) > 0 {
		parts = parts[:0]
		for _, s := range crew {
			parts = append(parts, *s.slots.Load())
		}
	}
	crew = slices.Clone(crew[:min(want, len(crew))])
	for i := len(crew); i < want; i++ {
		crew = append(crew, newShard(u, i > 0))
	}
	for i, part := range spread(parts, want) {
		crew[i].fill(part)
	}
	if want > 1 {
		u.writers.begin()
	}
	u.crew.Store(&crew)
}

// fill makes these the slots of a shard.
func (s *shard) fill(part []*downTrack) {
	for _, d := range part {
		d.at = &s.position
		d.shard.Store(s)
	}
	s.trailing.Store(true) // perhaps
	s.slots.Store(&part)
}

// spread divides what is in parts into n parts of equal size and moves as few as it can.
func spread[T any](parts [][]T, n int) [][]T {
	total := 0
	for _, part := range parts {
		total += len(part)
	}
	next, spare := make([][]T, n), []T(nil)
	size := func(i int) int { return (total + n - 1 - i) / n }
	for i, part := range parts {
		keep := 0
		if i < n {
			keep = min(len(part), size(i))
			next[i] = slices.Clone(part[:keep])
		}
		spare = append(spare, part[keep:]...)
	}
	for i := range next {
		need := size(i) - len(next[i])
		next[i] = append(next[i], spare[:need]...)
		spare = spare[need:]
	}
	return next
}

// smallest is the shard that the next slot is for; nil if there are none.
func (u *upTrack) smallest() *shard {
	crew := u.crew.Load()
	if crew == nil {
		return nil
	}
	return slices.MinFunc(*crew, func(a, b *shard) int { return cmp.Compare(len(*a.slots.Load()), len(*b.slots.Load())) })
}

// remove takes d out of the fan-out and gives the shard that had it; nil for none.
func (u *upTrack) remove(d *downTrack) *shard {
	u.roster.Lock()
	defer u.roster.Unlock()
	without(&u.fanOut, d)
	s := d.shard.Swap(nil)
	if s != nil {
		without(&s.slots, d)
	}
	return s
}

// with puts d into a list.
func with(list *atomic.Pointer[[]*downTrack], d *downTrack) {
	more := append(slices.Clone(*list.Load()), d)
	list.Store(&more)
}

// without takes d out of a list.
func without(list *atomic.Pointer[[]*downTrack], d *downTrack) {
	rest := slices.DeleteFunc(slices.Clone(*list.Load()), func(other *downTrack) bool { return other == d })
	list.Store(&rest)
}
