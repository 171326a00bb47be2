package faults

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/pion/rtcp"

	"github.com/conclave-sfu/conclave/room/signal"
)

// The most that a viewer may have the server do, generously: what the server's limits
// give in the time that a storm takes is counted on top.
const (
	keyFramesASecond = 2.0
	resendsASecond   = 500.0 // and slot
	burstOfResends   = 256.0
)

// messagesASecond is how much the server lets somebody say.
const messagesASecond = 50

// TestKeyFrameStorm has a viewer ask for key frames without end, by PLI and by FIR
// (RFC 5104, Section 4.3.1). The publisher hears of few, and others see every frame.
func TestKeyFrameStorm(t *testing.T) {
	t.Parallel()
	s := open(t)
	sender, viewer := meet(t, s, "storm")
	sender.film(1, 1)
	hostile := s.join("storm", role{slots: 4, watch: []*probe{sender}})
	hostile.awaitFrames(sender, 5)
	slots := hostile.server.Slots()
	began, before := time.Now(), sender.keyFrames.Load()
	for i := range storm(1000) {
		for _, ssrc := range slots {
			hostile.control(&rtcp.PictureLossIndication{SenderSSRC: 1, MediaSSRC: ssrc})
			hostile.control(&rtcp.FullIntraRequest{SenderSSRC: 1, MediaSSRC: ssrc, FIR: []rtcp.FIREntry{{SSRC: ssrc, SequenceNumber: uint8(i)}}})
		}
		if i%10 == 0 {
			hostile.awaitCheck()
		}
		if i%100 == 0 {
			viewer.awaitFrames(sender, 1)
		}
	}
	viewer.awaitFrames(sender, 10)
	took := time.Since(began).Seconds()
	asked := float64(sender.keyFrames.Load() - before)
	t.Logf("%d requests in %.1f s: the publisher heard %.0f", 2*len(slots)*storm(1000), took, asked)
	if most := 3 + keyFramesASecond*took; asked > most {
		t.Errorf("the publisher was asked for %.0f key frames in %.1f s, at most %.0f", asked, took, most)
	}
	viewer.unharmed("amid requests for key frames")
	if h := viewer.eyes.holes(); h > 0 {
		t.Errorf("%d packets are missing", h)
	}
}

// TestResendStorm has a viewer ask for all packets again, over and over. It gets few,
// and others see every frame.
func TestResendStorm(t *testing.T) {
	t.Parallel()
	s := open(t)
	sender, viewer := meet(t, s, "nacks")
	sender.film(1, 1)
	hostile := s.join("nacks", role{slots: 2, watch: []*probe{sender}})
	hostile.awaitFrames(sender, 5)
	var all []rtcp.NackPair
	for base := range 250 {
		all = append(all, rtcp.NackPair{PacketID: uint16(base * 17), LostPackets: 0xffff})
	}
	began, before := time.Now(), s.metrics()
	for i := range storm(200) {
		for _, ssrc := range hostile.server.Slots() {
			high := hostile.eyes.high(ssrc)
			for j := range all {
				all[j].PacketID = high - uint16(j*17)
			}
			hostile.control(&rtcp.TransportLayerNack{SenderSSRC: 1, MediaSSRC: ssrc, Nacks: all})
		}
		if i%4 == 0 {
			hostile.awaitCheck()
		}
		if i%10 == 0 {
			viewer.awaitFrames(sender, 1)
		}
	}
	viewer.awaitFrames(sender, 10)
	took := time.Since(began).Seconds()
	after := s.metrics()
	resent := after["conclave_media_retransmitted_packets_total"] - before["conclave_media_retransmitted_packets_total"]
	t.Logf("%.0f packets asked for in %.1f s: %.0f sent again",
		after["conclave_media_nacks_total"]-before["conclave_media_nacks_total"], took, resent)
	slots := float64(len(hostile.server.Slots()))
	if most := slots * (burstOfResends + resendsASecond*took); resent > most {
		t.Errorf("%.0f packets were sent again in %.1f s, at most %.0f", resent, took, most)
	}
	viewer.unharmed("amid requests for packets")
	if h := viewer.eyes.holes(); h > 0 {
		t.Errorf("%d packets are missing", h)
	}
}

// storm is how often something is done: a second's worth, or half a minute's.
func storm(n int) int {
	if long {
		return 30 * n
	}
	return n
}

// TestDeafParticipant has somebody join and read nothing more, neither media nor
// messages, while much is said. The others notice nothing, and what waits for it is
// bounded.
func TestDeafParticipant(t *testing.T) {
	s := open(t)
	sender, viewer := meet(t, s, "deaf")
	c := sender.film(1, 1)
	deaf := s.join("deaf", role{slots: 4, watch: []*probe{sender}, deaf: true})
	viewer.awaitFrames(sender, 10)
	c.with(func() { c.each, c.size = 20, 1000 })
	ctx := context.Background()
	before := measure()
	most := uint64(0)
	allowed := time.NewTicker(time.Second / messagesASecond)
	defer allowed.Stop()
	for i := range storm(60) {
		<-allowed.C // who says more is refused, and disconnected in the end
		// Everything that it does is told to all.
		if err := sender.say(ctx, 9, &signal.Mute{Source: signal.SourceCamera, Muted: i%2 == 0}); err != nil {
			t.Fatal(err)
		}
		visitor, err := s.tryJoin("deaf", role{})
		if err == nil {
			visitor.leave()
		}
		if i%10 == 0 {
			most = max(most, measure().heap)
		}
	}
	if err := sender.say(ctx, 9, &signal.Mute{Source: signal.SourceCamera}); err != nil {
		t.Fatal(err)
	}
	c.wantKey.Store(true)
	viewer.awaitFrames(sender, 20)
	viewer.unharmed("beside somebody deaf")
	t.Logf("heap %d kB before, at most %d kB, %d datagrams reached it", before.heap>>10, most>>10, deaf.received.Load())
	if most > before.heap+32<<20 {
		t.Errorf("the heap grew from %d to %d bytes", before.heap, most)
	}
}

// TestHalfOpenTCP opens connections that say nothing, or begin and do not go on: none
// keeps others out, and all are forgotten.
func TestHalfOpenTCP(t *testing.T) {
	s := open(t)
	sender, viewer := meet(t, s, "half")
	sender.film(1, 1)
	viewer.awaitFrames(sender, 5)
	before := measure()
	address := strings.TrimPrefix(s.http, "http://")
	beginnings := []string{
		"", "G", "GET / HTTP/1.1\r\n", "GET / HTTP/1.1\r\nHost: x\r\nX: ",
		"GET /api/v1/rooms/half/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n",
		"\x16\x03\x01\x02\x00\x01\x00", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		"\x00\x14" + "\x00\x01\x00\x00\x21\x12\xa4\x42", // a frame (RFC 4571) that does not go on
	}
	var open []net.Conn
	for i := range 40 * len(beginnings) {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte(beginnings[i%len(beginnings)])); err != nil {
			t.Fatal(err)
		}
		open = append(open, conn)
	}
	// WebSockets that never say hello.
	for range 20 {
		ws, _, err := websocket.Dial(context.Background(), "ws://"+address+"/api/v1/rooms/half/ws",
			&websocket.DialOptions{Subprotocols: []string{signal.Subprotocol}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = ws.CloseNow() })
	}
	late := s.join("half", role{slots: 1, watch: []*probe{sender}})
	late.awaitFrames(sender, 5)
	viewer.awaitFrames(sender, 5)
	viewer.unharmed("beside half-open connections")
	late.leave()
	for _, conn := range open {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	runtime.GC()
	flat(t, fmt.Sprint(len(open), " half-open connections"), before, measure(), 100, 8<<20)
}
