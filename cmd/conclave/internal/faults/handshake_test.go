package faults

import (
	"crypto/sha1"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/pion/dtls/v3"
	"golang.org/x/sync/errgroup"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/selfsigned"
)

// fingerprintBy writes a digest of the probes' certificate as SDP does (RFC 8122, Section 5).
func fingerprintBy(t *testing.T, algorithm string, digest func([]byte) []byte) string {
	t.Helper()
	cert, err := selfsigned.Certificate()
	if err != nil {
		t.Fatal(err)
	}
	var pairs []string
	for _, b := range digest(cert.Certificate[0]) {
		pairs = append(pairs, strings.ToUpper(hex.EncodeToString([]byte{b})))
	}
	return algorithm + " " + strings.Join(pairs, ":")
}

func sha384(b []byte) []byte { sum := sha512.Sum384(b); return sum[:] }
func sha512Of(b []byte) []byte {
	sum := sha512.Sum512(b)
	return sum[:]
}

// TestProfilesAndFingerprints: whoever offers only AES_CM_128_HMAC_SHA1_80 (RFC 5764,
// Section 4.1.2), or names its certificate by SHA-384 or SHA-512, sends and receives as
// others do, and with those who have another profile.
func TestProfilesAndFingerprints(t *testing.T) {
	t.Parallel()
	s := open(t)
	older := dtls.SRTP_AES128_CM_HMAC_SHA1_80
	by384 := fingerprintBy(t, "sha-384", sha384)
	by512 := fingerprintBy(t, "SHA-512", sha512Of)
	plain := s.join("profiles", role{video: true})
	plain.film(1, 1)
	for i, r := range []role{
		{profile: older}, {fingerprint: by384}, {fingerprint: by512}, {profile: older, fingerprint: by512},
	} {
		r.video, r.slots, r.watch = true, 2, []*probe{plain}
		other := s.join("profiles", r)
		other.film(uint16(i), 1)
		r.watch = append(r.watch, other)
		viewers := []*probe{other, s.join("profiles", r), s.join("profiles", role{slots: 2, watch: r.watch})}
		for j, v := range viewers {
			v.awaitFrames(plain, 30)
			if j > 0 {
				v.awaitFrames(other, 30)
			}
			v.unharmed(fmt.Sprintf("role %d, viewer %d", i, j))
			if h := v.eyes.holes(); h > 0 {
				t.Errorf("role %d, viewer %d: %d packets are missing", i, j, h)
			}
		}
		for _, v := range viewers {
			v.leave()
		}
	}
}

// TestWrongFingerprint: who offers the fingerprint of another certificate, or none by a hash
// function that counts, gets no media.
func TestWrongFingerprint(t *testing.T) {
	t.Parallel()
	s := open(t)
	sender, viewer := meet(t, s, "whose")
	sender.film(1, 1)
	viewer.awaitFrames(sender, 5)
	another := fingerprintBy(t, "sha-384", func(b []byte) []byte { return sha384(append([]byte{0}, b...)) })
	weak := fingerprintBy(t, "sha-1", func(b []byte) []byte { sum := sha1.Sum(b); return sum[:] })
	for _, f := range []string{another, weak} {
		if p, err := s.tryJoin("whose", role{slots: 1, watch: []*probe{sender}, fingerprint: f}); err == nil {
			p.leave()
			t.Errorf("%.20s...: has joined", f)
		}
	}
	until(t, "the server forgets them", func() bool { return s.metric("conclave_media_transports") == 2 })
	viewer.awaitFrames(sender, 5)
	viewer.unharmed("beside those who are somebody else")
}

// TestHandshakeEnds has participants hang up in the middle of DTLS, after each number of
// datagrams that a handshake has, and leave. Others notice nothing, nothing of them stays,
// and another handshake on the same signalling connection succeeds.
func TestHandshakeEnds(t *testing.T) {
	s := open(t)
	sender, viewer := meet(t, s, "middle")
	sender.film(1, 1)
	viewer.awaitFrames(sender, 5)
	hangUp := func() {
		for flights := 1; flights <= 4; flights++ {
			p, err := s.tryJoin("middle", role{slots: 1, watch: []*probe{sender}, flights: flights})
			switch {
			case err == nil: // all that its handshake needs
				p.leave()
			case !errors.Is(err, errHungUp):
				t.Fatalf("%d datagrams: %v", flights-1, err)
			}
		}
		until(t, "the server forgets them", func() bool { return s.metric("conclave_media_transports") == 2 })
	}
	hangUp()
	before := measure()
	for range storm(10) {
		hangUp()
	}
	viewer.awaitFrames(sender, 10)
	viewer.unharmed("beside handshakes that end")
	flat(t, "handshakes that end", before, measure(), 20, 4<<20)
}

// TestGoodbye has a participant end its DTLS in the middle of a meeting: its media ends, and
// with a new PeerConnection it is back. Others' goes on without a gap.
func TestGoodbye(t *testing.T) {
	t.Parallel()
	s := open(t)
	sender, viewer := meet(t, s, "goodbye")
	sender.film(1, 1)
	fickle := s.join("goodbye", role{video: true, slots: 2, watch: []*probe{sender}})
	witness := s.join("goodbye", role{slots: 2, watch: []*probe{sender, fickle}})
	for range 3 {
		c := fickle.film(1, 1)
		fickle.awaitFrames(sender, 5)
		witness.awaitFrames(fickle, 5)
		if err := fickle.line.dtls.Close(); err != nil { // sends close_notify
			t.Fatal(err)
		}
		viewer.awaitFrames(sender, 10)
		c.stop()
		fickle.redial()
	}
	fickle.film(1, 1)
	witness.awaitFrames(fickle, 10)
	for _, v := range []*probe{viewer, witness, fickle} {
		v.unharmed("after goodbyes")
	}
	if h := viewer.eyes.holes(); h > 0 {
		t.Errorf("%d packets are missing for somebody whom it does not concern", h)
	}
}

// TestServerEndsUnderLoad stops a server while participants send, receive, come and go: it
// ends by itself, sends nothing more, and leaves nothing behind.
func TestServerEndsUnderLoad(t *testing.T) {
	before := measure()
	for i := range storm(3) {
		t.Run(fmt.Sprint(i), endUnderLoad) // what a test is to clean up it also keeps: the server
	}
	flat(t, "servers that ended under load", before, measure(), 8, 8<<20)
}

func endUnderLoad(t *testing.T) {
	s, stop := start(t)
	var all []*probe
	var cameras []*camera
	for i := range 4 {
		p := s.join("load", role{video: true, audio: true, slots: 4, watch: all, tcp: i == 3})
		c := p.film(1, 1)
		c.with(func() { c.each, c.size = 8, 1000 })
		all, cameras = append(all, p), append(cameras, c)
	}
	all[3].awaitFrames(all[0], 5)
	var over atomic.Bool
	var visits errgroup.Group
	for i := range 4 {
		visits.Go(func() error {
			for !over.Load() {
				if p, err := s.tryJoin(fmt.Sprint("load", i%2), role{video: true, slots: 1, watch: all[:1]}); err == nil {
					p.leave()
				}
			}
			return nil
		})
	}
	all[3].awaitFrames(all[0], 10)
	over.Store(true) // those who are joining right now still try
	if err := stop(); err != nil {
		t.Errorf("serve: %v", err)
	}
	until(t, "the media port is free", func() bool { // of the server; who still joins may have it for a moment
		conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(s.mediaPort))
		return err == nil && conn.Close() == nil
	})
	for i, p := range all {
		cameras[i].stop()
		p.leave()
		p.unharmed("until the server ended")
	}
	_ = visits.Wait() // none has an error
}
