package sfu

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
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
		c.greetedBy = c.way.Load()
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
	c.awaitGoodbye(conn, records)
}

// awaitGoodbye returns when the peer has said goodbye, the connection has ended, or the
// handshake is parked.
func (c *connection) awaitGoodbye(conn *dtls.Conn, records *recordConn) {
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

// ciphersOf gives those of what the peer and we send, by the keys of a handshake (RFC 5764,
// Section 4.2).
func ciphersOf(conn *dtls.Conn) (in, out *srtp.Cipher, err error) {
	selected, ok := conn.SelectedSRTPProtectionProfile()
	if !ok {
		return nil, nil, errors.New("no SRTP profile")
	}
	state, ok := conn.ConnectionState()
	if !ok {
		return nil, nil, errors.New("no state")
	}
	profile := srtp.Profile(selected)
	exported, err := state.ExportKeyingMaterial("EXTRACTOR-dtls_srtp", nil, srtp.Exported(profile))
	if err != nil {
		return nil, nil, err
	}
	client, server, err := srtp.Split(profile, exported)
	if err != nil {
		return nil, nil, err
	}
	if in, err = srtp.NewCipher(profile, client); err != nil {
		return nil, nil, err
	}
	out, err = srtp.NewCipher(profile, server)
	return in, out, err
}

// secure begins to send and to take media with the keys of a handshake.
func (c *connection) secure(conn *dtls.Conn) error {
	in, out, err := ciphersOf(conn)
	if err != nil {
		return err
	}
	c.sealing.Lock()
	c.sealer = out.Sealer()
	c.sealing.Unlock()
	c.use(out)
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
