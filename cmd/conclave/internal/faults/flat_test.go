package faults

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"runtime"
	"runtime/pprof"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// usage is what the process holds, after it has collected its garbage.
type usage struct {
	goroutines int
	heap       uint64 // bytes
}

func measure() usage {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what finalizers let go
	runtime.ReadMemStats(&m)
	return usage{runtime.NumGoroutine(), m.HeapAlloc}
}

// flat wants that nothing was kept, but for so many goroutines and so many bytes of heap.
// What is on its way out gets the time that it needs.
func flat(t *testing.T, what string, before, after usage, goroutines int, room uint64) {
	t.Helper()
	kept := func() bool {
		return after.goroutines > before.goroutines+goroutines || after.heap > before.heap+room
	}
	for end := time.Now().Add(patience); kept() && time.Now().Before(end); after = measure() {
		runtime.Gosched()
	}
	t.Logf("%s: goroutines %d to %d, heap %d kB to %d kB", what, before.goroutines, after.goroutines, before.heap>>10, after.heap>>10)
	if !kept() {
		return
	}
	stacks := make([]byte, 1<<20)
	t.Errorf("%s: goroutines %d to %d, heap %d to %d\n%s", what, before.goroutines, after.goroutines, before.heap, after.heap,
		stacks[:runtime.Stack(stacks, true)])
	var heap bytes.Buffer
	if err := pprof.Lookup("heap").WriteTo(&heap, 1); err == nil {
		t.Logf("what the heap holds: %s", heap.Bytes()[:min(heap.Len(), 8<<10)]) // the largest first
	}
}

// TestJoinsAndLeaves has participants come and go without end: with media, in rooms of
// their own and in one that stays. Nothing of them may remain.
func TestJoinsAndLeaves(t *testing.T) {
	joins := 300
	if racing {
		joins = 100
	}
	s := open(t)
	sender, viewer := meet(t, s, "stays")
	sender.film(1, 1)
	viewer.awaitFrames(sender, 5)
	come := func(n int) {
		var visits errgroup.Group
		visits.SetLimit(4)
		for i := range n {
			visits.Go(func() error { return visit(s, sender, i) })
		}
		if err := visits.Wait(); err != nil {
			t.Fatal(err)
		}
		until(t, "the server forgets them", func() bool { return s.metric("conclave_media_transports") == 2 })
	}
	come(40) // pools fill, maps grow
	before := measure()
	began := time.Now()
	come(joins)
	t.Logf("%d joins and leaves, %v each", joins, (time.Since(began) / time.Duration(joins)).Round(100*time.Microsecond))
	viewer.awaitFrames(sender, 5)
	viewer.unharmed("amid joins and leaves")
	flat(t, fmt.Sprint(joins, " joins"), before, measure(), 8, 2<<20)
}

// visit joins, sees a frame if it is in the room that stays, and leaves.
func visit(s *site, sender *probe, i int) error {
	r, room := role{slots: 1, audio: true, video: i%3 == 0}, fmt.Sprint("passing-", i)
	if i%2 == 0 {
		room, r.watch = "stays", []*probe{sender}
	}
	p, err := s.tryJoin(room, r)
	if err != nil {
		return err
	}
	defer p.leave()
	for end := time.Now().Add(patience); i%2 == 0 && p.eyes.seen(sender) == 0; {
		select {
		case <-p.eyes.more:
		case <-time.After(time.Until(end)):
			return fmt.Errorf("visit %d: no frame", i)
		}
	}
	return nil
}

// TestSoak is TestJoinsAndLeaves for as long as SOAK says, which `make soak` sets: what
// the process holds at the end of each minute must not grow from the second to the last.
func TestSoak(t *testing.T) {
	length, err := time.ParseDuration(os.Getenv("SOAK"))
	if err != nil {
		t.Skip("SOAK has no duration: `make soak` sets one")
	}
	s := open(t)
	sender, viewer := meet(t, s, "stays")
	sender.film(1, 1)
	viewer.awaitFrames(sender, 5)
	var first usage
	joins := 0
	for minute, began := 1, time.Now(); time.Since(began) < length; minute++ {
		for end := time.Now().Add(time.Minute); time.Now().Before(end); joins++ {
			if err := visit(s, sender, joins); err != nil {
				t.Fatal(err)
			}
		}
		until(t, "the server forgets them", func() bool { return s.metric("conclave_media_transports") == 2 })
		now := measure()
		fmt.Printf("minute %d: %d joins, %d goroutines, %d kB of heap\n", minute, joins, now.goroutines, now.heap>>10)
		if minute == 2 {
			first = now
		}
	}
	if first != (usage{}) {
		flat(t, "soak", first, measure(), 8, 4<<20)
	}
}

// overheard counts what comes to a socket.
type overheard struct{ media, success, bytes atomic.Uint64 }

// listenAt reads a socket until it is closed.
func listenAt(t *testing.T, conn *net.UDPConn) *overheard {
	o := &overheard{}
	ended := make(chan struct{})
	t.Cleanup(func() { _ = conn.Close(); <-ended })
	go func() {
		defer close(ended)
		buffer := make([]byte, 2000)
		for {
			n, err := conn.Read(buffer)
			if err != nil {
				return
			}
			o.bytes.Add(uint64(n))
			switch {
			case n > 1 && buffer[0] == 1 && buffer[1] == 1: // RFC 8489, Section 5
				o.success.Add(1)
			case n > 1 && buffer[0] >= 128 && buffer[0] < 192:
				o.media.Add(1)
			}
		}
	}()
	return o
}
