package certs

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
)

// authority is as much of an ACME authority (RFC 8555) as it takes to give one certificate. It
// does not check signatures; it does check that the name is held, by TLS-ALPN-01 (RFC 8737).
type authority struct {
	t      *testing.T
	prover string // the address that is asked for the proof
	server *httptest.Server
	key    *ecdsa.PrivateKey
	root   *x509.Certificate

	mu     sync.Mutex
	proven bool
	chain  []byte
	orders int
}

func newAuthority(t *testing.T, prover string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true,
		BasicConstraintsValid: true, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(raw)
	if err != nil {
		t.Fatal(err)
	}
	a := &authority{t: t, prover: prover, key: key, root: root}
	a.server = httptest.NewServer(http.HandlerFunc(a.serve))
	t.Cleanup(a.server.Close)
	return a
}

func (a *authority) serve(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	at := func(path string) string { return a.server.URL + path }
	var body struct{ Payload string }
	_ = json.NewDecoder(r.Body).Decode(&body) // the directory is asked for without one
	payload, _ := base64.RawURLEncoding.DecodeString(body.Payload)
	w.Header().Set("Replay-Nonce", rand.Text())
	say := func(status int, what any) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(what)
	}
	challenge := map[string]string{"type": "tls-alpn-01", "url": at("/challenge"), "token": "token", "status": a.state("pending")}
	switch r.URL.Path {
	case "/directory":
		say(200, map[string]string{"newNonce": at("/nonce"), "newAccount": at("/account"), "newOrder": at("/orders")})
	case "/nonce":
	case "/account":
		w.Header().Set("Location", at("/account/1"))
		say(201, map[string]string{"status": "valid"})
	case "/orders":
		a.orders++
		w.Header().Set("Location", at("/order"))
		say(201, a.order(at))
	case "/order":
		w.Header().Set("Location", at("/order"))
		say(200, a.order(at))
	case "/authorization":
		say(200, map[string]any{"status": a.state("pending"), "challenges": []any{challenge},
			"identifier": map[string]string{"type": "dns", "value": "meet.example.org"}})
	case "/challenge":
		a.proven = a.prove()
		challenge["status"] = a.state("invalid")
		say(200, challenge)
	case "/finalize":
		a.sign(payload)
		w.Header().Set("Location", at("/order"))
		say(200, a.order(at))
	case "/certificate":
		_, _ = w.Write(a.chain)
	default:
		http.NotFound(w, r)
	}
}

func (a *authority) state(otherwise string) string {
	if a.proven {
		return "valid"
	}
	return otherwise
}

func (a *authority) order(at func(string) string) map[string]any {
	order := map[string]any{"status": "pending", "authorizations": []string{at("/authorization")}, "finalize": at("/finalize"),
		"identifiers": []any{map[string]string{"type": "dns", "value": "meet.example.org"}}}
	switch {
	case a.chain != nil:
		order["status"], order["certificate"] = "valid", at("/certificate")
	case a.proven:
		order["status"] = "ready"
	}
	return order
}

// prove asks the server for its proof, as RFC 8737, Section 3 says.
func (a *authority) prove() bool {
	conn, err := tls.Dial("tcp", a.prover, &tls.Config{ServerName: "meet.example.org", NextProtos: []string{"acme-tls/1"}, InsecureSkipVerify: true})
	if err != nil {
		a.t.Errorf("no proof: %v", err)
		return false
	}
	defer conn.Close()
	acmeIdentifier := asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 31}
	for _, e := range conn.ConnectionState().PeerCertificates[0].Extensions {
		if e.Id.Equal(acmeIdentifier) && e.Critical {
			return true
		}
	}
	return false
}

func (a *authority) sign(payload []byte) {
	var request struct{ CSR string }
	_ = json.Unmarshal(payload, &request)
	raw, _ := base64.RawURLEncoding.DecodeString(request.CSR)
	csr, err := x509.ParseCertificateRequest(raw)
	if err != nil || !a.proven {
		a.t.Errorf("certificate request: %v, name proven: %t", err, a.proven)
		return
	}
	leaf, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: csr.DNSNames,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(90 * 24 * time.Hour)}, a.root, csr.PublicKey, a.key)
	if err != nil {
		a.t.Error(err)
		return
	}
	a.chain = append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: leaf}),
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.root.Raw})...)
}

// TestCertificateByACME: the first browser waits for it, and after a restart it is there.
func TestCertificateByACME(t *testing.T) {
	cache := t.TempDir()
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer inner.Close()
	a := newAuthority(t, inner.Addr().String())
	var current sync.Map // the configuration after the last start
	start := func() {
		authority, err := FromACME(ACME{Domains: []string{"meet.example.org"}, Cache: cache, Directory: a.server.URL + "/directory"}, zap.NewNop())
		if err != nil {
			t.Fatal(err)
		}
		current.Store("", authority.TLS())
	}
	start()
	go func() {
		for {
			c, err := inner.Accept()
			if err != nil {
				return
			}
			cfg, _ := current.Load("")
			go func() {
				_ = tls.Server(c, cfg.(*tls.Config)).Handshake() // the client says what is wrong
				c.Close()
			}()
		}
	}()
	roots := x509.NewCertPool()
	roots.AddCert(a.root)
	visit := func(name string) error {
		c, err := tls.Dial("tcp", inner.Addr().String(), &tls.Config{ServerName: name, RootCAs: roots})
		if err == nil {
			c.Close()
		}
		return err
	}
	for _, when := range []string{"first", "again", "after a restart"} {
		if when == "after a restart" {
			start()
		}
		if err := visit("meet.example.org"); err != nil {
			t.Fatalf("%s: %v", when, err)
		}
	}
	if err := visit("other.example.org"); err == nil {
		t.Error("a certificate for another name")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.orders != 1 {
		t.Errorf("%d certificates were asked for", a.orders)
	}
}
