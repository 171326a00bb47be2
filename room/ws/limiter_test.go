package ws

import (
	"testing"
	"time"

	"github.com/conclave-sfu/conclave/room/signal"
)

// TestLargeMessagesCost: over a minute a connection brings no more bytes than its rate, its
// burst and one message, however large its messages are.
func TestLargeMessagesCost(t *testing.T) {
	for _, size := range []int{100, 16 << 10, 750 << 10, int(signal.MaxMessage(signal.MaxParticipants))} {
		l, now := newLimiter(), time.UnixMilli(1_760_000_000_000)
		total := 0
		for range 60 * 100 {
			if l.allow(now, signal.TypeMessage, size) {
				total += size
			}
			now = now.Add(10 * time.Millisecond)
		}
		if most := bytesBurst + 60*bytesPerSecond + size; total == 0 || total > most {
			t.Errorf("messages of %d bytes: %d bytes in a minute, at most %d", size, total, most)
		}
	}
}
