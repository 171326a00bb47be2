package sfu

import (
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/conclave-sfu/conclave/sfu/bwe"
	"github.com/conclave-sfu/conclave/sfu/pace"
)

// paced is a slot behind a bucket, and the source that it shows.
type paced struct {
	*source
	slot   *downTrack
	writer *fakeWriter
	bucket *pace.Bucket
}

func newPaced(t *testing.T, rate int64) *paced {
	u, _ := newTestUp(true)
	p := &paced{source: &source{u: u, now: int64(time.Minute)}, writer: &fakeWriter{}, bucket: &pace.Bucket{}}
	p.bucket.SetRate(rate)
	p.slot = newTestSlot(t, true, p.writer)
	p.slot.bucket = p.bucket
	p.slot.connect(u, p.now)
	return p
}

// frame sends one of n packets of 1000 bytes.
func (p *paced) frame(t *testing.T, key bool, n int) {
	for i := range n {
		part := make([]byte, 1000)
		p.source.send(t, i == 0, key, part)
	}
}

// tick lets time pass, and drains each 20 ms as a media loop does.
func (p *paced) tick(d time.Duration) {
	for end := p.now + int64(d); p.now < end; {
		p.now += int64(20 * time.Millisecond)
		p.u.drain(p.now)
	}
}

// TestPacedKeyFrame: of a key frame of 60 packets at 300 kbit/s goes what fits in a burst; the
// rest follows at 2.5 times the rate, in order and without a gap, whatever its age, and then
// what came meanwhile.
func TestPacedKeyFrame(t *testing.T) {
	p := newPaced(t, 300_000)
	p.frame(t, true, 60)
	// 40 ms at 750 kbit/s are 3750 bytes; the packet that exceeds them still goes.
	if n := len(p.writer.packets); n != 4 || p.slot.phase != behind {
		t.Fatalf("%d packets went at once, phase %d", n, p.slot.phase)
	}
	p.tick(100 * time.Millisecond)
	if n := len(p.writer.packets); n < 11 || n > 13 { // 9375 bytes in 100 ms
		t.Errorf("%d packets after 100 ms", n)
	}
	for range 15 {
		p.frame(t, false, 1)
	}
	if p.slot.phase != behind || p.slot.overflowed.Load() {
		t.Fatalf("phase %d, overflowed %t: a key frame was given up", p.slot.phase, p.slot.overflowed.Load())
	}
	p.tick(time.Second)
	if p.slot.phase != live || len(p.writer.packets) != 75 {
		t.Errorf("phase %d, %d packets of 75 in the end", p.slot.phase, len(p.writer.packets))
	}
	checkContinuity(t, p.writer.packets)
	p.frame(t, false, 1)
	if len(p.writer.packets) != 76 {
		t.Error("a small frame waits where there is room")
	}
}

// TestTooFarBehind: a source that sends more than the path is held to take is given up
// when a slot is 400 ms behind and comes no nearer. The slot asks for a key frame, and begins
// with no other than a new one.
func TestTooFarBehind(t *testing.T) {
	p := newPaced(t, 300_000) // 750 kbit/s; the source has 2 Mbit/s
	p.frame(t, true, 8)
	began := p.now
	for !p.slot.overflowed.Load() {
		if p.now-began > int64(5*time.Second) {
			t.Fatal("the slot lags on and on")
		}
		p.frame(t, false, 8)
	}
	if after := time.Duration(p.now - began); after < 2*pace.MaxAge || after > 2*time.Second {
		t.Errorf("given up after %v", after)
	}
	if p.slot.phase != waiting {
		t.Errorf("phase %d", p.slot.phase)
	}
	sent := len(p.writer.packets)
	p.frame(t, false, 1)
	if p.slot.phase != waiting || len(p.writer.packets) != sent {
		t.Fatal("it began again with the key frame that it had")
	}
	p.tick(100 * time.Millisecond)
	p.frame(t, true, 3)
	p.tick(100 * time.Millisecond)
	if p.slot.phase != live || p.slot.overflowed.Load() || len(p.writer.packets) != sent+3 {
		t.Errorf("phase %d, overflowed %t, %d packets after a new key frame", p.slot.phase, p.slot.overflowed.Load(), len(p.writer.packets)-sent)
	}
	checkContinuity(t, p.writer.packets)
}

// TestUnlimited: where there is no limit, a frame of any size goes as it comes.
func TestUnlimited(t *testing.T) {
	p := newPaced(t, 0)
	p.frame(t, true, 200)
	if n := len(p.writer.packets); n != 200 || p.slot.phase != live {
		t.Errorf("%d packets of 200, phase %d", n, p.slot.phase)
	}
}

// TestRepairsAreBounded: over a path that was full all that it takes may be sent again, half of
// that while a deep queue stands, and what a key frame lacks at once. What cannot be sent takes
// nothing of it.
func TestRepairsAreBounded(t *testing.T) {
	for _, test := range []struct {
		name          string
		full, crowded bool
		atOnce        int // of 100
		aSecond       int // more, of packets that are held to be of 1200 bytes, at 300 kbit/s
	}{
		{"never full", false, false, 100, 2500},
		{"full", true, false, 8, 31},
		{"crowded", true, true, 1, 16},
	} {
		p := newPaced(t, 0)
		p.slot.repairs = &pace.Bucket{}
		b := &budget{bucket: p.bucket, repairs: p.slot.repairs}
		b.target.Store(300_000)
		p.frame(t, true, 100)
		present := numbersOf(p.writer.packets)
		ask := func(numbers ...uint16) int {
			before := len(p.writer.packets)
			p.slot.feedback([]rtcp.Packet{&rtcp.TransportLayerNack{MediaSSRC: p.slot.ssrc, Nacks: rtcp.NackPairsFromSequenceNumbers(numbers)}}, p.now)
			return len(p.writer.packets) - before
		}
		b.full.Store(test.full)
		b.crowded.Store(test.crowded)
		b.paceRepairs()
		for n := range uint16(200) {
			if ask(present[len(present)-1]+1+n) > 0 {
				t.Fatalf("%s: a packet was sent that there never was", test.name)
			}
		}
		if n := ask(present...); n < test.atOnce || n > test.atOnce+1 {
			t.Errorf("%s: %d of 100 were sent again at once, want %d", test.name, n, test.atOnce)
		}
		n := 0
		for range 25 {
			p.now += int64(40 * time.Millisecond)
			n += ask(present...)
		}
		if n < test.aSecond*9/10 && test.full || n > test.aSecond+1 {
			t.Errorf("%s: %d were sent again in a second, want %d", test.name, n, test.aSecond)
		}
	}
}

func numbersOf(packets []rtp.Packet) (list []uint16) {
	for _, p := range packets {
		list = append(list, p.SequenceNumber)
	}
	return list
}

// TestPaceIsOfWhatIsGiven: pacing begins when the path was seen full, follows the estimate, but
// not below what was given out, and ends where there is ample room.
func TestPaceIsOfWhatIsGiven(t *testing.T) {
	for _, tt := range []struct {
		name         string
		full         bool
		target, used int64
		bytes        int // that go at once of 100,000
	}{
		{"never full", false, 300_000, 1_500_000, 100_000},
		{"full", true, 1_000_000, 900_000, 13_000},
		{"less than was given out", true, 300_000, 1_500_000, 19_000},
		{"ample room", true, 3_000_000, 1_000_000, 100_000},
	} {
		var bucket pace.Bucket
		b := newBudget(bwe.NewSentLog(0), &bucket, &pace.Bucket{}, mostEstimate)
		b.target.Store(tt.target)
		b.used.Store(tt.used)
		b.full.Store(tt.full)
		b.pace()
		sent := 0
		for sent < 100_000 && bucket.Take(int64(time.Second), 1000) {
			sent += 1000
		}
		if sent != tt.bytes {
			t.Errorf("%s: %d bytes at once, want %d", tt.name, sent, tt.bytes)
		}
	}
}
