package client

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func TestReroute(t *testing.T) {
	answer := strings.Join([]string{
		"v=0", "m=audio 9 UDP/TLS/RTP/SAVPF 111", "a=mid:0",
		"a=candidate:1 1 udp 2130706431 192.0.2.7 3478 typ host",
		"a=candidate:2 1 UDP 2130706431 2001:db8::7 3478 typ host generation 0",
		"a=candidate:3 1 tcp 1518280447 192.0.2.7 443 typ host tcptype passive",
		"a=candidate:4 1 udp 2130706431 name.local 3478 typ host",
		"a=candidate:5", "a=end-of-candidates", "",
	}, "\r\n")
	var asked []string
	got, err := reroute(answer, func(server netip.AddrPort) (netip.AddrPort, error) {
		asked = append(asked, server.String())
		return netip.MustParseAddrPort("127.0.0.1:9"), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Join([]string{
		"v=0", "m=audio 9 UDP/TLS/RTP/SAVPF 111", "a=mid:0",
		"a=candidate:1 1 udp 2130706431 127.0.0.1 9 typ host",
		"a=candidate:2 1 UDP 2130706431 127.0.0.1 9 typ host generation 0",
		"a=end-of-candidates", "",
	}, "\r\n")
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if s := strings.Join(asked, " "); s != "192.0.2.7:3478 [2001:db8::7]:3478" {
		t.Errorf("asked for the route to %s", s)
	}
	none := errors.New("no way")
	if _, err := reroute(answer, func(netip.AddrPort) (netip.AddrPort, error) { return netip.AddrPort{}, none }); !errors.Is(err, none) {
		t.Errorf("error %v", err)
	}
}
