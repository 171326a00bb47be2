package client

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/conclave-sfu/conclave/e2ee"
	"github.com/conclave-sfu/conclave/e2ee/framecrypt"
	"github.com/conclave-sfu/conclave/e2ee/sframe"
)

// regroupTime is how long after a new group began frames of the one before may still
// arrive: senders change over within a second, and packets wait for lost ones.
const regroupTime = 2 * time.Second

// keyring is the frame keys of the live epochs and the rosters that go with them.
// All methods may be called from any goroutine; the lock is held for one operation on
// one frame.
type keyring struct {
	// version changes with each epoch that starts: what could not be opened may now be.
	version atomic.Uint64

	mu      sync.Mutex
	ring    *framecrypt.Ring                                     // Guarded by mu.
	rosters map[framecrypt.Epoch]map[framecrypt.Leaf]e2ee.Member // Guarded by mu.
	span    span                                                 // Guarded by mu.
}

// span is for how long this participant has been a member without a break.
type span struct {
	member bool
	first  framecrypt.Epoch // since then
	last   framecrypt.Epoch
	// regrouped is when a group other than the one before began; zero if none did.
	regrouped time.Time
}

func newKeyring() *keyring {
	k := &keyring{}
	k.reset()
	return k
}

// reset erases all keys: the participant begins anew.
func (k *keyring) reset() {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ring != nil {
		k.ring.Erase()
	}
	k.ring = framecrypt.NewRing()
	k.rosters = make(map[framecrypt.Epoch]map[framecrypt.Leaf]e2ee.Member)
	k.span = span{}
}

func (k *keyring) start(o e2ee.EpochStarted, now time.Time) error {
	leaves := make([]framecrypt.Leaf, len(o.Members))
	roster := make(map[framecrypt.Leaf]e2ee.Member, len(o.Members))
	for i, m := range o.Members {
		leaves[i] = m.Leaf
		roster[m.Leaf] = m
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.ring.Start(o.Epoch, o.Own, leaves, o.Removed, o.BaseKey); err != nil {
		return err
	}
	k.rosters[o.Epoch] = roster
	k.span.enter(o.Epoch, now)
	k.version.Add(1)
	return nil
}

func (k *keyring) sendWith(epoch framecrypt.Epoch) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.ring.SendWith(epoch)
}

func (k *keyring) end(epoch framecrypt.Epoch) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ring.End(epoch)
	delete(k.rosters, epoch)
}

// leave says that the participant is not a member for now.
func (k *keyring) leave() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.span.member = false
}

// seal appends the sealed frame to dst. An empty frame seals to nothing.
func (k *keyring) seal(dst []byte, ctx framecrypt.Context, codec framecrypt.Codec, frame []byte) ([]byte, Sealed, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	epoch, _ := k.ring.Sending()
	out, err := k.ring.Seal(dst, ctx, codec, frame)
	if err != nil || len(frame) == 0 {
		return out, Sealed{}, err
	}
	header, err := headerOf(codec, out[len(dst):])
	return out, Sealed{KID: header.KID, Epoch: epoch, CTR: header.CTR}, err
}

// headerOf reads the SFrame header behind the clear bytes.
func headerOf(codec framecrypt.Codec, sealed []byte) (sframe.Header, error) {
	n, err := framecrypt.ClearPrefix(codec, sealed)
	if err != nil {
		return sframe.Header{}, err
	}
	h, _, err := sframe.ParseHeader(sealed[n:])
	return h, err
}

// open appends the opened frame to dst and says whose it is.
func (k *keyring) open(dst []byte, codec framecrypt.Codec, frame []byte) ([]byte, framecrypt.Info, e2ee.Member, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	out, info, err := k.ring.Open(dst, codec, frame)
	return out, info, k.rosters[info.Epoch][info.Leaf], err
}

// owed says whether this participant should have had the key of a frame that gave
// [framecrypt.ErrMissingKey]: that of an epoch since it became a member. Before that
// nobody expects it to have one: a joiner's slots fill before its Welcome comes, and
// senders take up to a second to change to the epoch that it is in.
func (k *keyring) owed(info framecrypt.Info, now time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.span.owes(info.KID, now)
}

func (s *span) enter(epoch framecrypt.Epoch, now time.Time) {
	switch {
	case s.last.Generation != epoch.Generation && s.last != (framecrypt.Epoch{}):
		s.regrouped, s.first = now, epoch
	case !s.member || epoch.Number != s.last.Number+1:
		s.first = epoch
	}
	s.member, s.last = true, epoch
}

func (s *span) owes(kid sframe.KID, now time.Time) bool {
	_, _, mod, ok := framecrypt.SplitKID(kid)
	if !ok {
		return true
	}
	if !s.member || !s.regrouped.IsZero() && now.Sub(s.regrouped) < regroupTime {
		return false
	}
	// The KID has the epoch mod 64: half of the range is before the span, half in it.
	const half = 32
	first := s.first.Number
	if s.last.Number >= first+half {
		first = s.last.Number - half + 1
	}
	return (mod-uint8(first))%(2*half) < half
}

// failure is why a frame was not opened, as a stable code.
func failure(err error) string {
	if code := framecrypt.CodeOf(err); code != "" {
		return code
	}
	return "internal"
}

func missing(err error) bool { return errors.Is(err, framecrypt.ErrMissingKey) }
