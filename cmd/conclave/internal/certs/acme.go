package certs

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"go.uber.org/zap"
	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
)

// ACME says for which names an authority is asked for certificates.
type ACME struct {
	Domains []string
	// Cache is the folder that keeps the account's key and the certificates, with their
	// keys: only the server may read it.
	Cache string
	// Email is where the authority writes to when something is wrong; may be empty.
	Email string
	// Directory is the authority (RFC 8555, Section 7.1.1); empty: Let's Encrypt.
	Directory string
}

// Authority gets certificates from an ACME authority when they are first asked for, and
// renews them 30 days before they end. It proves that it holds a name by TLS-ALPN-01
// (RFC 8737) on the TLS port itself, or by HTTP-01 (RFC 8555, Section 8.3) where
// [Authority.Handler] serves port 80.
type Authority struct {
	manager *autocert.Manager
	log     *zap.Logger
}

// FromACME checks that the cache can be written. Using it means agreeing to the
// authority's terms. Its errors wrap [ErrCertificate].
func FromACME(cfg ACME, log *zap.Logger) (*Authority, error) {
	if err := writable(cfg.Cache); err != nil {
		return nil, fmt.Errorf("%w: --acme-cache %s cannot be written: %w; give a folder that outlives a restart and that user %d may write",
			ErrCertificate, cfg.Cache, err, os.Getuid())
	}
	manager := &autocert.Manager{
		Prompt:     autocert.AcceptTOS,
		Cache:      autocert.DirCache(cfg.Cache),
		HostPolicy: autocert.HostWhitelist(cfg.Domains...),
		Email:      cfg.Email,
	}
	if cfg.Directory != "" {
		manager.Client = &acme.Client{DirectoryURL: cfg.Directory}
	}
	return &Authority{manager: manager, log: log}, nil
}

// writable says why no file can be made in dir, which it makes if it is not there.
func writable(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	probe, err := os.CreateTemp(dir, ".probe-")
	if err != nil {
		return err
	}
	return errors.Join(probe.Close(), os.Remove(filepath.Clean(probe.Name())))
}

// TLS is the configuration for a listener.
func (a *Authority) TLS() *tls.Config {
	cfg := base()
	cfg.NextProtos = append(cfg.NextProtos, acme.ALPNProto)
	cfg.GetCertificate = a.get
	return cfg
}

// get tells whoever runs the server why there is no certificate: the browser only shows
// that the connection failed.
func (a *Authority) get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	cert, err := a.manager.GetCertificate(hello)
	if err == nil {
		return cert, nil
	}
	if a.manager.HostPolicy(hello.Context(), strings.ToLower(hello.ServerName)) != nil {
		a.log.Debug("no certificate for an unknown name", zap.Error(err)) // anybody can ask for any
		return nil, err
	}
	a.log.Error("no certificate: the authority must reach this server at the name's TCP port 443 (or 80)",
		zap.String("domain", hello.ServerName), zap.Error(err))
	return nil, err
}

// Handler answers HTTP-01 challenges, and leaves all else to next.
func (a *Authority) Handler(next http.Handler) http.Handler { return a.manager.HTTPHandler(next) }
