package loadtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/conclave-sfu/conclave/e2ee"
	"github.com/conclave-sfu/conclave/room/client"
)

// MaxParticipants bounds a scenario.
const MaxParticipants = 500

const (
	// rampWidth is how many join at a time: as many as one server may well see at once
	// when a meeting begins, few enough that one machine does both sides.
	rampWidth   = 2
	joinTimeout = 60 * time.Second
	// A common quiet moment: all in one epoch, and still so after quietTime. When there
	// is none within settleTime, the participants do not agree, and the report says so.
	quietTime  = 500 * time.Millisecond
	settleTime = 15 * time.Second
	pollTime   = 100 * time.Millisecond
)

// ErrJoin: nobody could join.
var ErrJoin = errors.New("nobody could join")

// Scenario is what to do.
type Scenario struct {
	Link e2ee.Link
	// Publishers send the clip and receive, Subscribers only receive.
	Publishers, Subscribers int
	// Way is how media goes between all of them and the server; empty: by UDP.
	Way client.Way
	// Duration is how long to measure once all have joined, if there are no Steps.
	Duration time.Duration
	// Layers are the bit rates of synthetic video, lowest first; more than one make a
	// simulcast. None: the recorded clip.
	Layers []Bits
	// Steps are conditions of the network, one after another, once all have joined by a
	// network as it is. After them Recovery is measured without. Impaired says whose
	// network it is, and equal seeds make equal networks.
	Steps    []Step
	Recovery time.Duration
	// RecoverWithin, if longer, is how long at most to wait after Recovery until every
	// video is seen without a freeze.
	RecoverWithin time.Duration
	Impaired      Who
	Seed          uint64
	// Watch, if set, is called about WatchInterval while measuring, with what is known.
	Watch func(Sighting)
	// Enough, if set, is asked after each sighting, and ends the step when it says so: the
	// step's time, or Duration, is then the longest that it may take.
	Enough func(Sighting) bool
	// Progress shows how it goes; nil for silence.
	Progress *Progress
	// Logger takes what the participants say; nil for nothing.
	Logger *zap.Logger
}

// run is a scenario under way.
type run struct {
	Scenario
	clip    clip
	checker *checker
	all     []*participant
	now     atomic.Pointer[phase]
	phases  []*phase
	cutOff  int // participants, at the end
}

// Run carries out a scenario. When ctx ends, it ends early and reports what there is.
// The error is [ErrJoin], or that of a broken clip; what went wrong in the meeting is
// in the report.
func Run(ctx context.Context, s Scenario) (*Report, error) {
	c, err := clipWith(s.Layers)
	if err != nil {
		return nil, err
	}
	if s.Logger == nil {
		s.Logger = zap.NewNop()
	}
	r := &run{Scenario: s, clip: c, checker: &checker{ledger: newLedger(s.Publishers, framesPerSecond(c))}}
	for i := range s.Publishers + s.Subscribers {
		p := newParticipant(r.name(i), r.checker, &r.now)
		if len(s.Steps) > 0 && s.Impaired.includes(i, s.Publishers, s.Publishers+s.Subscribers) {
			p.network = newRelays(s.Seed + uint64(i)<<16)
		}
		r.all = append(r.all, p)
	}
	defer leave(r.all)
	defer s.Progress.done()
	r.rampUp(ctx)
	if rosters(r.all) == nil {
		return nil, fmt.Errorf("%w: %w", ErrJoin, errors.Join(r.joinErrors()...))
	}
	measured := r.measure(ctx)
	last := r.settle(ctx)
	return newReport(r, last, measured), nil
}

func (r *run) name(i int) string {
	if i < r.Publishers {
		return fmt.Sprintf("Publisher %d", i+1)
	}
	return fmt.Sprintf("Subscriber %d", i-r.Publishers+1)
}

// rampUp lets all join, the first alone, publishers before subscribers. Where the
// first cannot join the others are not let try.
func (r *run) rampUp(ctx context.Context) {
	if r.join(ctx, 0); r.all[0].err != nil {
		return
	}
	var g errgroup.Group
	g.SetLimit(rampWidth)
	for i := 1; i < len(r.all); i++ {
		r.Progress.show("joining: %d of %d", i, len(r.all))
		g.Go(func() error { r.join(ctx, i); return nil })
	}
	_ = g.Wait() // the errors are the participants'
}

func (r *run) join(ctx context.Context, i int) {
	ctx, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	cfg := config(r.Link, r.Publishers, len(r.Layers) > 1)
	cfg.Logger, cfg.Way = r.Logger.Named(r.name(i)), r.Way
	if i < r.Publishers {
		cfg.Publish = tracksOf(r.name(i), r.clip, r.checker.ledger)
	}
	r.all[i].join(ctx, cfg)
}

// settle waits for a common quiet moment and gives the rosters of that moment.
func (r *run) settle(ctx context.Context) []client.Roster {
	r.Progress.show("waiting until all are in one epoch")
	tick := time.NewTicker(pollTime)
	defer tick.Stop()
	since := time.Now()
	last := rosters(r.all)
	for begin := since; time.Since(begin) < settleTime; {
		now := rosters(r.all)
		if !quiet(now) || !slices.EqualFunc(now, last, sameEpoch) {
			since = time.Now()
		}
		last = now
		if time.Since(since) >= quietTime {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return last
		}
	}
	return last
}

func sameEpoch(a, b client.Roster) bool { return a.Epoch == b.Epoch }

func (r *run) joinErrors() []error {
	var errs []error
	for _, p := range r.all {
		if p.err != nil {
			errs = append(errs, p.err)
		}
	}
	return errs
}
