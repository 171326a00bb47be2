//go:build linux

package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/conclave-sfu/conclave/room/signal"
)

// part is what one part of a crowd's meeting cost the server.
type part struct {
	Name        string
	Took        time.Duration
	CPU, System time.Duration // processor time
	Packets     int64         // that arrived
	Lost        int64
	P50, P99    time.Duration // from send to arrival
}

// crowdReport is what a crowd showed.
type crowdReport struct {
	Participants, Tiles, Voices, Speakers int

	Parts []part
	// Videos and VoicesHeard are what each participant received while nobody scrolled or spoke:
	// the least and the most. Strays are packets of what was not shown, over all.
	Videos, VoicesHeard [2]int
	Strays              int
	// Answers are those to offers, Joins the participants, the usher too: one each.
	Answers, Joins int
	// Said is how many messages of each type a participant was sent until all had joined, on
	// average; SaidBytes their bytes.
	Said      map[signal.Type]float64
	SaidBytes int64

	Scrolls, Tiled, Passed int              // views, tiles that came, tiles that were gone before they came
	Seen                   [3]time.Duration // 50 %, 99 %, the last
	Turns                  int
	Heard                  [3]time.Duration
	// TurnedAudio is how often a slot was given another voice, for each participant and each time
	// that somebody began to speak or coughed; Floors how often the usher was shown another speaker.
	Coughs      int
	TurnedAudio float64
	Floors      int

	// Memory and goroutines for each participant, of the server beyond the empty one.
	Memory     int64
	Goroutines float64
}

// crowdRun is one under way.
type crowdRun struct {
	*gathering
	settings settings
	server   *conclave
	report   crowdReport
}

// runCrowd measures a crowd at a server of its own.
func runCrowd(ctx context.Context, c crowd, s settings, profiles string) (crowdReport, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	server, err := startServer(ctx, s.server)
	if err != nil {
		return crowdReport{}, err
	}
	defer server.stop()
	read, err := newReader()
	if err != nil {
		return crowdReport{}, err
	}
	defer read.close()
	r := &crowdRun{gathering: newGathering(c, read, server.url, s.seed), settings: s, server: server}
	r.settings.profile = profiles
	defer r.meeting.end()
	r.report = crowdReport{Participants: c.participants, Tiles: c.tiles, Voices: c.voices, Speakers: c.speakers, Joins: len(r.viewers)}
	if err := r.measure(ctx); err != nil {
		return r.report, fmt.Errorf("crowd: %w", err)
	}
	return r.report, nil
}

func (r *crowdRun) measure(ctx context.Context) error {
	before, err := metrics(ctx, r.server.admin)
	if err != nil {
		return err
	}
	empty, err := r.server.memory()
	if err != nil {
		return err
	}
	for _, p := range []struct {
		name     string
		do       func(context.Context) error
		profiled time.Duration
	}{
		{"joining", r.begin, joiningProfiled},
		{"settling", r.settle, 0},
		{"looking", r.look, r.steady},
		{"scrolling", r.scrolls, r.scrolling},
		{"speaking", r.talks, r.talking},
	} {
		if err := r.part(ctx, p.name, p.profiled, p.do); err != nil {
			return err
		}
		if p.name == "looking" {
			r.countMessages()
		}
	}
	r.countAnswers()
	full, err := r.server.memory()
	if err != nil {
		return err
	}
	after, err := metrics(ctx, r.server.admin)
	if err != nil {
		return err
	}
	r.report.Memory = (full - empty) / int64(len(r.viewers))
	r.report.Goroutines = (after["go_goroutines"] - before["go_goroutines"]) / float64(len(r.viewers))
	return nil
}

// joiningProfiled is how long a profile of the joins takes.
const joiningProfiled = 8 * time.Second

// part measures one part, and profiles it for a while.
func (r *crowdRun) part(ctx context.Context, name string, profiled time.Duration, do func(context.Context) error) error {
	if r.settings.profile != "" && profiled > 0 {
		ended := make(chan error, 1)
		file := r.settings.profile + "-" + name + ".pprof"
		go func() { ended <- profile(ctx, r.server.admin, file, profiled) }()
		defer func() { <-ended }()
	}
	read := r.meeting.reader
	read.openWindow()
	began := time.Now()
	before, systemBefore, err := r.server.processorTime()
	if err != nil {
		return err
	}
	if err := do(ctx); err != nil {
		return fmt.Errorf("%s (%s): %w", name, r.lines(), err)
	}
	after, systemAfter, err := r.server.processorTime()
	if err != nil {
		return err
	}
	p := part{Name: name, Took: time.Since(began), CPU: after - before, System: systemAfter - systemBefore}
	t := read.shutWindow()
	slices.Sort(t.delays)
	p.Packets, p.Lost, p.P50, p.P99 = t.packets, t.lost, quantile(t.delays, 0.5), quantile(t.delays, 0.99)
	r.report.Parts = append(r.report.Parts, p)
	r.sumStrays()
	return nil
}

// lines says what the server holds the participants' lines to take of what they want.
func (r *crowdRun) lines() string {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	values, err := metrics(ctx, r.server.admin)
	if err != nil {
		return err.Error()
	}
	wanted := values["conclave_media_wanted_bits"]
	return fmt.Sprintf("lines get %.0f %% of %.1f Mbit/s", 100*values["conclave_media_allocated_bits"]/max(wanted, 1), wanted/1e6)
}

func (r *crowdRun) sumStrays() {
	for _, v := range r.viewers {
		r.report.Strays += v.counted().strays
	}
	for _, v := range r.viewers {
		v.begin()
	}
}

// look counts what each is sent while nobody scrolls or speaks.
func (r *crowdRun) look(ctx context.Context) error {
	if err := r.count(ctx, r.steady); err != nil {
		return err
	}
	first := true
	for _, v := range r.viewers[:r.participants] {
		videos, voices, ok := v.exact()
		if !ok {
			return fmt.Errorf("participant %d received what it does not look at", v.number)
		}
		if first {
			r.report.Videos, r.report.VoicesHeard, first = [2]int{videos, videos}, [2]int{voices, voices}, false
		}
		r.report.Videos = widen(r.report.Videos, videos)
		r.report.VoicesHeard = widen(r.report.VoicesHeard, voices)
	}
	return nil
}

func widen(r [2]int, n int) [2]int { return [2]int{min(r[0], n), max(r[1], n)} }

// countMessages averages what the participants were told until now.
func (r *crowdRun) countMessages() {
	r.report.Said = map[signal.Type]float64{}
	for _, v := range r.viewers {
		v.ask(func(v *viewer) bool {
			for kind, n := range v.said {
				r.report.Said[kind] += float64(n) / float64(len(r.viewers))
			}
			r.report.SaidBytes += v.saidBytes / int64(len(r.viewers))
			return true
		})
	}
}

func (r *crowdRun) countAnswers() {
	for _, v := range r.viewers {
		r.report.Answers += v.messages(signal.TypeAnswer)
	}
}

// scrolls measures how fast what is looked at comes.
func (r *crowdRun) scrolls(ctx context.Context) error {
	times, err := r.scroll(ctx)
	if err != nil {
		return err
	}
	var seen []time.Duration
	for _, v := range r.viewers[:r.participants] {
		c := v.counted()
		seen = append(seen, c.seenAfter...)
		r.report.Passed += c.passed
	}
	r.report.Scrolls, r.report.Tiled, r.report.Seen = times, len(seen), spread(seen)
	return nil
}

// spread gives the middle, the one that a hundredth exceeds, and the last.
func spread(list []time.Duration) [3]time.Duration {
	slices.Sort(list)
	return [3]time.Duration{quantile(list, 0.5), quantile(list, 0.99), quantile(list, 1)}
}

// talks measures how fast who speaks is heard, and how often slots change.
func (r *crowdRun) talks(ctx context.Context) error {
	turns, coughs, err := r.talk(ctx)
	if err != nil {
		return err
	}
	var heard []time.Duration
	changes := 0
	for _, v := range r.viewers[:r.participants] {
		c := v.counted()
		heard = append(heard, c.heardAfter...)
		changes += c.turnedAudio
	}
	r.report.Turns, r.report.Coughs, r.report.Heard = turns, coughs, spread(heard)
	r.report.Floors = r.usher().counted().turnedVideo
	r.report.TurnedAudio = float64(changes) / float64(max(turns+coughs, 1)*r.participants)
	return nil
}
