package sfu

import (
	"runtime"
	"slices"
)

// What is done for all of a room takes milliseconds where the room is large, and who joins,
// mutes or scrolls waits for the room's lock. So it is done in slices, between which others have
// the lock: who waits gets it after one slice, for a goroutine that gives way lets the next one
// in line run, and a sync.Mutex is handed to who has waited for a millisecond. All that is done
// for one participant, or one publication, is done within a slice, and what a slice goes by is
// read in it, but for the list, from which some may have left.

// sliceSize is how many participants, of some dozen slots each, or publications a slice has.
const sliceSize = 16

// inSlices calls f for each of a list, with the room's lock held.
func inSlices[T any](r *room, list []T, f func(T)) {
	for some := range slices.Chunk(list, sliceSize) {
		locked(r, func() {
			for _, one := range some {
				f(one)
			}
		})
		r.giveWay()
	}
}

// locked calls f with the room's lock held.
func locked(r *room, f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

// giveWay lets who waits for the lock have it.
func (r *room) giveWay() {
	if r.between != nil {
		r.between()
	}
	runtime.Gosched()
}

// eachTransport calls f for each participant, in slices. The caller does not hold the lock.
func (r *room) eachTransport(f func(*Transport)) {
	inSlices(r, r.members(), func(t *Transport) {
		if !t.closed {
			f(t)
		}
	})
}

// eachPublication is the same for publications.
func (r *room) eachPublication(f func(*publication)) {
	var list []*publication
	locked(r, func() { list = slices.Clone(r.publications.list) })
	inSlices(r, list, func(p *publication) {
		if r.publications.get(p.key) == p {
			f(p)
		}
	})
}
