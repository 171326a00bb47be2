package faults

import (
	"bufio"
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/server"
)

// patience ends a test that waits for what never comes. Nothing is measured by it.
const patience = 60 * time.Second

// long says whether to take the time that is needed for all.
var long = os.Getenv("FAULTS") == "long"

// site is a running server.
type site struct {
	t         testing.TB
	http      string // its URL
	admin     string // the URL of its metrics
	mediaPort netip.AddrPort
	inProcess *server.Server // nil if it has a process of its own
}

// open runs a server until the test ends.
func open(t testing.TB) *site {
	t.Helper()
	s, stop := start(t)
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return s
}

// start runs a server until stop is called, which gives its error.
func start(t testing.TB) (running *site, stop func() error) {
	t.Helper()
	loopback := netip.MustParseAddr("127.0.0.1")
	var s *server.Server
	var err error
	for range 10 {
		s, err = server.New(server.Config{
			Listen: "127.0.0.1:0", Admin: "127.0.0.1:0",
			Media: netip.AddrPortFrom(loopback, 0), NodeIPs: []netip.Addr{loopback},
			Grace: time.Second, Version: "faults", Log: zap.NewNop(),
			Reach: server.Reach{MediaTCPPort: freePort(t)},
		})
		if !errors.Is(err, server.ErrListen) {
			break
		} // else somebody was faster
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	running = &site{
		t: t, inProcess: s, mediaPort: s.MediaAddr(),
		http: "http://" + s.Addr().String(), admin: "http://" + s.AdminAddr().String(),
	}
	return running, func() error {
		cancel()
		return <-ended
	}
}

// freePort gives a TCP port that nobody had just now.
func freePort(t testing.TB) uint16 {
	t.Helper()
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

// metrics reads all that have a name, with their labels.
func (s *site) metrics() map[string]float64 {
	s.t.Helper()
	request, err := http.NewRequest(http.MethodGet, s.admin+"/metrics", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	request.Close = true
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer answer.Body.Close()
	found := make(map[string]float64)
	for lines := bufio.NewScanner(answer.Body); lines.Scan(); {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if number, err := strconv.ParseFloat(value, 64); ok && err == nil && name != "#" {
			found[name] = number
		}
	}
	return found
}

// metric reads one.
func (s *site) metric(name string) float64 { return s.metrics()[name] }

// chance is a test's randomness, whose seed it prints.
func chance(t testing.TB) *rand.Rand {
	seed := rand.Uint64()
	if text := os.Getenv("FAULTS_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("FAULTS_SEED: %v", err)
		}
	}
	t.Logf("seed %d (FAULTS_SEED repeats it)", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// until waits until a condition holds.
func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	end := time.NewTimer(patience)
	defer end.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-end.C:
			t.Fatalf("waited in vain: %s", what)
		}
	}
}

// noise fills a packet with random bytes.
func noise(random *rand.Rand, n int) []byte {
	packet := make([]byte, n)
	for i := range packet {
		packet[i] = byte(random.Uint32())
	}
	return packet
}
