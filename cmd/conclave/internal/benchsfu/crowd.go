//go:build linux

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/offer"
	"github.com/conclave-sfu/conclave/room/signal"
)

// crowd is the workload of a large room: everybody sends a camera and a microphone, is shown the
// cameras of some others, scrolls, and hears some voices. Beside them an usher has one slot for
// video and wants all who speak: it is shown who has the floor.
type crowd struct {
	participants int
	tiles        int // videos that each is shown
	voices       int // slots for audio that each offers
	speakers     int // who take turns
	rate         float64
	feedback     time.Duration

	// How long each part takes.
	steady, scrolling, talking time.Duration
}

var usualCrowd = crowd{
	participants: 500, tiles: 25, voices: 8, speakers: 30, rate: 0.02, feedback: 100 * time.Millisecond,
	steady: 6 * time.Second, scrolling: 12 * time.Second, talking: 18 * time.Second,
}

// of is a crowd of another size; 0 changes nothing.
func (c crowd) of(participants int) crowd {
	if participants > 0 {
		c.participants = participants
		c.speakers = min(c.speakers, participants)
	}
	return c
}

// at changes how often cameras send a frame.
func (c crowd) at(rate float64) crowd {
	c.rate *= rate
	return c
}

// What is scrolled by: a row of tiles, or, once in jumpEvery times, to another place; each
// participant once in scrollInterval, on average.
const (
	rowTiles       = 5
	jumpEvery      = 4
	scrollInterval = 4 * time.Second
)

// Turns of those who speak: how long, with one after the other, and once in coughEvery turns
// somebody else for coughTime.
const (
	leastTurn  = 2500 * time.Millisecond
	mostTurn   = 4000 * time.Millisecond
	coughEvery = 2
	coughTime  = 300 * time.Millisecond
)

// gathering is a crowd that has come to a server.
type gathering struct {
	crowd
	meeting *meeting
	viewers []*viewer // the usher is the last one
	voices  []*voice
	random  *rand.Rand
}

// newGathering is to begin in the room that url names.
func newGathering(c crowd, read *reader, url string, seed uint64) *gathering {
	g := &gathering{crowd: c, random: rand.New(rand.NewPCG(seed, 500)), voices: make([]*voice, c.participants)}
	g.meeting = &meeting{
		workload: workload{name: "crowd", senders: c.participants, receivers: 1, video: true, rate: c.rate},
		reader:   read, url: url, seed: seed, feedback: c.feedback, check: checkInterval,
	}
	for i := range c.participants {
		v := newViewer(i)
		v.look(time.Now(), c.page(i, g.random.IntN(c.participants)))
		g.viewers = append(g.viewers, v)
	}
	usher := newViewer(c.participants)
	usher.usher = true
	usher.look(time.Now(), c.speaking())
	g.viewers = append(g.viewers, usher)
	return g
}

func (g *gathering) usher() *viewer { return g.viewers[g.participants] }

// page is what somebody is shown from a place on: the others in the order of their numbers.
func (c crowd) page(viewer, from int) (list []int) {
	for i := from; len(list) < min(c.tiles, c.participants-1); i++ {
		if other := i % c.participants; other != viewer {
			list = append(list, other)
		}
	}
	return list
}

// speaking are those who take turns, all over the room.
func (c crowd) speaking() (list []int) {
	for i := range c.speakers {
		list = append(list, i*c.participants/c.speakers)
	}
	return list
}

// role is that of participant i.
func (g *gathering) role(i int) role {
	v, videos := g.viewers[i], g.tiles
	r := role{pid: pidOf(i), wants: v.wants(), hear: v.hear, watch: v.watch}
	if v.usher {
		videos = 1
	} else {
		r.tracks = []signal.OfferTrack{{MID: "0", Source: signal.SourceMic}, {MID: "1", Source: signal.SourceCamera}}
		r.sections = []offer.Section{
			{Audio: true, Sends: true, SSRC: ssrcOf(i, true)}, {Sends: true, SSRC: ssrcOf(i, false)},
		}
	}
	for range g.crowd.voices {
		r.sections = append(r.sections, offer.Section{Audio: true})
	}
	for range videos {
		r.sections = append(r.sections, offer.Section{})
	}
	return r
}

// begin has all join, some at a time, and waits until all are shown what they look at.
func (g *gathering) begin(ctx context.Context) error {
	m := g.meeting
	m.present = make([]*participant, len(g.viewers))
	sending, stop := context.WithCancel(ctx)
	m.stop = stop
	m.publishing.Go(func() { m.keepAlive(sending) })
	group, joining := errgroup.WithContext(ctx)
	group.SetLimit(m.joinsAtATime())
	for i := range g.viewers {
		group.Go(func() error { return g.join(joining, sending, i) })
	}
	return group.Wait()
}

func (g *gathering) join(ctx, sending context.Context, i int) error {
	m := g.meeting
	p, err := join(ctx, m.reader, m.url, g.role(i))
	if err != nil {
		return err
	}
	m.enter(i, p)
	if g.viewers[i].usher {
		return nil
	}
	numbers := new(uint16)
	sections := g.role(i).sections
	v := newVoice(newPublication(p.client, sections[0], 0, numbers, 1, m.seed))
	camera := newCamera(newPublication(p.client, sections[1], 1, numbers, g.rate, m.seed))
	p.mu.Lock()
	p.publications = append(p.publications, v.publication, camera.publication)
	p.mu.Unlock()
	g.voices[i] = v
	m.publishing.Go(func() { v.run(sending) })
	m.publishing.Go(func() { camera.run(sending) })
	return nil
}

// all waits until something is so of every viewer.
func (g *gathering) all(ctx context.Context, what string, is func(*viewer) bool) error {
	for _, v := range g.viewers {
		for !v.ask(is) {
			if err := sleep(ctx, 10*time.Millisecond); err != nil {
				return fmt.Errorf("%s: not for participant %d (%s), beside %d others: %w", what, v.number, v, g.lacking(is)-1, err)
			}
		}
	}
	return nil
}

// lacking is for how many something is not so.
func (g *gathering) lacking(is func(*viewer) bool) (n int) {
	for _, v := range g.viewers {
		if !v.ask(is) {
			n++
		}
	}
	return n
}

// settle waits until all are shown what they look at, and told so, and hear as many as they have
// slots for.
func (g *gathering) settle(ctx context.Context) error {
	heard := min(g.crowd.voices, g.participants-1)
	return g.all(ctx, "what is looked at, and heard", func(v *viewer) bool {
		return v.settled() && len(v.heard) == min(g.crowd.voices, heard+v.outsider())
	})
}

// count waits until everybody has received something of all that is shown and heard since it began,
// and the window is over.
func (g *gathering) count(ctx context.Context, window time.Duration) error {
	for _, v := range g.viewers {
		v.begin()
	}
	if err := sleep(ctx, window); err != nil {
		return err
	}
	return g.all(ctx, "something of all that is shown", (*viewer).hasAll)
}

// scroll has everybody look elsewhere now and then, for a while, and waits until all are shown
// what they look at. It gives how many times somebody did.
func (g *gathering) scroll(ctx context.Context) (times int, err error) {
	until := time.Now().Add(g.scrolling)
	pause := scrollInterval / time.Duration(g.participants)
	for next := time.Now(); next.Before(until); next = next.Add(pause) {
		if err := sleep(ctx, time.Until(next)); err != nil {
			return times, err
		}
		if err := g.scrollOne(ctx, g.random.IntN(g.participants)); err != nil {
			return times, err
		}
		times++
	}
	return times, g.settle(ctx)
}

// scrollOne has one participant look elsewhere.
func (g *gathering) scrollOne(ctx context.Context, i int) error {
	v := g.viewers[i]
	from := v.first() + g.participants
	switch g.random.IntN(2 * jumpEvery) {
	case 0, 1:
		from = g.random.IntN(g.participants)
	case 2, 3, 4:
		from -= rowTiles
	default:
		from += rowTiles
	}
	v.look(time.Now(), g.page(i, from%g.participants))
	return g.meeting.present[i].view(ctx, v.wants())
}

// talk has the speakers take turns, now and then interrupted by somebody else's cough, for a
// while. It gives the number of turns, and of coughs.
func (g *gathering) talk(ctx context.Context) (turns, coughs int, err error) {
	list, last := g.speaking(), -1
	for until := time.Now().Add(g.talking); time.Now().Before(until); turns++ {
		at := g.random.IntN(len(list) - 1)
		if at >= last && last >= 0 {
			at++ // not the same again
		}
		last = at
		turn := leastTurn + time.Duration(g.random.Int64N(int64(mostTurn-leastTurn)))
		cougher := -1
		if g.random.IntN(coughEvery) == 0 {
			cougher = list[(at+1)%len(list)]
			coughs++
		}
		if err := g.turn(ctx, list[at], cougher, turn); err != nil {
			return turns, coughs, err
		}
	}
	return turns, coughs, nil
}

// turn has one speak, and another cough in the middle; -1 for nobody.
func (g *gathering) turn(ctx context.Context, speaker, other int, long time.Duration) error {
	source := ssrcOf(speaker, true)
	for _, v := range g.viewers {
		if v.number != speaker {
			v.expect(time.Now(), source)
		}
	}
	g.voices[speaker].speak(true)
	defer g.voices[speaker].speak(false)
	if other < 0 {
		return sleep(ctx, long)
	}
	if err := sleep(ctx, long/2); err != nil {
		return err
	}
	g.voices[other].speak(true)
	err := sleep(ctx, coughTime)
	g.voices[other].speak(false)
	if err != nil {
		return err
	}
	return sleep(ctx, long/2-coughTime)
}
