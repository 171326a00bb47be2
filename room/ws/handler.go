// Package ws carries the messages of package signal over WebSockets (RFC 6455): one
// text frame a message. Each connection has a reader, a writer, a pinger and a watcher.
//
// What a connection may use is bounded: its messages in size (which grows with the room)
// and rate, all connections' large messages in number, its time to say hello, to answer a
// ping, to take a message, and to end.
//
// A request is refused before it becomes a WebSocket with 400 (room name, subprotocol),
// 403 (origin), 421 (the room lives on another node), 429 (too many connections from one
// address) or 503 (too many connections, or the
// server stops). Afterwards refusals are signal errors and, if fatal, close codes.
package ws

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
	"github.com/go-chi/chi/v5"
	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"

	"github.com/conclave-sfu/conclave/room"
	"github.com/conclave-sfu/conclave/room/signal"
)

// Config is what a [Handler] needs beside the rooms.
type Config struct {
	// AllowedOrigins are further origins ("https://host[:port]") whose pages may connect;
	// pages of the request's own host always may, and so may programs, which send none.
	AllowedOrigins []string
	// Logger may be nil.
	Logger *zap.Logger
	// MaxConnections bounds the connections in all; 10,000 if 0.
	MaxConnections int
	// MaxPerRoom bounds the connections to one room; if 0, the largest room and 64, for
	// those that are being replaced.
	MaxPerRoom int
	// MaxPerAddress bounds the connections from one IPv4 address or IPv6 network of 64 bits;
	// 256 if 0. Loopback, private and link-local addresses have no bound of their own.
	MaxPerAddress int
	// TrustForwardedFor takes the address from the last entry of X-Forwarded-For. It is right
	// if and only if nobody reaches the server but by a proxy that sets it.
	TrustForwardedFor bool
}

// timing holds how long a connection may take.
type timing struct {
	hello   time.Duration // for the first message
	message time.Duration // from a message's first byte to its last; large ones have more
	ping    time.Duration // between pings
	pong    time.Duration // for the answer to a ping
	write   time.Duration // for a message, and as much again for each 512 KiB of it
	ending  time.Duration // for the last messages when it ends; a server stops within 5 s
}

var defaultTiming = timing{
	hello:   10 * time.Second,
	message: 10 * time.Second,
	ping:    20 * time.Second,
	pong:    20 * time.Second,
	write:   10 * time.Second,
	ending:  1500 * time.Millisecond,
}

// largeReads is how many bytes messages over [smallMessage] bytes may hold at a time, in all
// connections together, each of which reads one: it bounds the memory that clients can make
// us use. That is some hundred messages in small rooms, and ten in the largest.
const largeReads = 256 << 20

// Handler serves GET /api/v1/rooms/{room}/ws.
type Handler struct {
	chi.Router

	// Immutable.
	registry   *room.Registry
	cfg        Config
	timing     timing
	newLimiter func() limiter
	large      *semaphore.Weighted // bytes of the large messages that are being read

	// Guarded by mu.
	mu      sync.Mutex
	total   int
	perRoom map[string]int
	sources map[netip.Prefix]int
	idle    chan struct{} // closed when total falls to 0; nil unless somebody waits
}

// NewHandler returns the handler for the rooms of registry.
func NewHandler(registry *room.Registry, cfg Config) *Handler {
	if cfg.Logger == nil {
		cfg.Logger = zap.NewNop()
	}
	cfg.MaxConnections = cmp.Or(cfg.MaxConnections, 10000)
	cfg.MaxPerAddress = cmp.Or(cfg.MaxPerAddress, 256)
	cfg.MaxPerRoom = cmp.Or(cfg.MaxPerRoom, signal.MaxParticipants+64)
	h := &Handler{
		Router:     chi.NewRouter(),
		registry:   registry,
		cfg:        cfg,
		timing:     defaultTiming,
		newLimiter: newLimiter,
		large:      semaphore.NewWeighted(largeReads),
		perRoom:    map[string]int{},
		sources:    map[netip.Prefix]int{},
	}
	h.Get("/api/v1/rooms/{room}/ws", h.serve)
	return h
}

// serve returns when the connection has ended.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request) {
	name := chi.URLParam(r, "room")
	if status, err := h.check(r, name); err != nil {
		http.Error(w, err.Error(), status)
		return
	}
	source := h.source(r)
	if status := h.admit(name, source); status != 0 {
		http.Error(w, "too many connections", status)
		return
	}
	defer h.release(name, source)

	hijacked := &hijacker{ResponseWriter: w}
	socket, err := websocket.Accept(hijacked, r, &websocket.AcceptOptions{
		Subprotocols:       []string{signal.Subprotocol},
		InsecureSkipVerify: true, // check has compared the origin
		CompressionMode:    websocket.CompressionDisabled,
	})
	if err != nil {
		return // answered by Accept
	}
	newConn(h, name, socket, hijacked.cork).run()
}

// Errors that refuse a request.
var (
	errOrigin      = errors.New("origin is not allowed")
	errSubprotocol = errors.New("subprotocol " + signal.Subprotocol + " is required")
	errStopping    = errors.New("server is stopping")
)

// check returns the HTTP status of a refusal and why.
func (h *Handler) check(r *http.Request, name string) (int, error) {
	switch err := h.registry.Locate(r.Context(), name); {
	case errors.Is(err, room.ErrRoomName):
		return http.StatusBadRequest, room.ErrRoomName
	case errors.Is(err, room.ErrElsewhere):
		return http.StatusMisdirectedRequest, err
	case err != nil:
		return http.StatusServiceUnavailable, errors.New("room cannot be located")
	case !h.originAllowed(r):
		return http.StatusForbidden, errOrigin
	case !offersSubprotocol(r):
		return http.StatusBadRequest, errSubprotocol
	case h.stopping():
		return http.StatusServiceUnavailable, errStopping
	}
	return 0, nil
}

func (h *Handler) stopping() bool {
	select {
	case <-h.registry.Done():
		return true
	default:
		return false
	}
}

// originAllowed keeps other sites' pages out (RFC 6455, Section 10.2).
func (h *Handler) originAllowed(r *http.Request) bool {
	origins := r.Header.Values("Origin")
	if len(origins) == 0 {
		return true
	}
	origin, err := url.Parse(origins[0])
	if err != nil || len(origins) > 1 || origin.Host == "" {
		return false
	}
	same := func(allowed string) bool { return strings.EqualFold(allowed, origins[0]) }
	return strings.EqualFold(origin.Host, r.Host) || slices.ContainsFunc(h.cfg.AllowedOrigins, same)
}

func offersSubprotocol(r *http.Request) bool {
	for _, line := range r.Header.Values("Sec-WebSocket-Protocol") {
		for offered := range strings.SplitSeq(line, ",") {
			if strings.TrimSpace(offered) == signal.Subprotocol {
				return true
			}
		}
	}
	return false
}

// admit counts a connection, if there is a place for it. Else it gives the HTTP status.
func (h *Handler) admit(name string, source netip.Prefix) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case source.IsValid() && h.sources[source] >= h.cfg.MaxPerAddress:
		return http.StatusTooManyRequests
	case h.total >= h.cfg.MaxConnections || h.perRoom[name] >= h.cfg.MaxPerRoom:
		return http.StatusServiceUnavailable
	}
	h.total++
	h.perRoom[name]++
	if source.IsValid() {
		h.sources[source]++
	}
	return 0
}

func (h *Handler) release(name string, source netip.Prefix) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.total--
	if source.IsValid() {
		if h.sources[source]--; h.sources[source] == 0 {
			delete(h.sources, source)
		}
	}
	if h.perRoom[name]--; h.perRoom[name] == 0 {
		delete(h.perRoom, name)
	}
	if h.total == 0 && h.idle != nil {
		close(h.idle)
		h.idle = nil
	}
}

// Connections is how many WebSockets are open.
func (h *Handler) Connections() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.total
}

// Wait returns when no connection is left, or with an error when ctx ends. Close the
// registry before: that ends them.
func (h *Handler) Wait(ctx context.Context) error {
	select {
	case <-h.whenIdle():
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for %d connections to end: %w", h.Connections(), ctx.Err())
	}
}

func (h *Handler) whenIdle() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.idle == nil {
		h.idle = make(chan struct{})
	}
	idle := h.idle
	if h.total == 0 {
		close(h.idle)
		h.idle = nil
	}
	return idle
}

// hijacker keeps hold of the network connection under a WebSocket, whose own
// deadlines do not cover its closing handshake, and puts a cork between them.
type hijacker struct {
	http.ResponseWriter
	cork *cork
}

// Hijack implements [http.Hijacker].
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	if err := conn.SetDeadline(time.Time{}); err != nil { // those of http.Server
		_ = conn.Close()
		return nil, nil, err
	}
	h.cork = &cork{conn: conn}
	rw.Writer.Reset(h.cork)
	return conn, rw, nil
}
