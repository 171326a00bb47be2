package port

import (
	"io"
	"net"
	"testing"
	"time"

	"go.uber.org/zap"
)

// TestUnsentIsBounded: a client that reads nothing has what is on its way, and little more,
// kept for it by the system.
func TestUnsentIsBounded(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	taken := make(chan int)
	l := Share(inner, Config{Limiter: NewLimiter(Limits{Open: 9, OpenFromIP: 9, Pending: 9, PendingFromIP: 9}), Logger: zap.NewNop(), ICE: func(c net.Conn) {
		sum := 0
		for packet := make([]byte, 1200); ; {
			_ = c.SetWriteDeadline(time.Now().Add(200 * time.Millisecond))
			n, err := c.Write(packet)
			if sum += n; err != nil {
				taken <- sum
				return
			}
		}
	}})
	defer l.Shut()
	go l.Accept()
	far, err := net.Dial("tcp", inner.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	const window = 64 << 10 // the system makes it twice as large
	if err := far.(*net.TCPConn).SetReadBuffer(window); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(far, iceHead); err != nil {
		t.Fatal(err)
	}
	if sum := <-taken; sum > 2*window+2*maxUnsent {
		t.Errorf("%d bytes for a client that takes %d", sum, 2*window)
	} else {
		t.Logf("%d bytes", sum)
	}
}
