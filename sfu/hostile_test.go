package sfu

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/conclave-sfu/conclave/sfu/bwe"
	"github.com/conclave-sfu/conclave/sfu/pace"
	"github.com/conclave-sfu/conclave/sfu/packetcache"
	"github.com/conclave-sfu/conclave/sfu/packetmap"
	"github.com/conclave-sfu/conclave/sfu/srtp"
)

// TestJumpsAreShortened: a sender whose numbers jump by nearly half of all of them, again and
// again, does not make a receiver that loses some packets lose count of the wraps.
func TestJumpsAreShortened(t *testing.T) {
	for _, video := range []bool{true, false} {
		u, _ := newTestUp(video)
		w := &fakeWriter{}
		d := newTestSlot(t, video, w)
		s := &source{u: u, seq: 1000}
		d.connect(u, 0)
		for range 100 {
			s.send(t, true, true, []byte("frame"))
			s.seq += 32700
		}
		if len(w.packets) != 100 {
			t.Fatalf("%d packets, want 100", len(w.packets))
		}
		for i, p := range w.packets[1:] {
			if step := p.SequenceNumber - w.packets[i].SequenceNumber; step < 2 || step > maxJump {
				t.Fatalf("packet %d: %d after the one before, want a gap of at most %d", i, step, maxJump)
			}
		}
		cipher, err := srtp.NewCipher(srtp.AEADAES128GCM, rigMaster)
		if err != nil {
			t.Fatal(err)
		}
		seal, open := cipher.Stream(), cipher.Stream()
		for i, p := range w.packets {
			raw, err := p.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			size, _ := srtp.HeaderSize(raw)
			sealed, err := seal.Seal(append(make([]byte, 0, 200), raw[:size]...), raw[size:])
			if err != nil {
				t.Fatal(err)
			}
			if i%20 != 0 { // all the others are lost
				continue
			}
			if _, err := open.Open(sealed, size); err != nil {
				t.Fatalf("packet %d: %v", i, err)
			}
		}
	}
}

// TestAudioIsBounded: a voice goes through, a burst of one that was held up too; who sends
// more than a codec can under a codec's name is held to that.
func TestAudioIsBounded(t *testing.T) {
	for _, test := range []struct {
		name     string
		size     int           // of a payload
		interval time.Duration // between packets
		burst    int           // packets that come with the first
		want     int           // of 1,000, at least
		most     int
	}{
		{"a voice", 100, 20 * time.Millisecond, 0, 1000, 1000},
		{"the best that Opus can", 1275, 20 * time.Millisecond, 0, 1000, 1000},
		{"frames of 2.5 ms", 160, 2500 * time.Microsecond, 0, 1000, 1000},
		{"after a second without network", 80, 20 * time.Millisecond, 50, 1000, 1000},
		{"50 Mbit/s", 1275, 200 * time.Microsecond, 0, 80, 95},
	} {
		u, _ := newTestUp(false)
		w := &fakeWriter{}
		d := newTestSlot(t, false, w)
		s := &source{u: u, seq: 1000}
		d.connect(u, 0)
		for i := range 1000 {
			if i >= test.burst {
				s.now += int64(test.interval)
			}
			s.receive(t, s.seq, s.packet(t, s.seq, true, true, []byte(strings.Repeat("x", test.size))))
			s.seq++
		}
		if n := len(w.packets); n < test.want || n > test.most {
			t.Errorf("%s: %d of 1,000 packets, want %d to %d", test.name, n, test.want, test.most)
		}
		if dropped := u.counters.dropped[dropAudioRate].Load(); int(dropped) != 1000-len(w.packets) {
			t.Errorf("%s: %d counted as dropped", test.name, dropped)
		}
	}
}

// TestGoneBeforeAdded: a stream that ends before it has become part of a publication does not
// become one after that.
func TestGoneBeforeAdded(t *testing.T) {
	n := startNode(t, nil)
	r := newRig(t, n, "alice", map[string]Source{"v": Camera}, rigSection("video", "v", "sendonly", "a=ssrc:70 cname:x\r\n"))
	room := r.transport.room
	room.mu.Lock() // who adds the stream, and who removes it, waits
	r.send(r.packet(70, 96, 1, keyFrame))
	up := r.uplinks[70].up
	r.intake.Lock()
	r.removeUplink(r.uplinks[70])
	r.intake.Unlock()
	room.mu.Unlock()
	room.removeLayer(r.connection, Camera, up)
	if room.addLayer(r.connection, Camera, up) {
		t.Error("a stream that has ended was added")
	}
}

// TestSlotComesBack: a slot that was given up and is offered again carries something again.
func TestSlotComesBack(t *testing.T) {
	n := startNode(t, nil)
	from := newRig(t, n, "bob", map[string]Source{"a": Mic}, rigSection("audio", "a", "sendonly"))
	from.send(from.packet(70, 111, 1, "x"))
	from.transport.room.addLayer(from.connection, Mic, from.uplinks[70].up) // now
	to := newRig(t, n, "alice", nil, rigSection("audio", "a", "recvonly"), rigSection("video", "v", "inactive"))
	to.transport.room.connected(to.connection)
	for i, step := range []struct {
		direction string
		slots     int
	}{{"recvonly", 1}, {"inactive", 0}, {"recvonly", 1}, {"recvonly", 1}, {"inactive", 0}, {"recvonly", 1}} {
		offer := Offer{1, testSDP(rigSection("audio", "a", step.direction), rigSection("video", "v", "inactive")), nil}
		answer, err := to.transport.Answer(t.Context(), offer)
		if err != nil {
			t.Fatal(err)
		}
		if s := n.Stats(); s.Slots != step.slots {
			t.Errorf("step %d: %d slots carry something, want %d", i, s.Slots, step.slots)
		}
		if named := strings.Contains(answer, "a=ssrc:"); named != (step.slots == 1) {
			t.Errorf("step %d: the slot is named: %t", i, named)
		}
	}
	if len(to.slots.list) != 1 {
		t.Errorf("%d slots for one section", len(to.slots.list))
	}
}

// TestTooLate: what comes when the window has forgotten whether it was here is not forwarded.
func TestTooLate(t *testing.T) {
	u, _ := newTestUp(true)
	w := &fakeWriter{}
	d := newTestSlot(t, true, w)
	s := &source{u: u, seq: 100}
	d.connect(u, 0)
	s.send(t, true, true, []byte("key frame"))
	missing, last := s.packet(t, 101, false, false, []byte("missing")), s.packet(t, 102, false, false, []byte("missing too"))
	s.seq = 103
	for s.seq < 101+packetmap.WindowSize {
		s.send(t, false, true, []byte("x"))
	}
	s.send(t, false, true, []byte("x"))
	sent := len(w.packets)
	s.receive(t, 101, missing)
	s.receive(t, 101, missing)
	if n := u.counters.dropped[dropLate].Load(); n != 2 || len(w.packets) != sent {
		t.Errorf("%d counted as late, %d sent", n, len(w.packets)-sent)
	}
	s.receive(t, 102, last)
	s.receive(t, 102, last)
	if n := u.counters.dropped[dropDuplicate].Load(); n != 1 || len(w.packets) != sent+1 {
		t.Errorf("%d counted as repeated, %d sent", n, len(w.packets)-sent)
	}
}

// TestVoicesArePaidByVideo: audio always goes, and what it takes is not there for video.
func TestVoicesArePaidByVideo(t *testing.T) {
	u, _ := newTestUp(false)
	w := &fakeWriter{}
	d := newTestSlot(t, false, w)
	d.bucket = &pace.Bucket{}
	d.bucket.SetRate(100_000)
	s := &source{u: u, seq: 100}
	d.connect(u, 0)
	for range 60 {
		s.receive(t, s.seq, s.packet(t, s.seq, true, true, []byte(strings.Repeat("x", 400))))
		s.seq++
	}
	if len(w.packets) != 60 || !d.bucket.Short(s.now) {
		t.Errorf("%d packets of audio sent; video has to wait: %t", len(w.packets), d.bucket.Short(s.now))
	}
}

// TestTooLargeToSend: what grows beyond a datagram by its headers is not sent.
func TestTooLargeToSend(t *testing.T) {
	n := startNode(t, nil)
	r := newRig(t, n, "alice", nil, rigSection("video", "v", "recvonly"))
	path := &fakePath{}
	r.way.Store(&way{conn: r.connection, path: path})
	for _, d := range r.slots.list {
		for i, test := range []struct {
			payload, descriptor int
			want                bool
		}{{1400, 0, true}, {1400, 20, true}, {1400, 255, false}, {1480, 0, false}, {1100, 255, true}, {1500, 0, false}} {
			before := len(path.sent)
			o := outgoing{payload: make([]byte, test.payload), descriptor: make([]byte, test.descriptor), seq: uint16(2000 + i), payloadType: 96}
			if sent := d.writer.writeMedia(&o); sent != test.want || len(path.sent)-before != map[bool]int{true: 1}[test.want] {
				t.Errorf("payload of %d, descriptor of %d bytes: sent %t", test.payload, test.descriptor, sent)
			}
		}
	}
}

// TestResentOfTheSource: what is asked for again is of the source that it was of: not a packet
// of the present one that has its number. Video pays for it.
func TestResentOfTheSource(t *testing.T) {
	w := &fakeWriter{}
	d := newTestSlot(t, true, w)
	d.bucket = &pace.Bucket{}
	var now int64
	ask := func(seqs ...uint16) {
		var pairs []rtcp.NackPair
		for _, seq := range seqs {
			pairs = append(pairs, rtcp.NackPair{PacketID: seq})
		}
		d.feedback([]rtcp.Packet{&rtcp.TransportLayerNack{MediaSSRC: d.ssrc, Nacks: pairs}}, now)
	}
	for _, name := range []string{"one", "two"} {
		u, _ := newTestUp(true)
		s := &source{u: u, seq: 100, now: now} // both have the same numbers
		d.connect(u, now)
		for range 20 {
			s.send(t, true, true, []byte(name))
		}
		now = s.now
	}
	first, last := w.packets[5].SequenceNumber, w.packets[len(w.packets)-1].SequenceNumber
	sent := len(w.packets)
	if ask(first); len(w.packets) != sent {
		t.Errorf("a packet of the source before is answered with %q", w.packets[sent].Payload)
	}
	d.bucket.SetRate(100_000)
	for range 200 {
		ask(last)
	}
	if got := w.packets[len(w.packets)-1]; len(w.packets) == sent || got.SSRC != d.rtxSSRC || !strings.HasSuffix(string(got.Payload), "wo") {
		t.Errorf("%d packets were sent again", len(w.packets)-sent)
	}
	if !d.bucket.Short(now) {
		t.Error("what is sent again costs nothing")
	}
}

// TestOtherCertificate: a renegotiation keeps the certificate, or it is none.
func TestOtherCertificate(t *testing.T) {
	n := startNode(t, nil)
	c := join(t, n, "r", "alice")
	offer := Offer{1, testSDP(testSection("video", "0", "recvonly")), nil}
	for _, test := range []struct {
		sdp  string
		want error
	}{
		{offer.SDP, nil}, {offer.SDP, nil}, {strings.Replace(offer.SDP, "a=fingerprint:sha-256 ", "a=fingerprint:sha-256 EE:", 1), ErrBadOffer}, {offer.SDP, nil},
	} {
		if _, err := c.transport.Answer(t.Context(), Offer{1, test.sdp, nil}); !errors.Is(err, test.want) {
			t.Errorf("%v, want %v", err, test.want)
		}
	}
}

// TestPaddedRetransmission: the padding of a retransmission is not taken for the original's.
func TestPaddedRetransmission(t *testing.T) {
	n := startNode(t, nil)
	r := newRig(t, n, "alice", map[string]Source{"v": Camera}, rigSection("video", "v", "sendonly", "a=ssrc-group:FID 70 71\r\n"))
	r.send(r.packet(70, 96, 1, keyFrame))
	again := r.packet(71, 97, 1, "\x00\x02\x10abc\x03")
	again.Padding, again.PaddingSize = true, 9
	r.send(again)
	up := r.uplinks[70].up
	p, ok := up.cache.Get(up.newest.Load())
	if !ok || string(p.Payload) != "\x10abc\x03" {
		t.Fatalf("%t, %q", ok, p.Payload)
	}
	p.Release()
}

// TestEarlyIsBounded: of what comes before there are keys a little is kept, and nothing before a
// handshake has begun.
func TestEarlyIsBounded(t *testing.T) {
	n := startNode(t, nil)
	r := newRig(t, n, "alice", nil, rigSection("audio", "a", "recvonly"))
	r.in = nil
	take := func() (kept int) {
		for range 2 * maxEarly {
			p := packetcache.New()
			if r.takeProtected(r.egress, p, 40, nil) {
				kept++
			} else {
				p.Release()
			}
		}
		return kept
	}
	if kept := take(); kept != 0 {
		t.Errorf("%d packets are kept before a handshake", kept)
	}
	r.greeted.Store(true)
	if kept := take(); kept != maxEarly || len(r.early) != maxEarly {
		t.Errorf("%d packets are kept during a handshake, want %d", kept, maxEarly)
	}
}

// TestFeedbackIsBounded: reports cost work, so they are taken so often; what a receiver claims to
// take is believed up to a bound.
func TestFeedbackIsBounded(t *testing.T) {
	b := newBudget(bwe.NewSentLog(64), &pace.Bucket{}, &pace.Bucket{}, unlimited)
	report := []byte{0x8f, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0}
	var decoded bwe.Report
	taken := 0
	for range 10 * reportsBurst {
		if _, ok := b.feedback(&decoded, report, 1); ok {
			taken++
		}
	}
	if taken != reportsBurst {
		t.Errorf("%d reports at once, want %d", taken, reportsBurst)
	}
	b = newBudget(bwe.NewSentLog(0), &pace.Bucket{}, &pace.Bucket{}, unlimited)
	for _, bits := range []uint64{1 << 40, 1 << 63, 1<<64 - 1} {
		if b.remb(1, bits); b.target.Load() <= 0 || b.target.Load() > mostEstimate {
			t.Errorf("%d bits a second make %d", bits, b.target.Load())
		}
	}
}

// TestVoicesAreReserved: what the voices take is not given to video.
func TestVoicesAreReserved(t *testing.T) {
	c := &connection{audio: []*downTrack{{key: mic("alice")}, {}, {key: mic("bob")}}}
	if use := c.audioUse(); use != 2*audioRate {
		t.Errorf("%d bits a second for two voices", use)
	}
}

// TestKeyFrameInParts: a key frame of H.264 begins with its parameter sets, not with its slices:
// who begins with it gets all of them.
func TestKeyFrameInParts(t *testing.T) {
	u, _ := newTestUp(true)
	u.format = plainFormat(codecH264)
	var numbers []int64
	for i, nal := range []string{"\x41slice", "\x67sps", "\x68pps", "\x65slice", "\x65slice", "\x41slice", "\x67sps", "\x65slice"} {
		stamp := uint32(3000 * (1 + i/5))
		if i == 0 {
			stamp = 0
		}
		raw, err := (&rtp.Packet{Header: rtp.Header{Version: 2, SequenceNumber: uint16(100 + i), Timestamp: stamp}, Payload: []byte(nal)}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		p := packetcache.New()
		if !u.receive(p, copy(p.Buffer[:], raw), int64(i)) {
			t.Fatalf("packet %d is not kept", i)
		}
		numbers = append(numbers, u.keyFrame.number.Load()-u.newest.Load()+int64(i))
	}
	for i, want := range []int64{-1, 1, 1, 1, 1, 1, 6, 6} {
		if i > 0 && numbers[i] != want {
			t.Errorf("after packet %d the key frame began with %d, want %d", i, numbers[i], want)
		}
	}
}
