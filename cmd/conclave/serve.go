package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"runtime/debug"

	"go.uber.org/zap"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/certs"
	"github.com/conclave-sfu/conclave/cmd/conclave/internal/config"
	"github.com/conclave-sfu/conclave/cmd/conclave/internal/server"
	"github.com/conclave-sfu/conclave/sfu"
)

type serveCmd struct {
	config.Serve `embed:""`
	Tap          tapFlags `embed:"" prefix:""`
}

// Run serves until ctx ends. When everything listens it prints one line on the
// standard output, the URL; all else goes to the log on the standard error.
func (c *serveCmd) Run(ctx context.Context, std streams) error {
	collectOften()
	log, err := c.Logger(std.err)
	if err != nil {
		return err
	}
	tap, err := c.Tap.open()
	if err != nil {
		return err
	}
	defer tap.close()
	secure, err := c.certificates(log)
	if err != nil {
		return err
	}
	srv, err := server.New(c.server(log, secure, tap.packet))
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(std.out, c.URL(srv.Addr())); err != nil {
		log.Warn("the URL could not be printed: " + err.Error())
	}
	return srv.Serve(ctx)
}

// server says what the flags mean for the server.
func (c *serveCmd) server(log *zap.Logger, secure certificates, tap func(sfu.Tapped)) server.Config {
	mediaTCPPort, mediaOnHTTPS := c.MediaTCP()
	return server.Config{
		Listen:    c.ListenAddr(),
		TLS:       secure.tls,
		HTTP:      c.HTTPAddr(),
		PublicURL: c.PublicURL,
		Challenge: secure.challenge,
		Admin:     c.Admin,
		Media:     netip.AddrPortFrom(netip.IPv6Unspecified(), c.MediaPort),
		NodeIPs:   c.NodeIP,
		Reach: server.Reach{
			Host: c.Host(), STUNServer: c.STUNAddr(), TURN: c.TURN, TURNPort: c.TURNPort,
			MediaTCPPort: mediaTCPPort, NoMediaTCP: !mediaOnHTTPS,
		},
		Origins:         c.Origins(),
		Grace:           c.Grace,
		MLSSuite:        c.MLSSuite,
		MaxRooms:        c.MaxRooms,
		MaxParticipants: c.MaxParticipants,
		MaxTotal:        c.MaxTotalParticipants,
		MaxTotalBitrate: int64(c.MaxTotalBitrate),
		Limits:          sfu.Limits{Incoming: int64(c.MaxIncomingBitrate), Outgoing: int64(c.MaxOutgoingBitrate)},
		MaxPerAddress:   c.MaxPerAddress,
		TrustForwarded:  c.TrustForwardedFor,
		Version:         buildVersion(),
		Log:             log,
		Tap:             tap,
	}
}

// collectOften halves what the garbage collector lets the heap grow by, unless GOGC
// says otherwise: forwarding allocates nothing, so that collecting is rare, while a
// participant costs a quarter less memory (ADR 0008).
func collectOften() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
}

// certificates are what HTTPS needs; zero for plain HTTP.
type certificates struct {
	tls       *tls.Config
	challenge func(http.Handler) http.Handler
}

func (c *serveCmd) certificates(log *zap.Logger) (certificates, error) {
	log = log.Named("tls")
	switch {
	case len(c.ACMEDomain) > 0:
		a, err := certs.FromACME(certs.ACME{
			Domains: c.ACMEDomain, Cache: c.ACMECache, Email: c.ACMEEmail, Directory: c.ACMEDirectory,
		}, log)
		if err != nil {
			return certificates{}, err
		}
		return certificates{a.TLS(), a.Handler}, nil
	case c.TLSCert != "":
		f, err := certs.FromFiles(c.TLSCert, c.TLSKey, log)
		if err != nil {
			return certificates{}, err
		}
		return certificates{tls: f.TLS()}, nil
	}
	return certificates{}, nil
}
