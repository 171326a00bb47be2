package loadtest

import (
	"context"
	"time"

	"github.com/conclave-sfu/conclave/sfu/impair"
)

// WatchInterval is the time between two sightings.
const WatchInterval = 250 * time.Millisecond

// phase is a time under certain conditions. Immutable once it has begun, but for what
// its end adds.
type phase struct {
	index int
	name  string
	began time.Time

	// Set by its end.
	took     time.Duration
	up, down impair.Counts // before the end, those at its beginning
}

// Sighting is what is seen while measuring.
type Sighting struct {
	At   time.Duration // since the first of all conditions
	Step Step
	// Received are the bits a second, and Frames the frames a second, that each impaired
	// participant could show, or everybody where nobody is.
	Received, Frames float64
	// Missing is how many subscriptions have had no frame yet.
	Missing int
}

// Names of phases that are none of the steps.
const (
	joining = "joining" // until every video is seen, which no report tells of
	after   = "after"
)

// measure goes through the phases, and gives for how long.
func (r *run) measure(ctx context.Context) time.Duration {
	if len(r.Steps) > 0 {
		r.begin(joining, Step{})
		r.Progress.show("waiting until every video is seen")
		r.awaitVideos(ctx, settleTime)
		r.end()
	}
	begin := time.Now()
	r.each(ctx, func(name string, s Step) {
		r.begin(name, s)
		r.wait(ctx, begin, s)
		if name == after {
			r.awaitVideos(ctx, r.RecoverWithin-r.Recovery)
		}
		r.end()
	})
	r.watchAll()
	for _, p := range r.all {
		p.stopWatching(time.Now(), r.phases[len(r.phases)-1])
	}
	r.now.Store(nil)
	r.checker.ledger.enterPhase(uncounted)
	took := time.Since(begin)
	r.cutOff = r.awaitServer(ctx, begin)
	return took
}

// comeBack is how long whoever is cut off at the end has to come back by itself, as they do once they
// get to run: where the whole machine stood still, everybody is cut off for a moment.
const comeBack = 5 * time.Second

// awaitServer counts those who are cut off, and remain so.
func (r *run) awaitServer(ctx context.Context, began time.Time) (cutOff int) {
	tick := time.NewTicker(pollTime)
	defer tick.Stop()
	for end := time.Now(); ; {
		if cutOff = r.countCutOff(began); cutOff == 0 || time.Since(end) >= comeBack {
			return cutOff
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return cutOff
		}
	}
}

// silence is how long nothing may come to a participant that others send to: sound has 50
// frames a second. It is more than a short outage, and than ICE takes to restart.
const silence = 5 * time.Second

// countCutOff counts the participants that are there and have lost the server, or to whom
// nothing comes any more, at the end of a measurement that began at a time.
func (r *run) countCutOff(began time.Time) (n int) {
	for i, p := range r.all {
		if p.client == nil || p.client.Err() != nil {
			continue // these have failures of their own
		}
		sent := r.Publishers > 1 || r.Publishers == 1 && i > 0
		if !p.client.Stats().Connected || sent && time.Since(began) > silence && p.isSilent(time.Now()) {
			n++
		}
	}
	return n
}

// each calls do for each phase that is reported.
func (r *run) each(ctx context.Context, do func(name string, s Step)) {
	if len(r.Steps) == 0 {
		s := Step{For: r.Duration}
		do(s.String(), s)
		return
	}
	for _, s := range r.Steps {
		if ctx.Err() == nil {
			do(s.String(), s)
		}
	}
	if r.Recovery > 0 && ctx.Err() == nil {
		do(after, Step{For: r.Recovery})
	}
}

// awaitVideos waits until every video is seen without a freeze, as far as they are.
func (r *run) awaitVideos(ctx context.Context, atMost time.Duration) {
	tick := time.NewTicker(pollTime)
	defer tick.Stop()
	for begin := time.Now(); time.Since(begin) < atMost; {
		if r.smooth() >= r.Publishers*(len(r.all)-1) {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// smooth is how many videos are seen without a freeze in the phase that there is.
func (r *run) smooth() (n int) {
	for _, p := range r.all {
		n += p.smooth(len(r.phases) - 1)
	}
	return n
}

// begin sets the conditions of a step.
func (r *run) begin(name string, s Step) {
	p := &phase{index: len(r.phases), name: name, began: time.Now()}
	p.up, p.down = r.relayed()
	for _, participant := range r.all {
		if participant.network != nil {
			participant.network.set(s.Up, s.Down)
		}
	}
	r.phases = append(r.phases, p)
	r.checker.ledger.enterPhase(p.index)
	r.now.Store(p)
}

// end notes what happened in the phase that there is.
func (r *run) end() {
	p := r.phases[len(r.phases)-1]
	p.took = time.Since(p.began)
	up, down := r.relayed()
	p.up, p.down = up.Minus(p.up), down.Minus(p.down)
}

// wait lets a step's time pass.
func (r *run) wait(ctx context.Context, begin time.Time, s Step) {
	end := time.NewTimer(s.For)
	defer end.Stop()
	tick := time.NewTicker(WatchInterval)
	defer tick.Stop()
	at := time.Now()
	bytes, frames := r.opened()
	for {
		select {
		case <-end.C:
			return
		case <-ctx.Done():
			return
		case <-tick.C:
			r.Progress.show("measuring: %s, %d frames, %d wrong", s, r.checker.right.Load(), r.checker.wrong.Load())
			now := time.Now()
			moreBytes, moreFrames := r.opened()
			seconds := now.Sub(at).Seconds()
			seen := Sighting{now.Sub(begin), s, 8 * (moreBytes - bytes) / seconds, (moreFrames - frames) / seconds, r.missing()}
			if r.Watch != nil {
				r.Watch(seen)
			}
			if r.Enough != nil && r.Enough(seen) {
				return
			}
			bytes, frames, at = moreBytes, moreFrames, now
		}
	}
}

// missing counts the subscriptions of which no frame has come.
func (r *run) missing() int {
	n := r.expected()
	for _, p := range r.all {
		n -= len(p.firsts())
	}
	return n
}

// expected is how many subscriptions there are: everybody's, to the tracks of the others.
func (r *run) expected() int { return 2 * r.Publishers * (len(r.all) - 1) }

// watched are those who receive by a bad network, or all who receive if nobody's is.
func (r *run) watched() []*participant {
	receivers := r.all
	if r.Publishers == 1 && len(r.all) > 1 {
		receivers = r.all[1:]
	}
	var bad []*participant
	for _, p := range receivers {
		if p.network != nil {
			bad = append(bad, p)
		}
	}
	if bad == nil {
		return receivers
	}
	return bad
}

// opened gives the mean of what the watched have opened of video.
func (r *run) opened() (bytes, frames float64) {
	watched := r.watched()
	for _, p := range watched {
		b, f := p.opened()
		bytes, frames = bytes+float64(b), frames+float64(f)
	}
	return bytes / float64(len(watched)), frames / float64(len(watched))
}

// watchAll has every participant that joined watch every video of the others, also those of
// which nothing has come, if its slots are enough for them.
func (r *run) watchAll() {
	if r.Publishers > maxSlots {
		return
	}
	for _, t := range r.checker.ledger.videos() {
		for _, p := range r.all {
			if p.client != nil && p.name != t.publisher {
				p.watch(t)
			}
		}
	}
}

// relayed sums what the relays did.
func (r *run) relayed() (up, down impair.Counts) {
	for _, p := range r.all {
		if p.network != nil {
			u, d := p.network.counts()
			up, down = up.Plus(u), down.Plus(d)
		}
	}
	return up, down
}
