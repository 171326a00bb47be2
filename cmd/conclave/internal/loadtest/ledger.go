package loadtest

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/conclave-sfu/conclave/e2ee/framecrypt"
	"github.com/conclave-sfu/conclave/e2ee/sframe"
	"github.com/conclave-sfu/conclave/room/client"
)

// ledgerTime is for how many seconds of frames the ledger has room: longer than a
// frame can be under way.
const ledgerTime = 10

// framesPerSecond is how many frames a publisher sends: 50 of audio, and of video 15
// of the clip or 30 of each layer that is synthetic.
func framesPerSecond(c clip) int {
	n := 50
	for _, r := range c.video {
		n += int(90000 / r.ticks)
	}
	return n
}

// track is a publisher's track. Its address is its identity.
type track struct {
	publisher  string
	recordings []*recording // of the layers, lowest first
	// started is when its first frame was sealed, in nanoseconds since the Unix epoch.
	started atomic.Int64
	// sealed are its frames so far, begun when each epoch began for it. Guarded by the
	// ledger's mu.
	sealed tally
	begun  []beginning
}

// stream is a track under the keys of one epoch.
type stream struct {
	epoch framecrypt.Epoch
	kid   sframe.KID
}

// sealing is what is known of a frame that was sealed.
type sealing struct {
	recording *recording
	frame     int // in the recording
	at        time.Time
	tally     tally // of the track, with the frame
}

// ledger says what was sealed under which KID and CTR. Publishers write it, all
// receivers read it.
type ledger struct {
	mu      sync.RWMutex
	entries map[client.Sealed]sealing // Guarded by mu.
	order   []client.Sealed           // Guarded by mu. A ring: the oldest makes room.
	oldest  int                       // Guarded by mu.
	tracks  map[stream]*track         // Guarded by mu. Few: one an epoch and track.

	// bounds are those of the phases so far: two a phase at most.
	bounds atomic.Pointer[[]bound]
}

func newLedger(publishers, framesPerSecond int) *ledger {
	l := &ledger{
		entries: make(map[client.Sealed]sealing),
		order:   make([]client.Sealed, max(publishers, 1)*framesPerSecond*ledgerTime),
		tracks:  make(map[stream]*track),
	}
	l.bounds.Store(new([]bound))
	return l
}

// enter records that a frame of the track is about to be sent.
func (l *ledger) enter(by client.Sealed, t *track, s sealing) {
	t.started.CompareAndSwap(0, s.at.UnixNano())
	l.mu.Lock()
	defer l.mu.Unlock()
	key := stream{by.Epoch, by.KID}
	if l.tracks[key] == nil {
		l.tracks[key] = t
		t.begun = append(t.begun, beginning{by.Epoch, t.sealed})
	}
	t.sealed[s.recording.layer]++
	s.tally = t.sealed
	delete(l.entries, l.order[l.oldest])
	l.order[l.oldest] = by
	l.oldest = (l.oldest + 1) % len(l.order)
	l.entries[by] = s
}

// since gives what of a track was sealed before its first frame of an epoch, or of a later
// one; ok is false if there is none yet.
func (l *ledger) since(t *track, epoch framecrypt.Epoch) (before tally, ok bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	i := slices.IndexFunc(t.begun, func(b beginning) bool { return !b.epoch.Less(epoch) })
	if i < 0 {
		return tally{}, false
	}
	return t.begun[i].sealed, true
}

// enterPhase has a phase begin; uncounted ends the last one.
func (l *ledger) enterPhase(index int) {
	b := bound{index, make(map[*track]tally)}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range l.tracks {
		b.sealed[t] = t.sealed
	}
	bounds := append(slices.Clone(*l.bounds.Load()), b)
	l.bounds.Store(&bounds)
}

// knows says whether a frame is one of the track's recordings.
func (t *track) knows(d digest) bool {
	for _, r := range t.recordings {
		if r.known[d] {
			return true
		}
	}
	return false
}

// find gives the track that a frame was sent on, nil if it was not one of ours, and
// what was sealed; ok is false if that is so long ago that it has made room.
func (l *ledger) find(by client.Sealed) (t *track, s sealing, ok bool) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	s, ok = l.entries[by]
	return l.tracks[stream{by.Epoch, by.KID}], s, ok
}

// videos gives the tracks that show something, in no order.
func (l *ledger) videos() []*track {
	l.mu.RLock()
	defer l.mu.RUnlock()
	seen := make(map[*track]bool)
	for _, t := range l.tracks {
		if t.recordings[0].video() {
			seen[t] = true
		}
	}
	return slices.Collect(maps.Keys(seen))
}

// histogram counts durations in buckets of which each is 1/32 wider than the one
// before. Its methods may be called from any goroutine.
type histogram struct {
	buckets [64 * subBuckets]atomic.Uint64
}

// subBuckets is the number of buckets from one power of two to the next.
const subBuckets = 32

func bucketOf(us uint64) int {
	if us < subBuckets {
		return int(us)
	}
	shift := 0
	for us>>shift >= 2*subBuckets {
		shift++
	}
	return shift*subBuckets + int(us>>shift)
}

// lowerBound is the smallest number of microseconds that falls into a bucket.
func lowerBound(bucket int) uint64 {
	if bucket < 2*subBuckets {
		return uint64(bucket)
	}
	shift := bucket/subBuckets - 1
	return uint64(bucket-shift*subBuckets) << shift
}

func (h *histogram) add(d time.Duration) {
	h.buckets[bucketOf(uint64(max(d, 0).Microseconds()))].Add(1)
}

// quantile gives the q-quantile (nearest rank) in milliseconds, 0 of nothing.
func (h *histogram) quantile(q float64) float64 {
	var total uint64
	for i := range h.buckets {
		total += h.buckets[i].Load()
	}
	if total == 0 {
		return 0
	}
	rank := nearestRank(total, q)
	for i := range h.buckets {
		n := h.buckets[i].Load()
		if rank <= n {
			return float64(lowerBound(i)) / 1000
		}
		rank -= n
	}
	return 0
}
