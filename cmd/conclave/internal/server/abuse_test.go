package server

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/conclave-sfu/conclave/room/signal"
)

// dial opens a WebSocket to a room.
func dial(t *testing.T, s *Server, room string, origin string) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	header := http.Header{}
	if origin != "" {
		header.Set("Origin", origin)
	}
	c, resp, err := websocket.Dial(t.Context(), "ws://"+s.Addr().String()+"/api/v1/rooms/"+room+"/ws", &websocket.DialOptions{
		Subprotocols: []string{signal.Subprotocol}, HTTPHeader: header,
	})
	if err == nil {
		t.Cleanup(func() { c.CloseNow() })
		c.SetReadLimit(-1)
	}
	return c, resp, err
}

// client is a participant that says whatever a test makes it say.
type client struct {
	t    *testing.T
	conn *websocket.Conn
}

func open(t *testing.T, s *Server, room string) client {
	t.Helper()
	c, _, err := dial(t, s, room, "")
	if err != nil {
		t.Fatal(err)
	}
	return client{t, c}
}

// say sends one frame; an error is the server's right, and shows in what it hears.
func (c client) say(typ websocket.MessageType, frame string) {
	c.conn.Write(c.t.Context(), typ, []byte(frame))
}

func (c client) text(frame string) { c.say(websocket.MessageText, frame) }

// hear gives the next message, or the code with which the server closed.
func (c client) hear() (signal.Envelope, websocket.StatusCode) {
	c.t.Helper()
	_, frame, err := c.conn.Read(c.t.Context())
	if err != nil {
		return signal.Envelope{}, websocket.CloseStatus(err)
	}
	var env signal.Envelope
	if err := json.Unmarshal(frame, &env); err != nil {
		c.t.Fatalf("the server sent %q: %v", frame, err)
	}
	return env, 0
}

// expect reads on until a message of a type comes.
func (c client) expect(typ signal.Type) signal.Envelope {
	c.t.Helper()
	for {
		env, closed := c.hear()
		if closed != 0 {
			c.t.Fatalf("closed by %d, want a message %q", closed, typ)
		}
		if env.Type == typ {
			return env
		}
	}
}

func (c client) hello() (ready signal.Ready) {
	c.t.Helper()
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:], rand.Uint64())
	binary.BigEndian.PutUint64(raw[8:], rand.Uint64())
	c.text(`{"type":"hello","id":1,"body":{"pid":"` + base64.RawURLEncoding.EncodeToString(raw[:]) + `"}}`)
	if err := json.Unmarshal(c.expect(signal.TypeReady).Body, &ready); err != nil {
		c.t.Fatal(err)
	}
	return ready
}

// code reads an error's code.
func code(t *testing.T, env signal.Envelope) signal.Code {
	t.Helper()
	var e signal.Error
	if err := json.Unmarshal(env.Body, &e); err != nil {
		t.Fatalf("error %s: %v", env.Body, err)
	}
	return e.Code
}

// serves proves that the server still takes a participant and pages.
func serves(t *testing.T, s *Server) {
	t.Helper()
	open(t, s, "proof").hello()
	if resp, _ := get(t, s.Addr(), "/api/v1/health"); resp.StatusCode != http.StatusOK {
		t.Errorf("health: %s", resp.Status)
	}
}

func TestUpgradeIsRefused(t *testing.T) {
	s := start(t)
	tests := []struct {
		name, room, origin string
		status             int
	}{
		{"another site's page", "den", "https://evil.example", http.StatusForbidden},
		{"no site", "den", "null", http.StatusForbidden},
		{"garbled origin", "den", "://", http.StatusForbidden},
		{"bad room name", "a%20b", "", http.StatusBadRequest},
		{"long room name", strings.Repeat("a", 65), "", http.StatusBadRequest},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, resp, err := dial(t, s, tt.room, tt.origin)
			if err == nil || resp == nil || resp.StatusCode != tt.status {
				t.Fatalf("answer %v (%v), want %d", resp, err, tt.status)
			}
		})
	}
	for _, origin := range []string{"", "http://" + s.Addr().String(), "https://meet.example.org"} {
		if _, _, err := dial(t, s, "den", origin); err != nil {
			t.Errorf("origin %q is refused: %v", origin, err)
		}
	}
	c, _, err := websocket.Dial(t.Context(), "ws://"+s.Addr().String()+"/api/v1/rooms/den/ws", nil)
	if err == nil {
		c.CloseNow()
		t.Error("a WebSocket without the subprotocol is accepted")
	}
	serves(t, s)
}

// TestBadFirstMessage: each ends its connection with a stable code.
func TestBadFirstMessage(t *testing.T) {
	s := start(t)
	tests := []struct {
		name  string
		typ   websocket.MessageType
		frame string
		code  signal.Code
	}{
		{"empty", websocket.MessageText, "", signal.CodeBadMessage},
		{"no JSON", websocket.MessageText, "GET / HTTP/1.1\r\n\r\n", signal.CodeBadMessage},
		{"no UTF-8", websocket.MessageText, "{\"type\":\"hello\",\"body\":{\"pid\":\"\xff\"}}", signal.CodeBadMessage},
		{"deep JSON", websocket.MessageText, strings.Repeat("[", 4000), signal.CodeBadMessage},
		{"binary", websocket.MessageBinary, "\x00\x01\x02", signal.CodeBadMessage},
		{"short pid", websocket.MessageText, `{"type":"hello","body":{"pid":"abc"}}`, signal.CodeBadMessage},
		{"number as pid", websocket.MessageText, `{"type":"hello","body":{"pid":7}}`, signal.CodeBadMessage},
		{"commit before hello", websocket.MessageText, `{"type":"leave","body":{}}`, signal.CodeNotReady},
		{"oversized", websocket.MessageText, `{"type":"hello","x":"` + strings.Repeat("a", 1<<20) + `"}`, signal.CodeTooLarge},
		{"unknown token", websocket.MessageText, `{"type":"hello","body":{"pid":"AAAAAAAAAAAAAAAAAAAAAA","resume":{"token":"x","logId":"AAAAAAAAAAAAAAAAAAAAAA==","after":9}}}`, signal.CodeResumeRefused},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := open(t, s, "den")
			c.say(tt.typ, tt.frame)
			env, closed := c.hear()
			if closed == 0 {
				if got := code(t, env); got != tt.code {
					t.Errorf("error %q, want %q", got, tt.code)
				}
				_, closed = c.hear()
			}
			// A client that is still writing may not get to read the close frame.
			if int(closed) != tt.code.CloseCode() && !(tt.name == "oversized" && closed == -1) {
				t.Errorf("closed by %d, want %d", closed, tt.code.CloseCode())
			}
		})
	}
	serves(t, s)
}

// TestBadMessages: what comes out of order or malformed after hello is answered by a
// stable code, and the connection goes on.
func TestBadMessages(t *testing.T) {
	s := start(t)
	zeros := func(n int) string { return base64.StdEncoding.EncodeToString(make([]byte, n)) }
	tests := []struct {
		name, frame string
		code        signal.Code
	}{
		{"unknown type", `{"type":"dance","id":9}`, signal.CodeUnknownType},
		{"commit before join", `{"type":"commit","id":9,"body":{"last":0,"generation":1,"commit":"AAAA","mac":"` + zeros(32) + `"}}`, signal.CodeNotJoined},
		{"create before join", `{"type":"create","id":9,"body":{"last":0,"generation":1,"groupId":"` + zeros(16) + `","mac":"` + zeros(32) + `"}}`, signal.CodeNotJoined},
		{"message before join", `{"type":"message","id":9,"body":{"data":"AAAA"}}`, signal.CodeNotJoined},
		{"short MAC", `{"type":"join","id":9,"body":{"keyPackage":"AAAA","mac":"` + zeros(31) + `"}}`, signal.CodeBadMessage},
		{"large KeyPackage", `{"type":"join","id":9,"body":{"keyPackage":"` + zeros(signal.MaxKeyPackage+1) + `","mac":"` + zeros(32) + `"}}`, signal.CodeBadMessage},
		{"bad base64", `{"type":"join","id":9,"body":{"keyPackage":"%%%","mac":"` + zeros(32) + `"}}`, signal.CodeBadMessage},
		{"SDP that is none", `{"type":"offer","id":9,"body":{"connection":1,"sdp":"hello","tracks":[]}}`, signal.CodeBadOffer},
		{"SDP of zeros", `{"type":"offer","id":9,"body":{"connection":2,"sdp":"` + strings.Repeat(`\u0000`, 5000) + `","tracks":[]}}`, signal.CodeBadOffer},
		{"view of nobody", `{"type":"view","id":9,"body":{"wants":[{"pid":"x","source":"camera","width":-1,"height":1}]}}`, signal.CodeBadMessage},
		{"mute of thoughts", `{"type":"mute","id":9,"body":{"source":"thoughts","muted":true}}`, signal.CodeBadMessage},
		{"body of another type", `{"type":"mute","id":9,"body":[1,2,3]}`, signal.CodeBadMessage},
		{"join after all that", `{"type":"join","id":9,"body":{"keyPackage":"AAAA","mac":"` + zeros(32) + `"}}`, ""},
		{"stale create", `{"type":"create","id":9,"body":{"last":77,"generation":1,"groupId":"` + zeros(16) + `","mac":"` + zeros(32) + `"}}`, signal.CodeStale},
	}
	c := open(t, s, "den")
	c.hello()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := client{t, c.conn}
			c.text(tt.frame)
			for {
				env, closed := c.hear()
				if closed != 0 {
					t.Fatalf("closed by %d", closed)
				}
				if env.Re != 9 {
					continue
				}
				if tt.code == "" {
					if env.Type != signal.TypeAppended {
						t.Errorf("answer %q: %s", env.Type, env.Body)
					}
				} else if env.Type != signal.TypeError || code(t, env) != tt.code {
					t.Errorf("answer %q %s, want error %q", env.Type, env.Body, tt.code)
				}
				return
			}
		})
	}
	serves(t, s)
}

// TestRandomMessages sends messages that are almost right. Whatever the server says,
// it says in its protocol, and it still serves afterwards.
func TestRandomMessages(t *testing.T) {
	s := start(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	types := []string{"hello", "join", "create", "commit", "message", "offer", "view", "mute", "leave", "ready", ""}
	values := []string{"null", "0", "-1", "1e400", `""`, `"AAAA"`, "[]", "{}", "true", `"` + strings.Repeat("x", 3000) + `"`, "[[[[]]]]", `{"mid":1}`}
	fields := []string{"pid", "resume", "keyPackage", "mac", "last", "generation", "groupId", "adds", "commit", "welcome", "data", "connection", "sdp", "tracks", "wants", "source", "muted"}
	for range 20 {
		c := open(t, s, "den")
		c.hello()
		for range 15 {
			body := map[string]json.RawMessage{}
			for range rnd.IntN(5) {
				value := values[rnd.IntN(len(values))]
				if json.Valid([]byte(value)) {
					body[fields[rnd.IntN(len(fields))]] = json.RawMessage(value)
				}
			}
			raw, err := json.Marshal(map[string]any{"type": types[rnd.IntN(len(types))], "id": rnd.Uint32(), "body": body})
			if err != nil {
				t.Fatal(err)
			}
			c.text(string(raw[:len(raw)-rnd.IntN(2)*rnd.IntN(10)]))
		}
		c.conn.Close(websocket.StatusNormalClosure, "")
	}
	serves(t, s)
}

// TestGarbageAtTheMediaPort: silence is the answer.
func TestGarbageAtTheMediaPort(t *testing.T) {
	s := start(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	noise(t, s, rand.New(rand.NewPCG(seed, 0)), 3000)
	if n := s.media.Stats().Transports; n != 0 {
		t.Errorf("%d transports out of noise", n)
	}
	serves(t, s)
}

// noise sends n packets to the media port that look like STUN, DTLS, RTP or RTCP for a
// byte or more (RFC 7983), and packets that look like nothing.
func noise(t *testing.T, s *Server, rnd *rand.Rand, n int) {
	t.Helper()
	c, err := net.Dial("udp", s.MediaAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	firsts := []byte{0, 1, 20, 22, 63, 64, 128, 144, 200, 255}
	for i := range n {
		packet := make([]byte, rnd.IntN(1500))
		for j := range packet {
			packet[j] = byte(rnd.Uint32())
		}
		if len(packet) > 0 {
			packet[0] = firsts[i%len(firsts)]
		}
		if len(packet) >= 20 && i%len(firsts) < 2 { // a STUN header of the right length (RFC 8489)
			copy(packet, []byte{0, 1})
			binary.BigEndian.PutUint16(packet[2:], uint16(len(packet)-20))
			copy(packet[4:], []byte{0x21, 0x12, 0xA4, 0x42})
		}
		if _, err := c.Write(packet); err != nil {
			t.Fatalf("send noise: %v", err) // nobody listens any more
		}
	}
}

// TestStopTellsParticipants: whoever is connected learns that the server stops.
func TestStopTellsParticipants(t *testing.T) {
	s, err := New(testConfig())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	c := open(t, s, "den")
	c.hello()
	stop()
	if got := code(t, c.expect(signal.TypeError)); got != signal.CodeShutdown {
		t.Errorf("error %q, want %q", got, signal.CodeShutdown)
	}
	if _, closed := c.hear(); int(closed) != signal.CodeShutdown.CloseCode() {
		t.Errorf("closed by %d, want %d", closed, signal.CodeShutdown.CloseCode())
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
