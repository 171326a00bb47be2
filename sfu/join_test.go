package sfu

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/conclave-sfu/conclave/sfu/srtp"
)

// What a join takes is held without a clock: these tests run in a bubble whose time stands
// still, as some goroutines read the node's port, which is no wait that time passes in. Who
// waits for a timer waits in vain; the patience of the tests is that of the world outside.

// stuck is closed outside of the bubble when patience is over.
type stuck <-chan struct{}

// still runs a test where time stands still.
func still(t *testing.T, test func(*testing.T, stuck)) {
	over := make(chan struct{})
	defer time.AfterFunc(patience, func() { close(over) }).Stop()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		test(t, over)
		if passed := time.Since(began); passed != 0 {
			t.Errorf("the clock went on by %s: nothing is held", passed)
		}
	})
}

// take takes what comes next.
func take[T any](t *testing.T, over stuck, from <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-over:
		t.Fatalf("%s waits for a clock", what)
		panic("unreachable")
	}
}

// caller is a participant whose packets are handed over one by one, and who never waits for
// a time either. It is the Path to itself.
type caller struct {
	t         *testing.T
	name      string
	node      *Node
	own       identity
	transport *Transport
	slots     chan []Slot
	// answers are those to checks, records those of DTLS, media is what comes sealed.
	answers, records, media chan []byte
	gone                    chan struct{}
	dtls                    *dtls.Conn
	shaken                  chan error

	mu    sync.Mutex
	turns string // who sent last, in turns, until the handshake is over; guarded by mu

	in, out *srtp.Cipher
	streams map[uint32]*srtp.Stream // by SSRC, of both ways
	opener  *srtp.Opener
	asked   int // key frames that it was asked for
}

// Send implements [Path].
func (c *caller) Send(packet []byte) {
	packet = bytes.Clone(packet)
	c.turn("<")
	switch {
	case packet[0] < 4:
		c.answers <- packet
	case packet[0] < 64:
		c.records <- packet
	default:
		c.media <- packet
	}
}

// RemoteAddr implements [Path].
func (c *caller) RemoteAddr() netip.AddrPort { return netip.MustParseAddrPort("192.0.2.9:443") }

func (c *caller) send(packet []byte) {
	c.turn(">")
	c.node.Receive(c, packet)
}

func (c *caller) turn(who string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !strings.HasSuffix(c.turns, who) {
		c.turns += who
	}
}

func (c *caller) turnsSoFar() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.turns
}

// recordPipe is what a caller shakes hands by.
type recordPipe struct{ *caller }

func (p recordPipe) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case record := <-p.records:
		return copy(b, record), p.LocalAddr(), nil
	case <-p.gone:
		return 0, nil, net.ErrClosed
	}
}

func (p recordPipe) WriteTo(b []byte, _ net.Addr) (int, error) {
	p.send(bytes.Clone(b))
	return len(b), nil
}

func (p recordPipe) Close() error                     { return nil }
func (p recordPipe) LocalAddr() net.Addr              { return &net.UDPAddr{} }
func (p recordPipe) SetDeadline(time.Time) error      { return nil }
func (p recordPipe) SetReadDeadline(time.Time) error  { return nil }
func (p recordPipe) SetWriteDeadline(time.Time) error { return nil }

// enter joins a room, and returns when the caller has the keys.
func enter(t *testing.T, over stuck, n *Node, own identity, name string, sources map[string]Source, sections ...string) *caller {
	t.Helper()
	c := dial(t, over, n, own, name, sources, sections...)
	c.takeKeys(over)
	return c
}

// dial joins a room, and has the handshake begin.
func dial(t *testing.T, over stuck, n *Node, own identity, name string, sources map[string]Source, sections ...string) *caller {
	t.Helper()
	c := &caller{
		t: t, name: name, node: n, own: own, slots: make(chan []Slot, 64),
		answers: make(chan []byte, 8), records: make(chan []byte, 64), media: make(chan []byte, 4096),
		gone:    make(chan struct{}),
		shaken:  make(chan error, 1),
		streams: map[uint32]*srtp.Stream{},
	}
	var err error
	if c.transport, err = n.Join("r", name, Events{Slots: func(_ uint32, s []Slot) { c.slots <- s }}); err != nil {
		t.Fatal(err)
	}
	c.transport.View([]Want{{Participant: "alice", Source: Camera}})
	sdp := strings.Replace(testSDP(sections...), strings.TrimSuffix(strings.Repeat("AA:", 32), ":"), own.fingerprint, 1)
	if _, err := c.transport.Answer(t.Context(), Offer{1, sdp, sources}); err != nil {
		t.Fatal(err)
	}
	c.send(c.transport.connection.checkFrom(t, nominating))
	take(t, over, c.answers, "the answer to a check")
	c.shakeHands()
	return c
}

func (c *caller) shakeHands() {
	c.t.Helper()
	var err error
	c.dtls, err = dtls.ClientWithOptions(recordPipe{c}, &net.UDPAddr{}, dtls.WithCertificates(c.own.certificate),
		dtls.WithInsecureSkipVerify(true), dtls.WithSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM))
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		c.transport.Close()
		close(c.gone)
		_ = c.dtls.Close()
	})
	go func() { c.shaken <- c.dtls.HandshakeContext(context.Background()) }()
}

// takeKeys waits for the end of the handshake.
func (c *caller) takeKeys(over stuck) {
	c.t.Helper()
	if err := take(c.t, over, c.shaken, "a handshake"); err != nil {
		c.t.Fatal(err)
	}
	state, ok := c.dtls.ConnectionState()
	if !ok {
		c.t.Fatal("no state")
	}
	profile := srtp.AEADAES128GCM
	exported, err := state.ExportKeyingMaterial("EXTRACTOR-dtls_srtp", nil, srtp.Exported(profile))
	if err != nil {
		c.t.Fatal(err)
	}
	client, server, err := srtp.Split(profile, exported)
	if err == nil {
		c.out, err = srtp.NewCipher(profile, client)
	}
	if err == nil {
		c.in, err = srtp.NewCipher(profile, server)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	c.opener = c.in.Opener()
}

// stream is that of an SSRC.
func (c *caller) stream(cipher *srtp.Cipher, ssrc uint32) *srtp.Stream {
	if c.streams[ssrc] == nil {
		s := cipher.Stream()
		c.streams[ssrc] = &s
	}
	return c.streams[ssrc]
}

// say sends a packet of a stream.
func (c *caller) say(ssrc uint32, payloadType uint8, seq uint16, payload string) {
	c.t.Helper()
	header := rtp.Header{Version: 2, SSRC: ssrc, PayloadType: payloadType, SequenceNumber: seq, Timestamp: uint32(seq) * 3000, Marker: true}
	raw, err := header.Marshal()
	if err != nil {
		c.t.Fatal(err)
	}
	sealed, err := c.stream(c.out, ssrc).Seal(append(make([]byte, 0, 1500), raw...), []byte(payload))
	if err != nil {
		c.t.Fatal(err)
	}
	c.send(sealed)
}

// open opens a packet that has come; nil for reports, of which it counts what they ask for.
func (c *caller) open(raw []byte) *rtp.Packet {
	c.t.Helper()
	if isControl(raw) {
		c.control(raw)
		return nil
	}
	size, ok := srtp.HeaderSize(raw)
	if !ok {
		c.t.Fatalf("%x has come", raw)
	}
	plain, err := c.stream(c.in, binary.BigEndian.Uint32(raw[8:])).Open(raw, size)
	if err != nil {
		c.t.Fatal(err)
	}
	p := &rtp.Packet{}
	if err := p.Unmarshal(plain); err != nil {
		c.t.Fatal(err)
	}
	return p
}

func (c *caller) control(raw []byte) {
	c.t.Helper()
	plain, err := c.opener.Open(raw)
	if err != nil {
		c.t.Fatal(err)
	}
	packets, err := rtcp.Unmarshal(plain)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, p := range packets {
		if _, ok := p.(*rtcp.PictureLossIndication); ok {
			c.asked++
		}
	}
}

// hear gives the next packet of media.
func (c *caller) hear(over stuck, what string) *rtp.Packet {
	c.t.Helper()
	for {
		if p := c.open(take(c.t, over, c.media, what)); p != nil {
			return p
		}
	}
}

// readReports takes what has come to one who hears nobody.
func (c *caller) readReports() {
	c.t.Helper()
	for len(c.media) > 0 {
		if p := c.open(<-c.media); p != nil {
			c.t.Errorf("%s is sent %v", c.name, p.Header)
		}
	}
}

// awaitSlots takes reports of the slots until they carry so many sources.
func (c *caller) awaitSlots(over stuck, n int) {
	c.t.Helper()
	for len(take(c.t, over, c.slots, "what the slots carry")) != n {
	}
}

// TestFirstAudio: a participant hears the first packet that is sent after its handshake, which
// takes three round trips from the answer on, and nothing of that waits for a clock: not for
// housekeeping, and not for a timer of anybody's.
func TestFirstAudio(t *testing.T) {
	still(t, func(t *testing.T, over stuck) {
		n := startNode(t, nil)
		own, err := newIdentity()
		if err != nil {
			t.Fatal(err)
		}
		alice := enter(t, over, n, own, "alice", map[string]Source{"a": Mic}, testSection("audio", "a", "sendonly"))
		alice.say(7, 111, 1, "before anybody is there")
		for _, name := range []string{"bob", "carol"} {
			c := enter(t, over, n, own, name, nil, testSection("audio", "a", "recvonly"))
			if turns := c.turnsSoFar(); turns != "><><><" {
				t.Errorf("%s and the node take turns %q: a check, and DTLS without a cookie, are three round trips", name, turns)
			}
			c.awaitSlots(over, 1)
			alice.say(7, 111, uint16(len(name)), name)
			if p := c.hear(over, "the first audio"); string(p.Payload) != name {
				t.Errorf("%s hears %q first", name, p.Payload)
			}
		}
	})
}

// TestFiftyJoins: as many join, two at a time, who hear and see somebody, and what a join costs
// the others does not depend on how many there are. One key frame is asked for in all: who
// comes a moment later begins with the same. A joiner is told once what its slots carry, and
// nobody else is told anything.
func TestFiftyJoins(t *testing.T) {
	const joins, atATime = 50, 2
	still(t, func(t *testing.T, over stuck) {
		n := startNode(t, nil)
		own, err := newIdentity()
		if err != nil {
			t.Fatal(err)
		}
		alice := enter(t, over, n, own, "alice", map[string]Source{"a": Mic, "v": Camera},
			testSection("audio", "a", "sendonly"), testSection("video", "v", "sendonly", "a=ssrc:70 cname:x\r\n"))
		alice.awaitSlots(over, 0)
		seq := uint16(1)
		alice.say(7, 111, seq, "before anybody is there")
		alice.say(70, 96, seq, "\x10\x01no key frame")
		for range joins / atATime {
			var bobs []*caller
			for range atATime {
				seq++
				bobs = append(bobs, dial(t, over, n, own, fmt.Sprint("bob ", seq), nil,
					testSection("audio", "a", "recvonly"), testSection("video", "v", "recvonly")))
			}
			for _, bob := range bobs {
				bob.takeKeys(over)
				bob.awaitSlots(over, 2)
			}
			before := alice.asked
			if alice.readReports(); alice.asked > before {
				alice.say(70, 96, seq, keyFrame)
			}
			alice.say(7, 111, seq, "sound")
			for _, bob := range bobs {
				bob.hearAndSee(over)
			}
		}
		if alice.asked != 1 {
			t.Errorf("%d key frames are asked for", alice.asked)
		}
		if n := len(alice.slots); n != 0 {
			t.Errorf("who was there is told %d times of slots", n)
		}
	})
}

// hearAndSee takes packets until one of sound has come, and a key frame.
func (c *caller) hearAndSee(over stuck) {
	c.t.Helper()
	for heard, seen := false, false; !heard || !seen; {
		p := c.hear(over, "the first sound or picture of "+c.name)
		heard = heard || p.PayloadType == 111
		seen = seen || p.PayloadType == 96 && string(p.Payload) == keyFrame
	}
	if n := len(c.slots); n != 0 {
		c.t.Errorf("%s is told %d times more what its slots carry", c.name, n)
	}
}
