package ws

import (
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/conclave-sfu/conclave/room"
	"github.com/conclave-sfu/conclave/room/signal"
)

// begin sends size bytes of a message without an end, and answers pings from then on.
func (c *client) begin(size int) {
	c.t.Helper()
	w, err := c.socket.Writer(c.t.Context(), websocket.MessageText)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := w.Write(make([]byte, size)); err != nil {
		c.t.Fatal(err)
	}
	c.socket.CloseRead(c.t.Context())
}

// awaits reads events until one of a kind comes for a participant.
func (s *server) awaits(kind room.EventKind, who signal.PID) {
	s.t.Helper()
	hang := time.NewTimer(time.Minute) // not a measure
	defer hang.Stop()
	for {
		select {
		case e := <-s.events:
			if e.Kind == kind && e.PID == who {
				return
			}
		case <-hang.C:
			s.t.Fatalf("%q does not come for %s", kind, who)
		}
	}
}

// TestUnfinishedMessage: a message that has begun has to end, however well pings are answered.
func TestUnfinishedMessage(t *testing.T) {
	for _, size := range []int{5000, smallMessage + 5000} {
		s := serve(t, func(h *Handler) { h.timing.message = 500 * time.Millisecond })
		c := s.enter(1, nil)
		c.begin(size)
		s.awaits(room.Away, c.pid)
		if !s.handler.large.TryAcquire(largeReads) {
			t.Errorf("after %d bytes of a message its place is held", size)
		}
		s.handler.large.Release(largeReads)
		s.serves()
	}
}

// TestLargeMessagesWait: while others read large messages one more waits, but not for ever,
// and small ones do not wait at all.
func TestLargeMessagesWait(t *testing.T) {
	s := serve(t, func(h *Handler) { h.timing.message = time.Second })
	if !s.handler.large.TryAcquire(largeReads) {
		t.Fatal("held from the start")
	}
	c := s.enter(1, nil)
	s.serves()
	go func() { // the server does not read on
		_ = c.socket.Write(t.Context(), websocket.MessageText, make([]byte, smallMessage+5000))
	}()
	c.ends(signal.CodeRateLimited)
	s.handler.large.Release(largeReads)
	again := s.enter(2, nil)
	frame := append([]byte(`{"type":"leave"}`), make([]byte, smallMessage)...)
	for i := 16; i < len(frame); i++ {
		frame[i] = ' '
	}
	again.raw(websocket.MessageText, frame)
	s.awaits(room.Left, again.pid)
}

// TestStopWhileWaiting: a server that stops does not wait for large messages.
func TestStopWhileWaiting(t *testing.T) {
	s := serve(t, func(h *Handler) {
		h.timing.message, h.timing.ending = time.Hour, time.Millisecond // nobody reads its end
	})
	if !s.handler.large.TryAcquire(largeReads) {
		t.Fatal("held from the start")
	}
	c := s.enter(1, nil)
	go func() { _ = c.socket.Write(t.Context(), websocket.MessageText, make([]byte, smallMessage+5000)) }()
	s.stop()
}
