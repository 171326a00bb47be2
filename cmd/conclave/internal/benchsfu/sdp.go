//go:build linux

package main

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/pion/sdp/v3"
)

// Payload types and header extensions, as Chromium numbers them.
const (
	payloadOpus   = 111
	payloadVP8    = 96
	payloadRTX    = 97
	extensionMID  = 4
	extensionTWCC = 3
	extensionVoll = 1 // the audio level
)

// mediaSection is one media section of an offer.
type mediaSection struct {
	audio bool
	ssrc  uint32 // of a sendonly section; 0 for a slot
}

// credentials are those of ICE (RFC 8445, Section 5.3).
type credentials struct{ ufrag, password string }

// offerSDP is what a browser would offer. The sections' mids are their places.
func offerSDP(sections []mediaSection, own credentials, fingerprint string) string {
	var b strings.Builder
	b.WriteString("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE")
	for i := range sections {
		fmt.Fprintf(&b, " %d", i)
	}
	b.WriteString("\r\na=msid-semantic: WMS\r\n")
	for i, s := range sections {
		s.write(&b, i, own, fingerprint)
	}
	return b.String()
}

func (s mediaSection) write(b *strings.Builder, mid int, own credentials, fingerprint string) {
	kind, types := "video", fmt.Sprintf("%d %d", payloadVP8, payloadRTX)
	if s.audio {
		kind, types = "audio", fmt.Sprint(payloadOpus)
	}
	line := func(format string, args ...any) { fmt.Fprintf(b, format+"\r\n", args...) }
	line("m=%s 9 UDP/TLS/RTP/SAVPF %s", kind, types)
	line("c=IN IP4 0.0.0.0")
	line("a=ice-ufrag:%s", own.ufrag)
	line("a=ice-pwd:%s", own.password)
	line("a=fingerprint:sha-256 %s", fingerprint)
	line("a=setup:actpass")
	line("a=mid:%d", mid)
	line("a=rtcp-mux")
	line("a=rtcp-rsize")
	line("a=extmap:%d %s", extensionMID, sdp.SDESMidURI)
	line("a=extmap:%d %s", extensionTWCC, sdp.TransportCCURI)
	if s.audio {
		line("a=extmap:%d %s", extensionVoll, sdp.AudioLevelURI)
		line("a=rtpmap:%d opus/48000/2", payloadOpus)
		line("a=fmtp:%d minptime=10;useinbandfec=1", payloadOpus)
		line("a=rtcp-fb:%d transport-cc", payloadOpus)
	} else {
		line("a=rtpmap:%d VP8/90000", payloadVP8)
		for _, feedback := range []string{"transport-cc", "ccm fir", "nack", "nack pli"} {
			line("a=rtcp-fb:%d %s", payloadVP8, feedback)
		}
		line("a=rtpmap:%d rtx/90000", payloadRTX)
		line("a=fmtp:%d apt=%d", payloadRTX, payloadVP8)
	}
	if s.ssrc == 0 {
		line("a=recvonly")
		return
	}
	line("a=sendonly")
	line("a=msid:bench %s", kind)
	line("a=ssrc:%d cname:bench", s.ssrc)
	line("a=ssrc:%d msid:bench %s", s.ssrc, kind)
}

// remote is what an answer says of the server.
type remote struct {
	credentials
	address netip.AddrPort
}

// readAnswer takes the server's credentials and its first candidate for IPv4.
func readAnswer(raw string) (remote, error) {
	var answer sdp.SessionDescription
	if err := answer.UnmarshalString(raw); err != nil {
		return remote{}, fmt.Errorf("answer: %w", err)
	}
	var r remote
	for _, media := range answer.MediaDescriptions {
		for _, a := range append(answer.Attributes, media.Attributes...) {
			switch a.Key {
			case "ice-ufrag":
				r.ufrag = a.Value
			case "ice-pwd":
				r.password = a.Value
			case "candidate":
				r.candidate(a.Value)
			}
		}
	}
	if r.ufrag == "" || r.password == "" || !r.address.IsValid() {
		return remote{}, fmt.Errorf("answer: no credentials or no candidate for IPv4")
	}
	return r, nil
}

// candidate takes "foundation component transport priority address port typ ..."
// (RFC 8839, Section 5.1).
func (r *remote) candidate(value string) {
	fields := strings.Fields(value)
	if r.address.IsValid() || len(fields) < 6 || !strings.EqualFold(fields[2], "udp") {
		return
	}
	address, err := netip.ParseAddrPort(fields[4] + ":" + fields[5])
	if err == nil && address.Addr().Is4() {
		r.address = address
	}
}
