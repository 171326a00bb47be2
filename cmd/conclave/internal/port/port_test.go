package port

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/certs/certstest"
)

// Beginnings of connections.
const (
	turnHead = "\x00\x03\x00\x08\x21\x12\xA4\x42transaction!"
	iceHead  = "\x00\x1c\x00\x01\x00\x08\x21\x12\xA4\x42transaction!"
)

// says gives a service that names itself and what it reads first.
func says(name string) func(net.Conn) {
	return func(c net.Conn) {
		defer c.Close()
		got := make([]byte, 10)
		if _, err := io.ReadFull(c, got); err == nil {
			fmt.Fprintf(c, "%s %x", name, got)
		}
	}
}

// shared serves a port with everything on it.
func shared(t *testing.T, cfg *tls.Config) *Listener {
	t.Helper()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := Share(inner, Config{TLS: cfg, HTTP: true, TURN: says("turn"), ICE: says("ice"), Logger: zap.NewNop(),
		Limiter: NewLimiter(Limits{Open: 100, Pending: 100, PendingFromIP: 100, OpenFromIP: 100})})
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "http %s tls=%t", r.Proto, r.TLS != nil)
	}), TLSConfig: cfg}
	ended := make(chan struct{})
	go func() {
		_ = server.Serve(l)
		close(ended)
	}()
	t.Cleanup(func() {
		server.Close()
		l.Shut()
		<-ended
		if s := l.cfg.Limiter.Stats(); s.Open != 0 || s.Pending != 0 {
			t.Errorf("left: %+v", s)
		}
	})
	return l
}

// talk says something and gives the whole answer.
func talk(c net.Conn, err error, text string) string {
	if err != nil {
		return "no connection"
	}
	defer c.Close()
	if _, err := io.WriteString(c, text); err != nil {
		return "not written"
	}
	answer, _ := io.ReadAll(c) // a connection that is cut ends it too
	return string(answer)
}

const get = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

func TestShared(t *testing.T) {
	pair := certstest.Make(t, "localhost")
	cfg := pair.Server(t)
	cfg.NextProtos = []string{"h2", "http/1.1"}
	secure, plain := shared(t, cfg), shared(t, nil)
	trust := func(protos ...string) *tls.Config {
		c := pair.Client(t)
		c.NextProtos = protos
		return c
	}
	turn, ice := fmt.Sprintf("turn %x", turnHead[:10]), fmt.Sprintf("ice %x", iceHead[:10])
	for _, tt := range []struct {
		name   string
		to     *Listener
		inside *tls.Config // nil: in clear
		says   string
		want   string // part of the answer; empty: none
	}{
		{"page over TLS", secure, trust("http/1.1"), get, "http HTTP/1.1 tls=true"},
		{"page over TLS without ALPN", secure, trust(), get, "http HTTP/1.1 tls=false"},
		{"TURN over TLS", secure, trust(), turnHead, turn},
		{"TURN over TLS with ALPN", secure, trust(ProtoTURN), turnHead, turn},
		{"ICE over TLS", secure, trust(), iceHead, ice},
		{"ICE beside TLS", secure, nil, iceHead, ice},
		{"TURN beside TLS", secure, nil, turnHead, turn},
		{"page in clear beside TLS", secure, nil, get, "400 Bad Request"},
		{"nonsense in TLS", secure, trust(), "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", ""},
		{"page in clear", plain, nil, get, "http HTTP/1.1 tls=false"},
		{"TURN in clear", plain, nil, turnHead, turn},
		{"ICE in clear", plain, nil, iceHead, ice},
		{"TLS where there is none", plain, nil, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", ""},
		{"SSH", plain, nil, "\x7fSH-2.0-", ""},
		{"STUN without a cookie", plain, nil, "\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", ""},
		{"framed, but no check", plain, nil, "\x00\x1c\x01\x01\x00\x08\x21\x12\xA4\x42", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := net.Dial("tcp", tt.to.Addr().String())
			if err == nil && tt.inside != nil {
				c = tls.Client(c, tt.inside)
			}
			if got := talk(c, err, tt.says); !strings.Contains(got, tt.want) || tt.want == "" && got != "" {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
	t.Run("HTTP/2", func(t *testing.T) {
		transport := &http.Transport{TLSClientConfig: trust(), ForceAttemptHTTP2: true}
		defer transport.CloseIdleConnections()
		resp, err := (&http.Client{Transport: transport}).Get("https://" + secure.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if body, _ := io.ReadAll(resp.Body); string(body) != "http HTTP/2.0 tls=true" {
			t.Errorf("%q", body)
		}
	})
}

// pipes is a listener whose connections are made by the test.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
	err   func() error // asked before each accept; nil: none
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	if p.err != nil {
		if err := p.err(); err != nil {
			return nil, err
		}
	}
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// from is a pipe that comes from an address.
type from struct {
	net.Conn
	ip string
}

func (f from) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.ParseIP(f.ip), Port: 1} }

// dial connects from an address.
func (p *pipes) dial(ip string) net.Conn {
	near, far := net.Pipe()
	p.conns <- from{near, ip}
	synctest.Wait()
	return far
}

// isOpen says whether a connection that has not been answered is still open.
func isOpen(c net.Conn) bool {
	_ = c.SetReadDeadline(time.Now().Add(time.Nanosecond))
	_, err := c.Read(make([]byte, 1))
	return err != io.EOF
}

// listening shares pipes, in a bubble of virtual time.
func listening(t *testing.T, limits Limits, secure *tls.Config) (*pipes, *Listener) {
	p := newPipes()
	l := Share(p, Config{TLS: secure, HTTP: true, ICE: says("ice"), Limiter: NewLimiter(limits), Logger: zap.NewNop()})
	go func() {
		for {
			if _, err := l.Accept(); err != nil {
				return
			}
		}
	}()
	t.Cleanup(l.Shut)
	return p, l
}

// TestSlowloris: connections that say nothing, or too little, are closed in time, wherever
// they stop.
func TestSlowloris(t *testing.T) {
	pair := certstest.Make(t, "localhost")
	hello := clientHello(t, pair)
	for _, tt := range []struct {
		says  string
		after time.Duration
	}{
		{"", firstTimeout},
		{"\x00", firstTimeout},
		{iceHead[:9], firstTimeout},
		{"\x16", handshakeTimeout},
		{hello[:len(hello)-1], handshakeTimeout},
		{hello, handshakeTimeout},
	} {
		synctest.Test(t, func(t *testing.T) {
			p, l := listening(t, Limits{Open: 10, Pending: 10, PendingFromIP: 10, OpenFromIP: 10}, pair.Server(t))
			begun := time.Now()
			c := p.dial("192.0.2.1")
			go io.Copy(io.Discard, c)
			if _, err := io.WriteString(c, tt.says); err != nil {
				t.Fatal(err)
			}
			for l.cfg.Limiter.Stats().Open > 0 {
				time.Sleep(time.Second)
				synctest.Wait()
			}
			if after := time.Since(begun); after < tt.after || after > tt.after+time.Second {
				t.Errorf("%d bytes: closed after %s, want %s", len(tt.says), after, tt.after)
			}
			l.Shut()
		})
	}
}

// clientHello is the first flight of a TLS client.
func clientHello(t *testing.T, pair certstest.Pair) string {
	near, far := net.Pipe()
	go tls.Client(near, pair.Client(t)).Handshake()
	buffer := make([]byte, 4096)
	n, err := far.Read(buffer)
	if err != nil {
		t.Fatal(err)
	}
	far.Close()
	return string(buffer[:n])
}

// TestOldestIsDisplaced: those who wait for nothing make room for those who have come to talk.
func TestOldestIsDisplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, l := listening(t, Limits{Open: 100, Pending: 3, PendingFromIP: 2, OpenFromIP: 9}, nil)
		a := p.dial("192.0.2.1")
		b := p.dial("192.0.2.2")
		c := p.dial("192.0.2.3")
		d := p.dial("192.0.2.4")
		if isOpen(a) || !isOpen(b) || !isOpen(c) || !isOpen(d) {
			t.Errorf("open: %t %t %t %t", isOpen(a), isOpen(b), isOpen(c), isOpen(d))
		}
		e, f := p.dial("2001:db8::1"), p.dial("2001:db8::2")
		if third := p.dial("2001:db8::3"); isOpen(third) || !isOpen(e) || !isOpen(f) {
			t.Error("a third of one network is taken, or its others are not")
		}
		if s := l.cfg.Limiter.Stats(); s.Pending != 3 || s.Open != 3 || s.Refused != 1 || s.Displaced != 3 {
			t.Errorf("%+v", s)
		}
		_ = f.SetReadDeadline(time.Time{})
		io.WriteString(f, iceHead[:10])
		if got, _ := bufio.NewReader(f).ReadString('\n'); got != fmt.Sprintf("ice %x", iceHead[:10]) {
			t.Errorf("%q", got)
		}
		l.Shut()
		if s := l.cfg.Limiter.Stats(); s.Open != 0 || s.Pending != 0 || len(l.cfg.Limiter.from) != 0 {
			t.Errorf("after the end: %+v", s)
		}
	})
}

func TestOpenConnectionsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, l := listening(t, Limits{Open: 3, Pending: 10, PendingFromIP: 10, OpenFromIP: 1}, nil)
		a := p.dial("192.0.2.1")
		io.WriteString(a, iceHead[:1])
		if isOpen(p.dial("192.0.2.1")) {
			t.Error("a second of one address is open")
		}
		b := p.dial("127.0.0.1")
		p.dial("127.0.0.1")
		if isOpen(p.dial("192.0.2.3")) || !isOpen(b) {
			t.Error("a fourth is open")
		}
		a.Close()
		synctest.Wait()
		if !isOpen(p.dial("192.0.2.3")) {
			t.Error("no place after one has gone")
		}
		l.Shut()
	})
}

// TestShortageOfDescriptors: what the system cannot give now is asked for again, unhurriedly.
func TestShortageOfDescriptors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, asked := newPipes(), atomic.Int32{}
		over := time.Now().Add(10 * time.Second)
		p.err = func() error {
			if asked.Add(1); time.Now().Before(over) {
				return &net.OpError{Op: "accept", Err: syscall.EMFILE}
			}
			return nil
		}
		l := Share(p, Config{ICE: says("ice"), Logger: zap.NewNop(), Limiter: NewLimiter(Limits{Open: 9, Pending: 9, PendingFromIP: 9, OpenFromIP: 9})})
		go l.Accept()
		time.Sleep(12 * time.Second)
		if n := asked.Load(); n > 20 {
			t.Errorf("asked %d times in 10 s", n)
		}
		if c := p.dial("192.0.2.1"); !isOpen(c) {
			t.Error("nobody is let in afterwards")
		}
		l.Shut()
	})
}

// TestBrokenListener: another error than a shortage ends Accept.
func TestBrokenListener(t *testing.T) {
	p := newPipes()
	broken := errors.New("broken")
	p.err = func() error { return broken }
	l := Share(p, Config{Logger: zap.NewNop(), Limiter: NewLimiter(Limits{Open: 1})})
	if _, err := l.Accept(); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	l.Shut()
}

func FuzzUse(f *testing.F) {
	for _, seed := range []string{turnHead, iceHead, get, "\x16\x03\x01", ""} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, begin []byte) {
		near, far := net.Pipe()
		go func() {
			_, _ = far.Write(begin)
			far.Close()
		}()
		p := newPeeked(near)
		use := p.use()
		if all, _ := io.ReadAll(p); string(all) != string(begin) {
			t.Errorf("read again: %x of %x", all, begin)
		}
		if use == forSTUN {
			t.Errorf("%x is left undecided", begin)
		}
	})
}
