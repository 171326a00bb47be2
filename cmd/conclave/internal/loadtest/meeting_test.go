package loadtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/server"
	"github.com/conclave-sfu/conclave/e2ee"
	"github.com/conclave-sfu/conclave/room/client"
	"github.com/conclave-sfu/conclave/sfu"
	"github.com/conclave-sfu/conclave/sfu/impair"
)

// serve runs a whole server on loopback until the test ends or stop is called, and
// gives a fresh link to a room of it.
func serve(t *testing.T, tap func(sfu.Tapped)) (link e2ee.Link, stop func()) {
	t.Helper()
	loopback := netip.MustParseAddr("127.0.0.1")
	srv, err := server.New(server.Config{
		Listen:  "127.0.0.1:0",
		Media:   netip.AddrPortFrom(loopback, 0),
		NodeIPs: []netip.Addr{loopback},
		Log:     zap.NewNop(),
		Tap:     tap,
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := srv.Serve(ctx); err != nil {
			t.Errorf("serve: %v", err)
		}
	}()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	link, err = e2ee.NewLink(rand.Reader, fmt.Sprintf("http://%s", srv.Addr()), "meeting")
	if err != nil {
		t.Fatal(err)
	}
	return link, stop
}

// watchdog ends a step that waits for what never comes. Nothing is measured by it.
const watchdog = time.Minute

// sightings ends a step once so many, one after another, were as they should be.
func sightings(n int, good func(Sighting) bool) func(Sighting) bool {
	var step Step
	seen := 0
	return func(s Sighting) bool {
		switch {
		case !good(s):
			seen = 0
		case s.Step != step:
			step, seen = s.Step, 1
		default:
			seen++
		}
		return seen >= n
	}
}

// complete is a sighting where something comes and of every subscription something has come.
func complete(s Sighting) bool { return s.Missing == 0 && s.Received > 0 }

// TestServerStops midway: the report says so, however much was received before.
func TestServerStops(t *testing.T) {
	link, stop := serve(t, nil)
	var stopping sync.Once
	stopped := false
	report, err := Run(t.Context(), Scenario{
		Link: link, Publishers: 1, Subscribers: 2, Duration: watchdog,
		Watch: func(s Sighting) {
			if s.Received > 0 {
				stopping.Do(stop)
				stopped = true
			}
		},
		Enough: sightings(4, func(s Sighting) bool { return stopped && s.Received == 0 }),
	})
	if err != nil {
		t.Fatal(err)
	}
	if report.FramesDecrypted == 0 || report.CutOff != 3 {
		t.Errorf("%d frames, %d are cut off", report.FramesDecrypted, report.CutOff)
	}
	if err := report.Verdict(); !errors.Is(err, ErrVerdict) || !strings.Contains(err.Error(), "lost the server") {
		t.Errorf("the verdict is %v", err)
	}
}

// TestMeeting holds a whole meeting: server, forwarder and participants.
func TestMeeting(t *testing.T) {
	spy := newSpy(t)
	link, stop := serve(t, spy.tap)
	report, err := Run(t.Context(), Scenario{
		Link: link, Publishers: 2, Subscribers: 2, Duration: watchdog, Enough: sightings(8, complete),
	})
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := report.JSON()
	t.Logf("%s", raw)
	if err := report.Verdict(); err != nil {
		t.Error(err)
	}
	if report.Subscriptions != report.Expected || report.PacketsLost != 0 || report.FramesForeign != 0 {
		t.Errorf("%d of %d subscriptions, %d packets lost, %d foreign frames",
			report.Subscriptions, report.Expected, report.PacketsLost, report.FramesForeign)
	}
	if len(report.SafetyNumbers) != 1 || report.Epoch == 0 {
		t.Errorf("epoch %d with safety numbers %q", report.Epoch, report.SafetyNumbers)
	}
	for _, v := range report.Phases[0].Views {
		if v.Decoded > v.Sent || v.Sent == 0 {
			t.Errorf("%s decoded %d frames of %s, of %d that it could have had", v.Viewer, v.Decoded, v.Of, v.Sent)
		}
	}
	if n := len(report.Phases[0].Views); n != 2*3 {
		t.Errorf("%d videos are watched", n)
	}
	if spy.seen.Load() == 0 || spy.clear.Load() != 0 {
		t.Errorf("the server saw %d packets, %d of them in clear", spy.seen.Load(), spy.clear.Load())
	}
	stop()
	if left := leftovers(); left != "" {
		t.Errorf("goroutines are left:\n%s", left)
	}
}

// spy looks for pieces of the clip in what the server forwards.
type spy struct {
	pieces      map[[pieceSize]byte]bool
	seen, clear atomic.Uint64
}

// pieceSize is long enough not to occur by chance.
const pieceSize = 16

func newSpy(t *testing.T) *spy {
	t.Helper()
	c, err := loadClip()
	if err != nil {
		t.Fatal(err)
	}
	s := &spy{pieces: make(map[[pieceSize]byte]bool)}
	for _, r := range []*recording{c.video[0], c.audio} {
		for _, f := range r.frames {
			for i := 0; i+pieceSize <= len(f.data); i++ {
				s.pieces[[pieceSize]byte(f.data[i:])] = true
			}
		}
	}
	return s
}

// tap looks at the end of a payload, where a frame in clear would show: behind the
// clear bytes of its codec, and at any place of it.
func (s *spy) tap(p sfu.Tapped) {
	if len(p.Payload) < pieceSize {
		return
	}
	s.seen.Add(1)
	if s.pieces[[pieceSize]byte(p.Payload[len(p.Payload)-pieceSize:])] {
		s.clear.Add(1)
	}
}

// TestSpy has the spy find a frame in clear.
func TestSpy(t *testing.T) {
	s := newSpy(t)
	c, _ := loadClip()
	for _, payload := range [][]byte{
		c.audio.frames[5].data,
		append([]byte{0x10}, c.video[0].frames[7].data[:1100]...),
		make([]byte, 100),
	} {
		s.tap(sfu.Tapped{Payload: payload})
	}
	if s.seen.Load() != 3 || s.clear.Load() != 2 {
		t.Errorf("%d payloads seen, %d in clear", s.seen.Load(), s.clear.Load())
	}
}

// TestMeetingWithOthers has somebody in the meeting who is not part of the test.
func TestMeetingWithOthers(t *testing.T) {
	link, _ := serve(t, nil)
	c, err := loadClip()
	if err != nil {
		t.Fatal(err)
	}
	var heard atomic.Uint64
	other, err := client.Join(t.Context(), client.Config{
		Link: link, Name: "Maya", Publish: tracksOf("Maya", c, newLedger(1, 65)),
		OnFrame: func(client.Frame) { heard.Add(1) },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	report, err := Run(t.Context(), Scenario{
		Link: link, Publishers: 1, Subscribers: 1, Duration: watchdog,
		Enough: sightings(4, func(s Sighting) bool { return complete(s) && heard.Load() > 0 }),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := report.Verdict(); err != nil {
		t.Error(err)
	}
	if report.FramesForeign == 0 || heard.Load() == 0 || report.Subscriptions != 2 {
		t.Errorf("%d foreign frames, %d heard by the other, %d subscriptions", report.FramesForeign, heard.Load(), report.Subscriptions)
	}
}

func TestNobodyJoins(t *testing.T) {
	link, stop := serve(t, nil)
	stop()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, Scenario{Link: link, Publishers: 1, Subscribers: 1, Duration: time.Second}); !errors.Is(err, ErrJoin) {
		t.Errorf("%v", err)
	}
}

// TestInterrupted ends a test early: it reports what there is.
func TestInterrupted(t *testing.T) {
	link, _ := serve(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan *Report, 1)
	go func() {
		report, err := Run(ctx, Scenario{Link: link, Publishers: 1, Subscribers: 1, Duration: time.Hour, Progress: &Progress{w: onWrite(func(line string) {
			if strings.Contains(line, "measuring") {
				cancel()
			}
		})}})
		if err != nil {
			t.Error(err)
		}
		done <- report
	}()
	if report := <-done; report != nil && (report.Participants != 2 || report.Seconds > 60) {
		t.Errorf("%d participants, %v s", report.Participants, report.Seconds)
	}
}

// onWrite is a writer that passes on what is written.
type onWrite func(string)

func (f onWrite) Write(b []byte) (int, error) {
	f(string(b))
	return len(b), nil
}

// leftovers are the stacks of participants' goroutines that still run. One that has
// said that it is done may take a moment to be gone.
func leftovers() string {
	for give := time.Now().Add(watchdog); ; runtime.Gosched() {
		if left := running(); left == "" || time.Now().After(give) {
			return left
		}
	}
}

func running() string {
	stacks := make([]byte, 4<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	var left []string
	for g := range strings.SplitSeq(string(stacks), "\n\n") {
		if strings.Contains(g, "room/client.") {
			left = append(left, g)
		}
	}
	return strings.Join(left, "\n\n")
}

// TestMeetingOverABadNetwork has the last of three receive by a way on which everything
// happens to packets. Nobody sees a wrong frame; the others notice nothing.
func TestMeetingOverABadNetwork(t *testing.T) {
	link, _ := serve(t, nil)
	bad := impair.Conditions{
		Loss: 0.05, Delay: 20 * time.Millisecond, Jitter: 10 * time.Millisecond, Reorder: 0.05, Duplicate: 0.05,
	}
	watched := 0
	report, err := Run(t.Context(), Scenario{
		Link: link, Publishers: 1, Subscribers: 2, Layers: []Bits{100_000, 300_000, 900_000},
		Steps: []Step{Down.step(watchdog, bad)}, Recovery: watchdog, Impaired: OnlyLast, Seed: 1,
		Watch: func(Sighting) { watched++ }, Enough: sightings(6, complete),
	})
	if err != nil {
		t.Fatal(err)
	}
	var table strings.Builder
	if err := report.WriteTable(&table); err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", table.String())
	if err := report.Verdict(); err != nil {
		t.Error(err)
	}
	if len(report.Phases) != 2 || watched == 0 {
		t.Fatalf("%d phases, %d sightings", len(report.Phases), watched)
	}
	if p := report.Phases[0]; p.Down.Lost == 0 || p.Down.Duplicated == 0 || p.Down.Reordered == 0 || p.Up.Lost != 0 || len(p.Views) != 2 {
		t.Errorf("%+v", p)
	}
	for _, p := range report.Phases {
		for _, v := range p.Views {
			if v.Impaired != (v.Viewer == "Subscriber 2") || v.Decoded == 0 {
				t.Errorf("%s: %+v", p.Conditions, v)
			}
		}
	}
}
