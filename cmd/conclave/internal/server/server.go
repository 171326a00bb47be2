package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/port"
	"github.com/conclave-sfu/conclave/room"
	"github.com/conclave-sfu/conclave/room/ws"
	"github.com/conclave-sfu/conclave/sfu"
	"github.com/conclave-sfu/conclave/webclient"
)

// patience bounds a clean end. What is not done by then is cut.
type patience struct {
	all     time.Duration // participants are told, answers are finished, sockets close
	answers time.Duration // a visitor who never finishes a request takes no time of those who end media
	part    time.Duration // of what ends media, each
}

var stopPatience = patience{all: 4 * time.Second, answers: time.Second, part: time.Second}

// Config says what a [Server] serves and where.
type Config struct {
	Listen  string         // host:port of pages and WebSockets
	TLS     *tls.Config    // of Listen; nil: plain HTTP
	HTTP    string         // host:port that sends browsers on to HTTPS; empty: none
	Admin   string         // host:port of metrics; empty: none
	Media   netip.AddrPort // UDP address of all media
	NodeIPs []netip.Addr   // see sfu.Config
	Reach   Reach          // the ways to media beside Media
	Origins []string       // see ws.Config.AllowedOrigins

	// PublicURL is where browsers reach pages, if it does not follow from Listen.
	PublicURL string
	// Challenge answers an ACME authority on HTTP and leaves the rest to the handler that it
	// is given; nil if there is no authority.
	Challenge func(http.Handler) http.Handler

	MLSSuite        string        // of new links, as in [settings]; empty: the page's own choice
	Grace           time.Duration // see room.Config
	MaxRooms        int           // see room.Config
	MaxParticipants int           // see room.Config
	MaxTotal        int           // participants; see room.Config
	MaxTotalBitrate int64         // that is sent, in bits a second, while somebody new comes; 0: no limit
	Limits          sfu.Limits    // of media, of each participant
	MaxPerAddress   int           // see ws.Config
	TrustForwarded  bool          // see ws.Config.TrustForwardedFor

	Version string
	Log     *zap.Logger
	Tap     func(sfu.Tapped) // tests only; nil in production
}

// Server is a running Conclave. Its sockets are open from [New] on.
type Server struct {
	// Immutable.
	log     *zap.Logger
	media   *sfu.Node
	reach   *reach
	rooms   *room.Registry
	load    load
	sockets *ws.Handler
	main    *endpoint
	plain   *endpoint // leads to HTTPS; nil: none
	admin   *endpoint // nil: none

	patience patience // of its end
}

// New opens every socket. Its errors wrap [ErrListen] where a socket is the cause.
// The server is to be served, or closed by serving it under an ended context.
func New(cfg Config) (_ *Server, err error) {
	limiter := port.NewLimiter(connectionLimits())
	s := &Server{log: cfg.Log, reach: newReach(cfg.Reach, limiter, cfg.Log.Named("reach")), patience: stopPatience}
	defer func() {
		if err != nil {
			s.cut()
		}
	}()
	if s.main, err = listen("--listen", cfg.Listen); err != nil {
		return nil, err
	}
	s.share(cfg, limiter)
	if err := s.reach.open(); err != nil {
		return nil, err
	}
	if cfg.HTTP != "" {
		if s.plain, err = listen("--http", cfg.HTTP); err != nil {
			return nil, err
		}
		s.plain.listener = port.Share(s.plain.listener, port.Config{HTTP: true, Limiter: limiter, Logger: cfg.Log.Named("port")})
	}
	if cfg.Admin != "" {
		if s.admin, err = listen("--admin", cfg.Admin); err != nil {
			return nil, err
		}
	}
	s.media, err = sfu.New(sfu.Config{
		Listen: cfg.Media, NodeIPs: cfg.NodeIPs, Limits: cfg.Limits,
		Logger: cfg.Log.Named("media"), Tap: cfg.Tap, Foreign: s.reach.received,
	})
	if err != nil {
		return nil, mediaError(cfg.Media, err)
	}
	if err := s.reach.start(s.media); err != nil {
		return nil, err
	}
	s.compose(cfg)
	return s, nil
}

// share puts HTTP, TURN and media over TCP on the one port.
func (s *Server) share(cfg Config, limiter *port.Limiter) {
	shared := port.Config{TLS: cfg.TLS, HTTP: true, Limiter: limiter, Logger: cfg.Log.Named("port")}
	s.reach.share(&shared, publicPort(cfg.PublicURL, s.main.listener.Addr()))
	s.main.listener = port.Share(s.main.listener, shared)
}

// compose wires the parts; nothing of it can fail.
func (s *Server) compose(cfg Config) {
	m := newMetrics(cfg.Version)
	logEvent := ws.Observer(cfg.Log.Named("room"))
	s.rooms = room.NewRegistry(room.Config{
		Media:           media{node{s.media}},
		Grace:           cfg.Grace,
		MaxRooms:        cfg.MaxRooms,
		MaxParticipants: cfg.MaxParticipants,
		MaxTotal:        cfg.MaxTotal,
		Admit:           func() error { return s.load.admit(cfg.MaxTotalBitrate) },
		ICEServers:      s.reach.iceServers,
		Observe: func(e room.Event) {
			logEvent(e)
			m.observe(e)
		},
	})
	m.watch(s.rooms.Stats, s.media.Stats, s.reach.stats)
	s.sockets = ws.NewHandler(s.rooms, ws.Config{
		AllowedOrigins: cfg.Origins, Logger: cfg.Log.Named("ws"),
		MaxPerAddress: cfg.MaxPerAddress, TrustForwardedFor: cfg.TrustForwarded,
	})
	s.main.server = httpServer(s.mainHandler(cfg), cfg.Log)
	s.main.server.TLSConfig = cfg.TLS // says that it may be HTTP/2
	if s.plain != nil {
		s.plain.server = httpServer(plainHandler(publicPort(cfg.PublicURL, s.Addr()), cfg.Challenge), cfg.Log)
	}
	if s.admin != nil {
		s.admin.server = httpServer(adminRoutes(m), cfg.Log)
	}
}

func (s *Server) mainHandler(cfg Config) http.Handler {
	h := mainRoutes(s.sockets, settings{cfg.MLSSuite}, webclient.Handler())
	if cfg.TLS != nil {
		h = strictTransport(h)
	}
	return h
}

// PlainAddr is the address that leads to HTTPS, or nil.
func (s *Server) PlainAddr() net.Addr { return s.plain.addr() }

// Addr is the address of pages and WebSockets.
func (s *Server) Addr() net.Addr { return s.main.listener.Addr() }

// MediaAddr is the UDP address of all media.
func (s *Server) MediaAddr() netip.AddrPort { return s.media.Addr() }

// AdminAddr is the address of metrics, or nil.
func (s *Server) AdminAddr() net.Addr { return s.admin.addr() }

// endpoints are those that there are.
func (s *Server) endpoints() []*endpoint {
	return slices.DeleteFunc([]*endpoint{s.main, s.plain, s.admin}, func(e *endpoint) bool { return e == nil })
}

// Serve serves until ctx ends, then stops within a few seconds, and gives nil; or
// until a listener fails, and gives its error. No goroutine of the server is left
// when it returns.
func (s *Server) Serve(ctx context.Context) error {
	s.logStart()
	defer s.watchLoad(ctx)()
	running := len(s.endpoints())
	failed := make(chan error, running)
	for _, e := range s.endpoints() {
		go func() { failed <- e.serve() }()
	}
	var err error
	select {
	case <-ctx.Done():
		s.log.Info("stopping")
	case err = <-failed:
		running--
	}
	s.stop()
	for range running {
		<-failed
	}
	s.log.Info("stopped")
	return err
}

// watchLoad measures what is sent until it is told to stop.
func (s *Server) watchLoad(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() { s.load.watch(ctx, s.media.SentBytes) })
	return func() {
		cancel()
		watching.Wait()
	}
}

func (s *Server) logStart() {
	fields := []zap.Field{zap.Stringer("pages", s.Addr()), zap.Stringer("media", s.MediaAddr())}
	if s.plain != nil {
		fields = append(fields, zap.Stringer("http", s.PlainAddr()))
	}
	if s.admin != nil {
		fields = append(fields, zap.Stringer("admin", s.AdminAddr()))
	}
	s.log.Info("serving", fields...)
	if !webclient.Built() {
		s.log.Warn("this binary holds no web client: build with make, not with go build alone")
	}
}

// stop ends everything in order: rooms first, so that participants learn why, the
// metrics last.
func (s *Server) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), s.patience.all)
	defer cancel()
	late := func(what string, err error) {
		if err != nil {
			s.log.Warn("cut short while stopping", zap.String("what", what), zap.Error(err))
		}
	}
	late("rooms", s.rooms.Close(ctx))
	late("websockets", s.sockets.Wait(ctx))
	var ending sync.WaitGroup
	for what, e := range map[string]*endpoint{"pages": s.main, "http": s.plain} {
		if e != nil {
			ending.Go(func() { late(what, e.stop(ctx, s.patience.answers)) })
		}
	}
	ending.Wait()
	late("relays", within(ctx, s.patience.part, s.stopReach))
	late("media", within(ctx, s.patience.part, s.media.Close))
	if s.admin != nil {
		late("admin", s.admin.stop(ctx, s.patience.answers))
	}
}

// stopReach ends what is left on the public ports, and all other ways to media.
func (s *Server) stopReach() error {
	for _, e := range s.endpoints() {
		if public, ok := e.listener.(*port.Listener); ok {
			public.Shut()
		}
	}
	s.reach.close()
	return nil
}

// within waits for f, but not longer than ctx lasts, nor than most.
func within(ctx context.Context, most time.Duration, f func() error) error {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// cut closes what an unfinished New has opened.
func (s *Server) cut() {
	for _, e := range s.endpoints() {
		e.listener.Close()
	}
	s.reach.close()
	if s.media != nil {
		s.media.Close()
	}
}

// endpoint is a listener and what it serves.
type endpoint struct {
	listener net.Listener
	server   *http.Server
}

func listen(flag, addr string) (*endpoint, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, listenError(flag, addr, "tcp", err)
	}
	return &endpoint{listener: l}, nil
}

// addr is nil if there is no endpoint.
func (e *endpoint) addr() net.Addr {
	if e == nil {
		return nil
	}
	return e.listener.Addr()
}

// serve ends with nil after stop.
func (e *endpoint) serve() error {
	if err := e.server.Serve(e.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", e.listener.Addr(), err)
	}
	return nil
}

// stop finishes the running requests, and cuts them when ctx, or the time that they have at
// most, ends first.
func (e *endpoint) stop(ctx context.Context, most time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	err := e.server.Shutdown(ctx)
	if err != nil {
		e.server.Close()
	}
	// Serve closes the listener, but only if it has begun.
	e.listener.Close()
	return err
}
