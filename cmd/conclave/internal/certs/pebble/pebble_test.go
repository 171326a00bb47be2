package pebble

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"
)

const (
	name = "meet.example.org"
	// validity is that of the certificates; a third of it before the end they are renewed.
	validity = time.Minute
	// patience is how long anything may take to come. A renewal takes some 5 s.
	patience = 2 * time.Minute
)

// authority is Pebble, which looks names up where the test says, and proves them at one port.
type authority struct {
	*httptest.Server
	ca   *ca.CAImpl
	said *transcript
}

// transcript keeps what Pebble says of its work.
type transcript struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *transcript) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

func (s *transcript) count(what string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Count(s.text.String(), what)
}

// newAuthority gives the address of an authority before it is there, and what makes it: the port
// at which it asks for proofs is known later.
func newAuthority(t *testing.T) (a *authority, serve func(port int)) {
	t.Helper()
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")       // validations do not wait
	t.Setenv("PEBBLE_AUTHZREUSE", "0")       // each order has to prove the name
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "20") // per cent of good nonces
	a = &authority{said: &transcript{}}
	ready, handler := make(chan struct{}), http.Handler(nil)
	a.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-ready
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(a.Server.Close)
	logger, store, names := log.New(a.said, "", 0), db.NewMemoryStore(), resolver(t)
	a.ca = ca.New(logger, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {ValidityPeriod: uint64(validity / time.Second)}})
	return a, func(port int) {
		const nowhere, strict, retryAfter = 1, true, 1
		front := wfe.New(logger, store, va.New(logger, nowhere, port, strict, names, store), a.ca, []string{"pebble.test"}, strict, false, retryAfter, retryAfter)
		handler = front.Handler()
		close(ready)
	}
}

// resolver says of every name that it is this machine's.
func resolver(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{Listener: listener, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		answer := new(dns.Msg).SetReply(q)
		if q.Question[0].Qtype == dns.TypeA {
			answer.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.IPv4(127, 0, 0, 1)}}
		}
		_ = w.WriteMsg(answer) // who asked has gone
	})}
	go func() { _ = server.ActivateAndServe() }() // until Shutdown
	t.Cleanup(func() { _ = server.Shutdown() })
	return listener.Addr().String()
}

// build makes the program.
func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "conclave")
	if out, err := exec.Command("go", "build", "-C", "../../../../..", "-o", binary, "./cmd/conclave").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return binary
}

// program is a running server.
type program struct{ *exec.Cmd }

// start runs the server, with an authority's own certificate as the only one it trusts.
func start(t *testing.T, binary, addr, cache string, a *authority) *program {
	t.Helper()
	trust := filepath.Join(t.TempDir(), "authority.pem")
	if err := os.WriteFile(trust, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	p := &program{Cmd: exec.Command(binary, "serve", "--listen", addr, "--media-port", "0", "--node-ip", "127.0.0.1",
		"--public-url", "https://"+name, "--acme-domain", name, "--acme-cache", cache, "--acme-directory", a.URL+wfe.DirectoryPath)}
	p.Env = append(os.Environ(), "SSL_CERT_FILE="+trust, "SSL_CERT_DIR="+filepath.Dir(trust))
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.stop)
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil { // it says when it is ready
		t.Fatalf("the server ended: %v", err)
	}
	return p
}

func (p *program) stop() {
	_ = p.Process.Signal(os.Interrupt) // it may have ended
	_ = p.Wait()
}

// visit makes a connection as a browser does, and gives the certificate's number.
func visit(addr string, roots *x509.CertPool) (string, error) {
	dialer := &net.Dialer{Timeout: patience}
	c, err := tls.DialWithDialer(dialer, "tcp", addr, &tls.Config{ServerName: name, RootCAs: roots, NextProtos: []string{"h2", "http/1.1"}})
	if err != nil {
		return "", err
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].SerialNumber.String(), nil
}

// TestCertificate: the server gets one when the first browser comes, over the port that pages, media
// and TURN share, keeps it over a restart, and gets another before it ends.
func TestCertificate(t *testing.T) {
	binary, cache := build(t), t.TempDir()
	a, serve := newAuthority(t)
	addr := freeAddr(t)
	p := start(t, binary, addr, cache, a)
	serve(portOf(t, addr))
	roots := x509.NewCertPool()
	roots.AddCert(a.ca.GetRootCert(0).Cert)

	first, err := visit(addr, roots)
	if err != nil {
		t.Fatalf("%v\n%s", err, a.said.text.String())
	}
	if again, err := visit(addr, roots); err != nil || again != first {
		t.Errorf("certificate %s, then %s: %v", first, again, err)
	}
	if n := a.said.count("Issued certificate"); n != 1 {
		t.Errorf("%d certificates are issued", n)
	}
	if files, err := os.ReadDir(cache); err != nil || len(files) < 2 {
		t.Errorf("kept: %v, %v", files, err)
	}
	renewed := first
	for deadline := time.Now().Add(patience); renewed == first; time.Sleep(100 * time.Millisecond) {
		if renewed, err = visit(addr, roots); err != nil {
			t.Fatalf("a browser came between two certificates: %v\n%s", err, a.said.text.String())
		}
		if time.Now().After(deadline) {
			t.Fatal("not renewed")
		}
	}
	// Nobody serves HTTP-01: the one other way was the server's own port.
	if proofs, issued := a.said.count("set VALID by completed challenge"), a.said.count("Issued certificate"); proofs != 2 || issued != 2 {
		t.Errorf("%d proofs for %d certificates", proofs, issued)
	}
	p.stop()
	start(t, binary, addr, cache, a)
	if kept, err := visit(addr, roots); err != nil || kept != renewed {
		t.Errorf("after a restart certificate %s, not %s: %v", kept, renewed, err)
	}
}

// freeAddr is an address that nobody has had a moment ago. The authority has to be told the port before
// the server is asked for a certificate.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func portOf(t *testing.T, addr string) int {
	t.Helper()
	port, err := net.LookupPort("tcp", addr[strings.LastIndex(addr, ":")+1:])
	if err != nil {
		t.Fatal(err)
	}
	return port
}
