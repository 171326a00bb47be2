package faults

import (
	"encoding/binary"
	"net"
	"testing"
)

// TestDeafStream has a viewer with media over TCP read nothing: its stream fills up and
// loses packets, and nobody else's does.
func TestDeafStream(t *testing.T) {
	s := open(t)
	sender, viewer := meet(t, s, "stream")
	c := sender.film(1, 1)
	wired := s.join("stream", role{slots: 1, tcp: true, watch: []*probe{sender}})
	wired.awaitFrames(sender, 10)
	before := measure()
	deaf := s.join("stream", role{slots: 1, tcp: true, deaf: true, watch: []*probe{sender}})
	c.with(func() { c.each, c.size = 60, 1100 }) // 16 Mbit/s
	until(t, "the stream is full", func() bool { return s.metric("conclave_media_tcp_dropped_packets_total") > 1000 })
	viewer.awaitFrames(sender, 30)
	wired.awaitFrames(sender, 30)
	viewer.unharmed("beside a stream that is full")
	wired.unharmed("beside a stream that is full")
	after := measure()
	t.Logf("heap %d kB to %d kB, %d datagrams were read", before.heap>>10, after.heap>>10, deaf.received.Load())
	if after.heap > before.heap+16<<20 {
		t.Errorf("the heap grew from %d to %d bytes", before.heap, after.heap)
	}
	deaf.leave()
	wired.leave()
	until(t, "the streams end", func() bool { return s.metric("conclave_media_tcp_streams") == 0 })
}

// TestBrokenStreams sends what is no media to where media comes over TCP: before a
// check, and behind one that is right.
func TestBrokenStreams(t *testing.T) {
	s := open(t)
	random := chance(t)
	sender, viewer := meet(t, s, "broken")
	sender.film(1, 1)
	viewer.awaitFrames(sender, 5)
	address := s.join("broken", role{}).server.Stream.String()
	before := measure()
	for i := range 200 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			frame := viewer.checkWith(viewer.server.Password)
			_, _ = conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(frame))), frame...))
		}
		for range 20 { // until the server hangs up
			packet := rubbish(random, sender)
			if random.IntN(4) > 0 {
				packet = append(binary.BigEndian.AppendUint16(nil, uint16(len(packet))), packet...)
			}
			if _, err := conn.Write(packet); err != nil {
				break
			}
		}
		_ = conn.Close()
		if i%20 == 0 {
			viewer.awaitFrames(sender, 1)
		}
	}
	viewer.awaitFrames(sender, 60) // by its own next check at the latest
	viewer.unharmed("amid broken streams")
	until(t, "the streams end", func() bool { return s.metric("conclave_media_tcp_streams") == 0 })
	flat(t, "broken streams", before, measure(), 16, 8<<20)
}
