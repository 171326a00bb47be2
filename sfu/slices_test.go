package sfu

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtcp"
)

// unsent takes reports that nobody looks at.
func unsent(*connection, []rtcp.Packet) {}

// wholeRound is a round of housekeeping under one lock: what the round in slices has to amount to
// where nobody comes in between.
func wholeRound(r *room, now int64) map[*connection][]rtcp.Packet {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.publications.list {
		stalls := p.noteStalls(now)
		if p.measure(now) || stalls {
			r.touch(p.key)
		}
		for _, l := range p.layers {
			l.up.flushKeyFrame(now)
		}
	}
	for _, t := range r.transports.list {
		t.unsteady = t.connection != nil && t.connection.budget.Load().wavers()
	}
	r.listen(now)
	for _, t := range r.transports.list {
		if c := t.connection; c != nil && contested(c.audio, t.participant, r.heard) {
			r.assign(t, r.heard)
		}
	}
	for _, t := range r.transports.list {
		if t.isMarked() {
			r.assign(t, r.heard)
		}
		if t.unsteady {
			r.shareOut(t)
		}
	}
	r.round++
	for _, t := range r.transports.list {
		r.wishAgain(t, now)
	}
	for _, p := range r.publications.list {
		if !p.key.source.Audio() {
			r.demand(p, now)
		}
	}
	due := map[*connection][]rtcp.Packet{}
	for c := range r.connections() {
		if c.ready {
			for _, d := range c.video {
				d.repeatRequest(now)
			}
			if reports := c.senderReports(now, 0); len(reports) > 0 {
				due[c] = reports
			}
		}
	}
	return due
}

// offerLayers gives a participant's camera three encodings.
func (c *crowd) offerLayers(m *member) {
	for _, rid := range []string{"q", "h", "f"} {
		u, _ := newTestUp(true)
		u.rid, u.format.rids = rid, []string{"q", "h", "f"}
		c.room.addLayer(m.connection, Camera, u)
	}
}

// happen has something happen in the room, as chance will have it.
func (c *crowd) happen(t testing.TB, random *rand.Rand) {
	m := c.members[random.IntN(len(c.members))]
	switch random.IntN(12) {
	case 0:
		m.Mute(Camera, !m.muted[Camera])
	case 1:
		m.Mute(Mic, !m.muted[Mic])
	case 2, 3, 4:
		m.speak(uint8(60 + random.IntN(60)))
	case 5:
		if p := c.room.publications.get(pubKey{m.participant, Camera}); p != nil {
			for i, e := range p.layers {
				e.up.rates[0][0].Add(uint64(random.IntN(20_000 << i)))
			}
		}
	case 6:
		c.room.leave(m.Transport)
		c.members = slices.DeleteFunc(c.members, func(other *member) bool { return other == m })
	case 7:
		c.scroll(c.join(t), random.IntN(len(c.members)))
	case 8:
		c.offerLayers(m)
	default:
		c.scroll(m, random.IntN(len(c.members)))
		if wants := slices.Clone(m.wants); len(wants) > 0 {
			wants[0].Height = 180 << random.IntN(3)
			m.View(wants)
		}
	}
}

// picture says all that mapping, demand and requests have come to.
func (c *crowd) picture() string {
	var b strings.Builder
	names := map[*upTrack]string{nil: "-"}
	for _, p := range c.room.publications.list {
		for _, e := range p.layers {
			names[e.up] = fmt.Sprint(p.key, e.up.rid)
		}
	}
	for _, m := range c.members {
		fmt.Fprintln(&b, m.participant, m.stale, m.deaf, m.unsteady)
		for _, d := range slices.Concat(m.connection.audio, m.connection.video) {
			fmt.Fprintln(&b, d.key, names[d.up], names[d.next], names[d.wanted], d.wantedHeight, d.mappedAt, d.asked, d.askedAt, d.memory)
			if d.video {
				fmt.Fprintln(&b, unpackLayer(d.layers.limit.Load()))
			}
		}
	}
	for _, p := range c.room.publications.list {
		fmt.Fprintln(&b, p.key, p.stale, p.settled)
		for _, e := range p.layers {
			fmt.Fprintln(&b, e.up.rid, e.paused, e.dueBy, e.stalled, e.silent, e.rate, e.size, e.up.wantedAt, e.up.shown)
		}
	}
	fmt.Fprintln(&b, c.room.heard)
	return b.String()
}

// pass lets time pass until the next round of housekeeping.
func (c *crowd) pass() { time.Sleep(loudnessInterval) }

// TestSlicesAmountToAWhole: where nobody comes in between, housekeeping in slices comes to what it
// does under one lock, step for step, and so do the reports.
func TestSlicesAmountToAWhole(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	synctest.Test(t, func(t *testing.T) {
		var crowds [2]*crowd
		for i := range crowds {
			crowds[i] = newCrowd(t, 70)
			crowds[i].tighten(900_000)
		}
		chance := [2]*rand.Rand{rand.New(rand.NewPCG(seed, 1)), rand.New(rand.NewPCG(seed, 1))}
		for round := range 40 {
			var sent [2]map[string]int
			for i, c := range crowds {
				sent[i] = map[string]int{}
				for range 6 {
					c.happen(t, chance[i])
					c.room.settleRest()
				}
			}
			crowds[0].pass()
			for c, reports := range wholeRound(crowds[0].room, crowds[0].room.node.now()) {
				sent[0][c.transport.participant] += len(reports)
			}
			crowds[1].room.housekeeping(crowds[1].room.node.now(), 0, func(c *connection, reports []rtcp.Packet) {
				sent[1][c.transport.participant] += len(reports)
			})
			if whole, sliced := crowds[0].picture(), crowds[1].picture(); whole != sliced {
				t.Fatalf("round %d: %s", round, firstDifference(whole, sliced))
			}
			if fmt.Sprint(sent[0]) != fmt.Sprint(sent[1]) {
				t.Fatalf("round %d: reports to %v, in slices %v", round, sent[0], sent[1])
			}
		}
	})
}

// firstDifference is the first line that two texts do not have in common.
func firstDifference(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(x), len(y)) {
		if x[i] != y[i] {
			return fmt.Sprintf("line %d: %q, in slices %q", i, x[i], y[i])
		}
	}
	return fmt.Sprintf("%d lines, in slices %d", len(x), len(y))
}

// TestBetweenSlices: people come, go, mute, scroll and change their cameras between the slices of each
// round. After one more round that nobody disturbs, nobody is marked, each slot carries what there is
// and what is wanted, and mapping everybody anew changes nothing.
func TestBetweenSlices(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	synctest.Test(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(seed, 2))
		c := newCrowd(t, 70)
		happened := 0
		for range 30 {
			c.room.between = func() {
				if random.IntN(3) == 0 {
					happened++
					c.happen(t, random)
				}
			}
			c.pass()
			c.room.housekeeping(c.room.node.now(), 0, unsent)
			c.room.followFlow(c.room.node.now())
			c.room.handOver()
			c.room.shareAnew()
			c.room.between = nil
			c.pass()
			c.room.housekeeping(c.room.node.now(), 0, unsent)
			c.room.settleRest()
			c.checkSettled(t)
		}
		if happened < 200 {
			t.Errorf("%d times something came in between", happened)
		}
	})
}

// checkSettled sees that all are mapped, to what there is.
func (c *crowd) checkSettled(t *testing.T) {
	t.Helper()
	for _, m := range c.members {
		if m.isMarked() || m.unsteady {
			t.Fatalf("%s is still to be mapped", m.participant)
		}
		for _, d := range slices.Concat(m.connection.audio, m.connection.video) {
			if d.key == (pubKey{}) {
				continue
			}
			p := c.room.publications.get(d.key)
			if p == nil || !p.isHeard() || p.owner == m.Transport || p.owner.closed {
				t.Fatalf("a slot of %s carries %v, which is not there", m.participant, d.key)
			}
			if at := c.room.placedAs(d.key, m.wants); d.video && at.want == nil {
				t.Fatalf("a slot of %s carries %v, which it does not want", m.participant, d.key)
			}
		}
	}
	before := c.shown()
	for _, m := range c.members {
		m.stale, m.deaf = true, true
	}
	c.room.settleRest()
	if after := c.shown(); !maps.Equal(before, after) {
		t.Fatalf("mapped anew, slots show something else:\n%v\n%v", before, after)
	}
}

// TestSettleLeavesTheRest: a change that concerns a hundred maps a slice of them under the lock, and has
// the room's goroutine map the others.
func TestSettleLeavesTheRest(t *testing.T) {
	const many = 100
	c := newCrowd(t, many)
	c.room.marked = make(chan struct{}, 1)
	presenter := c.members[many/2]
	for _, m := range c.members {
		m.View([]Want{{Participant: presenter.participant, Source: Screen}})
	}
	shown := func() (n int) {
		for _, m := range c.members {
			if carries(m.connection.video, pubKey{presenter.participant, Screen}) {
				n++
			}
		}
		return n
	}
	screen, _ := newTestUp(true)
	c.room.addLayer(presenter.connection, Screen, screen)
	if n := shown(); n != sliceSize && n != sliceSize-1 { // the presenter may be among them
		t.Errorf("%d were shown the screen at once", n)
	}
	select {
	case <-c.room.marked:
	default:
		t.Fatal("nobody was told of the rest")
	}
	slicesOf := 0
	c.room.between = func() { slicesOf++ }
	c.room.settleRest()
	if n := shown(); n != many-1 {
		t.Errorf("%d are shown the screen", n)
	}
	if want := (many + sliceSize - 1) / sliceSize; slicesOf != want {
		t.Errorf("in %d slices, want %d", slicesOf, want)
	}
	locked(c.room, c.room.settle)
	select {
	case <-c.room.marked:
		t.Error("there is still a rest")
	default:
	}
}

// TestMarksStay: who is yet to be mapped for a voice that has gone is mapped, though something else that
// concerns nobody's voices has been settled meanwhile.
func TestMarksStay(t *testing.T) {
	c := newCrowd(t, 4*sliceSize)
	c.room.settleRest()
	quiet := c.members[voices/2]
	heard := func() (n int) {
		for _, m := range c.members {
			if carries(m.connection.audio, pubKey{quiet.participant, Mic}) {
				n++
			}
		}
		return n
	}
	if n := heard(); n != len(c.members)-1 {
		t.Fatalf("%d hear who is to be muted", n)
	}
	quiet.Mute(Mic, true)
	if n := heard(); n == 0 {
		t.Fatal("nobody is left to be mapped")
	}
	locked(c.room, c.room.settle)
	c.room.settleRest()
	if n := heard(); n != 0 {
		t.Errorf("slots of %d are of who is muted", n)
	}
}

// BenchmarkHold says for how long a round of housekeeping holds the lock of a room of 500: whole is a
// round under one lock, longest the longest slice and median the middle one, all in microseconds.
func BenchmarkHold(b *testing.B) {
	for _, test := range []struct {
		name string
		line int64
	}{{"quiet", 0}, {"tight", 400_000}} {
		b.Run(test.name, func(b *testing.B) {
			c := newCrowd(b, 500)
			random := rand.New(rand.NewPCG(1, 1))
			for _, m := range c.members {
				c.scroll(m, random.IntN(500))
			}
			c.tighten(test.line)
			var whole, held []time.Duration
			var began time.Time
			c.room.between = func() {
				held = append(held, time.Since(began))
				began = time.Now()
			}
			for b.Loop() {
				c.room.node.born = c.room.node.born.Add(-loudnessInterval)
				began = time.Now()
				wholeRound(c.room, c.room.node.now())
				whole = append(whole, time.Since(began))
				c.room.node.born = c.room.node.born.Add(-loudnessInterval)
				began = time.Now()
				c.room.housekeeping(c.room.node.now(), 0, unsent)
			}
			for name, list := range map[string][]time.Duration{"whole": whole, "slice": held} {
				slices.Sort(list)
				b.ReportMetric(float64(list[len(list)/2].Microseconds()), name+"-median-us")
				b.ReportMetric(float64(list[len(list)*99/100].Microseconds()), name+"-p99-us")
			}
		})
	}
}

// BenchmarkWait says how long somebody waits for the lock, in microseconds, who wants it each
// millisecond while one round of housekeeping follows the other.
func BenchmarkWait(b *testing.B) {
	c := newCrowd(b, 500)
	random := rand.New(rand.NewPCG(1, 1))
	for _, m := range c.members {
		c.scroll(m, random.IntN(500))
	}
	c.tighten(400_000)
	for _, test := range []struct {
		name  string
		round func(now int64)
	}{
		{"whole", func(now int64) { wholeRound(c.room, now) }},
		{"slices", func(now int64) { c.room.housekeeping(now, 0, unsent) }},
	} {
		b.Run(test.name, func(b *testing.B) {
			stop, stopped := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(stopped)
				for now := c.room.node.now(); ; now += int64(loudnessInterval) {
					select {
					case <-stop:
						return
					default:
						test.round(now)
					}
				}
			}()
			var waits []time.Duration
			for b.Loop() {
				time.Sleep(time.Millisecond)
				began := time.Now()
				c.room.mu.Lock()
				waits = append(waits, time.Since(began))
				c.room.mu.Unlock()
			}
			close(stop)
			<-stopped
			slices.Sort(waits)
			b.ReportMetric(float64(waits[len(waits)/2].Microseconds()), "median-us")
			b.ReportMetric(float64(waits[len(waits)*99/100].Microseconds()), "p99-us")
		})
	}
}
