package server

import (
	"context"
	"crypto/tls"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/pion/stun/v4"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/conclave-sfu/conclave/room/signal"
)

// TestStopsWithOpenConnections of every use and at every stage: the server ends, leaves no
// goroutine of its ports behind, and has cut nothing short but requests that never end.
func TestStopsWithOpenConnections(t *testing.T) {
	core, logged := observer.New(zapcore.WarnLevel)
	s := create(t, func() Config {
		cfg := testConfig()
		cfg.TLS, cfg.HTTP, cfg.Log = trusted.Server(t), "127.0.0.1:0", zap.New(core)
		cfg.TLS.NextProtos = []string{"h2", "http/1.1"}
		cfg.Reach = Reach{Host: "127.0.0.1", TURN: true, MediaTCPPort: freePort(t, "tcp"), TURNPort: freePort(t, "udp")}
		return cfg
	})
	s.patience.all, s.patience.part = untilPatience, untilPatience // what has to wait for that, hangs
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()

	binding := string(stun.MustBuild(stun.TransactionID, stun.BindingRequest).Raw)
	allocate := string(stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest)).Raw)
	const request = "GET / HTTP/1.1\r\nHost: localhost\r\n" // without its end
	for _, says := range []struct{ addr, text, alpn string }{
		{s.Addr().String(), "", ""},
		{s.Addr().String(), "\x16\x03\x01", ""},
		{s.Addr().String(), "\x00\x14" + binding, ""},
		{s.Addr().String(), allocate, ""},
		{s.Addr().String(), allocate, "stun.turn"},
		{s.Addr().String(), request, "http/1.1"},
		{s.Addr().String(), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", "h2"},
		{s.PlainAddr().String(), "", ""},
		{s.PlainAddr().String(), request, ""},
		{s.reach.tcp.Addr().String(), "\x00\x14" + binding, ""},
		{s.reach.tcp.Addr().String(), allocate, ""},
	} {
		c, err := net.Dial("tcp", says.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if says.alpn != "" {
			client := trusted.Client(t)
			client.ServerName, client.NextProtos = "localhost", []string{says.alpn}
			c = tls.Client(c, client)
		}
		if _, err := c.Write([]byte(says.text)); err != nil {
			t.Fatal(err)
		}
	}
	socket, _, err := websocket.Dial(t.Context(), "wss://"+s.Addr().String()+"/api/v1/rooms/den/ws",
		&websocket.DialOptions{HTTPClient: httpsClient(t, trusted.Client(t), false), Subprotocols: []string{signal.Subprotocol}})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.CloseNow()

	stop()
	if err := <-ended; err != nil {
		t.Errorf("serve: %v", err)
	}
	for _, entry := range logged.FilterMessage("cut short while stopping").All() {
		if what := entry.ContextMap()["what"]; what != "pages" && what != "http" {
			t.Errorf("%s was cut short", what)
		}
	}
	if left := leftovers(); left != "" {
		t.Errorf("still run:\n%s", left)
	}
	until(t, "all connections are closed", func() bool { return s.reach.limiter.Stats().Open == 0 })
}

// leftovers are the stacks of goroutines of ports and media that do not end. One that has said
// that it is done, ours or one of net/http or pion/turn that closes a connection of ours, may
// take a moment to be gone.
func leftovers() string {
	for end := time.Now().Add(untilPatience); ; runtime.Gosched() {
		if left := running(); left == "" || time.Now().After(end) {
			return left
		}
	}
}

func running() string {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	var left []string
	for stack := range strings.SplitSeq(string(stacks), "\n\n") {
		for _, ours := range []string{"internal/port.", "internal/turn.", "internal/icetcp.", "internal/stream.", "server.(*reach)", "conclave/sfu."} {
			if strings.Contains(stack, ours) {
				left = append(left, stack)
				break
			}
		}
	}
	return strings.Join(left, "\n\n")
}
