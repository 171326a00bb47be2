package offer

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/pion/sdp/v3"
)

func TestOffer(t *testing.T) {
	o := Offer{Own: Credentials{"u", "p"}, Fingerprint: "AA:BB", RTX: true, Layers: true, Sections: []Section{
		{Audio: true, Sends: true, SSRC: 7}, {Sends: true, SSRC: 8}, {Sends: true, RIDs: []string{"q", "h"}}, {}, {Audio: true},
	}}
	var parsed sdp.SessionDescription
	if err := parsed.UnmarshalString(o.SDP()); err != nil {
		t.Fatal(err)
	}
	want := [][]string{
		{"a=sendonly", "a=ssrc:7 cname:native"},
		{"a=sendonly", "a=ssrc-group:FID 8 9", "a=ssrc:9 cname:native", "a=extmap:10 "},
		{"a=sendonly", "a=rid:h send", "a=simulcast:send q;h"},
		{"a=recvonly", "a=rtpmap:96 VP8/90000"},
		{"a=recvonly", "a=rtpmap:111 opus/48000/2"},
	}
	parts := strings.Split(o.SDP(), "m=")[1:]
	if len(parts) != len(want) || len(parsed.MediaDescriptions) != len(want) {
		t.Fatalf("%d sections, want %d", len(parts), len(want))
	}
	for i, lines := range want {
		for _, line := range append(lines, "a=ice-ufrag:u", "a=mid:", "a=fingerprint:sha-256 AA:BB") {
			if !strings.Contains(parts[i], line) {
				t.Errorf("section %d: no %q in\n%s", i, line, parts[i])
			}
		}
	}
}

// TestPlainOffer: neither layers nor retransmissions where none are wanted.
func TestPlainOffer(t *testing.T) {
	raw := Offer{Sections: []Section{{Sends: true, SSRC: 8}}}.SDP()
	for _, absent := range []string{"ssrc-group", "stream-id", "simulcast"} {
		if strings.Contains(raw, absent) {
			t.Errorf("%q in\n%s", absent, raw)
		}
	}
}

const answer = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n" +
	"m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\na=ssrc:9 cname:x\r\na=ssrc:x y\r\n" +
	"a=candidate:1 1 udp 2 ::1 7000 typ host\r\na=candidate:2 1 udp 1 127.0.0.1 7001 typ host\r\n" +
	"a=candidate:3 1 TCP 1 127.0.0.1 7002 typ host tcptype passive\r\na=candidate:4 1 udp 1 127.0.0.1 7003 typ host\r\n" +
	"m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\na=ssrc:4 cname:x\r\na=ssrc:5 cname:x\r\na=ssrc:4 msid:x\r\n"

func TestReadAnswer(t *testing.T) {
	got, err := ReadAnswer(answer)
	if err != nil {
		t.Fatal(err)
	}
	if got.Credentials != (Credentials{"u", "p"}) || got.Address != netip.MustParseAddrPort("127.0.0.1:7001") ||
		got.Stream != netip.MustParseAddrPort("127.0.0.1:7002") || !slices.Equal(got.Slots(), []uint32{4, 5, 9}) {
		t.Errorf("got %+v", got)
	}
	for _, broken := range []string{
		strings.ReplaceAll(answer, "127.0.0.1", "::2"), strings.Replace(answer, "ice-pwd", "pwd", 1), "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n",
	} {
		if _, err := ReadAnswer(broken); !errors.Is(err, ErrIncomplete) {
			t.Errorf("ReadAnswer(%q): %v", broken, err)
		}
	}
	if _, err := ReadAnswer("v=0"); err == nil {
		t.Error("what is no SDP was taken")
	}
}

func FuzzReadAnswer(f *testing.F) {
	f.Add(answer)
	f.Fuzz(func(t *testing.T, raw string) {
		if a, err := ReadAnswer(raw); err == nil && (a.Ufrag == "" || !a.Address.Addr().Is4()) {
			t.Errorf("an answer without what it needs: %+v", a)
		}
	})
}
