package sfu

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtcp"

	"github.com/conclave-sfu/conclave/sfu/impair"
	"github.com/conclave-sfu/conclave/sfu/packetcache"
	"github.com/conclave-sfu/conclave/sfu/srtp"
)

// TestCeiling: whatever is asked for at whatever times, over any time no more goes than the rate
// gives, a burst, and a packet; and what is there goes.
func TestCeiling(t *testing.T) {
	const rate = 1_000_000 // 125 bytes a millisecond
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 1))
	var c ceiling
	c.set(rate)
	if c.room() != 900_000 {
		t.Errorf("of %d bits a second %d are given out", rate, c.room())
	}
	type sent struct {
		at   int64
		size int
	}
	var all []sent
	now := int64(0)
	for range 5000 {
		now += random.Int64N(20) * int64(time.Millisecond)
		if random.IntN(500) == 0 {
			now += int64(5 * time.Second)
		}
		size, voice := 1+random.IntN(1400), random.IntN(4) == 0
		before := c.full.Load() - now
		took := c.take(now, size, burstOf(!voice))
		if took != (before <= int64(burstOf(!voice))) {
			t.Fatalf("seed %d: taken %t with %v in use", seed, took, time.Duration(before))
		}
		if took {
			all = append(all, sent{now, size})
		}
	}
	for i := range all {
		bytes := 0
		for _, s := range all[i:min(i+700, len(all))] {
			bytes += s.size
			if most := int(rate/8*(time.Duration(s.at-all[i].at)+voiceBurst).Seconds()) + 1400; bytes > most {
				t.Fatalf("seed %d: %d bytes in %v, at most %d", seed, bytes, time.Duration(s.at-all[i].at), most)
			}
		}
	}
}

func TestNoCeiling(t *testing.T) {
	for _, bits := range []int64{0, -1} {
		var c ceiling
		c.set(bits)
		for range 1000 {
			if !c.take(0, 1<<30, 0) {
				t.Fatal("there is a limit")
			}
		}
		if c.room() != unlimited {
			t.Errorf("%d bits a second make %d", bits, c.room())
		}
	}
}

// TestVoiceGoesOn: where video has used up its part, audio still goes, and then ends too.
func TestVoiceGoesOn(t *testing.T) {
	var c ceiling
	c.set(800_000)
	take := func(video bool) (bytes int) {
		for c.take(0, 1000, burstOf(video)) {
			bytes += 1000
		}
		return bytes
	}
	if video, audio := take(true), take(false); video != 101_000 || audio != 100_000 {
		t.Errorf("%d bytes of video, %d of audio; want a second's worth of each", video, audio)
	}
	if c.take(int64(ceilingBurst), 1000, burstOf(true)) || !c.take(int64(ceilingBurst)+int64(20*time.Millisecond), 1000, burstOf(true)) {
		t.Error("video does not go on when a second has passed")
	}
}

func TestCeilingIsShared(t *testing.T) {
	var c ceiling
	c.set(8_000_000)
	var tasks sync.WaitGroup
	taken := make([]int, 4)
	for i := range taken {
		tasks.Go(func() {
			for range 50_000 {
				if c.take(0, 10, ceilingBurst) {
					taken[i]++
				}
			}
		})
	}
	tasks.Wait()
	if sum := taken[0] + taken[1] + taken[2] + taken[3]; sum != 100_001 {
		t.Errorf("%d packets of 10 bytes at once, want 100001", sum)
	}
	if n := testing.AllocsPerRun(100, func() { c.take(int64(time.Hour), 10, voiceBurst) }); n != 0 {
		t.Errorf("%.0f allocations", n)
	}
}

// meter counts what a participant is sent, each millisecond.
type meter struct {
	simWriter
	bytes  []int
	voices int // packets
}

func (m *meter) writeMedia(o *outgoing) bool {
	m.count(len(o.payload) + sealed)
	if o.payloadType == testTypes()[codecOpus].media {
		m.voices++
	}
	return m.simWriter.writeMedia(o)
}

func (m *meter) writeRTX(o *outgoing, osn uint16) bool {
	m.count(max(len(o.payload), int(o.padding)) + sealed)
	return m.simWriter.writeRTX(o, osn)
}

func (m *meter) count(size int) {
	for len(m.bytes) <= int(m.turn) {
		m.bytes = append(m.bytes, 0)
	}
	m.bytes[m.turn] += size
}

// most is the most in any time of a length, in bytes.
func (m *meter) most(span time.Duration) (most int) {
	n, sum := int(span/time.Millisecond), 0
	for i, b := range m.bytes {
		sum += b
		if i >= n {
			sum -= m.bytes[i-n]
		}
		most = max(most, sum)
	}
	return most
}

// watchers is a simulation of somebody who wants to see three cameras that send very much more than
// they did when they were measured, and its meter. Nothing that is sent is lost unless all is.
func watchers(t *testing.T, outgoing int64, c impair.Conditions) (*simulation, *meter, []pubKey) {
	s := newSimulation(t, 1, c)
	conn := s.viewer.connection
	conn.transport.outgoing.set(outgoing)
	s.budget = newBudget(&conn.sent, &conn.bucket, &conn.repairs, conn.transport.outgoing.room())
	conn.budget.Store(s.budget)
	m := &meter{simWriter: simWriter{simulation: s}}
	for _, d := range slices.Concat(conn.audio, conn.video) {
		d.writer, d.ceiling = m, &conn.transport.outgoing
	}
	var keys []pubKey
	for _, name := range []string{"x", "y", "z"} {
		keys = append(keys, s.publish(t, map[string]int{name: 100_000}, name))
	}
	return s, m, keys
}

// flood has the cameras send so much each.
func (s *simulation) flood(bits int) {
	for _, source := range s.sources {
		if source.u.video {
			source.rate = bits
		}
	}
}

// TestCollusion: somebody wants to be sent as much as can be, together with those who publish. The
// feedback says that everything has come, at once; or there is none, though it was offered, or none
// was offered; or it claims a path without end; or asks for everything again. No more is sent
// than may be, and all of the voices.
func TestCollusion(t *testing.T) {
	const rate, flood, seconds = 3_000_000, 8_000_000, 12
	for _, tt := range []struct {
		name string
		loss float64
		lie  func(s *simulation)
	}{
		{name: "all has come at once"},
		{name: "says nothing", loss: 1},
		{name: "offers to say nothing", loss: 1, lie: func(s *simulation) { s.viewer.connection.budget.Store(nil) }},
		{name: "claims everything", loss: 1, lie: func(s *simulation) { s.budget.remb(s.room.node.now(), 1<<60) }},
		{name: "asks for everything again", lie: func(s *simulation) {
			for _, d := range s.viewer.connection.video {
				again := rtcp.NackPair{PacketID: uint16(d.numbers.High() - 17), LostPackets: 0xffff}
				d.feedback([]rtcp.Packet{&rtcp.TransportLayerNack{MediaSSRC: d.ssrc, Nacks: []rtcp.NackPair{again}}}, s.room.node.now())
			}
		}},
	} {
		for _, limit := range []int64{0, rate} {
			synctest.Test(t, func(t *testing.T) {
				s, m, keys := watchers(t, limit, impair.Conditions{Loss: tt.loss})
				s.begin(keys...)
				for i := range 100 * seconds {
					if tt.lie != nil {
						tt.lie(s)
					}
					if i == 300 {
						s.flood(flood)
					}
					s.run(t, 10*time.Millisecond)
				}
				second, all := 8*m.most(time.Second), 8*m.most(time.Minute)
				dropped := s.dropped(dropOutgoing)
				t.Logf("%s, ceiling %d: at most %.1f Mbit in a second, %.1f in all, %d left out", tt.name, limit, float64(second)/1e6, float64(all)/1e6, dropped)
				if limit == 0 {
					if all < 2*rate*seconds || dropped != 0 {
						t.Error("there is nothing to bound")
					}
					return
				}
				if second > 3*rate || all > rate*(seconds+2)+10_000 {
					t.Error("more was sent than may be")
				}
				if dropped == 0 {
					t.Error("nothing of that is counted")
				}
				if want := 3 * 50 * (seconds - 1); m.voices < want {
					t.Errorf("%d packets of voices, want %d", m.voices, want)
				}
			})
		}
	}
}

// dropped counts what was dropped of what the sources sent.
func (s *simulation) dropped(why reason) (n uint64) {
	for _, source := range s.sources {
		n += source.u.counters.dropped[why].Load()
	}
	return n
}

// TestCeilingIsSharedOut: who sends by the rules does not meet the ceiling: what is given out stays
// below it, also where nothing is known of the path, and what does not fit is not begun.
func TestCeilingIsSharedOut(t *testing.T) {
	for _, feedback := range []bool{true, false} {
		for _, tt := range []struct {
			rates map[string]int
			want  string
		}{
			{map[string]int{"q": 150_000, "h": 500_000, "f": 1_500_000}, "h"},
			{map[string]int{"f": 1_500_000}, ""},
		} {
			synctest.Test(t, func(t *testing.T) {
				s, m, _ := watchers(t, 1_000_000, impair.Conditions{Delay: 10 * time.Millisecond})
				if !feedback {
					s.viewer.connection.budget.Store(nil)
				}
				rids := []string{"q", "h", "f"}
				rids = slices.DeleteFunc(rids, func(rid string) bool { return tt.rates[rid] == 0 })
				key := s.publish(t, tt.rates, rids...)
				s.run(t, 5*time.Second) // all are measured
				s.begin(key)
				s.run(t, time.Second)
				m.bytes = nil
				s.run(t, 4*time.Second)
				got := ""
				if up := s.viewer.connection.video[0].up; up != nil {
					got = up.rid
				}
				if got != tt.want {
					t.Errorf("feedback %t, encodings %v: %q is sent, want %q", feedback, rids, got, tt.want)
				}
				if dropped := s.dropped(dropOutgoing); tt.want != "" && dropped != 0 {
					t.Errorf("feedback %t: %d packets were left out", feedback, dropped)
				}
			})
		}
	}
}

// TestFlood: of a publisher that sends more than any may, so much is taken, its voice before its
// video, many small packets count as larger ones, what others send in its name is not counted, and a
// new PeerConnection renews nothing.
func TestFlood(t *testing.T) {
	const rate, seconds = 800_000, 5
	limited := func(c *Config) { c.Limits = Limits{Incoming: rate, Outgoing: 2 * rate} }
	offer := func(n *Node) *rig {
		return newRig(t, n, "alice", map[string]Source{"a": Mic, "v": Camera},
			rigSection("audio", "a", "sendonly"), rigSection("video", "v", "sendonly", "a=ssrc-group:FID 70 71\r\n"))
	}
	for _, size := range []int{10, 1100} {
		n := startNode(t, limited)
		r := offer(n)
		r.keepFeedback()
		r.egress.now = int64(time.Hour)
		began, seq, payload := r.egress.now, uint16(0), keyFrame+string(make([]byte, size))
		r.send(r.packet(10, 111, 0, "voice", id(rigMID), "a"))
		for r.egress.now < began+int64(seconds*time.Second) {
			r.egress.now += int64(time.Millisecond)
			seq++
			r.send(r.packet(70, 96, seq, payload, id(rigCC), string([]byte{byte(seq >> 8), byte(seq)})))
			if seq%20 == 0 {
				r.send(r.packet(10, 111, seq/20, "voice"))
			}
		}
		video, voice := r.uplinks[70].up.counters.packetsIn.Load(), r.uplinks[10].up.counters.packetsIn.Load()
		if voice != 1+seconds*50 {
			t.Errorf("packets of %d bytes: %d packets of the voice, want all %d", size, voice, 1+seconds*50)
		}
		most := float64(rate/8*(seconds+1)) / float64(max(size, leastIncoming))
		if got := float64(video) + float64(voice)*leastIncoming/float64(max(size, leastIncoming)); got > 1.01*most || got < 0.95*most {
			t.Errorf("packets of %d bytes: %d were taken, want about %.0f", size, video, most)
		}
		if dropped := n.Stats().Dropped["incoming_rate"]; dropped != 1000*seconds-video {
			t.Errorf("%d are counted as left out, want %d", dropped, 1000*seconds-video)
		}
		if got := r.acknowledged(); got > int(video) {
			t.Errorf("%d are acknowledged, %d were taken", got, video)
		}
	}

	n := startNode(t, limited)
	r := offer(n)
	r.egress.now = int64(time.Hour)
	other, err := srtp.NewCipher(srtp.AEADAES128GCM, srtp.Master{Key: []byte("sixteen other by"), Salt: make([]byte, 12)})
	if err != nil {
		t.Fatal(err)
	}
	forger := &rig{connection: r.connection, t: t, egress: r.egress, out: map[uint32]*srtp.Stream{}, cipher: other}
	for seq := range uint16(2000) {
		forger.send(r.packet(70, 96, seq, keyFrame+string(make([]byte, 1100)), id(rigMID), "v"))
	}
	if n.Stats().Dropped["unauthentic"] != 2000 {
		t.Error("what was forged opened")
	}
	if full := r.transport.incoming.full.Load(); full != 0 {
		t.Errorf("what did not open was counted, until %v", time.Duration(full))
	}
	for r.allows(&uplink{}, 1000, r.egress.now) {
	}
	if _, err := r.transport.Answer(t.Context(), Offer{2, testSDP(rigSection("video", "v", "sendonly")), map[string]Source{"v": Camera}}); err != nil {
		t.Fatal(err)
	}
	if next := r.transport.current(); next == r.connection || next.allows(&uplink{}, 1000, r.egress.now) {
		t.Error("a new connection renews what may be sent")
	}
}

// TestDescriptorsCount: a sender may put more into them than into the payload.
func TestDescriptorsCount(t *testing.T) {
	for name, p := range map[string]*packetcache.Packet{
		"payload": {Payload: make([]byte, 956)}, "descriptor": {Payload: make([]byte, 706), Descriptor: make([]byte, 250)},
		"front": {Payload: make([]byte, 1), Front: make([]byte, 955)},
	} {
		if got := sizeOf(p); got != 1000 {
			t.Errorf("%s: %d bytes, want 1000", name, got)
		}
	}
}

// TestSlotsHaveTheCeiling: of all that a participant is sent, of one kind of feedback or another.
func TestSlotsHaveTheCeiling(t *testing.T) {
	n := startNode(t, func(c *Config) { c.Limits.Outgoing = 1_000_000 })
	r := newRig(t, n, "bob", nil, rigSection("audio", "a", "recvonly"), rigSection("video", "v", "recvonly"))
	if len(r.slots.list) != 2 {
		t.Fatalf("%d slots", len(r.slots.list))
	}
	for _, d := range r.slots.list {
		if d.ceiling != &r.transport.outgoing {
			t.Errorf("slot %s has another ceiling, or none", d.mid)
		}
	}
	b := r.budget.Load()
	if b == nil || b.most != 900_000 {
		t.Errorf("budget %+v", b)
	}
	r.budget.Store(nil)
	r.remb(1<<50, 1)
	if b := r.budget.Load(); b.most != 900_000 || b.room.Load() > 900_000 {
		t.Errorf("%d bits a second for one who claims more, at most %d", b.room.Load(), b.most)
	}
}
