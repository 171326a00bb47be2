package certs

import (
	"crypto/tls"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/certs/certstest"
)

// subject is whose certificate a handshake would show.
func subject(t *testing.T, cfg *tls.Config) string {
	t.Helper()
	cert, err := cfg.GetCertificate(&tls.ClientHelloInfo{})
	if err != nil {
		t.Fatal(err)
	}
	return cert.Leaf.Subject.CommonName
}

func TestFilesAreReadAgain(t *testing.T) {
	dir, now := t.TempDir(), time.UnixMilli(1_760_000_000_000)
	core, logged := observer.New(zapcore.InfoLevel)
	first, second := certstest.Make(t, "first"), certstest.Make(t, "second")
	f, err := fromPair(t, first, dir, zap.New(core))
	if err != nil {
		t.Fatal(err)
	}
	f.now = func() time.Time { return now }
	f.looked = now
	steps := []struct {
		what   string
		change func()
		want   string
		lines  int // logged so far
	}{
		{"at first", func() {}, "first", 0},
		{"changed just now", func() { second.Write(t, dir) }, "first", 0},
		{"looked at again", func() { now = now.Add(reloadInterval) }, "second", 1},
		{"half changed", func() {
			now = now.Add(reloadInterval)
			write(t, f.cert, first.Cert)
		}, "second", 2},
		{"half changed, still: logged once", func() { now = now.Add(reloadInterval) }, "second", 2},
		{"wholly changed", func() {
			now = now.Add(reloadInterval)
			write(t, f.key, first.Key)
		}, "first", 3},
		{"gone", func() {
			now = now.Add(reloadInterval)
			if err := os.Remove(f.key); err != nil {
				t.Fatal(err)
			}
		}, "first", 4},
	}
	for _, s := range steps {
		s.change()
		if got := subject(t, f.TLS()); got != s.want || logged.Len() != s.lines {
			t.Errorf("%s: certificate of %q and %d lines, want %q and %d", s.what, got, logged.Len(), s.want, s.lines)
		}
	}
}

// fromPair writes the pair and reads it.
func fromPair(t *testing.T, p certstest.Pair, dir string, log *zap.Logger) (*Files, error) {
	t.Helper()
	cert, key := p.Write(t, dir)
	return FromFiles(cert, key, log)
}

func write(t *testing.T, name string, content []byte) {
	t.Helper()
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestBadFiles(t *testing.T) {
	a, b := certstest.Make(t, "a"), certstest.Make(t, "b")
	for name, tt := range map[string]struct {
		pair certstest.Pair
		want string
	}{
		"of two pairs":   {certstest.Pair{Cert: a.Cert, Key: b.Key}, "belong together"},
		"the wrong way":  {certstest.Pair{Cert: a.Key, Key: a.Cert}, "--tls-cert"},
		"no PEM":         {certstest.Pair{Cert: []byte("x"), Key: []byte("y")}, "must be PEM"},
		"an empty chain": {certstest.Pair{Key: a.Key}, "--tls-cert"},
	} {
		_, err := fromPair(t, tt.pair, t.TempDir(), zap.NewNop())
		if !errors.Is(err, ErrCertificate) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, tt.want)
		}
	}
	if _, err := FromFiles("/nowhere/cert.pem", "/nowhere/key.pem", zap.NewNop()); !errors.Is(err, ErrCertificate) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

func TestCacheMustBeWritable(t *testing.T) {
	file := t.TempDir() + "/file"
	write(t, file, nil)
	if _, err := FromACME(ACME{Domains: []string{"meet.example.org"}, Cache: file + "/under"}, zap.NewNop()); !errors.Is(err, ErrCertificate) || !strings.Contains(err.Error(), "--acme-cache") {
		t.Errorf("error %v", err)
	}
}
