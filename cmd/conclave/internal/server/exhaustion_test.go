//go:build unix

package server

import (
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	native "github.com/conclave-sfu/conclave/room/client"
)

// fewDescriptors is a process that may have so many files open.
const fewDescriptors = 512

// TestFileDescriptorsRunOut does so in a process of its own, which it asks this test again
// in. Whoever opens more connections than there are descriptors is left with them; a meeting
// that is under way, by UDP and over TCP, goes on, and afterwards all come in again.
func TestFileDescriptorsRunOut(t *testing.T) {
	if os.Getenv("CONCLAVE_TEST_FEW") != "" {
		exhaust(t)
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFileDescriptorsRunOut$", "-test.v")
	cmd.Env = append(os.Environ(), "CONCLAVE_TEST_FEW=1")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "--- PASS") {
		t.Errorf("%v\n%s", err, out)
	}
}

func exhaust(t *testing.T) {
	lower(t, fewDescriptors)
	s := startReach(t, func(c *Config) { c.TLS = nil })
	addr := s.Addr().String()
	c := open(t, s, "den")
	c.hello()

	stop := flood(t, addr)
	for s.reach.limiter.Stats().Refused == 0 {
		time.Sleep(time.Millisecond) // until some are turned away
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
	stop()

	resp, err := http.Get("http://" + addr + "/api/v1/health")
	for ; err != nil; resp, err = http.Get("http://" + addr + "/api/v1/health") {
		time.Sleep(time.Millisecond) // until the server has seen the flood's end
	}
	resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if stats := s.reach.limiter.Stats(); stats.Open > fewDescriptors-keptDescriptors {
		t.Errorf("%+v", stats)
	}
	meet(t, s, "http", native.ByUDP)
}

// lower bounds the descriptors of this process.
func lower(t *testing.T, n uint64) {
	t.Helper()
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: n, Max: n}); err != nil {
		t.Fatal(err)
	}
}

// flood opens connections that begin to ask for a page and never end, from another process, whose descriptors are its
// own. It gives what ends them.
func flood(t *testing.T, addr string) (stop func()) {
	t.Helper()
	host, port, _ := net.SplitHostPort(addr)
	script := `i=0; while [ $i -lt 900 ]; do exec {fd}<>/dev/tcp/` + host + `/` + port + `; echo -n GET >&$fd; i=$((i+1)); done; sleep 60`
	cmd := exec.Command("bash", "-c", "ulimit -n 1000; "+script)
	if err := cmd.Start(); err != nil {
		t.Skip("no bash to flood with: " + err.Error())
	}
	return func() {
		cmd.Process.Kill()
		cmd.Wait()
	}
}
