package server

import (
	"net"
	"testing"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/port"
)

// TestLimitsFollowDescriptors: however few there are, those who say nothing cannot take all
// connections, nor one source all of theirs.
func TestLimitsFollowDescriptors(t *testing.T) {
	for n, want := range map[int]port.Limits{
		64:      {Open: 32, OpenFromIP: 16, Pending: 16, PendingFromIP: 4},
		1024:    {Open: 896, OpenFromIP: 448, Pending: 448, PendingFromIP: 112},
		1 << 20: {Open: 1<<20 - 128, OpenFromIP: 1<<19 - 64, Pending: 1024, PendingFromIP: 128},
	} {
		if got := limitsFor(n); got != want {
			t.Errorf("%d descriptors: %+v, want %+v", n, got, want)
		}
	}
}

// TestPlainHTTPIsCounted: the address that leads to HTTPS is public too, and takes no
// descriptors beside the limits.
func TestPlainHTTPIsCounted(t *testing.T) {
	s, _ := startHTTPS(t, nil)
	c, err := net.Dial("tcp", s.PlainAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	until(t, "it is accepted", func() bool { return s.reach.limiter.Stats().Open == 1 })
	c.Close()
	until(t, "its end is seen", func() bool { return s.reach.limiter.Stats().Open == 0 })
}
