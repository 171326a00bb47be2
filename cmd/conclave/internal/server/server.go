package server

import (
	"context"
	"net"
	"net/netip"
	"time"

	"go.uber.org/zap"

	"github.com/conclave-sfu/conclave/sfu"
)

// Config says what a [Server] serves and where.
type Config struct {
	Listen  string         // host:port of HTTP and WebSocket
	Admin   string         // host:port of metrics; empty: none
	Media   netip.AddrPort // UDP address of all media
	NodeIPs []netip.Addr   // see sfu.Config
	Grace   time.Duration  // see room.Config
	Origins []string       // further origins whose pages may open WebSockets
	Version string
	Log     *zap.Logger
	Tap     func(sfu.Tapped) // tests only; nil in production
}

// Server is a running Conclave.
type Server struct{ main net.Listener }

// New opens every socket. Its errors wrap [ErrListen] where a socket is the cause.
func New(cfg Config) (*Server, error) {
	l, err := listenTCP("--listen", cfg.Listen)
	if err != nil {
		return nil, err
	}
	return &Server{main: l}, nil
}

// Addr is the address of HTTP and WebSocket.
func (s *Server) Addr() net.Addr { return s.main.Addr() }

// Serve serves until ctx ends.
func (s *Server) Serve(ctx context.Context) error { <-ctx.Done(); return s.main.Close() }
