package framecrypt

import (
	"slices"
	"strconv"

	"github.com/conclave-sfu/conclave/e2ee/internal/fail"
	"github.com/conclave-sfu/conclave/e2ee/sframe"
)

// maxEpochs is how many epochs are kept at most: the oldest make room.
const maxEpochs = 16

// Ring holds the keys of the live epochs, and seals and opens frames under them. It
// is for one goroutine at a time.
type Ring struct {
	live    []*epoch // oldest first
	sending *epoch   // one of live, or nil

	newest  Epoch // of all that were ever started
	started bool  // whether there is a newest
	// used is one more than the highest counter ever used in each context.
	used    [contexts]sframe.CTR
	scratch [1 + vp8KeyFrameClear]byte
}

// NewRing makes a ring without keys: it seals and opens nothing.
func NewRing() *Ring { return &Ring{} }

// Start adds an epoch: frames of its members can be opened from now on. The leaves
// in removed were members of earlier epochs and are no more: their frames under
// these are refused at once, while the same leaf may be somebody else's in the new
// epoch. The ring copies the key, and erases its copy when the epoch ends.
//
// An epoch of a higher generation ends all before it. A live epoch that is not older
// than the new one ends too: a joiner was given a second Welcome. The counters of an
// epoch that is not the newest ever go on from the highest ever used. The oldest
// epoch makes room for a seventeenth.
//
// The error is [ErrEpoch]; nothing has changed then.
func (r *Ring) Start(id Epoch, own Leaf, members, removed []Leaf, key BaseKey) error {
	if err := r.startable(id, own, members, key); err != nil {
		return fail.At("start epoch "+id.String(), err)
	}
	r.endIf(func(e *epoch) bool {
		return e.id.Generation != id.Generation || !e.id.Less(id) || residue(e.id) == residue(id)
	})
	if len(r.live) == maxEpochs {
		r.End(r.oldest())
	}
	for _, e := range r.live {
		for _, leaf := range removed {
			e.refuse(leaf)
		}
	}
	e := newEpoch(id, own, members, key)
	if r.started && !r.newest.Less(id) {
		e.resume(&r.used)
	} else {
		r.newest, r.started = id, true
	}
	r.live = append(r.live, e)
	return nil
}

func (r *Ring) startable(id Epoch, own Leaf, members []Leaf, key BaseKey) error {
	if len(key.bytes()) != suite.KeySize() {
		return fail.With(ErrEpoch, "base key of "+strconv.Itoa(len(key.bytes()))+" bytes")
	}
	if len(members) == 0 || max(own, slices.Max(members)) > MaxLeaf || !slices.Contains(members, own) {
		return fail.With(ErrEpoch, "own leaf "+strconv.Itoa(int(own))+" among "+strconv.Itoa(len(members))+" members")
	}
	if r.started && id.Generation < r.newest.Generation {
		return fail.With(ErrEpoch, "an old generation")
	}
	for _, e := range r.live {
		if e.key.Equal(key) {
			return fail.With(ErrEpoch, "the key of epoch "+e.id.String())
		}
	}
	return nil
}

// SendWith says that frames are sealed under a live epoch from now on. There is no
// way back to an older one: that and an unknown epoch are [ErrEpoch], and the epoch
// to send with stays as it was.
func (r *Ring) SendWith(id Epoch) error {
	e := r.find(id)
	if e == nil {
		return fail.At("send with epoch "+id.String(), fail.With(ErrEpoch, "not live"))
	}
	if r.sending != nil && id.Less(r.sending.id) {
		return fail.At("send with epoch "+id.String()+" after "+r.sending.id.String(), ErrEpoch)
	}
	r.sending = e
	return nil
}

// Sending is the epoch that frames are sealed under; false if there is none.
func (r *Ring) Sending() (Epoch, bool) {
	if r.sending == nil {
		return Epoch{}, false
	}
	return r.sending.id, true
}

// End erases the keys of an epoch. It does nothing for one that is not live.
func (r *Ring) End(id Epoch) { r.endIf(func(e *epoch) bool { return e.id == id }) }

// Erase ends all epochs.
func (r *Ring) Erase() { r.endIf(func(*epoch) bool { return true }) }

func (r *Ring) find(id Epoch) *epoch {
	for _, e := range r.live {
		if e.id == id {
			return e
		}
	}
	return nil
}

// byResidue finds the one live epoch whose number mod 64 is this.
func (r *Ring) byResidue(mod uint8) *epoch {
	for _, e := range r.live {
		if residue(e.id) == mod {
			return e
		}
	}
	return nil
}

// oldest is the live epoch that makes room: never the one to send with.
func (r *Ring) oldest() Epoch {
	if r.live[0] == r.sending {
		return r.live[1].id
	}
	return r.live[0].id
}

func (r *Ring) endIf(ends func(*epoch) bool) {
	r.live = slices.DeleteFunc(r.live, func(e *epoch) bool {
		if !ends(e) {
			return false
		}
		e.erase()
		if r.sending == e {
			r.sending = nil
		}
		return true
	})
}

func residue(id Epoch) uint8 { return uint8(id.Number & epochMask) }
