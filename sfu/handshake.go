package sfu

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/transport/v4/deadline"

	"github.com/conclave-sfu/conclave/sfu/srtp"
)

const (
	dtlsMTU = 1200 // bytes
	// maxRecords is how many packets of a handshake wait; more are lost, and repeated.
	maxRecords = 32
	// dtlsInterval is when an unanswered flight is sent again for the first time.
	dtlsInterval = 200 * time.Millisecond
)

// identity is the node's certificate.
type identity struct {
	certificate tls.Certificate
	fingerprint string // its SHA-256, as SDP writes it
}

// newIdentity makes a certificate that lasts: nobody looks at dates, only at the
// fingerprint (RFC 8122).
func newIdentity() (identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return identity{}, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return identity{}, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "conclave"},
		NotBefore: time.Now().Add(-24 * time.Hour), NotAfter: time.Now().AddDate(10, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return identity{}, err
	}
	sum := sha256.Sum256(der)
	return identity{
		certificate: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
		fingerprint: fingerprintOf(sum[:]),
	}, nil
}

// fingerprintOf writes a digest as SDP does (RFC 8122, Section 5).
func fingerprintOf(sum []byte) string {
	pairs := make([]string, len(sum))
	for i, b := range sum {
		pairs[i] = strings.ToUpper(hex.EncodeToString([]byte{b}))
	}
	return strings.Join(pairs, ":")
}

// digests are the hash functions of fingerprints that count.
var digests = map[string]func([]byte) []byte{
	"sha-256": func(b []byte) []byte { sum := sha256.Sum256(b); return sum[:] },
	"sha-384": func(b []byte) []byte { sum := sha512.Sum384(b); return sum[:] },
	"sha-512": func(b []byte) []byte { sum := sha512.Sum512(b); return sum[:] },
}

// fingerprint is one of an offer: of a certificate that the peer may use.
type fingerprint struct{ algorithm, value string }

// matches says whether a certificate is the one that was offered.
func (f fingerprint) matches(certificate []byte) bool {
	digest := digests[f.algorithm]
	return digest != nil && strings.EqualFold(f.value, fingerprintOf(digest(certificate)))
}

// errWrongCertificate: the peer is not the one who offered.
var errWrongCertificate = errors.New("the certificate is none of those offered")

// recordConn is a connection's DTLS records as Pion reads and writes them.
type recordConn struct {
	conn     *connection
	in       chan []byte
	deadline *deadline.Deadline
	closed   chan struct{}
	once     sync.Once
	// muted says that nothing is sent any more.
	muted atomic.Bool
}

// takeRecord hands a DTLS packet to the handshake, which begins with the first.
func (c *connection) takeRecord(raw []byte) {
	records := sift(nil, raw)
	if len(records) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closing:
		return
	case c.parked != nil:
		c.takeAlert(records)
		return
	case c.records == nil:
		c.records = newRecordConn(c)
		conn := c.records
		c.greeted.Store(true)
		c.readers.Go(func() { c.shakeHands(conn) })
	}
	c.records.offer(records)
}

func newRecordConn(c *connection) *recordConn {
	return &recordConn{conn: c, in: make(chan []byte, maxRecords), deadline: deadline.New(), closed: make(chan struct{})}
}

// offer queues a packet, if there is room, and keeps it.
func (r *recordConn) offer(records []byte) {
	select {
	case r.in <- records:
	default:
	}
}

// parkAfter is how long after a handshake its goroutines and buffers are kept: until then
// the last flight is repeated to a peer that has lost it.
const parkAfter = 5 * time.Second

// shakeHands makes the keys, and waits for the peer's goodbye, or until nothing but that
// can come.
func (c *connection) shakeHands(records *recordConn) {
	conn, err := c.node().handshake(c.life, records, c.offered())
	if err == nil {
		err = c.secure(conn)
	}
	if err != nil {
		if conn != nil {
			_ = conn.Close()
		}
		if c.life.Err() == nil {
			c.failLater(fmt.Errorf("DTLS: %w", err))
		}
		return
	}
	defer context.AfterFunc(c.life, func() { _ = conn.Close() })()
	c.mu.Lock()
	c.parking = time.AfterFunc(c.node().parkAfter, func() { c.park(conn, records) })
	c.mu.Unlock()
	var b [64]byte
	for { // nothing is sent in it but alerts
		if _, err := conn.Read(b[:]); err != nil {
			break
		}
	}
	switch {
	case records.muted.Load():
	case c.life.Err() == nil:
		c.failLater(errDeparted)
	default:
		_ = conn.Close()
	}
}

var errDeparted = errors.New("closed by the participant")

// park keeps of a finished handshake its state alone: what comes later is a goodbye. A
// peer that has sent protected packets has seen the last flight; one that has not keeps
// it.
func (c *connection) park(conn *dtls.Conn, records *recordConn) {
	state, ok := conn.ConnectionState()
	if !ok {
		return
	}
	c.mu.Lock()
	parked := !c.closing && c.proved.Load()
	switch {
	case c.closing:
	case !parked:
		c.parking.Reset(c.node().parkAfter)
	default:
		c.parked, c.records = &state, nil
		records.muted.Store(true)
	}
	c.mu.Unlock()
	if parked {
		_ = conn.Close()
	}
}

// alertRecord is the content type of an alert (RFC 6347, Section 4.1; RFC 5246, Section
// 6.2.1).
const alertRecord = 21

// takeAlert has an alert opened, one at a time. The caller holds mu.
func (c *connection) takeAlert(raw []byte) {
	if raw[0] != alertRecord || !c.listening.CompareAndSwap(false, true) {
		return
	}
	records := newRecordConn(c)
	records.muted.Store(true)
	state := c.parked
	c.readers.Go(func() {
		if c.node().departs(c.life, state, records, raw) {
			c.failLater(errDeparted)
		}
		c.listening.Store(false)
	})
}

// sayGoodbye has a parked session tell the peer that it is over (close_notify; RFC 5246,
// Section 7.2.1). It is one packet, as lost as any: the peer's patience with ICE ends without.
func (c *connection) sayGoodbye(state *dtls.State) {
	if conn := c.node().resume(context.Background(), state, newRecordConn(c)); conn != nil {
		_ = conn.Close()
	}
}

// resume goes on with a session that was parked; nil if it cannot.
func (n *Node) resume(ctx context.Context, state *dtls.State, records *recordConn) *dtls.Conn {
	conn, err := dtls.ResumeWithOptions(state, records, records.LocalAddr(),
		dtls.WithCertificates(n.identity.certificate), dtls.WithLoggerFactory(pionLoggers{n.log}))
	if err != nil {
		return nil
	}
	if conn.HandshakeContext(ctx) != nil { // it is over already: nothing is sent, nor waited for
		_ = conn.Close()
		return nil
	}
	return conn
}

// alertPatience is how long an alert may take to be opened. It comes whole, in one record.
const alertPatience = time.Second

// departs says whether an alert ends the session.
func (n *Node) departs(ctx context.Context, state *dtls.State, records *recordConn, alert []byte) bool {
	conn := n.resume(ctx, state, records)
	if conn == nil {
		return false
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	if conn.SetReadDeadline(time.Now().Add(alertPatience)) != nil {
		return false
	}
	records.offer(alert) // not before: it would be an error of the handshake
	var b [64]byte
	_, err := conn.Read(b[:])
	return errors.Is(err, io.EOF) && ctx.Err() == nil
}

// offered are the fingerprints of the peer's certificate.
func (c *connection) offered() []fingerprint {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.remote.fingerprints
}

// handshake is that of DTLS-SRTP (RFC 5764) as server.
func (n *Node) handshake(ctx context.Context, records *recordConn, offered []fingerprint) (*dtls.Conn, error) {
	verified := false
	conn, err := dtls.ServerWithOptions(records, records.LocalAddr(),
		dtls.WithCertificates(n.identity.certificate),
		dtls.WithSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80),
		dtls.WithExtendedMasterSecret(dtls.RequireExtendedMasterSecret),
		dtls.WithClientAuth(dtls.RequireAnyClientCert),
		dtls.WithInsecureSkipVerifyHello(true), // ICE has proved the address
		dtls.WithVerifyPeerCertificate(func(chain [][]byte, _ [][]*x509.Certificate) error {
			if len(chain) == 0 || !slices.ContainsFunc(offered, func(f fingerprint) bool { return f.matches(chain[0]) }) {
				return errWrongCertificate
			}
			verified = true
			return nil
		}),
		dtls.WithMTU(dtlsMTU), dtls.WithFlightInterval(dtlsInterval),
		dtls.WithLoggerFactory(pionLoggers{n.log}),
	)
	if err != nil {
		return nil, err
	}
	if err := conn.HandshakeContext(ctx); err != nil {
		return conn, err
	}
	if !verified { // no handshake without a look at the certificate, whatever else it was
		return conn, errWrongCertificate
	}
	return conn, nil
}

// secure takes the keys of a handshake.
func (c *connection) secure(conn *dtls.Conn) error {
	selected, ok := conn.SelectedSRTPProtectionProfile()
	if !ok {
		return errors.New("no SRTP profile")
	}
	state, ok := conn.ConnectionState()
	if !ok {
		return errors.New("no state")
	}
	profile := srtp.Profile(selected)
	exported, err := state.ExportKeyingMaterial("EXTRACTOR-dtls_srtp", nil, srtp.Exported(profile))
	if err != nil {
		return err
	}
	client, server, err := srtp.Split(profile, exported)
	if err != nil {
		return err
	}
	in, err := srtp.NewCipher(profile, client)
	if err != nil {
		return err
	}
	out, err := srtp.NewCipher(profile, server)
	if err != nil {
		return err
	}
	c.sealing.Lock()
	c.sealer = out.Sealer()
	c.sealing.Unlock()
	c.keys.Store(&sessionKeys{out})
	c.open(in)
	c.explore()
	c.transport.room.connected(c)
	return nil
}

// open begins to take packets in, those first that have come already.
func (c *connection) open(in *srtp.Cipher) {
	e := c.node().byPath
	e.mu.Lock()
	defer e.mu.Unlock()
	c.intake.Lock()
	defer c.intake.Unlock()
	c.in, c.control = in, in.Opener()
	if e.batch != nil {
		e.now = c.node().now()
		c.takeEarly(e)
		e.settle()
		e.batch.Flush()
	}
}

// ReadFrom gives the next packet of the peer.
func (r *recordConn) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case packet := <-r.in:
		return copy(b, packet), r.LocalAddr(), nil
	case <-r.deadline.Done():
		return 0, nil, context.DeadlineExceeded
	case <-r.closed:
		return 0, nil, io.EOF
	}
}

// WriteTo sends by the way that media goes.
func (r *recordConn) WriteTo(b []byte, _ net.Addr) (int, error) {
	if w := r.conn.way.Load(); w != nil && !r.muted.Load() {
		r.conn.send(nil, w, b)
	}
	return len(b), nil
}

// Close ends reading.
func (r *recordConn) Close() error {
	r.once.Do(func() { close(r.closed) })
	return nil
}

// LocalAddr is of no use: there is one peer.
func (r *recordConn) LocalAddr() net.Addr { return &net.UDPAddr{} }

// SetDeadline implements [net.PacketConn].
func (r *recordConn) SetDeadline(t time.Time) error { return r.SetReadDeadline(t) }

// SetReadDeadline implements [net.PacketConn].
func (r *recordConn) SetReadDeadline(t time.Time) error {
	r.deadline.Set(t)
	return nil
}

// SetWriteDeadline implements [net.PacketConn]: writing does not wait.
func (r *recordConn) SetWriteDeadline(time.Time) error { return nil }
