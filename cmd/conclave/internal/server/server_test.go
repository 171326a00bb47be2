package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
)

// start runs a server on ports that the kernel chooses, and ends it with the test.
func start(t *testing.T) *Server {
	t.Helper()
	return startWith(t, testConfig())
}

func startWith(t *testing.T, cfg Config) *Server {
	t.Helper()
	return serve(t, create(t, func() Config { return cfg }))
}

// create opens a server's sockets. Where somebody else was faster at a port that was free, another
// is asked for.
func create(t *testing.T, config func() Config) *Server {
	t.Helper()
	var s *Server
	var err error
	for range 10 {
		if s, err = New(config()); !errors.Is(err, ErrListen) {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// serve serves until the test ends.
func serve(t *testing.T, s *Server) *Server {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return s
}

func testConfig() Config {
	loopback := netip.MustParseAddr("127.0.0.1")
	return Config{
		Listen: "127.0.0.1:0", Admin: "127.0.0.1:0",
		Media: netip.AddrPortFrom(loopback, 0), NodeIPs: []netip.Addr{loopback},
		MLSSuite: "0x0003", Grace: 2 * time.Second, Version: "test", Log: zap.NewNop(),
		Origins: []string{"https://meet.example.org"},
	}
}

// get asks an HTTP server without keeping the connection.
func get(t *testing.T, addr net.Addr, path string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr.String()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

func TestRoutes(t *testing.T) {
	s := start(t)
	tests := []struct {
		addr   net.Addr
		path   string
		status int
		body   string // part of it
	}{
		{s.Addr(), "/api/v1/health", 200, "ok"},
		{s.Addr(), "/api/v1/settings", 200, `{"mlsSuite":"0x0003"}`},
		{s.Addr(), "/", 200, "<!doctype html"},
		{s.Addr(), "/r/den", 200, "<!doctype html"},
		{s.Addr(), "/r/a%20b", 404, ""},
		{s.Addr(), "/nothing", 404, ""},
		{s.Addr(), "/api/v1/nothing", 404, ""},
		{s.Addr(), "/metrics", 404, ""},
		{s.Addr(), "/healthz", 404, ""},
		{s.Addr(), "/debug/pprof/", 404, ""},
		{s.Addr(), "/api/v1/rooms/den/ws", 400, ""},
		{s.AdminAddr(), "/healthz", 200, "ok"},
		{s.AdminAddr(), "/metrics", 200, `conclave_build_info{version="test"} 1`},
		{s.AdminAddr(), "/metrics", 200, "\nconclave_rooms 0\n"},
		{s.AdminAddr(), "/metrics", 200, "\nconclave_media_received_packets_total 0\n"},
		{s.AdminAddr(), "/debug/pprof/", 200, "goroutine"},
		{s.AdminAddr(), "/debug/pprof/goroutine?debug=1", 200, "goroutine profile"},
		{s.AdminAddr(), "/", 404, ""},
	}
	for _, tt := range tests {
		t.Run(tt.path, func(t *testing.T) {
			resp, body := get(t, tt.addr, tt.path)
			if resp.StatusCode != tt.status || !strings.Contains(strings.ToLower(body), strings.ToLower(tt.body)) {
				t.Errorf("%s, want %d and %q in\n%.500s", resp.Status, tt.status, tt.body, body)
			}
		})
	}
}

// TestMetricsAreDocumented holds docs/operations.md to the metrics, and both to labels
// that name no room and no participant.
func TestMetricsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	s := start(t)
	c := open(t, s, "a-room-of-the-test")
	c.hello()
	_, body := get(t, s.AdminAddr(), "/metrics")
	found := 0
	for line := range strings.Lines(body) {
		name, isType := strings.CutPrefix(line, "# TYPE conclave_")
		if !isType {
			continue
		}
		found++
		if name, _, _ = strings.Cut(name, " "); !strings.Contains(string(page), "`conclave_"+name) {
			t.Errorf("docs/operations.md has no row for conclave_%s", name)
		}
	}
	if found < 10 {
		t.Errorf("%d metrics in\n%s", found, body)
	}
	if strings.Contains(body, "a-room-of-the-test") {
		t.Error("a metric names a room")
	}
	if !strings.Contains(body, `conclave_room_events_total{kind="participant_arrived"} 1`) {
		t.Error("the participant is not counted")
	}
}

// TestHeaders: every answer keeps browsers from guessing, framing and telling others.
func TestHeaders(t *testing.T) {
	s := start(t)
	for _, path := range []string{"/", "/r/den", "/nothing", "/api/v1/health", "/api/v1/nothing", "/api/v1/rooms/den/ws"} {
		resp, _ := get(t, s.Addr(), path)
		h := resp.Header
		if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%s: headers %v", path, h)
		}
		csp := h.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'"} {
			if !strings.Contains(csp, want) {
				t.Errorf("%s: policy %q lacks %q", path, csp, want)
			}
		}
		if strings.Contains(csp, "unsafe-inline") || strings.Contains(csp, "'unsafe-eval'") || strings.Contains(csp, "*") {
			t.Errorf("%s: policy %q is not strict", path, csp)
		}
	}
}

func TestMethodsAreRefused(t *testing.T) {
	s := start(t)
	for _, path := range []string{"/", "/api/v1/health"} {
		resp, err := http.Post("http://"+s.Addr().String()+path, "text/plain", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("POST %s: %s", path, resp.Status)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// TestNewClosesWhatItOpened: a start that fails leaves no port taken. Somebody else may take it
// meanwhile, but not each time.
func TestNewClosesWhatItOpened(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	until(t, "a port is free after a start that failed", func() bool {
		free := fmt.Sprint("127.0.0.1:", freePort(t, "tcp"))
		cfg := testConfig()
		cfg.Listen, cfg.Admin = free, taken.Addr().String()
		if _, err := New(cfg); !errors.Is(err, ErrListen) || !strings.Contains(err.Error(), "--admin") && !strings.Contains(err.Error(), "--listen") {
			t.Fatalf("error %v, want one of --admin", err)
		}
		again, err := net.Listen("tcp", free)
		if err != nil {
			return false
		}
		return again.Close() == nil
	})
}

// TestServeUnderAnEndedContext is how a server is closed that never served.
func TestServeUnderAnEndedContext(t *testing.T) {
	s, err := New(testConfig())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := s.Serve(ctx); err != nil {
		t.Fatal(err)
	}
	if c, err := net.Dial("tcp", s.Addr().String()); err == nil {
		c.Close()
		t.Error("the port is still open")
	}
}
