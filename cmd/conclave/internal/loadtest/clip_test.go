package loadtest

import (
	"crypto/sha256"
	"testing"
	"time"

	"github.com/conclave-sfu/conclave/e2ee/framecrypt"
	"github.com/conclave-sfu/conclave/room/client"
)

// TestClip holds the clip to what make.sh promises and the load test relies on.
func TestClip(t *testing.T) {
	c, err := loadClip()
	if err != nil {
		t.Fatal(err)
	}
	if size := len(clipIVF) + len(clipOgg); size > 400_000 {
		t.Errorf("the clip has %d bytes", size)
	}
	if n := len(c.video[0].frames); n != 120 || c.video[0].ticks != 6000 {
		t.Errorf("%d video frames of %d ticks, not 120 of 6000", n, c.video[0].ticks)
	}
	keys := 0
	for i, f := range c.video[0].frames {
		if f.key {
			keys++
			if w, h := vp8Size(f.data); w != 320 || h != 180 {
				t.Errorf("key frame %d is %d x %d", i, w, h)
			}
		}
		if !f.key && i%15 == 0 {
			t.Errorf("no key frame at second %d", i/15)
		}
		if f.data[0]>>4&1 != 1 { // show_frame (RFC 6386, Section 9.1)
			t.Errorf("frame %d is not shown", i)
		}
		if n, err := framecrypt.ClearPrefix(framecrypt.VP8, f.data); err != nil || n >= len(f.data) {
			t.Errorf("frame %d has %d bytes, %d of them clear, %v", i, len(f.data), n, err)
		}
	}
	if keys != 8 {
		t.Errorf("%d key frames", keys)
	}
	if n := len(c.audio.frames); n < 400 || n > 401 {
		t.Errorf("%d Opus frames in 8 s", n)
	}
}

// TestOpusFrameSize reads the frame size from the TOC (RFC 6716, Section 3.1).
func TestOpusFrameSize(t *testing.T) {
	c, err := loadClip()
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range c.audio.frames {
		if len(f.data) == 0 {
			t.Fatalf("packet %d is empty", i)
		}
		config, count := f.data[0]>>3, f.data[0]&3
		var ms20 bool
		switch {
		case config < 12:
			ms20 = config%4 == 1
		case config < 16:
			ms20 = config%2 == 1
		default:
			ms20 = config%4 == 3
		}
		if !ms20 || count != 0 {
			t.Fatalf("packet %d: configuration %d, frame count code %d: not one frame of 20 ms", i, config, count)
		}
	}
}

// vp8Size reads the size from a key frame's header (RFC 6386, Section 9.1).
func vp8Size(frame []byte) (w, h int) {
	return (int(frame[6]) | int(frame[7])<<8) & 0x3fff, (int(frame[8]) | int(frame[9])<<8) & 0x3fff
}

func TestPlayer(t *testing.T) {
	c, err := loadClip()
	if err != nil {
		t.Fatal(err)
	}
	p := &player{recording: c.video[0], track: &track{recordings: c.video}, ledger: newLedger(1, 65)}
	position := func(keyFrame bool) int { p.sample(keyFrame); return p.current }
	for want := range 20 {
		if got := position(want == 0); got != want {
			t.Fatalf("frame %d in the place of %d", got, want)
		}
	}
	if got := position(true); got != 30 {
		t.Errorf("asked for a key frame after frame 19, got frame %d", got)
	}
	for range len(c.video[0].frames) - 31 {
		position(false)
	}
	if got := position(false); got != 0 {
		t.Errorf("the clip goes on with frame %d", got)
	}
	p.next = 119
	if got := position(true); got != 0 {
		t.Errorf("asked for a key frame before the end, got frame %d", got)
	}
}

func sealedAs(ctr int) client.Sealed {
	epoch := framecrypt.Epoch{Generation: 1, Number: 2}
	return client.Sealed{KID: framecrypt.MakeKID(framecrypt.Camera, 3, 2), Epoch: epoch, CTR: ctrOf(ctr)}
}

func TestChecker(t *testing.T) {
	c, err := loadClip()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_700_000_000, 0)
	check := &checker{ledger: newLedger(1, 65)}
	tr := &track{recordings: c.video}
	for i := range 5 {
		check.ledger.enter(sealedAs(i), tr, sealing{recording: c.video[0], frame: i, at: now})
	}
	frame := func(ctr int, data []byte) client.Frame {
		return client.Frame{Sealed: sealedAs(ctr), Data: data, Received: now.Add(8 * time.Millisecond)}
	}
	foreign := frame(0, c.video[0].frames[0].data)
	foreign.KID = framecrypt.MakeKID(framecrypt.Camera, 4, 2)
	for _, step := range []struct {
		name                  string
		frame                 client.Frame
		ours                  bool
		right, wrong, foreign uint64
	}{
		{"what was sealed", frame(0, c.video[0].frames[0].data), true, 1, 0, 0},
		{"another frame of the clip", frame(1, c.video[0].frames[0].data), true, 1, 1, 0},
		{"no frame of the clip", frame(2, []byte("x")), true, 1, 2, 0},
		{"of one who is not ours", foreign, false, 1, 2, 1},
		{"of the clip, sealed too long ago", frame(77, c.video[0].frames[9].data), true, 2, 2, 1},
		{"not of the clip, sealed too long ago", frame(77, []byte("x")), true, 2, 3, 1},
	} {
		if got, _ := check.check(step.frame); (got == tr) != step.ours {
			t.Errorf("%s: track %p", step.name, got)
		}
		if r, w, f := check.right.Load(), check.wrong.Load(), check.foreign.Load(); r != step.right || w != step.wrong || f != step.foreign {
			t.Errorf("%s: %d right, %d wrong, %d foreign", step.name, r, w, f)
		}
	}
	if p := check.latency.quantile(0.5); p < 7.7 || p > 8 {
		t.Errorf("latency %v ms", p)
	}
}

func TestLedgerIsBounded(t *testing.T) {
	l := newLedger(1, 65)
	tr, r := &track{}, &recording{}
	n := 65*ledgerTime + 100
	for i := range n {
		l.enter(sealedAs(i), tr, sealing{recording: r, frame: i, at: time.Unix(int64(i), 0)})
	}
	if len(l.entries) != 65*ledgerTime {
		t.Errorf("%d entries", len(l.entries))
	}
	if _, _, ok := l.find(sealedAs(99)); ok {
		t.Error("the oldest has not made room")
	}
	if _, s, ok := l.find(sealedAs(100)); !ok || s.frame != 100 {
		t.Error("a frame is gone that had room")
	}
}

func TestDigests(t *testing.T) {
	c, err := loadClip()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range []*recording{c.video[0], c.audio} {
		for i, f := range r.frames {
			if f.digest != sha256.Sum256(f.data) || !r.known[f.digest] {
				t.Fatalf("frame %d is not known by its digest", i)
			}
		}
	}
}
