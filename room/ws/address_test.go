package ws

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/coder/websocket"

	"github.com/conclave-sfu/conclave/room/signal"
)

func TestSource(t *testing.T) {
	for _, tt := range []struct {
		remote    string
		forwarded []string
		trust     bool
		want      string
	}{
		{"203.0.113.7:5000", nil, false, "203.0.113.7/32"},
		{"[::ffff:203.0.113.7]:5000", nil, false, "203.0.113.7/32"},
		{"[2001:db8:1:2:3:4:5:6]:5000", nil, false, "2001:db8:1:2::/64"},
		{"127.0.0.1:5000", nil, false, "invalid Prefix"},
		{"[fe80::1%eth0]:5000", nil, false, "invalid Prefix"},
		{"10.1.2.3:5000", nil, true, "invalid Prefix"},
		{"203.0.113.7:5000", []string{"198.51.100.1"}, false, "203.0.113.7/32"},
		{"10.1.2.3:5000", []string{"198.51.100.1"}, true, "198.51.100.1/32"},
		{"10.1.2.3:5000", []string{"192.0.2.66, 198.51.100.1"}, true, "198.51.100.1/32"},
		{"10.1.2.3:5000", []string{"192.0.2.66", "192.0.2.67,198.51.100.1:99"}, true, "198.51.100.1/32"},
		{"10.1.2.3:5000", []string{"[2001:db8:1:2::9]:99"}, true, "2001:db8:1:2::/64"},
		{"203.0.113.7:5000", []string{"198.51.100.1, unknown"}, true, "203.0.113.7/32"},
		{"203.0.113.7:5000", []string{""}, true, "203.0.113.7/32"},
	} {
		h := &Handler{cfg: Config{TrustForwardedFor: tt.trust}}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.RemoteAddr = tt.remote
		r.Header["X-Forwarded-For"] = tt.forwarded
		if got := h.source(r).String(); got != tt.want {
			t.Errorf("%s for %q, trusted %t: %s, want %s", tt.remote, tt.forwarded, tt.trust, got, tt.want)
		}
	}
}

// TestTooManyFromOneAddress: others still come in, and who leaves makes place.
func TestTooManyFromOneAddress(t *testing.T) {
	s := serve(t, func(h *Handler) { h.cfg.MaxPerAddress, h.cfg.TrustForwardedFor = 2, true })
	dial := func(from string) (*websocket.Conn, int) {
		socket, resp, _ := websocket.Dial(t.Context(), s.url("room"), &websocket.DialOptions{
			Subprotocols: []string{signal.Subprotocol}, HTTPHeader: http.Header{"X-Forwarded-For": {from}}})
		if resp == nil {
			t.Fatal("no answer")
		}
		if socket != nil {
			t.Cleanup(func() { _ = socket.CloseNow() })
		}
		return socket, resp.StatusCode
	}
	first, _ := dial("2001:db8::1")
	for from, want := range map[string]int{"2001:db8::2": 101, "2001:db8:0:1::": 101, "127.0.0.1": 101} {
		if _, status := dial(from); status != want {
			t.Errorf("%s: %d, want %d", from, status, want)
		}
	}
	if _, status := dial("2001:db8::3"); status != http.StatusTooManyRequests {
		t.Errorf("a third: %d", status)
	}
	c := &client{t: t, socket: first}
	c.raw(websocket.MessageText, []byte("garbage"))
	c.ends(signal.CodeBadMessage)
	for status := 0; status != 101; { // once the server has seen the end
		_, status = dial("2001:db8::3")
	}
}
