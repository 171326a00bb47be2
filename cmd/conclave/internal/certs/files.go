package certs

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"
)

// reloadInterval is how long a changed certificate may stay unnoticed. Looking costs two
// small reads, at the first handshake after it.
const reloadInterval = 15 * time.Second

// ErrCertificate: a certificate or its key cannot be used. The error that wraps it names
// the files and what to do.
var ErrCertificate = errors.New("cannot use the certificate")

// Files is a certificate that lives in two files. They are looked at again while
// handshakes come, so that whoever renews them need not restart the server. A pair that
// cannot be used, as when one file is already new and the other still old, is logged, and
// the one before it stays.
type Files struct {
	// Immutable.
	cert, key string
	now       func() time.Time
	log       *zap.Logger

	// Guarded by mu.
	mu      sync.Mutex
	current *tls.Certificate
	digest  [sha256.Size]byte // of the files' bytes that were tried last
	looked  time.Time
}

// FromFiles reads a certificate chain and its key, both PEM. Its errors wrap
// [ErrCertificate].
func FromFiles(cert, key string, log *zap.Logger) (*Files, error) {
	f := &Files{cert: cert, key: key, now: time.Now, log: log}
	if err := f.load(); err != nil {
		return nil, err
	}
	f.looked = f.now()
	if left := f.current.Leaf.NotAfter.Sub(f.now()); left <= 0 {
		log.Warn("the certificate has expired: browsers will refuse it",
			zap.String("file", cert), zap.Time("expired", f.current.Leaf.NotAfter))
	}
	return f, nil
}

// TLS is the configuration for a listener.
func (f *Files) TLS() *tls.Config {
	cfg := base()
	cfg.GetCertificate = f.get
	return cfg
}

func (f *Files) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := f.now(); now.Sub(f.looked) >= reloadInterval {
		f.looked = now
		if err := f.load(); err != nil {
			f.log.Error("the certificate stays as it was", zap.Error(err))
		}
	}
	return f.current, nil
}

// load takes what the files hold, unless that was tried before.
func (f *Files) load() error {
	cert, err := os.ReadFile(f.cert)
	if err != nil {
		return fmt.Errorf("%w (--tls-cert): %w", ErrCertificate, err)
	}
	key, err := os.ReadFile(f.key)
	if err != nil {
		return fmt.Errorf("%w (--tls-key): %w", ErrCertificate, err)
	}
	digest := sha256.Sum256(bytes.Join([][]byte{cert, key}, []byte{0}))
	if f.current != nil && digest == f.digest {
		return nil
	}
	f.digest = digest
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("%w of --tls-cert %s and --tls-key %s: %w; both must be PEM and belong together",
			ErrCertificate, f.cert, f.key, err)
	}
	if f.current != nil {
		f.log.Info("new certificate", zap.String("file", f.cert), zap.Time("expires", pair.Leaf.NotAfter))
	}
	f.current = &pair
	return nil
}
