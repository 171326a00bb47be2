package sfu

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/conclave-sfu/conclave/sfu/packetmap"
)

// A publisher whose line has become thin stops its upper encodings without a word, and
// slots that carry one of them stand still. That an encoding has stalled shows in the
// others: they go on. Where all are idle, the source is: a screen on which nothing moves.

const (
	// An encoding has stalled if nothing came of it for as long as stallFrames of its
	// frames take, but not less than minStall nor more than maxStall, and stallProof frames of
	// another began meanwhile.
	stallFrames = 5
	stallProof  = 3
	minStall    = 200 * time.Millisecond
	maxStall    = time.Second

	// It counts again once it has flowed for minSteady; for twice as long each time that it
	// stalls within calmAfter of its return, up to maxSteady. What loses more than every
	// lostOf-th packet does not flow: it is the rest of what a full line has taken.
	minSteady = 500 * time.Millisecond
	maxSteady = 8 * time.Second
	calmAfter = 30 * time.Second
	lostOf    = 2
	lostLeast = 8 // packets that are due, before this is judged
)

// flow compares the encodings of one publication.
type flow struct {
	changed func() // is called where one has stalled or is back; must not block

	mu     sync.Mutex
	pulses []*pulse // Guarded by mu.
}

// pulse follows the frames of one encoding.
type pulse struct {
	flow *flow
	// at is when the latest packet in order came, stalled whether nothing comes.
	at      atomic.Int64
	stalled atomic.Bool

	// Owned by the goroutine that reads the stream: the timestamp of the latest frame, and
	// how many packets came in order.
	stamp   uint32
	begun   bool
	packets int64

	// Guarded by the flow's lock.
	rhythm
}

// rhythm is what is remembered of the frames of one encoding. Times are nanoseconds.
type rhythm struct {
	// interval is that between frames, smoothed, by their timestamps; 0 if not known.
	interval int64
	// starts are when the latest frames began, the latest first.
	starts [stallProof]int64
	// steady is how long it has to flow until it counts again, since is from when on it has;
	// from is where it was then.
	steady, since int64
	from          progress
	// backAt is when it counted again last.
	backAt int64
}

// progress is how far a stream has come: to a packet's number, with so many received.
type progress struct{ number, packets int64 }

// broken says whether more than every lostOf-th packet was lost from there on.
func (p progress) broken(to progress) bool {
	due := to.number - p.number
	return due >= lostLeast && lostOf*(to.packets-p.packets) < due
}

// join adds an encoding.
func (f *flow) join() *pulse {
	p := &pulse{flow: f}
	p.renew()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pulses = append(f.pulses, p)
	return p
}

// renew forgets what was: nothing is expected until a packet comes.
func (p *pulse) renew() {
	p.flow.mu.Lock()
	defer p.flow.mu.Unlock()
	p.rhythm = rhythm{interval: p.interval, backAt: never}
	for i := range p.starts {
		p.starts[i] = never
	}
	p.at.Store(never)
	p.stalled.Store(false)
}

// leave takes it out.
func (f *flow) leave(p *pulse) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pulses = slices.DeleteFunc(f.pulses, func(other *pulse) bool { return other == p })
}

// beat notes a packet in order, by its number. It belongs to the goroutine that reads the stream.
func (p *pulse) beat(number int64, stamp uint32, now int64) {
	p.at.Store(now)
	p.packets++
	if p.begun && stamp == p.stamp {
		return
	}
	step := int64(0)
	if p.begun {
		step = int64(packetmap.Duration(int64(int32(stamp-p.stamp)), packetmap.VideoRate))
	}
	p.stamp, p.begun = stamp, true
	if p.flow.frame(p, progress{number, p.packets}, step, now) {
		p.flow.changed()
	}
}

// frame notes that a frame of p begins, and says whether that changes what flows.
func (f *flow) frame(p *pulse, at progress, step, now int64) (changed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p.begins(at, step, now)
	if p.stalled.Load() && p.isSteady(now) {
		p.stalled.Store(false)
		changed = true
	}
	for _, other := range f.pulses {
		if other == p || other.stalled.Load() || !other.stalls(other.at.Load(), &p.rhythm, now) {
			continue
		}
		other.stall(now)
		other.stalled.Store(true)
		changed = true
	}
	return changed
}

// begins notes a frame that begins at a progress, step after the one before by its timestamp; 0
// if that is not known.
func (r *rhythm) begins(at progress, step, now int64) {
	if now-r.starts[0] > r.patience() || r.from.broken(at) {
		r.since, r.from = now, at
	}
	if step > 0 && step <= int64(maxStall) {
		if r.interval == 0 {
			r.interval = step
		}
		r.interval += (step - r.interval) / 8
	}
	copy(r.starts[1:], r.starts[:])
	r.starts[0] = now
}

// patience is for how long nothing may come.
func (r *rhythm) patience() int64 {
	if r.interval == 0 {
		return int64(maxStall)
	}
	return min(max(stallFrames*r.interval, int64(minStall)), int64(maxStall))
}

// stalls says whether an encoding whose latest packet came at a time has stalled, by the
// frames of another.
func (r *rhythm) stalls(at int64, other *rhythm, now int64) bool {
	return at != never && now-at >= r.patience() && other.starts[stallProof-1] > at
}

// stall notes that it has stalled.
func (r *rhythm) stall(now int64) {
	if now-r.backAt >= int64(calmAfter) {
		r.steady = int64(minSteady)
		return
	}
	r.steady = min(2*r.steady, int64(maxSteady))
}

// isSteady says whether it has flowed for long enough to count again.
func (r *rhythm) isSteady(now int64) bool {
	if now-r.since < r.steady {
		return false
	}
	r.backAt = now
	return true
}

// stalled says whether the stream has stopped while other encodings of its source go on.
func (u *upTrack) stalled() bool {
	p := u.pulse.Load()
	return p != nil && p.stalled.Load()
}

// follow compares an encoding of a simulcast with the others. The caller holds the room's
// lock.
func (p *publication) follow(u *upTrack, changed func()) {
	if !u.video || u.rid == "" {
		return
	}
	if len(p.layers) == 0 || p.flow == nil {
		p.flow = &flow{changed: changed}
	}
	u.pulse.Store(p.flow.join())
}

// unfollow ends that.
func (u *upTrack) unfollow() {
	if p := u.pulse.Swap(nil); p != nil {
		p.flow.leave(p)
	}
}

// resumes says that u is asked for again: that it was not sent meanwhile means nothing.
func (u *upTrack) resumes() {
	if p := u.pulse.Load(); p != nil {
		p.renew()
	}
}

// noteStalls takes over which encodings flow, of those that are asked for and are due. It
// is true if these are others than before. The caller holds the room's lock.
func (p *publication) noteStalls(now int64) (changed bool) {
	for _, e := range p.layers {
		stalled := e.up.stalled() && !e.paused && now >= e.dueBy
		if stalled == e.stalled {
			continue
		}
		e.stalled, changed = stalled, true
		e.silent = e.silent && stalled // else it is measured anew
	}
	p.stale = p.stale || changed
	return changed
}

// flowed has keepHouse see which encodings flow. It does not block.
func (r *room) flowed() { r.wakeFor(r.flows) }

// followFlow has slots leave the encodings that have stalled.
func (r *room) followFlow(now int64) {
	r.eachPublication(func(p *publication) {
		if p.noteStalls(now) {
			r.touch(p.key)
		}
	})
	locked(r, r.settle)
}
