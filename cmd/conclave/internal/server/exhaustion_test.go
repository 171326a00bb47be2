//go:build unix

package server

import (
	"context"
	crand "crypto/rand"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/loadtest"
	"github.com/conclave-sfu/conclave/e2ee"
	native "github.com/conclave-sfu/conclave/room/client"
)

// fewDescriptors is a process that may have so many files open.
const fewDescriptors = 512

// TestFileDescriptorsRunOut does so in a process of its own, which it asks this test again
// in. Whoever opens more connections than there are descriptors, to pages and to the address
// that leads to HTTPS, is left with them; meetings that are under way, by UDP and over TCP, go
// on through it, and afterwards all come in again.
func TestFileDescriptorsRunOut(t *testing.T) {
	if os.Getenv("CONCLAVE_TEST_FEW") != "" {
		exhaust(t)
		return
	}
	// A binary of tests runs without end if nobody says otherwise; at the end of its time it
	// says where it waits.
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFileDescriptorsRunOut$", "-test.v", "-test.timeout=3m")
	cmd.Env = append(os.Environ(), "CONCLAVE_TEST_FEW=1")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS") {
		t.Errorf("%v\n%s", err, out)
	}
}

func exhaust(t *testing.T) {
	lower(t, fewDescriptors)
	s := startReach(t, func(c *Config) {
		c.TLS, c.HTTP, c.Reach.MediaTCPPort = nil, "127.0.0.1:0", freePort(t, "tcp")
	})
	addr := s.Addr().String()
	c := open(t, s, "quiet")
	c.hello()
	meetings := []*underway{begin(t, s, native.ByUDP), begin(t, s, native.ByTCP)}
	for _, m := range meetings {
		m.goesOn(t)
	}

	stop := flood(t, addr, s.PlainAddr().String())
	until(t, "some are turned away", func() bool { return s.reach.limiter.Stats().Refused > 0 })
	for _, m := range meetings {
		m.goesOn(t)
	}
	c.text(`{"type":"view","id":7,"body":{"wants":[{"pid":"x"}]}}`)
	if env := c.expect("error"); env.Re != 7 {
		t.Errorf("who is connected is not served: %+v", env)
	}
	if socket, err := net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
		t.Errorf("the process itself has no descriptor left: %v", err)
	} else {
		socket.Close()
	}
	for _, m := range meetings {
		m.goesOn(t)
		m.finish(t)
	}
	stop()

	until(t, "the server has seen the flood's end", func() bool {
		resp, err := http.Get("http://" + addr + "/api/v1/health")
		if err != nil {
			return false
		}
		return resp.Body.Close() == nil
	})
	http.DefaultClient.CloseIdleConnections()
	if stats := s.reach.limiter.Stats(); stats.Open > fewDescriptors-keptDescriptors {
		t.Errorf("%+v", stats)
	}
	meet(t, s, "http", native.ByUDP)
}

// underway is a meeting of two that send and one that receives, until it is finished.
type underway struct {
	way  native.Way
	seen chan float64 // bits a second that each receives, when somebody asks
	end  context.CancelFunc
	over chan struct{} // closed when report and err are there

	report *loadtest.Report
	err    error
}

// begin holds a meeting in a room that is called as its way.
func begin(t *testing.T, s *Server, way native.Way) *underway {
	t.Helper()
	link, err := e2ee.NewLink(crand.Reader, "http://"+s.Addr().String(), string(way))
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(t.Context())
	m := &underway{way: way, seen: make(chan float64), end: end, over: make(chan struct{})}
	watch := func(now loadtest.Sighting) {
		select {
		case m.seen <- now.Received:
		default:
		}
	}
	go func() {
		defer close(m.over)
		m.report, m.err = loadtest.Run(ctx, loadtest.Scenario{Link: link, Way: way, Publishers: 2, Subscribers: 1, Duration: time.Hour, Watch: watch})
	}()
	t.Cleanup(func() { end(); <-m.over })
	return m
}

// goesOn waits until a meeting has been seen to receive media in four spans of
// [loadtest.WatchInterval].
func (m *underway) goesOn(t *testing.T) {
	t.Helper()
	for running := 0; running < 4; {
		select {
		case received := <-m.seen:
			if received > 0 {
				running++
			}
		case <-m.over:
			t.Fatalf("the meeting by %s has ended: %v", m.way, m.err)
		}
	}
}

// finish ends a meeting and expects that no frame was wrong and nobody was lost.
func (m *underway) finish(t *testing.T) {
	t.Helper()
	m.end()
	<-m.over
	if m.err != nil {
		t.Fatal(m.err)
	}
	if err := m.report.Verdict(); err != nil {
		t.Errorf("by %s: %v", m.way, err)
	}
}

// lower bounds the descriptors of this process.
func lower(t *testing.T, n uint64) {
	t.Helper()
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: n, Max: n}); err != nil {
		t.Fatal(err)
	}
}

// flood opens connections to both addresses in turn, that begin to ask for a page and never end,
// from another process, whose descriptors are its own. It gives what ends them: that process
// has none of its own, which would outlive it and keep the connections.
func flood(t *testing.T, addrs ...string) (stop func()) {
	t.Helper()
	script := `i=0; while [ $i -lt 450 ]; do for a; do exec {fd}<>/dev/tcp/$a; echo -n GET >&$fd; done; i=$((i+1)); done; read`
	args := []string{"-c", "ulimit -n 1000; " + script, "flood"}
	for _, a := range addrs {
		args = append(args, strings.Replace(a, ":", "/", 1))
	}
	cmd := exec.Command("bash", args...)
	stdin, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Skip("no bash to flood with: " + err.Error())
	}
	return func() {
		stdin.Close() // it waits for that
		cmd.Process.Kill()
		cmd.Wait()
	}
}
