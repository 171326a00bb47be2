package sfu

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/interceptor/pkg/twcc"

	"github.com/conclave-sfu/conclave/sfu/bwe"
	"github.com/conclave-sfu/conclave/sfu/impair"
)

// A simulation in virtual time of one participant who watches others over a path: the
// room, its allocation, slots, pacing and probes are those of the server; the path, the
// publishers and the receiver are made here.

// simulation has a viewer, and what happens later.
type simulation struct {
	*crowd
	viewer  *member
	budget  *budget
	decoded bwe.Report
	link    *impair.Link
	back    time.Duration // from the viewer to the server
	reverse *impair.Link  // the same, if it does more; nil if not
	sources []*simSource
	later   map[int64][]func()
	turn    int64 // milliseconds so far
	screens []*screen
	arrived *twcc.Recorder
	seen    map[string]*sight

	queue []time.Duration // of the path, each millisecond
	sent  []simPacket     // all that was put on the path
}

// simPacket is one packet on the path.
type simPacket struct {
	now, at int64 // sent, and arrived; 0 for never
	size    int
	name    string // of its encoding; empty for a probe
}

// simSource sends one encoding, or a voice.
type simSource struct {
	source
	line  *simLine // to the server; nil if it is at once there
	name  string
	rate  int // bits a second
	every int // milliseconds between frames
	key   bool
	frame int
}

// sight is what a viewer has of one encoding.
type sight struct {
	parts    map[uint32]int // packets of a frame that have come, by its timestamp
	firstKey time.Duration  // when a key frame was complete first; 0 for never
	whole    int            // frames
	delay    time.Duration  // the longest of a packet
}

func newSimulation(t *testing.T, seed uint64, c impair.Conditions) *simulation {
	s := &simulation{
		crowd: newCrowd(t, 1), link: impair.NewLink(seed, c), back: c.Delay,
		later: map[int64][]func(){}, arrived: twcc.NewRecorder(1), seen: map[string]*sight{},
	}
	s.viewer = s.members[0]
	conn := s.viewer.connection
	conn.sent.Begin(bwe.DefaultLogSize)
	s.budget = newBudget(&conn.sent, &conn.bucket, &conn.repairs, unlimited)
	conn.budget.Store(s.budget)
	for i, d := range slices.Concat(conn.audio, conn.video) {
		w := &simWriter{simulation: s}
		if d.video {
			w.screen = newScreen(s, d)
			s.screens = append(s.screens, w.screen)
		}
		d.writer, d.bucket, d.repairs = w, &conn.bucket, &conn.repairs
		d.heard.Store(true) // it reports on what it gets
		conn.slots.put(uint32(i), d)
	}
	return s
}

// publish adds a participant with a voice, and a camera with encodings of these rates.
func (s *simulation) publish(t *testing.T, rates map[string]int, rids ...string) pubKey {
	m := s.join(t)
	s.room.transports.get(m.participant).connection.video = nil // it watches nobody
	p := s.room.publications.get(pubKey{m.participant, Camera})
	s.room.retire(p.layers[0])
	p.layers = nil
	format := plainFormat(codecVP8)
	format.rids = rids
	s.add(&simSource{source: source{u: m.mic}, name: "voice", rate: 32_000, every: 20})
	for i, rid := range rids {
		u, _ := newTestUp(true)
		u.format, u.rid, u.ssrc = format, rid, uint32(i)
		s.room.addLayer(m.connection, Camera, u)
		s.add(&simSource{source: source{u: u}, name: rid, rate: rates[rid], every: 33, key: true})
	}
	return p.key
}

// add has a source listen to requests, which take 20 ms to it.
func (s *simulation) add(source *simSource) {
	source.u.askKeyFrame = func(uint32) { s.after(20*time.Millisecond, func() { source.key = true }) }
	s.sources = append(s.sources, source)
}

// answer has the viewer say something to the server.
func (s *simulation) answer(do func()) {
	if s.reverse == nil {
		s.after(s.back, do)
		return
	}
	s.over(s.reverse, 100, do)
}

// over sends a packet of a size over a link.
func (s *simulation) over(l *impair.Link, size int, do func()) {
	now := s.room.node.now()
	at, copies := l.Send(now, size)
	for _, arrival := range at[:copies] {
		s.after(time.Duration(arrival-now), do)
	}
}

func (s *simulation) after(d time.Duration, do func()) {
	at := s.turn + max(1, int64(d/time.Millisecond))
	s.later[at] = append(s.later[at], do)
}

// simKey is how many times as large as others a key frame is.
const simKey = 8

// send sends a frame: each packet says of which encoding it is, which part of how many, and
// whether of a key frame.
func (s *simSource) send(t *testing.T, now int64) {
	size := s.rate / 8 * s.every / 1000
	if s.u.video && s.key {
		size *= simKey
	}
	packets := (size + 1099) / 1100
	for i := range packets {
		part := make([]byte, max(size/packets, 8))
		key := byte(0)
		if s.key {
			key = 1
		}
		copy(part, []byte{0, s.name[0], byte(packets), key, byte(i)})
		s.now = now
		if i == 0 {
			s.stamp += uint32(s.every * 90)
		}
		raw := s.packet(t, s.seq, i == 0, s.key, part)
		if s.line != nil {
			s.line.post(t, s, raw)
		} else {
			s.receive(t, s.seq, raw)
		}
		s.seq++
	}
	s.frame++
	s.key = false
}

// run lets time pass.
func (s *simulation) run(t *testing.T, d time.Duration) {
	conn, e := s.viewer.connection, &egress{}
	for range d / time.Millisecond {
		time.Sleep(time.Millisecond)
		s.turn++
		now := s.room.node.now()
		e.now = now
		for i, source := range s.sources {
			if (s.turn+int64(7*i))%int64(source.every) == 0 {
				source.send(t, now)
			}
			if s.turn%20 == 0 {
				source.u.drain(now)
			}
			if s.turn%5 == 0 && source.line != nil {
				source.line.ask(t, source, now)
			}
		}
		for _, do := range s.later[s.turn] {
			do()
		}
		delete(s.later, s.turn)
		if s.turn%5 == 0 {
			conn.probe(e, now)
		}
		if s.turn%100 == 0 {
			s.report(t)
		}
		if s.turn%200 == 0 {
			conn.noteOff(s.budget.tick(now))
			s.room.housekeeping(now, 0, unsent)
		}
		for _, c := range s.screens {
			c.look()
		}
		s.room.shareAnew()
		s.room.handOver()
		s.queue = append(s.queue, s.link.Backlog(now))
	}
}

// noteOff is what a connection does where its budget is off.
func (c *connection) noteOff(off bool) {
	if off {
		c.transport.room.reshare(c)
	}
}

// report sends what has arrived back to the server.
func (s *simulation) report(t *testing.T) {
	if s.arrived.PacketsHeld() == 0 {
		return
	}
	for _, p := range s.arrived.BuildFeedbackPacket() {
		raw, err := p.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		s.answer(func() {
			now := s.room.node.now()
			off, ok := s.budget.feedback(&s.decoded, raw, now)
			if !ok {
				t.Error("a report was refused")
			}
			conn, e := s.viewer.connection, &egress{now: now}
			conn.noteOff(off)
			conn.payOwed(e, s.budget)
			conn.probe(e, now)
		})
	}
}

// simWriter puts what a slot sends on the path.
type simWriter struct {
	*simulation
	screen *screen // nil for a voice
}

func (w *simWriter) writeMedia(o *outgoing) bool {
	name, parts, key := "voice", byte(1), false
	part, _ := readPart(o.payload)
	if o.payloadType == testTypes()[codecVP8].media {
		name, parts, key = string(part.name), byte(part.parts), part.key
	}
	stamp, seq, sent := o.stamp, o.seq, w.turn
	w.put(o, name, max(len(o.payload), 1)+sealed, func() {
		if w.screen != nil {
			w.screen.push(seq, part, false)
		}
		w.see(name, parts, key, stamp, sent)
	})
	return true
}

// see notes a packet of an encoding that has come.
func (w *simulation) see(name string, parts byte, key bool, stamp uint32, sent int64) {
	v := w.seen[name]
	if v == nil {
		v = &sight{parts: map[uint32]int{}}
		w.seen[name] = v
	}
	v.delay = max(v.delay, time.Duration(w.turn-sent)*time.Millisecond)
	v.parts[stamp]++
	if v.parts[stamp] < int(parts) {
		return
	}
	v.whole++
	if key && v.firstKey == 0 {
		v.firstKey = time.Duration(w.turn) * time.Millisecond
	}
}

func (w *simWriter) writeRTX(o *outgoing, seq uint16) bool {
	part, again := readPart(o.payload)
	w.put(o, "", max(len(o.payload), int(o.padding))+sealed, func() {
		if again && w.screen != nil {
			w.screen.push(seq, part, true)
		}
	})
	return true
}

// put sends a packet.
func (w *simulation) put(o *outgoing, name string, size int, come func()) {
	now := w.room.node.now()
	seq := w.budget.log.Add(now, size)
	o.number = seq
	at, copies := w.link.Send(now, size)
	w.sent = append(w.sent, simPacket{now, at[0], size, name})
	for _, arrival := range at[:copies] {
		w.after(time.Duration(arrival-now), func() {
			w.arrived.Record(1, seq, w.room.node.now()/int64(time.Microsecond))
			come()
		})
	}
}

// longest is the longest time that the queue of the path was in part of the time.
func (s *simulation) longest(from, to time.Duration) time.Duration {
	return slices.Max(s.queue[from/time.Millisecond : to/time.Millisecond])
}

// bounds of what a start may take.
type bounds struct {
	// picture is when the first key frame is complete at most, best when that of the best
	// encoding is, 0 for never.
	picture, best time.Duration
	// early is the longest queue of the first 1.5 s, then that of the time after it.
	early, then time.Duration
	// share is how many of the frames of 10 s come whole, at least.
	share float64
}

// TestStart: somebody joins and wants to see a camera with three encodings at its best,
// over paths of all kinds. The picture comes at once, the best one after a report or some; a
// thin line has its queue back within about a second.
func TestStart(t *testing.T) {
	rates := map[string]int{"q": 150_000, "h": 500_000, "f": 1_500_000}
	const ms = time.Millisecond
	for _, tt := range []struct {
		name  string
		rate  int
		delay time.Duration // one way
		bounds
	}{
		{"100 Mbit/s, 1 ms", 100_000_000, ms / 2, bounds{50 * ms, 200 * ms, 5 * ms, 5 * ms, 0.99}},
		{"100 Mbit/s, 50 ms", 100_000_000, 25 * ms, bounds{75 * ms, 250 * ms, 5 * ms, 5 * ms, 0.99}},
		{"10 Mbit/s, 20 ms", 10_000_000, 10 * ms, bounds{75 * ms, 600 * ms, 60 * ms, 60 * ms, 0.99}},
		{"3 Mbit/s, 40 ms", 3_000_000, 20 * ms, bounds{100 * ms, 1000 * ms, 200 * ms, 150 * ms, 0.98}},
		{"300 kbit/s, 60 ms", 300_000, 30 * ms, bounds{500 * ms, 0, 400 * ms, 200 * ms, 0.97}},
	} {
		for _, seed := range []uint64{1, 2, 3} {
			synctest.Test(t, func(t *testing.T) {
				s := newSimulation(t, seed, impair.Conditions{Rate: tt.rate, Delay: tt.delay, Queue: 500 * ms})
				key := s.publish(t, rates, "q", "h", "f")
				s.run(t, 3*time.Second) // the camera is there, and nobody watches
				s.begin(key)
				s.run(t, 10*time.Second)
				t.Logf("%s, seed %d:", tt.name, seed)
				s.check(t, tt.bounds)
			})
		}
	}
}

// check compares what was seen with the bounds.
func (s *simulation) check(t *testing.T, b bounds) {
	picture, best := time.Duration(-1), time.Duration(-1)
	frames := 0
	for name, v := range s.seen {
		if name == "voice" {
			continue
		}
		frames += v.whole
		if v.firstKey > 0 && (picture < 0 || v.firstKey < picture) {
			picture = v.firstKey
		}
	}
	if v := s.seen["f"]; v != nil && v.firstKey > 0 {
		best = v.firstKey
	}
	early, then := s.longest(0, 1500*time.Millisecond), s.longest(1500*time.Millisecond, 10*time.Second)
	share := float64(frames) / (10_000 / 33)
	t.Logf("picture after %v, the best one after %v; queue %v at most, after 1.5 s %v; %.1f %% of the frames; voice late by %v at most; estimate %d, %d probes",
		picture, best, early.Round(time.Millisecond), then.Round(time.Millisecond), 100*share, s.seen["voice"].delay,
		s.budget.target.Load(), s.budget.estimator.State().Counts.Probes)
	for _, limit := range []struct {
		what      string
		got, most time.Duration
	}{{"picture", picture, b.picture}, {"best", best, b.best}, {"queue early", early, b.early}, {"queue then", then, b.then}} {
		if limit.most > 0 && (limit.got < 0 || limit.got > limit.most) {
			t.Errorf("%s: %v, want %v at most", limit.what, limit.got, limit.most)
		}
	}
	if share < b.share {
		t.Errorf("%.2f of the frames came", share)
	}
}

// TestStartOfMany: seven cameras of one encoding each, which nobody has measured yet, are all
// shown after a report or some where there is room for them.
func TestStartOfMany(t *testing.T) {
	for _, delay := range []time.Duration{500 * time.Microsecond, 25 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			s := newSimulation(t, 1, impair.Conditions{Rate: 100_000_000, Delay: delay})
			var keys []pubKey
			for i := range 7 {
				name := string(rune('a' + i))
				keys = append(keys, s.publish(t, map[string]int{name: 1_500_000}, name))
			}
			s.begin(keys...)
			s.run(t, 5*time.Second)
			last := time.Duration(0)
			for i := range 7 {
				v := s.seen[string(rune('a'+i))]
				if v == nil || v.firstKey == 0 || v.whole < 100 {
					t.Errorf("delay %v: camera %d was seen as %+v", delay, i, v)
					continue
				}
				last = max(last, v.firstKey)
			}
			t.Logf("delay %v: all seven after %v, queue %v at most", delay, last, s.longest(0, 5*time.Second))
			if last > 600*time.Millisecond {
				t.Errorf("delay %v: the last camera was seen after %v", delay, last)
			}
		})
	}
}

// TestCut: a path of 3 Mbit/s becomes one of 300 kbit/s, at any moment of the frames and
// reports: the lowest encoding is there within a second, though packets of the one before are waited
// for, and the queue is short from then on.
func TestCut(t *testing.T) {
	for _, tt := range []struct {
		loss         float64
		queue        time.Duration
		still        time.Duration // no picture, at most
		shown        int           // frames of 5 s at least
		after        time.Duration // the queue from two seconds later on, at most
		overflowed   uint64        // packets from a second later on
		delay, delta time.Duration
	}{
		{0, 100 * time.Millisecond, 1100 * time.Millisecond, 130, 150 * time.Millisecond, 8, 20 * time.Millisecond, time.Millisecond},
		{0, 200 * time.Millisecond, 1400 * time.Millisecond, 110, 200 * time.Millisecond, 8, 20 * time.Millisecond, time.Millisecond},
		{0, 500 * time.Millisecond, 1700 * time.Millisecond, 100, 350 * time.Millisecond, 8, 20 * time.Millisecond, time.Millisecond},
		{0.02, 200 * time.Millisecond, 1700 * time.Millisecond, 90, 200 * time.Millisecond, 8, 40 * time.Millisecond, 40 * time.Millisecond},
	} {
		var worst time.Duration
		for seed := uint64(1); seed <= 8; seed++ {
			synctest.Test(t, func(t *testing.T) {
				c := impair.Conditions{Rate: 3_000_000, Delay: tt.delay, Loss: tt.loss, Queue: tt.queue}
				s := watching(t, seed, c, "q", "h", "f")
				s.back = tt.delta
				s.run(t, 6*time.Second+time.Duration(seed)*127*time.Millisecond)
				screen := s.screens[0]
				if screen.of != 'f' {
					t.Errorf("%+v, seed %d: %c is shown over 3 Mbit/s", tt, seed, screen.of)
				}
				screen.clear()
				cut := s.elapsed()
				c.Rate = 300_000
				s.link.Set(c)
				s.run(t, time.Second)
				before := s.link.Counts()
				s.run(t, 4*time.Second)
				still, shown, came := screen.still, screen.shown, screen.of
				s.run(t, 6*time.Second)
				worst = max(worst, still)
				queue, lost := s.longest(cut+2*time.Second, s.elapsed()), s.link.Counts().Minus(before).Overflowed
				t.Logf("%d ms, loss %.2f, seed %d: still for %v, %d frames; queue %v at most, %d packets lost by it",
					tt.queue.Milliseconds(), tt.loss, seed, still, shown, queue, lost)
				if still > tt.still || shown < tt.shown || came != 'q' || queue > tt.after || lost > tt.overflowed {
					t.Errorf("%+v, seed %d: still for %v, %d frames, %c; queue %v, %d packets lost by it", tt, seed, still, shown, came, queue, lost)
				}
			})
		}
		t.Logf("%d ms, loss %.2f: still for %v at most", tt.queue.Milliseconds(), tt.loss, worst)
	}
}

// elapsed is the time since the viewer began.
func (s *simulation) elapsed() time.Duration { return time.Duration(s.turn) * time.Millisecond }

// begin is when the viewer's connection is ready, and it says what it wants to see.
func (s *simulation) begin(keys ...pubKey) {
	s.turn, s.queue = 0, nil
	now := s.room.node.now()
	s.budget.begin(now)
	s.viewer.connection.probe(&egress{now: now}, now)
	var wants []Want
	for _, key := range keys {
		wants = append(wants, Want{Participant: key.participant, Source: key.source, Width: 1280, Height: 720})
	}
	s.viewer.View(wants)
}
