package faults

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/stun/v4"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/offer"
)

// noiseTime is how long `make faults` sends noise to the port; tests send so much that
// it takes a second.
const (
	noiseTime    = time.Minute
	noisePackets = 30_000
)

// TestNoiseAtThePort sends what is no packet of anybody, from those who are nobody,
// while others meet. They notice nothing, and the server keeps nothing of it.
func TestNoiseAtThePort(t *testing.T) {
	s := open(t)
	random := chance(t)
	sender, viewer := meet(t, s, "noise")
	sender.film(1, 1)
	viewer.awaitFrames(sender, 10)
	before := measure()
	stranger := s.stranger()
	began, sent := time.Now(), 0
	for sent < noisePackets || long && time.Since(began) < noiseTime {
		for range 100 {
			_, _ = stranger.Write(rubbish(random, sender))
		}
		sent += 100
		if sent%1000 == 0 {
			viewer.awaitFrames(sender, 1) // the server comes to rest
		}
	}
	viewer.awaitFrames(sender, 10)
	viewer.unharmed("amid noise")
	t.Logf("%d packets in %v", sent, time.Since(began).Round(time.Second))
	flat(t, "noise", before, measure(), 20, 8<<20)
}

// rubbish makes a packet that a server may take for its own at first sight: of random
// bytes, or one of each protocol with something wrong.
func rubbish(random *rand.Rand, known *probe) []byte {
	switch random.IntN(6) {
	case 0:
		return noise(random, random.IntN(1472))
	case 1:
		return badSTUN(random, known)
	case 2:
		return badDTLS(random)
	case 3:
		return badRTP(random, known.videoSSRC(0))
	case 4:
		return badRTCP(random, known.videoSSRC(0))
	default: // the first byte alone says whose it is (RFC 7983)
		firsts := []byte{0, 1, 3, 16, 20, 22, 25, 63, 64, 79, 128, 144, 191, 192, 255}
		packet := noise(random, 1+random.IntN(100))
		packet[0] = firsts[random.IntN(len(firsts))]
		return packet
	}
}

// badSTUN makes a check with the right user name, if known, and something wrong.
func badSTUN(random *rand.Rand, known *probe) []byte {
	packet := known.checkWith("not the password")
	switch random.IntN(7) {
	case 0: // as it is
	case 1: // cut
		packet = packet[:random.IntN(len(packet))]
	case 2: // a length that is none of it
		binary.BigEndian.PutUint16(packet[2:], uint16(random.Uint32()))
	case 3: // an attribute's length
		binary.BigEndian.PutUint16(packet[22:], uint16(random.Uint32()))
	case 4: // another method or class
		binary.BigEndian.PutUint16(packet, uint16(random.Uint32())&0x3fff)
	case 5: // attributes without end
		for len(packet) < 1400 {
			packet = append(packet, 0x80, byte(random.Uint32()), 0, 0)
		}
		binary.BigEndian.PutUint16(packet[2:], uint16(len(packet)-20))
	case 6: // a flipped bit
		packet[random.IntN(len(packet))] ^= 1 << random.IntN(8)
	}
	return packet
}

// badDTLS makes records (RFC 6347, Section 4.1) of handshakes that never were.
func badDTLS(random *rand.Rand) []byte {
	body := noise(random, random.IntN(400))
	kinds := []byte{20, 21, 22, 22, 22, 23, 24, 25}
	record := []byte{kinds[random.IntN(len(kinds))], 0xfe, 0xfd, 0, byte(random.IntN(2)), 0, 0, 0, 0, 0, byte(random.Uint32())}
	length := len(body)
	if random.IntN(4) == 0 {
		length = random.IntN(1 << 16)
	}
	if len(body) > 12 && record[0] == 22 { // a handshake message, mostly a ClientHello
		body[0] = []byte{1, 1, 1, 2, 11, 16, 20}[random.IntN(7)]
		copy(body[1:], []byte{0, byte(random.IntN(3)), byte(len(body) - 12), 0, 0, 0, 0, 0, 0, byte(random.IntN(2)), byte(len(body) - 12)})
	}
	record = binary.BigEndian.AppendUint16(record, uint16(length))
	return append(record, body...)
}

// badRTP makes RTP (RFC 3550, Section 5.1) that nobody has sealed.
func badRTP(random *rand.Rand, ssrc uint32) []byte {
	packet := noise(random, 12+random.IntN(1200))
	packet[0] = 0x80 | byte(random.IntN(64))
	packet[1] = []byte{offer.VP8, offer.RTX, offer.Opus, 0x80 | offer.VP8, byte(random.Uint32())}[random.IntN(5)]
	if random.IntN(2) == 0 {
		binary.BigEndian.PutUint32(packet[8:], ssrc)
	}
	return packet
}

// badRTCP makes RTCP (RFC 3550, Section 6.1) that nobody has sealed.
func badRTCP(random *rand.Rand, ssrc uint32) []byte {
	packet := noise(random, 8+random.IntN(300))
	packet[0] = 0x80 | byte(random.IntN(64))
	packet[1] = byte(200 + random.IntN(8))
	binary.BigEndian.PutUint16(packet[2:], uint16(random.IntN(len(packet)/2)))
	if random.IntN(2) == 0 {
		binary.BigEndian.PutUint32(packet[4:], ssrc)
	}
	return packet
}

// TestMalformedMedia has a participant send what it likes, sealed as it has to be.
// Others notice nothing, and with a new PeerConnection it is as welcome as before. (On
// the old one its own numbers are spoilt.)
func TestMalformedMedia(t *testing.T) {
	t.Parallel()
	s := open(t)
	random := chance(t)
	sender, viewer := meet(t, s, "malformed")
	sender.film(1, 1)
	hostile := s.join("malformed", role{video: true, audio: true, slots: 2, watch: []*probe{sender}})
	witness := s.join("malformed", role{slots: 2, watch: []*probe{sender, hostile}})
	camera := hostile.film(1, 1)
	witness.awaitFrames(hostile, 5)
	rounds := 200
	if long {
		rounds = 20_000
	}
	for round := range rounds {
		camera.with(func() {
			for range 10 {
				hostile.malformed(random, camera.ssrc)
			}
		})
		if round%20 == 0 {
			viewer.awaitFrames(sender, 1)
		}
	}
	witness.awaitFrames(sender, 10)
	camera.stop()
	hostile.redial()
	hostile.film(1, 1)
	witness.awaitFrames(hostile, 10)
	viewer.unharmed("amid malformed packets")
	hostile.unharmed("amid its own malformed packets")
}

// malformed sends one packet with something wrong in it, sealed.
func (p *probe) malformed(random *rand.Rand, video uint32) {
	ssrc := []uint32{video, video + 1, p.ssrc, random.Uint32()}[random.IntN(4)]
	switch random.IntN(10) {
	case 0, 1: // RTCP of any kind, with anything in it
		p.sendRTCP(badRTCP(random, ssrc))
	case 2: // several, of which one is well
		pli, _ := (&rtcp.PictureLossIndication{SenderSSRC: ssrc, MediaSSRC: random.Uint32()}).Marshal()
		p.sendRTCP(append(pli, badRTCP(random, ssrc)...))
	case 3: // transport-wide feedback of what was never sent
		p.sendRTCP(badFeedback(random, ssrc))
	case 4: // a packet to the end of a datagram
		p.sendRTP(badRTP(random, p.ssrc), 12)
	case 5: // a stream that nobody offered, as they begin
		h := rtp.Header{Version: 2, PayloadType: offer.VP8, SSRC: random.Uint32(), SequenceNumber: uint16(random.Uint32())}
		raw, _ := h.Marshal()
		p.sendRTP(append(raw, 0x10, 0, 1, 2, 3), len(raw))
	case 6: // under the mid of a slot, or of nobody
		h := rtp.Header{Version: 2, PayloadType: offer.VP8, SSRC: random.Uint32()}
		_ = h.SetExtension(offer.MID, []byte{'0' + byte(random.IntN(12))})
		_ = h.SetExtension(offer.RID, bytes.Repeat([]byte{'x'}, 1+random.IntN(16)))
		raw, _ := h.Marshal()
		p.sendRTP(append(raw, 0x10, 0), len(raw))
	default:
		p.sendRTP(badHeader(random, ssrc))
	}
}

// badHeader makes an RTP packet whose header does not hold what it says: too many
// CSRCs, an extension that is longer than the packet, elements that are longer than the
// extension, padding longer than the payload. It gives how many bytes a receiver may
// take for the header.
func badHeader(random *rand.Rand, ssrc uint32) (packet []byte, header int) {
	h := rtp.Header{Version: 2, PayloadType: offer.VP8, SSRC: ssrc, SequenceNumber: uint16(random.Uint32()), Timestamp: random.Uint32()}
	raw, _ := h.Marshal()
	switch random.IntN(6) {
	case 0:
		raw[0] |= 15
	case 1:
		raw[0] |= 0x10
		raw = append(raw, 0xbe, 0xde, 0xff, 0xff, 1, 2, 3, 4)
	case 2:
		raw[0] |= 0x10
		raw = append(raw, 0xbe, 0xde, 0, 2, offer.MID<<4|15, '0', 0xf0, 0x2f, 1, 1, 1, 1)
	case 3:
		raw[0] |= 0x10
		raw = append(raw, 0x10, 0, 0, 1, offer.MID, 200, 0, 0)
	case 4:
		raw[0] |= 0x20
		return append(raw, 0x10, 0, 0, 255), len(raw)
	case 5: // a payload descriptor (RFC 7741, Section 4.2) without its end
		return append(raw, []byte{0x90, 0xf0, 0x80, 0xff}[:random.IntN(5)]...), len(raw)
	}
	return append(raw, noise(random, random.IntN(40))...), len(raw)
}

// badFeedback makes transport-wide feedback whose chunks say more than there is.
func badFeedback(random *rand.Rand, ssrc uint32) []byte {
	raw := []byte{0x80 | 15, 205, 0, 0}
	raw = binary.BigEndian.AppendUint32(raw, ssrc)
	raw = binary.BigEndian.AppendUint32(raw, random.Uint32())
	raw = binary.BigEndian.AppendUint16(raw, uint16(random.Uint32())) // base
	raw = binary.BigEndian.AppendUint16(raw, uint16(random.Uint32())) // count
	raw = append(raw, noise(random, 4+4*random.IntN(60))...)
	binary.BigEndian.PutUint16(raw[2:], uint16(len(raw)/4-1))
	return raw
}

// TestMalformedHandshakes has participants whose DTLS says what it should not, from the
// address that their check came from. They fail; others notice nothing.
func TestMalformedHandshakes(t *testing.T) {
	t.Parallel()
	s := open(t)
	random := chance(t)
	sender, viewer := meet(t, s, "shake")
	sender.film(1, 1)
	viewer.awaitFrames(sender, 5)
	hostile := s.join("shake", role{})
	for i := range 3000 {
		_, _ = hostile.line.conn.Write(badDTLS(random))
		if i%100 == 0 {
			viewer.awaitFrames(sender, 1)
		}
	}
	viewer.unharmed("amid handshakes")
	late := s.join("shake", role{slots: 1, watch: []*probe{sender}})
	late.awaitFrames(sender, 5)
}

// TestForgedRecords sends DTLS in clear from a viewer's own address, as somebody does who
// forges it: alerts, goodbyes, data, and what is none of these. Only sealed records may
// end a connection.
func TestForgedRecords(t *testing.T) {
	t.Parallel()
	s := open(t)
	random := chance(t)
	sender, viewer := meet(t, s, "forged")
	sender.film(1, 1)
	viewer.awaitFrames(sender, 5)
	for i := range 500 {
		for _, p := range []*probe{sender, viewer} {
			for _, body := range [][]byte{{1, 0}, {2, 0}, {2, 40}, {2, 10}, {}, {0}} {
				alert := append([]byte{21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, byte(i >> 8), byte(i), 0, byte(len(body))}, body...)
				_, _ = p.line.conn.Write(alert)
			}
			_, _ = p.line.conn.Write(badDTLS(random))
		}
		if i%100 == 0 {
			viewer.awaitFrames(sender, 1)
		}
	}
	viewer.awaitFrames(sender, 10)
	viewer.unharmed("amid forged records")
}

// TestSpoofedChecks tries to turn a viewer's media elsewhere: by checks without the
// password, and by a check that was overheard. The first do nothing at all; the second
// helps until the viewer's own next check at most.
func TestSpoofedChecks(t *testing.T) {
	t.Parallel()
	s := open(t)
	sender, viewer := meet(t, s, "spoof")
	sender.film(1, 1)
	viewer.awaitFrames(sender, 5)
	thief := s.stranger()
	heard := listenAt(t, thief)
	for range 500 {
		_, _ = thief.Write(viewer.checkWith(sender.server.Password))
		_, _ = thief.Write(viewer.checkWith(""))
	}
	viewer.awaitFrames(sender, 30)
	if n := heard.media.Load(); n != 0 {
		t.Errorf("%d packets of media went to somebody without the password", n)
	}
	if n := heard.success.Load(); n != 0 {
		t.Errorf("%d checks without the password were answered with success", n)
	}
	_, _ = thief.Write(viewer.checkWith(viewer.server.Password))
	until(t, "the overheard check is answered", func() bool { return heard.success.Load() > 0 })
	viewer.awaitFrames(sender, 60) // once a second it checks by itself
	viewer.unharmed("after spoofed checks")
	if n := heard.media.Load(); n != 0 {
		t.Logf("%d packets of media went to who overheard a check, until the viewer's next", n)
	}
}

// TestChecksAreNotAmplified: an answer to who has no password, if there is one, is no
// longer than the question.
func TestChecksAreNotAmplified(t *testing.T) {
	t.Parallel()
	s := open(t)
	sender, _ := meet(t, s, "amplify")
	stranger := s.stranger()
	heard := listenAt(t, stranger)
	asked := uint64(0)
	for range 200 {
		request := stun.MustBuild(stun.TransactionID, stun.BindingRequest)
		for _, packet := range [][]byte{request.Raw, sender.checkWith("no")} {
			_, _ = stranger.Write(packet)
			asked += uint64(len(packet))
		}
	}
	_, _ = stranger.Write(sender.checkWith(sender.server.Password)) // answered after all others
	until(t, "the last is answered", func() bool { return heard.success.Load() > 0 })
	if got := heard.bytes.Load(); got > 2*asked {
		t.Errorf("%d bytes of answers to %d bytes of questions", got, asked)
	}
}
