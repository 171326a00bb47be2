package loadtest_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/loadtest"
	"github.com/conclave-sfu/conclave/cmd/conclave/internal/server"
	"github.com/conclave-sfu/conclave/e2ee"
	"go.uber.org/zap/zaptest"
)

// serve runs a whole server on loopback, and gives a fresh link to a room of it.
func serve(t *testing.T) e2ee.Link {
	t.Helper()
	loopback := netip.MustParseAddr("127.0.0.1")
	srv, err := server.New(server.Config{
		Listen:  "127.0.0.1:0",
		Media:   netip.AddrPortFrom(loopback, 0),
		NodeIPs: []netip.Addr{loopback},
		Log:     zaptest.NewLogger(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	link, err := e2ee.NewLink(rand.Reader, fmt.Sprintf("http://%s", srv.Addr()), "meeting")
	if err != nil {
		t.Fatal(err)
	}
	return link
}

func TestMeeting(t *testing.T) {
	report, err := loadtest.Run(t.Context(), loadtest.Scenario{
		Link:        serve(t),
		Publishers:  2,
		Subscribers: 1,
		Duration:    2 * time.Second,
		Logger:      zaptest.NewLogger(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := report.JSON()
	t.Logf("%s", raw)
	if err := report.Verdict(); err != nil {
		t.Error(err)
	}
	if report.Subscriptions != report.Expected || report.PacketsLost != 0 {
		t.Errorf("%d of %d subscriptions, %d packets lost", report.Subscriptions, report.Expected, report.PacketsLost)
	}
}
