package client

import (
	"bytes"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/conclave-sfu/conclave/e2ee/framecrypt"
	"github.com/conclave-sfu/conclave/room/signal"
)

// clipOf gives samples: a key frame when asked, otherwise delta frames.
func clipOf(size int) (next func(bool) Sample, keys *int) {
	keys = new(int)
	n := byte(0)
	return func(key bool) Sample {
		frame := bytes.Repeat([]byte{n}, size)
		frame[0] = 1 // a delta frame
		if key {
			frame[0] = 0
			*keys++
		}
		n++
		return Sample{Data: frame, Ticks: 3000}
	}, keys
}

// wire is an uplink whose packets go to a slice.
func wire(t *testing.T, source signal.Source, codec framecrypt.Codec, keys *keyring, size int) (*encoding, *[]*rtp.Packet, *counters) {
	t.Helper()
	next, _ := clipOf(size)
	count := &counters{}
	u, err := newUplink(Track{Source: source, Codec: codec, Next: next}, keys, count)
	if err != nil {
		t.Fatal(err)
	}
	var sent []*rtp.Packet
	e := u.layers[0]
	e.write = func(p *rtp.Packet) error { sent = append(sent, p); return nil }
	return e, &sent, count
}

func (e *encoding) sendNext() { e.send(e.Next(e.wantKey.Swap(false))) }

func TestUplinkSendsNothingUnsealed(t *testing.T) {
	keys := newKeyring()
	u, sent, count := wire(t, signal.SourceCamera, framecrypt.VP8, keys, 3000)
	for range 5 {
		u.sendNext()
	}
	if len(*sent) != 0 || count.unsent.Load() != 5 || count.sent.Load() != 0 {
		t.Fatalf("%d packets without a key, %d frames unsent", len(*sent), count.unsent.Load())
	}
	before := u.packets.timestamp
	enter(t, keys, epochOf(1, 1, 0, 2))
	u.sendNext()
	if len(*sent) != 3 || count.sent.Load() != 1 {
		t.Fatalf("%d packets", len(*sent))
	}
	_, first, err := splitVP8((*sent)[0].Payload)
	if err != nil || first[0]&1 != 0 {
		t.Errorf("the first frame sent is no key frame (%v)", err)
	}
	if (*sent)[0].Timestamp != before || u.packets.timestamp != before+3000 {
		t.Error("the timestamp does not follow the clip")
	}
	plain := bytes.Repeat([]byte{5}, 20)
	for _, p := range *sent {
		if bytes.Contains(p.Payload, plain) {
			t.Error("a packet holds the frame in clear")
		}
	}
}

func TestUplinkKeyFrames(t *testing.T) {
	u, _, count := wire(t, signal.SourceCamera, framecrypt.VP8, keyringWith(t, epochOf(1, 1, 0, 2)), 50)
	next, keys := clipOf(50)
	u.Next = next
	for i, step := range []struct {
		feedback rtcp.Packet
		muted    bool
		want     int // key frames so far
	}{
		{nil, false, 1}, // the first
		{nil, false, 1},
		{&rtcp.PictureLossIndication{}, false, 2},
		{nil, false, 2},
		{&rtcp.FullIntraRequest{}, false, 3},
		{&rtcp.ReceiverReport{}, false, 3},
		{nil, true, 3},
		{nil, false, 4}, // the first after a pause
	} {
		if step.feedback != nil {
			u.answer([]rtcp.Packet{step.feedback})
		}
		u.muted.Store(step.muted)
		u.sendNext()
		if *keys != step.want {
			t.Errorf("step %d: %d key frames, want %d", i, *keys, step.want)
		}
	}
	if count.keyFramesAsked.Load() != 2 || count.sent.Load() != 7 {
		t.Errorf("%d asked, %d sent", count.keyFramesAsked.Load(), count.sent.Load())
	}
}

// slot is a downlink under test, with what it delivered.
type slot struct {
	*downlink
	frames    []string
	shown     []bool // whether each of frames is decodable
	asked     []uint16
	keyFrames int // asked for
}

func newSlot(keys *keyring, audio bool) *slot {
	s := &slot{}
	r := &receiver{keys: keys, count: &counters{}, early: new(atomic.Int64), onFrame: func(f Frame) {
		s.frames = append(s.frames, fmt.Sprintf("%s %s %d %v %d", f.From.Name, f.Source, f.CTR, f.Epoch, len(f.Data)))
		s.shown = append(s.shown, f.Decodable)
	}}
	ask := asker{
		lost:     func(lost []uint16) { s.asked = append(s.asked, lost...) },
		keyFrame: func() { s.keyFrames++ },
	}
	if audio {
		ask = asker{}
	}
	s.downlink = newDownlink(r, "3", audio, ask)
	return s
}

func (s *slot) arrive(now time.Time, p *rtp.Packet) {
	q := s.take()
	n, err := p.MarshalTo(q.buf[:])
	if err != nil {
		panic(err)
	}
	s.receive(now, q, n)
	s.drain(now)
}

func TestDownlink(t *testing.T) {
	u, sent, _ := wire(t, signal.SourceCamera, framecrypt.VP8, keyringWith(t, epochOf(1, 1, 0, 2)), 3000)
	s := newSlot(keyringWith(t, epochOf(1, 1, 1, 2)), false)
	for range 3 {
		u.sendNext()
	}
	lost := (*sent)[4] // in the middle of the second frame
	for i, p := range *sent {
		if p != lost {
			s.arrive(at(i), p)
		}
	}
	s.drain(at(20))
	if !slices.Equal(s.asked, []uint16{lost.SequenceNumber}) {
		t.Errorf("asked for %v, not for %d", s.asked, lost.SequenceNumber)
	}
	s.arrive(at(30), lost)
	want := []string{"A camera 0 1.1 3000", "A camera 1 1.1 3000", "A camera 2 1.1 3000"}
	if !slices.Equal(s.frames, want) {
		t.Errorf("got %q, want %q", s.frames, want)
	}
	stats := s.count.snapshot()
	if stats.PacketsReceived != 9 || stats.PacketsLost != 0 || stats.PacketsRecovered != 1 || stats.FramesOpened != 3 || stats.FramesBroken != 0 {
		t.Errorf("%+v", stats)
	}
}

func TestDownlinkLoss(t *testing.T) {
	u, sent, _ := wire(t, signal.SourceCamera, framecrypt.VP8, keyringWith(t, epochOf(1, 1, 0, 2)), 3000)
	s := newSlot(keyringWith(t, epochOf(1, 1, 1, 2)), false)
	for range 3 {
		u.sendNext()
	}
	for i, p := range *sent {
		if i != 4 {
			s.arrive(at(0), p)
		}
	}
	s.drain(at(0).Add(videoWait))
	if want := []string{"A camera 0 1.1 3000", "A camera 2 1.1 3000"}; !slices.Equal(s.frames, want) {
		t.Errorf("got %q, want %q", s.frames, want)
	}
	if stats := s.count.snapshot(); stats.PacketsLost != 1 || stats.FramesBroken != 1 || stats.Failed() != 0 {
		t.Errorf("%+v", stats)
	}
}

// TestDownlinkEarly has frames come before their epoch.
func TestDownlinkEarly(t *testing.T) {
	alice := keyringWith(t, epochOf(1, 2, 0, 2))
	u, sent, _ := wire(t, signal.SourceMic, framecrypt.Opus, alice, 40)
	bob := keyringWith(t, epochOf(1, 1, 1, 2))
	s := newSlot(bob, true)
	for range 3 {
		u.sendNext()
	}
	s.arrive(at(0), (*sent)[0])
	s.arrive(at(20), (*sent)[1])
	if s.frames != nil || s.early.Load() == 0 {
		t.Fatal("frames of an epoch that is not known do not wait")
	}
	if err := bob.start(epochOf(1, 2, 1, 2), at(30)); err != nil {
		t.Fatal(err)
	}
	s.drain(at(30))
	s.arrive(at(40), (*sent)[2])
	want := []string{"A mic 0 1.2 40", "A mic 1 1.2 40", "A mic 2 1.2 40"}
	if !slices.Equal(s.frames, want) || s.early.Load() != 0 {
		t.Errorf("got %q, %d bytes wait", s.frames, s.early.Load())
	}
	if stats := s.count.snapshot(); stats.Failed() != 0 || stats.FramesEarly != 0 {
		t.Errorf("%+v", stats)
	}
}

// TestDownlinkGivesUp has the key never come: that is a failure only where it should
// have.
func TestDownlinkGivesUp(t *testing.T) {
	tests := []struct {
		name   string
		number uint64 // the frames' epoch, where ours is 5
		failed map[string]uint64
		early  uint64
	}{
		{"before our time", 4, nil, 2},
		{"an epoch that we should know", 6, map[string]uint64{"missing_key": 2}, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			u, sent, _ := wire(t, signal.SourceMic, framecrypt.Opus, keyringWith(t, epochOf(1, test.number, 0, 2)), 40)
			s := newSlot(keyringWith(t, epochOf(1, 5, 1, 2)), true)
			u.sendNext()
			u.sendNext()
			s.arrive(at(0), (*sent)[0])
			s.arrive(at(20), (*sent)[1])
			s.drain(at(0).Add(earlyWait - 1))
			if s.early.Load() == 0 {
				t.Fatal("nothing waits")
			}
			s.drain(at(20).Add(earlyWait))
			stats := s.count.snapshot()
			if !maps.Equal(stats.FramesFailed, test.failed) || stats.FramesEarly != test.early || s.early.Load() != 0 {
				t.Errorf("%+v, %d bytes wait", stats, s.early.Load())
			}
		})
	}
}

func TestDownlinkEarlyIsBounded(t *testing.T) {
	s := newSlot(newKeyring(), true)
	sealed := make([]byte, 1000)
	for range 2 * maxEarly / len(sealed) {
		s.open(arrival{sealed: sealed, since: at(0)}, at(0), false)
	}
	if held := s.early.Load(); held > maxEarly {
		t.Errorf("%d bytes wait, over %d", held, maxEarly)
	}
	s.waiting.clear()
	if held := s.early.Load(); held != 0 {
		t.Errorf("%d bytes wait after all is cleared", held)
	}
}

func TestDownlinkRefuses(t *testing.T) {
	alice := keyringWith(t, epochOf(1, 1, 0, 3))
	sealed, _, err := alice.seal(nil, framecrypt.Mic, framecrypt.Opus, bytes.Repeat([]byte{7}, 40))
	if err != nil {
		t.Fatal(err)
	}
	forged := bytes.Clone(sealed)
	forged[len(forged)-1] ^= 1
	removal := epochOf(1, 2, 1, 3)
	removal.Members, removal.Removed = removal.Members[1:], []framecrypt.Leaf{0}
	tests := []struct {
		name   string
		frames [][]byte
		after  bool // alice was removed before
		failed map[string]uint64
	}{
		{"forged", [][]byte{forged}, false, map[string]uint64{"decrypt_failed": 1}},
		{"replayed", [][]byte{sealed, sealed}, false, map[string]uint64{"replayed": 1}},
		{"in clear", [][]byte{bytes.Repeat([]byte{0xff}, 60)}, false, map[string]uint64{"unencrypted_frame": 1}},
		{"too short", [][]byte{{1, 2, 3}}, false, map[string]uint64{"short_frame": 1}},
		{"of one who was removed", [][]byte{sealed}, true, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bob := keyringWith(t, epochOf(1, 1, 1, 3))
			if test.after {
				enter(t, bob, removal)
			}
			s := newSlot(bob, true)
			for _, f := range test.frames {
				s.open(arrival{sealed: f, since: at(0)}, at(0), false)
			}
			stats := s.count.snapshot()
			if !maps.Equal(stats.FramesFailed, test.failed) || (stats.FramesRefused == 1) != test.after {
				t.Errorf("%+v", stats)
			}
		})
	}
}

// timedSource gives packets, then times out as often as it is asked to, then ends.
type timedSource struct {
	packets  []*rtp.Packet
	timeouts int
	deadline time.Time
}

func (s *timedSource) Read(b []byte) (n int, repaired bool, err error) {
	if len(s.packets) > 0 {
		p := s.packets[0]
		s.packets = s.packets[1:]
		n, err = p.MarshalTo(b)
		return n, false, err
	}
	if s.timeouts > 0 {
		s.timeouts--
		return 0, false, &net.OpError{Op: "read", Err: os.ErrDeadlineExceeded}
	}
	return 0, false, net.ErrClosed
}

func (s *timedSource) SetReadDeadline(t time.Time) error { s.deadline = t; return nil }

func TestDownlinkRun(t *testing.T) {
	u, sent, _ := wire(t, signal.SourceCamera, framecrypt.VP8, keyringWith(t, epochOf(1, 1, 0, 2)), 3000)
	s := newSlot(keyringWith(t, epochOf(1, 1, 1, 2)), false)
	u.sendNext()
	u.sendNext()
	src := &timedSource{packets: slices.Delete(slices.Clone(*sent), 4, 5), timeouts: 3}
	s.run(src)
	if len(s.frames) != 1 || src.deadline.IsZero() {
		t.Errorf("%q, deadline %v", s.frames, src.deadline)
	}
}

// TestDownlinkAllocates nothing for a packet: of audio, where a packet is a frame, and
// of video.
func TestDownlinkAllocates(t *testing.T) {
	for _, test := range []struct {
		source signal.Source
		codec  framecrypt.Codec
		size   int
	}{{signal.SourceMic, framecrypt.Opus, 160}, {signal.SourceCamera, framecrypt.VP8, 3000}} {
		u, sent, _ := wire(t, test.source, test.codec, keyringWith(t, epochOf(1, 1, 0, 2)), test.size)
		s := newSlot(keyringWith(t, epochOf(1, 1, 1, 2)), test.codec.Audio())
		s.onFrame = nil
		const runs = 200
		for range runs + 2 {
			u.sendNext()
		}
		var datagrams [][]byte
		for _, p := range *sent {
			raw, err := p.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			datagrams = append(datagrams, raw)
		}
		next := 0
		n := testing.AllocsPerRun(runs, func() {
			q := s.take()
			s.receive(at(0), q, copy(q.buf[:], datagrams[next]))
			s.drain(at(0))
			next++
		})
		if n != 0 || s.count.received.Load() == 0 {
			t.Errorf("%s: %v allocations a packet", test.source, n)
		}
	}
}

// FuzzDownlink receives datagrams that anybody may have sent: none may do harm.
func FuzzDownlink(f *testing.F) {
	f.Add([]byte{0x80, 0x60, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0x10, 1, 2, 3}, uint8(16), true)
	f.Add([]byte{0x90, 0xe0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0xbe, 0xde, 0, 1, 0x10, 0xff, 0, 0, 0x90, 0x80}, uint8(22), true)
	f.Add(bytes.Repeat([]byte{0x80, 111, 9, 9}, 30), uint8(40), false)
	f.Fuzz(func(t *testing.T, data []byte, size uint8, video bool) {
		s := newSlot(keyringWith(t, epochOf(1, 1, 1, 2)), !video)
		for ms := 0; len(data) > 0; ms += 20 {
			n := min(int(size)+1, len(data))
			p := s.take()
			s.receive(at(ms), p, copy(p.buf[:], data[:n]))
			s.drain(at(ms))
			data = data[n:]
		}
		s.drain(at(1 << 20))                                 // nothing waits for packets any more,
		s.drain(at(1<<20 + int(earlyWait/time.Millisecond))) // nor for keys
		if s.frames != nil {
			t.Errorf("opened %q", s.frames)
		}
		if held := s.early.Load(); held != 0 {
			t.Errorf("%d bytes still wait", held)
		}
	})
}
