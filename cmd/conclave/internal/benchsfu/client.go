//go:build linux

package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
)

// client is one participant's media: a socket, its keys, what it sends and receives.
type client struct {
	// Immutable.
	endpoint
	reader     *reader
	stun, dtls chan []byte
	started    time.Time // of the join
	// heard and seen are closed with the first packet of audio, and of video.
	heard, seen chan struct{}
	// asked holds a token when a key frame is asked for.
	asked chan struct{}

	// Owned by the reader.
	streams       map[uint32]*stream
	feedback      feedback
	opener        *srtp.Context
	header        rtp.Header
	plain         []byte
	firstHeard    time.Duration // after started
	firstSeen     time.Duration
	keyFrames     atomic.Bool // one is wanted
	controlOpener *srtp.Context
	watch         func(s stamp, arrived int64) // sees all media; nil for nobody

	// Guarded by mu.
	mu            sync.Mutex
	sealer        *srtp.Context
	controlSealer *srtp.Context
	publications  []*publication
	sealed        []byte
}

// newClient makes a client of the server's media port.
func newClient(r *reader, server netip.AddrPort, started time.Time) (*client, error) {
	c := &client{
		reader: r, started: started,
		stun: make(chan []byte, 8), dtls: make(chan []byte, 64),
		heard: make(chan struct{}), seen: make(chan struct{}), asked: make(chan struct{}, 1),
		streams: map[uint32]*stream{}, plain: make([]byte, 0, maxDatagram),
	}
	if err := r.add(c, server); err != nil {
		return nil, err
	}
	return c, nil
}

func (c *client) close() { c.reader.remove(c) }

// watchBy has all media that comes seen by somebody.
func (c *client) watchBy(watch func(stamp, int64)) {
	c.reader.mu.Lock()
	defer c.reader.mu.Unlock()
	c.watch = watch
}

// offerTo hands a copy of a packet to a handshake; a full queue loses it, and the
// handshake repeats.
func (c *client) offerTo(queue chan []byte, packet []byte) {
	select {
	case queue <- append([]byte(nil), packet...):
	default:
	}
}

// keys are the SRTP master keys and salts of both directions, for AEAD_AES_128_GCM.
type keys struct {
	SendKey, SendSalt, ReceiveKey, ReceiveSalt []byte
}

// setKeys makes ready to send and receive.
func (c *client) setKeys(k keys) error {
	var made [4]*srtp.Context
	for i := range made {
		key, salt := k.SendKey, k.SendSalt
		if i >= 2 {
			key, salt = k.ReceiveKey, k.ReceiveSalt
		}
		var err error
		if made[i], err = srtp.CreateContext(key, salt, srtp.ProtectionProfileAeadAes128Gcm); err != nil {
			return fmt.Errorf("SRTP: %w", err)
		}
	}
	c.mu.Lock()
	c.sealer, c.controlSealer = made[0], made[1]
	c.mu.Unlock()
	c.reader.mu.Lock()
	c.opener, c.controlOpener = made[2], made[3]
	c.reader.mu.Unlock()
	return nil
}

// began notes when the first packet of a kind came.
func (c *client) began(audio bool) {
	at := time.Since(c.started)
	if audio && c.firstHeard == 0 {
		c.firstHeard = at
		close(c.heard)
	}
	if !audio && c.firstSeen == 0 {
		c.firstSeen = at
		close(c.seen)
	}
}

// stamp is what a packet's payload says of it: when it was sent, in nanoseconds, and as which
// SSRC its sender sent it.
type stamp struct {
	sent   int64
	source uint32
}

// stampAt is where the stamp is: behind the VP8 descriptor and the frame's first byte (RFC
// 7741, Section 4.2).
const (
	stampAt   = 2
	stampSize = 12
)

func (s stamp) write(payload []byte) {
	binary.BigEndian.PutUint64(payload[stampAt:], uint64(s.sent))
	binary.BigEndian.PutUint32(payload[stampAt+8:], s.source)
}

// open reads a packet's stamp.
func (c *client) open(packet []byte) (s stamp, ok bool) {
	if c.opener == nil {
		return stamp{}, false
	}
	plain, err := c.opener.DecryptRTP(c.plain, packet, &c.header)
	if err != nil {
		return stamp{}, false
	}
	payload := plain[c.header.MarshalSize():]
	if len(payload) < stampAt+stampSize {
		return stamp{}, false
	}
	return stamp{int64(binary.BigEndian.Uint64(payload[stampAt:])), binary.BigEndian.Uint32(payload[stampAt+8:])}, true
}

// control looks for a request for a key frame.
func (c *client) control(packet []byte) {
	if c.controlOpener == nil {
		return
	}
	plain, err := c.controlOpener.DecryptRTCP(nil, packet, nil)
	if err != nil {
		return
	}
	parts, err := rtcp.Unmarshal(plain)
	if err != nil {
		return
	}
	for _, p := range parts {
		if _, ok := p.(*rtcp.PictureLossIndication); ok {
			c.keyFrames.Store(true)
			select {
			case c.asked <- struct{}{}:
			default:
			}
		}
	}
}

// report sends what a browser sends once a second: sender and receiver reports.
func (c *client) report(now time.Time) {
	var parts []rtcp.Packet
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.controlSealer == nil {
		return
	}
	for _, p := range c.publications {
		parts = append(parts, p.senderReport(now))
	}
	var received []rtcp.ReceptionReport
	c.reader.mu.Lock()
	for ssrc, s := range c.streams {
		received = append(received, rtcp.ReceptionReport{SSRC: ssrc, LastSequenceNumber: uint32(s.high)})
	}
	c.reader.mu.Unlock()
	for len(received) > 0 {
		n := min(len(received), 31)
		parts = append(parts, &rtcp.ReceiverReport{SSRC: 1, Reports: received[:n]})
		received = received[n:]
	}
	if raw, err := rtcp.Marshal(parts); err == nil && len(parts) > 0 {
		if sealed, err := c.controlSealer.EncryptRTCP(nil, raw, nil); err == nil {
			_ = c.write(sealed)
		}
	}
}

// tellArrivals sends transport-wide feedback.
func (c *client) tellArrivals() {
	if !c.feedback.take() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	raw := c.feedback.write(1)
	if c.controlSealer == nil || raw == nil {
		return
	}
	if sealed, err := c.controlSealer.EncryptRTCP(c.sealed[:0], raw, nil); err == nil {
		c.sealed = sealed
		_ = c.write(sealed)
	}
}

// packetConn shows the DTLS packets of a client as a connection.
type packetConn struct {
	*client
	closed chan struct{}
	once   sync.Once
}

func (p *packetConn) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case packet := <-p.dtls:
		return copy(b, packet), p.RemoteAddr(), nil
	case <-p.closed:
		return 0, nil, io.EOF
	}
}

func (p *packetConn) WriteTo(b []byte, _ net.Addr) (int, error) { return len(b), p.write(b) }
func (p *packetConn) LocalAddr() net.Addr                       { return net.UDPAddrFromAddrPort(p.local) }
func (p *packetConn) RemoteAddr() net.Addr                      { return net.UDPAddrFromAddrPort(p.remote) }
func (p *packetConn) SetDeadline(time.Time) error               { return nil }
func (p *packetConn) SetReadDeadline(time.Time) error           { return nil }
func (p *packetConn) SetWriteDeadline(time.Time) error          { return nil }

// Close ends reading; the socket stays.
func (p *packetConn) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

// await waits for a first packet.
func await(ctx context.Context, what string, came <-chan struct{}) error {
	select {
	case <-came:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("no %s: %w", what, ctx.Err())
	}
}
