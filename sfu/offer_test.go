package sfu

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pion/sdp/v3"
)

// testSDP is an offer with the given media sections.
func testSDP(sections ...string) string {
	return "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n" +
		"a=ice-ufrag:abcd\r\na=ice-pwd:0123456789012345678901\r\na=setup:actpass\r\n" +
		"a=fingerprint:sha-256 " + strings.TrimSuffix(strings.Repeat("AA:", 32), ":") + "\r\n" +
		strings.Join(sections, "")
}

func testSection(kind, mid, direction string, more ...string) string {
	payload := map[string]string{"audio": "111", "video": "96"}[kind]
	codec := map[string]string{"audio": "111 opus/48000/2", "video": "96 VP8/90000"}[kind]
	return fmt.Sprintf("m=%s 9 UDP/TLS/RTP/SAVPF %s\r\nc=IN IP4 0.0.0.0\r\na=mid:%s\r\na=%s\r\na=rtcp-mux\r\na=rtpmap:%s\r\n",
		kind, payload, mid, direction, codec) + strings.Join(more, "")
}

func TestParseOffer(t *testing.T) {
	sources := map[string]Source{"0": Mic, "1": Camera}
	mic, camera := testSection("audio", "0", "sendonly"), testSection("video", "1", "sendonly")
	slot := func(mid string) string { return testSection("video", mid, "recvonly") }
	many := make([]string, maxSections+1)
	for i := range many {
		many[i] = slot(fmt.Sprint(i))
	}
	for _, test := range []struct {
		name  string
		offer Offer
		error string // part of it; empty for none
	}{
		{"uplinks and slots", Offer{1, testSDP(mic, camera, slot("2")), sources}, ""},
		{"a stopped section", Offer{1, testSDP(mic, strings.Replace(camera, "m=video 9", "m=video 0", 1)), sources}, ""},
		{"as many sections as there may be", Offer{1, testSDP(many[:maxSections]...), nil}, ""},
		{"connection 0", Offer{0, testSDP(mic), sources}, "connection 0"},
		{"nothing", Offer{1, "", sources}, ""},
		{"no SDP", Offer{1, "hello", sources}, "*"},
		{"no sections", Offer{1, testSDP(), sources}, "0 media sections"},
		{"too many sections", Offer{1, testSDP(many...), nil}, "129 media sections"},
		{"too large", Offer{1, testSDP(mic) + strings.Repeat("a=x\r\n", maxSDP), sources}, "bytes, at most"},
		{"sendrecv", Offer{1, testSDP(testSection("audio", "0", "sendrecv")), sources}, "neither"},
		{"no source", Offer{1, testSDP(testSection("audio", "9", "sendonly")), sources}, "no source"},
		{"unknown source", Offer{1, testSDP(mic), map[string]Source{"0": 77}}, "no source"},
		{"a microphone's video", Offer{1, testSDP(testSection("video", "0", "sendonly")), sources}, "video for source mic"},
		{"a source twice", Offer{1, testSDP(mic, testSection("audio", "x", "sendonly")), map[string]Source{"0": Mic, "x": Mic}}, "two sections for source"},
		{"a mid twice", Offer{1, testSDP(slot("a"), slot("a")), nil}, "two sections with mid"},
		{"no mid", Offer{1, testSDP(slot("")), nil}, "mid of 0"},
		{"a long mid", Offer{1, testSDP(slot(strings.Repeat("m", maxMID+1))), nil}, "mid of 33"},
		{"data channel", Offer{1, testSDP("m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:d\r\n"), nil}, "unknown medium"},
		{"extension id 0", Offer{1, testSDP(testSection("video", "1", "recvonly", "a=extmap:0 urn:x\r\n")), nil}, "extmap id"},
		{"extension id 256", Offer{1, testSDP(testSection("video", "1", "recvonly", "a=extmap:256 urn:x\r\n")), nil}, "extmap id"},
		{"extension without URI", Offer{1, testSDP(testSection("video", "1", "recvonly", "a=extmap:3\r\n")), nil}, "extmap"},
		{"four encodings", Offer{1, testSDP(testSection("video", "1", "sendonly", "a=rid:a send\r\na=rid:b send\r\na=rid:c send\r\na=rid:d send\r\n")), sources}, "4 encodings"},
		{"an encoding twice", Offer{1, testSDP(testSection("video", "1", "sendonly", strings.Repeat("a=rid:x send\r\n", 2))), sources}, `rid "x"`},
		{"an encoding that is no token", Offer{1, testSDP(testSection("video", "1", "sendonly", "a=rid: send\r\n")), sources}, `rid ""`},
	} {
		_, err := parseOffer(test.offer)
		switch {
		case test.name == "nothing":
			if !errors.Is(err, ErrBadOffer) {
				t.Errorf("%s: %v", test.name, err)
			}
		case test.error == "":
			if err != nil {
				t.Errorf("%s: %v", test.name, err)
			}
		case !errors.Is(err, ErrBadOffer) || test.error != "*" && !strings.Contains(err.Error(), test.error):
			t.Errorf("%s: %v, want one with %q", test.name, err, test.error)
		}
	}
}

func TestParsedSections(t *testing.T) {
	text := testSDP(
		testSection("audio", "0", "sendonly", "a=extmap:14 "+uriLevel+" vad=on\r\n", "a=extmap:4/sendonly "+uriMID+"\r\n",
			"a=rid:h send pt=97;max-width=1280\r\n", "a=rid:r recv\r\n", "a=rid:q send\r\n"),
		testSection("video", "slot", "recvonly", "a=extmap:9 "+uriMID+"\r\n", "a=candidate:1 1 UDP 1 10.0.0.1 9 typ host\r\n"),
	)
	p, err := parseOffer(Offer{1, text, map[string]Source{"0": Mic}})
	if err != nil {
		t.Fatal(err)
	}
	if s := p.sections[0]; s.direction != sendonly || s.source != Mic || s.extensions.level != 14 || s.extensions.mid != 4 {
		t.Errorf("%+v", s)
	}
	if s := p.sections[0]; !slices.Equal(s.rids, []string{"h", "q"}) {
		t.Errorf("encodings %q", s.rids)
	}
	if s := p.sections[1]; s.direction != recvonly || s.mid != "slot" || s.extensions.mid != 9 {
		t.Errorf("%+v", s)
	}
}

func FuzzParseOffer(f *testing.F) {
	text := testSDP(testSection("audio", "0", "sendonly"), testSection("video", "1", "recvonly", "a=extmap:9 "+uriMID+"\r\n"))
	f.Add(text)
	for i := 0; i < len(text); i += 97 {
		f.Add(text[:i])
	}
	f.Add(testSDP(
		testSection("audio", "0", "sendonly", "a=extmap:14 "+uriLevel+"\r\n", "a=ssrc:7 cname:x\r\n"),
		testSection("video", "1", "sendonly", "a=extmap:3 "+uriRID+"\r\n", "a=extmap:15 "+uriDependency+"\r\n", "a=rid:q send\r\n", "a=rid:h send\r\n",
			"a=simulcast:send q;h\r\n", "a=ssrc-group:FID 1 2\r\n", "a=rtcp-fb:* transport-cc\r\n"),
		testSection("video", "s", "recvonly", "a=extmap:200 "+uriTransportCC+"\r\n"),
		testSection("video", "t", "inactive"),
	))
	n := startNode(f, nil)
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parseOffer(Offer{1, text, map[string]Source{"0": Mic, "1": Camera}})
		if err != nil {
			if !errors.Is(err, ErrBadOffer) {
				t.Fatal(err)
			}
			return
		}
		c := &connection{transport: &Transport{room: &room{node: n}}}
		c.addSlots(p)
		answer := c.answer(p)
		checkLines(t, answer)
		var written sdp.SessionDescription
		if err := written.UnmarshalString(answer); err != nil {
			t.Fatalf("the answer is malformed: %v\n%s", err, answer)
		}
		if len(written.MediaDescriptions) != len(p.sections) {
			t.Fatalf("%d sections answered of %d", len(written.MediaDescriptions), len(p.sections))
		}
		for i, media := range written.MediaDescriptions {
			if mid, _ := media.Attribute("mid"); !p.sections[i].stopped && mid != p.sections[i].mid || media.MediaName.Media != p.sections[i].kind.String() {
				t.Fatalf("section %d is answered as %s %q", i, media.MediaName.Media, mid)
			}
		}
	})
}

// ours are the attributes that an answer has, with what the offer chose only in their
// values.
var ours = strings.Fields("group ice-lite extmap-allow-mixed msid-semantic fingerprint ice-ufrag ice-pwd mid setup " +
	"rtcp-mux rtcp-rsize rtpmap fmtp rtcp-fb extmap recvonly sendonly inactive rid simulcast msid ssrc ssrc-group candidate end-of-candidates")

// checkLines wants nothing in an answer but lines that we write: an offer adds none.
func checkLines(t *testing.T, answer string) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(answer, "\r\n"), "\r\n")
	for _, line := range lines {
		key, _, _ := strings.Cut(strings.TrimPrefix(line, "a="), ":")
		known := len(line) > 2 && strings.Contains("vostmc", line[:1]) && line[1] == '='
		if line[0] == 'a' {
			known = slices.Contains(ours, key)
		}
		if !known || strings.ContainsAny(line, "\r\n\x00") {
			t.Fatalf("%q in the answer:\n%s", line, answer)
		}
	}
}

// TestFormatParameters: only a microphone is asked for silence that is not sent.
func TestFormatParameters(t *testing.T) {
	for _, test := range []struct {
		name    string
		section section
		payload payload
		want    string
	}{
		{"microphone", section{direction: sendonly, source: Mic}, payload{codec: codecOpus, parameters: "minptime=10"}, "minptime=10;usedtx=1"},
		{"microphone without parameters", section{direction: sendonly, source: Mic}, payload{codec: codecOpus}, "usedtx=1"},
		{"said already", section{direction: sendonly, source: Mic}, payload{codec: codecOpus, parameters: "usedtx=0"}, "usedtx=0"},
		{"sound of a screen", section{direction: sendonly, source: ScreenAudio}, payload{codec: codecOpus, parameters: "minptime=10"}, "minptime=10"},
		{"slot", section{direction: recvonly}, payload{codec: codecOpus, parameters: "minptime=10"}, "minptime=10"},
	} {
		if got := test.section.formatParameters(test.payload); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}
