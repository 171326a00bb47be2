package port

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Times of a connection.
const (
	// firstTimeout is how long a connection may take for its first bytes, in clear and then
	// in TLS.
	firstTimeout = 5 * time.Second
	// handshakeTimeout is for TLS; a first certificate by ACME takes some seconds.
	handshakeTimeout = 20 * time.Second
	// maxPause is between two attempts to accept while the system has no descriptor left.
	maxPause = time.Second
)

// maxUnsent is how many bytes of a connection the system keeps at most before they go out: a
// tenth of a second at 3 Mbit/s.
const maxUnsent = 32 << 10

// ProtoTURN is the ALPN protocol id of TURN (RFC 7443).
const ProtoTURN = "stun.turn"

// Config says what a port is shared among.
type Config struct {
	// TLS is how TLS is spoken; nil: not at all.
	TLS *tls.Config
	// HTTP says that there are pages. With TLS, they are not served in clear.
	HTTP bool
	// TURN and ICE serve a connection until it ends, and close it. Nil: closed at once.
	TURN, ICE func(net.Conn)
	Limiter   *Limiter
	Logger    *zap.Logger
}

// Listener gives an HTTP server those connections of a port that are for it, and serves the
// others. It begins to accept with the first call of Accept.
type Listener struct {
	// Immutable.
	cfg   Config
	inner net.Listener
	http  chan net.Conn
	done  chan struct{}

	begin, end sync.Once
	serving    sync.WaitGroup // all goroutines of ours

	mu     sync.Mutex
	failed error // why accepting has ended
	// live are the connections that are ours to close: pending, TURN and ICE.
	live map[net.Conn]struct{}
}

// Share takes over a listener.
func Share(inner net.Listener, cfg Config) *Listener {
	if cfg.TLS != nil && cfg.TURN != nil {
		cfg.TLS = cfg.TLS.Clone()
		cfg.TLS.NextProtos = append(cfg.TLS.NextProtos, ProtoTURN)
	}
	return &Listener{cfg: cfg, inner: inner, http: make(chan net.Conn), done: make(chan struct{}), live: map[net.Conn]struct{}{}}
}

// Addr implements [net.Listener].
func (l *Listener) Addr() net.Addr { return l.inner.Addr() }

// Accept implements [net.Listener] for HTTP.
func (l *Listener) Accept() (net.Conn, error) {
	l.begin.Do(func() { l.serving.Go(l.accept) })
	select {
	case c := <-l.http:
		return c, nil
	case <-l.done:
		l.mu.Lock()
		defer l.mu.Unlock()
		return nil, l.failed
	}
}

// Close ends accepting. Connections that were classified go on.
func (l *Listener) Close() error {
	l.fail(net.ErrClosed)
	return l.inner.Close()
}

// Shut closes, and ends all connections but those that Accept gave. It returns when nothing
// of the listener runs any more.
func (l *Listener) Shut() {
	l.Close()
	l.mu.Lock()
	for c := range l.live {
		c.Close()
	}
	l.mu.Unlock()
	l.serving.Wait()
}

func (l *Listener) fail(err error) {
	l.end.Do(func() {
		l.mu.Lock()
		l.failed = err
		l.mu.Unlock()
		close(l.done)
	})
}

// accept takes connections until the listener is closed. When the system has none left to
// give, as when all file descriptors are taken, it waits and goes on.
func (l *Listener) accept() {
	pause := time.Duration(0)
	for {
		raw, err := l.inner.Accept()
		switch {
		case err == nil:
			pause = 0
			l.take(raw)
		case isTemporary(err):
			if pause == 0 {
				l.cfg.Logger.Warn("a connection could not be accepted", zap.Error(err))
			}
			pause = min(max(2*pause, 5*time.Millisecond), maxPause)
			if !l.wait(pause) {
				return
			}
		default:
			l.fail(err)
			return
		}
	}
}

// isTemporary tells the system's shortages from the end of a socket, as net/http does.
func isTemporary(err error) bool {
	var t interface{ Temporary() bool }
	return errors.As(err, &t) && t.Temporary() && !errors.Is(err, net.ErrClosed)
}

func (l *Listener) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.done:
		return false
	}
}

func (l *Listener) take(raw net.Conn) {
	c, ok := l.cfg.Limiter.admit(raw)
	if !ok {
		raw.Close()
		return
	}
	if !l.hold(c) {
		c.Close()
		return
	}
	limitUnsent(raw)
	l.serving.Go(func() { l.serve(c) })
}

// hold makes a connection ours to close, unless we have ended.
func (l *Listener) hold(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed != nil {
		return false
	}
	l.live[c] = struct{}{}
	return true
}

func (l *Listener) release(c net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.live, c)
}

// serve finds out what a connection is for and has it served.
func (l *Listener) serve(c *conn) {
	defer l.release(c)
	use, ready := l.classify(c)
	c.settled()
	switch {
	case use == forHTTP && l.cfg.HTTP:
		_ = ready.SetDeadline(time.Time{}) // the server has its own; fails only if it is closed
		select {
		case l.http <- ready:
			return
		case <-l.done:
		}
	case use == forTURN && l.cfg.TURN != nil:
		_ = ready.SetDeadline(time.Time{})
		l.cfg.TURN(ready)
	case use == forICE && l.cfg.ICE != nil:
		_ = ready.SetDeadline(time.Time{})
		l.cfg.ICE(ready)
	case use == forClearHTTP:
		refuseClear(ready)
	}
	c.Close()
}

// classify reads a connection's first bytes, and those inside TLS. What it gives reads them
// again.
func (l *Listener) classify(c *conn) (use, net.Conn) {
	_ = c.SetDeadline(time.Now().Add(firstTimeout)) // fails only if it is closed
	clear := newPeeked(c)
	switch u := clear.use(); {
	case u == forTLS && l.cfg.TLS != nil:
		return l.classifyTLS(clear)
	case u == forTLS:
		return forNothing, clear
	case u == forHTTP && l.cfg.TLS != nil:
		return forClearHTTP, clear
	default:
		return u, clear
	}
}

func (l *Listener) classifyTLS(clear *peeked) (use, net.Conn) {
	secure := tls.Server(clear, l.cfg.TLS)
	_ = clear.SetDeadline(time.Now().Add(handshakeTimeout))
	if err := secure.HandshakeContext(context.Background()); err != nil {
		l.cfg.Logger.Debug("TLS handshake", zap.Error(err))
		return forNothing, secure
	}
	switch secure.ConnectionState().NegotiatedProtocol {
	case "h2", "http/1.1":
		return forHTTP, secure // as it is, so that net/http sees that it is TLS
	case ProtoTURN:
		return forTURN, secure
	case "":
		_ = clear.SetDeadline(time.Now().Add(firstTimeout))
		inner := newPeeked(secure)
		return inner.use(), inner
	}
	return forNothing, secure // ACME's, which has seen what it wanted
}

// refuseClear tells who speaks HTTP where HTTPS is spoken.
func refuseClear(c net.Conn) {
	_ = c.SetWriteDeadline(time.Now().Add(firstTimeout))
	_, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nThis port speaks HTTPS: use https://\n"))
	_ = closeWrite(c)
}

// peeked is a connection whose first bytes were looked at.
type peeked struct {
	net.Conn
	in *bufio.Reader
}

// peekSize is for the longest that is looked at; more is read past the buffer.
const peekSize = 16

func newPeeked(c net.Conn) *peeked { return &peeked{c, bufio.NewReaderSize(c, peekSize)} }

// Read implements [net.Conn].
func (p *peeked) Read(b []byte) (int, error) { return p.in.Read(b) }

// CloseWrite is as that of [net.TCPConn].
func (p *peeked) CloseWrite() error { return closeWrite(p.Conn) }

func (p *peeked) use() use {
	first, err := p.in.Peek(1)
	if err != nil {
		return forNothing
	}
	if u := useOf(first[0]); u != forSTUN {
		return u
	}
	head, err := p.in.Peek(stunPeek)
	if err != nil {
		return forNothing
	}
	return useOfSTUN([stunPeek]byte(head))
}
