package client

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtcp"
)

// FuzzReroute: whatever an answer says, no candidate but those that route gave is left in
// it, and all else stays as it was.
func FuzzReroute(f *testing.F) {
	f.Add("v=0\r\na=candidate:1 1 udp 2130706431 192.0.2.1 7000 typ host\r\na=end-of-candidates\r\n")
	f.Add("a=candidate:1 1 tcp 1 192.0.2.1 443 typ host tcptype passive\na=candidate:2 1 UDP 1 2001:db8::1 7000 typ host")
	f.Add("a=candidate:1 1 udp 1 name.local 7000 typ host\r\na=candidate:\r\na=candidate:1 1 udp 1 ::1%eth0 99999 typ host\r\n")
	f.Fuzz(func(t *testing.T, answer string) {
		via := netip.MustParseAddrPort("127.0.0.1:9")
		got, err := reroute(answer, func(netip.AddrPort) (netip.AddrPort, error) { return via, nil })
		if err != nil {
			t.Fatalf("route has no error, and reroute has: %v", err)
		}
		var others []string
		for line := range strings.Lines(got) {
			value, is := strings.CutPrefix(line, "a=candidate:")
			if !is {
				others = append(others, line)
			} else if fields := strings.Fields(value); fields[4] != "127.0.0.1" || fields[5] != "9" {
				t.Errorf("a candidate leads to %q", fields[4:6])
			}
		}
		var before []string
		for line := range strings.Lines(answer) {
			if !strings.HasPrefix(line, "a=candidate:") {
				before = append(before, line)
			}
		}
		if strings.Join(others, "") != strings.Join(before, "") {
			t.Errorf("other lines were %q and are %q", before, others)
		}
	})
}

// FuzzTransportFeedback: whatever a server says of what was sent, at least the lowest layer
// is sent, and never more than there are.
func FuzzTransportFeedback(f *testing.F) {
	feedback := rtcp.TransportLayerCC{
		Header: rtcp.Header{Count: rtcp.FormatTCC, Type: rtcp.TypeTransportSpecificFeedback, Length: 5}, PacketStatusCount: 3,
		PacketChunks: []rtcp.PacketStatusChunk{&rtcp.RunLengthChunk{PacketStatusSymbol: rtcp.TypeTCCPacketReceivedSmallDelta, RunLength: 3}},
		RecvDeltas:   []*rtcp.RecvDelta{{Type: 1, Delta: 250}, {Type: 1, Delta: 500}, {Type: 1, Delta: 250}},
	}
	raw, err := feedback.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw, uint8(10))
	f.Add(append(raw, raw...), uint8(200))
	f.Fuzz(func(t *testing.T, raw []byte, step uint8) {
		packets, err := rtcp.Unmarshal(raw)
		if err != nil {
			return
		}
		c, now := newCongestion(3, &counters{}), time.Unix(1, 0)
		for i := range 300 {
			c.wrote(i%3, 1000)
			c.send(1000, i%7 == 0, now)
			c.padding(paddingSize, now)
			for _, p := range packets {
				if f, ok := p.(*rtcp.TransportLayerCC); ok {
					f.BaseSequenceNumber += uint16(step)
					c.feedback(f, now)
				}
			}
			if n := c.allowed(); n < 1 || n > 3 {
				t.Fatalf("%d layers", n)
			}
			now = now.Add(time.Duration(step) * time.Millisecond)
		}
	})
}
