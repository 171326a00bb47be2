package server

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/certs/certstest"
	"github.com/conclave-sfu/conclave/room/signal"
)

// startHTTPS runs a server with a certificate, and gives a client that trusts it.
func startHTTPS(t *testing.T, change func(*Config)) (*Server, *tls.Config) {
	t.Helper()
	pair := certstest.Make(t, "meet.example.org")
	cfg := testConfig()
	cfg.TLS, cfg.HTTP = pair.Server(t), "127.0.0.1:0"
	cfg.TLS.NextProtos = []string{"h2", "http/1.1"}
	if change != nil {
		change(&cfg)
	}
	return startWith(t, cfg), pair.Client(t)
}

func httpsClient(t *testing.T, cfg *tls.Config, http2 bool) *http.Client {
	transport := &http.Transport{TLSClientConfig: cfg.Clone(), ForceAttemptHTTP2: http2}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func TestHTTPS(t *testing.T) {
	s, trust := startHTTPS(t, nil)
	for _, h2 := range []bool{false, true} {
		for _, path := range []string{"/", "/r/den", "/api/v1/health", "/nothing"} {
			resp, err := httpsClient(t, trust, h2).Get("https://" + s.Addr().String() + path)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if got := resp.Header.Get("Strict-Transport-Security"); got != "max-age=31536000" || (resp.ProtoMajor == 2) != h2 || resp.TLS.Version != tls.VersionTLS13 {
				t.Errorf("%s: HSTS %q by %s, TLS %x", path, got, resp.Proto, resp.TLS.Version)
			}
		}
	}
}

func TestWebSocketOverTLS(t *testing.T) {
	s, trust := startHTTPS(t, nil)
	socket, resp, err := websocket.Dial(t.Context(), "wss://"+s.Addr().String()+"/api/v1/rooms/den/ws",
		&websocket.DialOptions{HTTPClient: httpsClient(t, trust, false), Subprotocols: []string{signal.Subprotocol}})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.CloseNow()
	if resp.StatusCode != http.StatusSwitchingProtocols {
		t.Errorf("%s", resp.Status)
	}
}

// TestHTTPLeadsToHTTPS also with a port that is published under another number.
func TestHTTPLeadsToHTTPS(t *testing.T) {
	s, trust := startHTTPS(t, nil)
	published, _ := startHTTPS(t, func(c *Config) { c.PublicURL = "https://meet.example.org" })
	_, port, _ := strings.Cut(s.Addr().String(), ":")
	for _, tt := range []struct {
		s          *Server
		host, want string
	}{
		{s, "127.0.0.1", "https://127.0.0.1:" + port + "/r/den?x=1"},
		{s, "meet.example.org:80", "https://meet.example.org:" + port + "/r/den?x=1"},
		{s, "[::1]:80", "https://[::1]:" + port + "/r/den?x=1"},
		{published, "meet.example.org", "https://meet.example.org/r/den?x=1"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+tt.s.PlainAddr().String()+"/r/den?x=1", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = tt.host
		resp, err := httpsClient(t, trust, false).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if got := resp.Header.Get("Location"); resp.StatusCode != http.StatusMovedPermanently || got != tt.want || !resp.Close {
			t.Errorf("%s: %s to %q (close %t), want %q", tt.host, resp.Status, got, resp.Close, tt.want)
		}
		if resp.Header.Get("Strict-Transport-Security") != "" {
			t.Error("HSTS by HTTP (RFC 6797, Section 7.2)")
		}
	}
	resp, err := http.Post("http://"+s.PlainAddr().String()+"/x", "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("POST: %s", resp.Status)
	}
}

// TestRedirectKeepsToTheHost: nothing that a request says is taken for a part of the host.
func TestRedirectKeepsToTheHost(t *testing.T) {
	for _, tt := range []struct{ host, target, want string }{
		{"meet.example.org", "//evil.example/x", "https://meet.example.org//evil.example/x"},
		{"meet.example.org", "http://evil.example/x", "https://evil.example/x"}, // RFC 9112, Section 3.2.2
		{"meet.example.org", "x:.evil.example", ""},
		{"meet.example.org", "*", ""},
		{"a@evil.example", "/", ""},
		{"evil.example/?", "/", ""},
		{"evil.example%2f", "/", ""},
		{"a:b:c", "/", ""},
		{"", "/", ""},
		{"[::1]", "/", "https://[::1]/"},
		{"[fe80::1%25eth0]", "/", ""},
		{"192.0.2.1", "/", "https://192.0.2.1/"},
	} {
		r, err := http.ReadRequest(bufio.NewReader(strings.NewReader("GET " + tt.target + " HTTP/1.1\r\nHost: " + tt.host + "\r\n\r\n")))
		if err != nil {
			continue // nor does net/http take it
		}
		w := httptest.NewRecorder()
		redirect(443)(w, r)
		if got := w.Header().Get("Location"); got != tt.want || (tt.want == "") != (w.Code == http.StatusBadRequest) {
			t.Errorf("%s of %q: %d to %q, want %q", tt.target, tt.host, w.Code, got, tt.want)
		}
	}
}

// TestChallenge: an authority's question is answered where browsers are sent on.
func TestChallenge(t *testing.T) {
	s, trust := startHTTPS(t, func(c *Config) {
		c.Challenge = func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if strings.HasPrefix(r.URL.Path, "/.well-known/acme-challenge/") {
					fmt.Fprint(w, "proof")
					return
				}
				next.ServeHTTP(w, r)
			})
		}
	})
	for path, want := range map[string]int{"/.well-known/acme-challenge/x": 200, "/": 301} {
		resp, err := httpsClient(t, trust, false).Get("http://" + s.PlainAddr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %s", path, resp.Status)
		}
	}
}

// TestNoPlainHTTPOnTheTLSPort: a page is not served in clear by mistake.
func TestNoPlainHTTPOnTheTLSPort(t *testing.T) {
	s, _ := startHTTPS(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+s.Addr().String()+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return // refused without an answer
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusBadRequest {
		t.Errorf("%s", resp.Status)
	}
}
