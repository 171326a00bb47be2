package ws

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"golang.org/x/time/rate"

	"github.com/conclave-sfu/conclave/room"
	"github.com/conclave-sfu/conclave/room/signal"
)

// TestMain checks that no test leaves a goroutine behind.
func TestMain(m *testing.M) {
	code := m.Run()
	if left := leftovers(); left != "" {
		fmt.Fprintln(os.Stderr, "goroutines are left:\n"+left)
		code = 1
	}
	os.Exit(code)
}

// noMedia is a forwarder that forwards nothing.
type noMedia struct{}

func (noMedia) Attach(string, signal.PID, room.MediaEvents) (room.MediaSession, error) {
	return noSession{}, nil
}

type noSession struct{}

func (noSession) Offer(_ context.Context, o signal.Offer) (signal.Answer, error) {
	return signal.Answer{Connection: o.Connection, SDP: "answer"}, nil
}
func (noSession) View(signal.View)         {}
func (noSession) Mute(signal.Source, bool) {}
func (noSession) Close()                   {}

// server is a real HTTP server with rooms.
type server struct {
	t        *testing.T
	http     *httptest.Server
	handler  *Handler
	registry *room.Registry
	logs     *observer.ObservedLogs
	events   chan room.Event // room for all that a test makes
	stopped  bool
}

func serve(t *testing.T, change func(*Handler)) *server {
	return serveRooms(t, room.Config{}, change)
}

func serveRooms(t *testing.T, cfg room.Config, change func(*Handler)) *server {
	core, logs := observer.New(zapcore.DebugLevel)
	logger := zap.New(core)
	events := make(chan room.Event, 1<<10)
	log := Observer(logger)
	cfg.Media, cfg.Observe = noMedia{}, func(e room.Event) {
		log(e)
		events <- e
	}
	registry := room.NewRegistry(cfg)
	handler := NewHandler(registry, Config{Logger: logger, AllowedOrigins: []string{"https://friend.example"}})
	handler.timing.ending = time.Minute // a hang, not a measure: clients hear why they end
	if change != nil {
		change(handler)
	}
	s := &server{t: t, events: events, handler: handler, registry: registry, logs: logs, http: httptest.NewServer(handler)}
	t.Cleanup(s.stop)
	return s
}

// stop ends the server in order and checks that nothing is left.
func (s *server) stop() {
	if s.stopped {
		return
	}
	s.stopped = true
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // a hang, not a measure
	defer cancel()
	if err := s.registry.Close(ctx); err != nil {
		s.t.Error(err)
	}
	if err := s.handler.Wait(ctx); err != nil {
		s.t.Error(err)
	}
	s.http.Close()
}

// client is a participant of the tests.
type client struct {
	t      *testing.T
	socket *websocket.Conn
	pid    signal.PID
	ready  *signal.Ready
}

func (s *server) url(room string) string {
	return "ws" + strings.TrimPrefix(s.http.URL, "http") + "/api/v1/rooms/" + room + "/ws"
}

func (s *server) dial() *client { return s.dialRoom("room") }

func (s *server) dialRoom(name string) *client {
	s.t.Helper()
	socket, _, err := websocket.Dial(s.t.Context(), s.url(name), &websocket.DialOptions{Subprotocols: []string{signal.Subprotocol}})
	if err != nil {
		s.t.Fatal(err)
	}
	socket.SetReadLimit(-1)
	s.t.Cleanup(func() { _ = socket.CloseNow() })
	return &client{t: s.t, socket: socket}
}

// enter dials and says hello.
func (s *server) enter(who byte, resume *signal.Resume) *client {
	s.t.Helper()
	c := s.dial()
	c.pid = testPID(who)
	c.send(1, &signal.Hello{PID: c.pid, Resume: resume})
	c.ready = next[signal.Ready](c)
	return c
}

// enterJoined also joins.
func (s *server) enterJoined(who byte) *client {
	s.t.Helper()
	c := s.enter(who, nil)
	c.send(2, &signal.Join{KeyPackage: []byte{who}, MAC: make([]byte, signal.MACSize)})
	next[signal.Appended](c)
	return c
}

func testPID(b byte) signal.PID { return signal.NewPID([16]byte{0: b, 1: 0xff}) }

func (c *client) send(id uint32, body signal.ClientBody) {
	c.t.Helper()
	frame, err := signal.EncodeClient(id, body)
	if err != nil {
		c.t.Fatal(err)
	}
	c.raw(websocket.MessageText, frame)
}

func (c *client) raw(typ websocket.MessageType, frame []byte) {
	c.t.Helper()
	if err := c.socket.Write(c.t.Context(), typ, frame); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) read() (signal.FromServer, error) {
	_, frame, err := c.socket.Read(c.t.Context())
	if err != nil {
		return signal.FromServer{}, err
	}
	msg, err := signal.DecodeServer(frame)
	if err != nil {
		c.t.Fatal(err)
	}
	return msg, nil
}

// next returns the next message of type T; others before it are passed over.
func next[T any](c *client) *T {
	c.t.Helper()
	for {
		msg, err := c.read()
		if err != nil {
			c.t.Fatalf("no %T comes: %v", *new(T), err)
		}
		if body, ok := msg.Body.(*T); ok {
			return body
		}
	}
}

// ends reads to the end and checks that it is by the code, as message and as close code.
func (c *client) ends(code signal.Code) {
	c.t.Helper()
	var last *signal.Error
	for {
		msg, err := c.read()
		if err == nil {
			if e, ok := msg.Body.(*signal.Error); ok && msg.Re == 0 {
				last = e
			}
			continue
		}
		if last == nil || last.Code != code || int(websocket.CloseStatus(err)) != code.CloseCode() {
			c.t.Fatalf("ended by %v after %v, want %s and %d", err, last, code, code.CloseCode())
		}
		return
	}
}

// serves checks that a server still serves.
func (s *server) serves() {
	s.t.Helper()
	c := s.enterJoined(250)
	c.send(3, &signal.Leave{})
	for {
		if _, err := c.read(); err != nil {
			if websocket.CloseStatus(err) != signal.CloseLeft {
				s.t.Fatal(err)
			}
			return
		}
	}
}

func TestMeeting(t *testing.T) {
	s := serve(t, nil)
	alice, bob := s.enterJoined(1), s.enterJoined(2)
	alice.send(3, &signal.Message{Data: []byte("hello")})
	if m := next[signal.Message](bob); m.PID != alice.pid || string(m.Data) != "hello" {
		t.Fatal(m)
	}
	alice.send(4, &signal.Offer{Connection: 1, SDP: "v=0"})
	if a := next[signal.Answer](alice); a.SDP != "answer" {
		t.Fatal(a)
	}
	bob.send(5, &signal.Create{Last: 9, GroupID: make([]byte, 16), MAC: make([]byte, 32)})
	if e := next[signal.Error](bob); e.Code != signal.CodeStale {
		t.Fatal(e)
	}
	if err := alice.socket.Close(websocket.StatusGoingAway, ""); err != nil {
		t.Fatal(err)
	}
	if gone := next[signal.Gone](bob); gone.PID != alice.pid {
		t.Fatal(gone)
	}
	s.serves()
}

func TestRefusedRequests(t *testing.T) {
	s := serve(t, func(h *Handler) { h.cfg.MaxPerRoom = 2; h.cfg.MaxConnections = 3 })
	for _, tt := range []struct {
		name, room, subprotocol, origin string
		status                          int
	}{
		{"room name", "a%20room", signal.Subprotocol, "", 400},
		{"long room name", strings.Repeat("r", 65), signal.Subprotocol, "", 400},
		{"no subprotocol", "room", "", "", 400},
		{"another subprotocol", "room", "conclave.v0", "", 400},
		{"another origin", "room", signal.Subprotocol, "https://evil.example", 403},
		{"null origin", "room", signal.Subprotocol, "null", 403},
		{"origin that is none", "room", signal.Subprotocol, "::", 403},
		{"a friend by another scheme", "room", signal.Subprotocol, "http://friend.example", 403},
		{"a friend", "room", signal.Subprotocol, "https://friend.example", 101},
		{"own origin", "room", signal.Subprotocol, s.http.URL, 101},
		{"too many in the room", "room", signal.Subprotocol, "", 503},
		{"another room", "room-2", signal.Subprotocol, "", 101},
		{"too many", "room-3", signal.Subprotocol, "", 503},
	} {
		opts := &websocket.DialOptions{HTTPHeader: http.Header{}}
		if tt.subprotocol != "" {
			opts.Subprotocols = []string{tt.subprotocol}
		}
		if tt.origin != "" {
			opts.HTTPHeader.Set("Origin", tt.origin)
		}
		socket, resp, err := websocket.Dial(t.Context(), s.url(tt.room), opts)
		if resp == nil || resp.StatusCode != tt.status || (err == nil) != (tt.status == 101) {
			t.Errorf("%s: %v, want %d (%v)", tt.name, resp, tt.status, err)
		}
		if socket != nil {
			defer socket.CloseNow()
		}
	}
}

func TestRefusedFirstMessages(t *testing.T) {
	s := serve(t, nil)
	for _, tt := range []struct {
		name  string
		typ   websocket.MessageType
		frame string
		code  signal.Code
	}{
		{"garbage", websocket.MessageText, "garbage", signal.CodeBadMessage},
		{"empty", websocket.MessageText, "", signal.CodeBadMessage},
		{"binary", websocket.MessageBinary, `{"type":"hello"}`, signal.CodeBadMessage},
		{"no pid", websocket.MessageText, `{"type":"hello","body":{}}`, signal.CodeBadMessage},
		{"out of order", websocket.MessageText, `{"type":"leave"}`, signal.CodeNotReady},
		{"unknown", websocket.MessageText, `{"type":"dance"}`, signal.CodeUnknownType},
		{"oversized", websocket.MessageText, strings.Repeat(" ", signal.MaxHello+1), signal.CodeTooLarge},
		{"nothing to resume", websocket.MessageText, `{"type":"hello","body":{"pid":"AQEBAQEBAQEBAQEBAQEBAQ","resume":` +
			`{"token":"t","logId":"AAAAAAAAAAAAAAAAAAAAAA=="}}}`, signal.CodeResumeRefused},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := s.dial()
			c.raw(tt.typ, []byte(tt.frame))
			c.ends(tt.code)
		})
	}
	s.serves()
}

func TestNoPlaceForRoom(t *testing.T) {
	s := serveRooms(t, room.Config{MaxRooms: 1}, nil)
	s.enter(1, nil)
	s.isFull()
	s.serves()
}

// TestNoPlaceForParticipant: who is one too many in all rooms is told so.
func TestNoPlaceForParticipant(t *testing.T) {
	s := serveRooms(t, room.Config{MaxTotal: 1}, nil)
	s.enter(1, nil)
	s.isFull()
}

// isFull wants another participant, in another room, to be refused.
func (s *server) isFull() {
	s.t.Helper()
	c := s.dialRoom("another")
	c.send(1, &signal.Hello{PID: testPID(2)})
	c.ends(signal.CodeServerFull)
}

type elsewhere struct{}

func (elsewhere) Locate(_ context.Context, name string) (string, error) {
	if name == "lost" {
		return "", errors.New("no engine")
	}
	return "https://node-2.example", nil
}

func TestRoomElsewhere(t *testing.T) {
	s := serveRooms(t, room.Config{Locator: elsewhere{}}, nil)
	for name, status := range map[string]int{"room": http.StatusMisdirectedRequest, "lost": http.StatusServiceUnavailable} {
		_, resp, err := websocket.Dial(t.Context(), s.url(name), &websocket.DialOptions{Subprotocols: []string{signal.Subprotocol}})
		if err == nil || resp == nil || resp.StatusCode != status {
			t.Errorf("%s: %v (%v), want %d", name, resp, err, status)
		}
	}
}

// TestNoPong has a client that does not read, and so does not answer pings: its connection
// is lost, its participation waits.
func TestNoPong(t *testing.T) {
	s := serve(t, func(h *Handler) { h.timing.ping, h.timing.pong = time.Millisecond, time.Millisecond })
	s.dial().send(1, &signal.Hello{PID: testPID(1)})
	for e := range s.events {
		if e.Kind == room.Away && e.PID == testPID(1) {
			break
		}
	}
}

func TestNoHello(t *testing.T) {
	s := serve(t, func(h *Handler) { h.timing.hello = time.Millisecond })
	s.dial().ends(signal.CodeNotReady)
}

// TestRefusedMessages sends what a room refuses, and goes on.
func TestRefusedMessages(t *testing.T) {
	s := serve(t, nil)
	c := s.enter(1, nil)
	for _, tt := range []struct {
		frame string
		re    uint32
		code  signal.Code
	}{
		{"garbage", 0, signal.CodeBadMessage},
		{`{"type":"dance","id":3}`, 3, signal.CodeUnknownType},
		{`{"type":"mute","id":4,"body":{"source":"tv"}}`, 4, signal.CodeBadMessage},
		{`{"type":"message","id":5,"body":{"data":"AAAA"}}`, 5, signal.CodeNotJoined},
		{`{"type":"commit","id":6,"body":{"commit":"AAAA","mac":"` + strings.Repeat("A", 43) + `="}}`, 6, signal.CodeNotJoined},
		{strings.Repeat("[", 100000), 0, signal.CodeBadMessage},
	} {
		c.raw(websocket.MessageText, []byte(tt.frame))
		msg, err := c.read()
		if e, ok := msg.Body.(*signal.Error); err != nil || !ok || msg.Re != tt.re || e.Code != tt.code {
			t.Fatalf("%.60s: %+v (%v), want %s for %d", tt.frame, msg.Body, err, tt.code, tt.re)
		}
	}
	c.send(9, &signal.Hello{PID: c.pid})
	c.ends(signal.CodeAlreadyHere)
	s.serves()
}

func TestFatalMessages(t *testing.T) {
	s := serve(t, nil)
	t.Run("binary", func(t *testing.T) {
		c := s.enter(1, nil)
		c.raw(websocket.MessageBinary, []byte("{}"))
		c.ends(signal.CodeBadMessage)
	})
	t.Run("oversized", func(t *testing.T) {
		c := s.enter(2, nil)
		go func() { // the server stops reading in the midst of it
			_ = c.socket.Write(context.Background(), websocket.MessageText, make([]byte, signal.MaxMessage(4)+1<<20))
		}()
		c.ends(signal.CodeTooLarge)
	})
	t.Run("pid that is here", func(t *testing.T) {
		here, c := s.enter(3, nil), s.dial()
		c.send(1, &signal.Hello{PID: here.pid})
		c.ends(signal.CodeAlreadyHere)
	})
	s.serves()
}

// TestLargestMessage sends a message that is as large as the room, which has grown since
// its sender's last one, says it may be.
func TestLargestMessage(t *testing.T) {
	s := serve(t, nil)
	c := s.enterJoined(1)
	c.ready.MaxMessage = s.enter(2, nil).ready.MaxMessage
	frame := []byte(`{"type":"message","id":7,"body":{"data":"AAAA"}}`)
	frame = append(frame, make([]byte, int(c.ready.MaxMessage)-len(frame))...)
	for i := 48; i < len(frame); i++ {
		frame[i] = ' '
	}
	c.raw(websocket.MessageText, frame)
	c.send(8, &signal.Create{Last: 1, GroupID: make([]byte, 16), MAC: make([]byte, 32)})
	if e := next[signal.Error](c); e.Code != signal.CodeStale {
		t.Fatal(e)
	}
}

func TestResume(t *testing.T) {
	s := serve(t, nil)
	alice, bob := s.enterJoined(1), s.enterJoined(2)
	_ = alice.socket.CloseNow() // lost, as by a network
	for p := next[signal.Participant](bob); !p.Away; p = next[signal.Participant](bob) {
	}
	alice = s.enter(1, &signal.Resume{Token: alice.ready.Token, LogID: alice.ready.LogID, After: 1})
	if !alice.ready.Resumed || alice.ready.Head != 2 || len(alice.ready.Here) != 1 {
		t.Fatalf("%+v", alice.ready)
	}
	if e := next[signal.Log](alice).Entries; len(e) != 1 || e[0].PID != bob.pid {
		t.Fatalf("%+v", e)
	}
	for p := next[signal.Participant](bob); p.Away; p = next[signal.Participant](bob) {
	}
	s.serves()
}

func TestReplaced(t *testing.T) {
	s := serve(t, nil)
	old := s.enterJoined(1)
	c := s.enter(1, &signal.Resume{Token: old.ready.Token, LogID: old.ready.LogID, After: 1})
	old.ends(signal.CodeReplaced)
	c.send(2, &signal.Create{GroupID: make([]byte, 16), MAC: make([]byte, 32)})
	if a := next[signal.Appended](c); a.Position != 2 {
		t.Fatal(a)
	}
}

// TestSlowReader has a client that never reads while another writes without pause.
func TestSlowReader(t *testing.T) {
	s := serve(t, func(h *Handler) {
		h.timing.ping = time.Hour // who writes without pause answers none
		h.newLimiter = func() limiter {
			unlimited := rate.NewLimiter(rate.Inf, 0)
			return limiter{messages: unlimited, entries: unlimited, refusals: unlimited}
		}
	})
	slow, alice := s.enterJoined(1), s.enterJoined(2)
	data := make([]byte, signal.MaxGroupMessage)
	for s.logs.FilterMessage(string(room.Away)).Len() == 0 { // too much to hold
		alice.send(0, &signal.Message{Data: data})
	}
	for p := next[signal.Participant](alice); !p.Away; p = next[signal.Participant](alice) {
	}
	again := s.enter(1, &signal.Resume{Token: slow.ready.Token, LogID: slow.ready.LogID, After: 1})
	if !again.ready.Resumed {
		t.Fatal("not resumed")
	}
	s.serves()
}

func TestFlood(t *testing.T) {
	s := serve(t, nil)
	c := s.enter(1, nil)
	frame, err := signal.EncodeClient(0, &signal.Mute{Source: signal.SourceMic})
	if err != nil {
		t.Fatal(err)
	}
	go func() { // until the server has enough
		for c.socket.Write(context.Background(), websocket.MessageText, frame) == nil {
		}
	}()
	c.ends(signal.CodeRateLimited)
	s.serves()
}

func TestShutdown(t *testing.T) {
	s := serve(t, nil)
	waiting, here := s.dial(), s.enterJoined(1)
	done := make(chan struct{})
	go func() {
		s.stop()
		close(done)
	}()
	waiting.ends(signal.CodeShutdown)
	here.ends(signal.CodeShutdown)
	<-done
	if s.handler.Connections() != 0 || s.registry.Stats() != (room.Stats{}) {
		t.Fatal(s.handler.Connections(), s.registry.Stats())
	}
}

// TestLogsKeepSecrets checks that no log has a token, and each participant's coming and going.
func TestLogsKeepSecrets(t *testing.T) {
	s := serve(t, nil)
	c := s.enterJoined(1)
	c.send(3, &signal.Message{Data: []byte("private text")})
	c.raw(websocket.MessageText, []byte(`{"type":"private"}`))
	c.send(4, &signal.Leave{})
	for {
		if _, err := c.read(); err != nil {
			break
		}
	}
	s.stop()
	for _, entry := range s.logs.All() {
		for key, value := range entry.ContextMap() {
			if text, ok := value.(string); ok && (strings.Contains(text, c.ready.Token) || strings.Contains(text, "private")) {
				t.Errorf("%s: %s=%s", entry.Message, key, text)
			}
		}
	}
	for _, kind := range []room.EventKind{room.Opened, room.Arrived, room.Left, room.Closed} {
		if n := s.logs.FilterMessage(string(kind)).FilterLevelExact(zapcore.InfoLevel).Len(); n != 1 {
			t.Errorf("%q is logged %d times", kind, n)
		}
	}
}

// TestWhatClientsCause: an operator's log does not warn of what a client can cause at will.
func TestWhatClientsCause(t *testing.T) {
	core, logs := observer.New(zapcore.DebugLevel)
	Observer(zap.New(core))(room.Event{Kind: room.MediaFailed, Room: "room", PID: testPID(1)})
	if all := logs.All(); len(all) != 1 || all[0].Level != zapcore.DebugLevel {
		t.Errorf("%v", all)
	}
}

// TestTornHandshakes closes TCP connections in the midst of all.
func TestTornHandshakes(t *testing.T) {
	s := serve(t, nil)
	for _, text := range []string{"", "GET /api/v1/ro", "GET /api/v1/rooms/room/ws HTTP/1.1\r\nHost: h\r\n\r\n",
		"\x00\xff\x16\x03\x01 garbage\r\n\r\n"} {
		conn, err := net.Dial("tcp", s.http.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		_ = conn.Close()
	}
	c := s.dial()
	_ = c.socket.CloseNow()
	s.serves()
}

// leftovers returns the stacks of this project's goroutines that do not end. Each
// server was stopped in order; the last ones may still have to return.
func leftovers() string {
	for hang := time.Now().Add(time.Minute); ; runtime.Gosched() {
		if left := running(); left == "" || time.Now().After(hang) {
			return left
		}
	}
}

func running() (left string) {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	for stack := range strings.SplitSeq(string(stacks), "\n\n") {
		if strings.Contains(stack, "conclave/room") && !strings.Contains(stack, "leftovers") {
			left += stack + "\n\n"
		}
	}
	return left
}
