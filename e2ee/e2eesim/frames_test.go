package e2eesim

import (
	"testing"
	"time"

	"github.com/conclave-sfu/conclave/e2ee/framecrypt"
)

// TestNoFrameLost sends a frame from everyone to everyone every 50 ms while people join and
// leave: whoever was a member when a frame's epoch began opens it.
func TestNoFrameLost(t *testing.T) {
	w := NewWorld(9)
	w.meeting("alice", "bob", "carol")
	opened := 0
	var send func()
	send = func() {
		for _, from := range w.People {
			if from.here() && from.Sending != (framecrypt.Epoch{}) {
				opened += w.sendFrame(t, from)
			}
		}
		w.At(50*time.Millisecond, send)
	}
	w.At(0, send)
	w.Run(time.Second)
	w.Join("dave")
	w.Run(3 * time.Second)
	w.named("alice").Leave()
	w.Join("eve")
	w.Run(3 * time.Second)
	w.named("eve").Leave()
	w.Run(300 * time.Millisecond)
	w.Join("frank")
	w.Join("grace")
	w.Run(5 * time.Second)
	check(t, w)
	if opened < 1000 {
		t.Errorf("%d frames opened", opened)
	}
}

// sendFrame seals a frame now and opens it 30 ms later at all who have its epoch's keys,
// or had them when it was sealed. It returns how many those are.
func (w *World) sendFrame(t *testing.T, from *Participant) int {
	sealed, err := from.Ring.Seal(nil, framecrypt.Mic, framecrypt.Opus, []byte("frame"))
	if err != nil {
		t.Errorf("%s seals: %v", from.Name, err)
		return 0
	}
	epoch, n := from.Sending, 0
	for _, to := range w.People {
		if to == from || !to.here() || to.Epoch == nil || epoch.Less(to.first) {
			continue // dave has no keys of epochs before his
		}
		n++
		w.At(30*time.Millisecond, func() {
			if !to.here() || !from.here() {
				return // frames of those who have left are refused
			}
			if _, _, err := to.Ring.Open(nil, framecrypt.Opus, sealed); err != nil {
				t.Errorf("%.3f: %s opens a frame of %s in epoch %v: %v", w.now.Sub(w.start).Seconds(), to.Name, from.Name, epoch, err)
			}
		})
	}
	return n
}
