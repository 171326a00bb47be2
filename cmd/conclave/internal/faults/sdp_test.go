package faults

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/pion/sdp/v3"
)

// Payload types and header extensions, as Chromium numbers them.
const (
	payloadOpus = 111
	payloadVP8  = 96
	payloadRTX  = 97

	extensionLevel    = 1
	extensionTWCC     = 3
	extensionMID      = 4
	extensionRID      = 10
	extensionRepaired = 11
)

// section is one media section of an offer.
type section struct {
	audio, sends bool
	ssrc         uint32   // of a sendonly section without rids
	rids         []string // of a sendonly section with layers
}

// credentials are those of ICE (RFC 8445, Section 5.3).
type credentials struct{ ufrag, password string }

// offerOf is what a browser would offer. The sections' mids are their places.
func offerOf(sections []section, own credentials, fingerprint string) string {
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

func (s section) write(b *strings.Builder, mid int, own credentials, fingerprint string) {
	line := func(format string, args ...any) { fmt.Fprintf(b, format+"\r\n", args...) }
	kind, types := "video", fmt.Sprintf("%d %d", payloadVP8, payloadRTX)
	if s.audio {
		kind, types = "audio", fmt.Sprint(payloadOpus)
	}
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
		line("a=extmap:%d %s", extensionLevel, sdp.AudioLevelURI)
		line("a=rtpmap:%d opus/48000/2", payloadOpus)
		line("a=fmtp:%d minptime=10;useinbandfec=1", payloadOpus)
		line("a=rtcp-fb:%d transport-cc", payloadOpus)
	} else {
		line("a=extmap:%d %s", extensionRID, sdp.SDESRTPStreamIDURI)
		line("a=extmap:%d %s", extensionRepaired, sdp.SDESRepairRTPStreamIDURI)
		line("a=rtpmap:%d VP8/90000", payloadVP8)
		for _, feedback := range []string{"transport-cc", "ccm fir", "nack", "nack pli"} {
			line("a=rtcp-fb:%d %s", payloadVP8, feedback)
		}
		line("a=rtpmap:%d rtx/90000", payloadRTX)
		line("a=fmtp:%d apt=%d", payloadRTX, payloadVP8)
	}
	if !s.sends {
		line("a=recvonly")
		return
	}
	line("a=sendonly")
	line("a=msid:probe %s", kind)
	if len(s.rids) > 0 {
		for _, rid := range s.rids {
			line("a=rid:%s send", rid)
		}
		line("a=simulcast:send %s", strings.Join(s.rids, ";"))
		return
	}
	if !s.audio {
		line("a=ssrc-group:FID %d %d", s.ssrc, s.ssrc+1)
		line("a=ssrc:%d cname:probe", s.ssrc+1)
	}
	line("a=ssrc:%d cname:probe", s.ssrc)
}

// answered is what an answer says of the server.
type answered struct {
	credentials
	address netip.AddrPort // for UDP
	stream  netip.AddrPort // for TCP, if there is one
	// ssrcs are the streams of the slots, by mid.
	ssrcs map[string][]uint32
}

// readAnswer takes the server's credentials, its first candidates for IPv4, and the
// streams of the slots.
func readAnswer(raw string) (answered, error) {
	var answer sdp.SessionDescription
	if err := answer.UnmarshalString(raw); err != nil {
		return answered{}, fmt.Errorf("answer: %w", err)
	}
	a := answered{ssrcs: make(map[string][]uint32)}
	for _, media := range answer.MediaDescriptions {
		mid, _ := media.Attribute("mid")
		for _, attribute := range append(answer.Attributes, media.Attributes...) {
			switch attribute.Key {
			case "ice-ufrag":
				a.ufrag = attribute.Value
			case "ice-pwd":
				a.password = attribute.Value
			case "candidate":
				a.candidate(attribute.Value)
			case "ssrc":
				var ssrc uint32
				if _, err := fmt.Sscan(attribute.Value, &ssrc); err == nil {
					a.ssrcs[mid] = append(a.ssrcs[mid], ssrc)
				}
			}
		}
	}
	if a.ufrag == "" || a.password == "" || !a.address.IsValid() {
		return answered{}, fmt.Errorf("answer without credentials or candidate:\n%s", raw)
	}
	return a, nil
}

// slots are the streams of all slots, in no order; retransmission streams too.
func (a *answered) slots() (ssrcs []uint32) {
	for _, some := range a.ssrcs {
		ssrcs = append(ssrcs, some...)
	}
	slices.Sort(ssrcs)
	return slices.Compact(ssrcs)
}

// candidate takes "foundation component transport priority address port typ ..."
// (RFC 8839, Section 5.1).
func (a *answered) candidate(value string) {
	fields := strings.Fields(value)
	if len(fields) < 6 {
		return
	}
	address, err := netip.ParseAddrPort(fields[4] + ":" + fields[5])
	switch protocol := strings.ToLower(fields[2]); {
	case err != nil || !address.Addr().Is4():
	case protocol == "udp" && !a.address.IsValid():
		a.address = address
	case protocol == "tcp" && !a.stream.IsValid():
		a.stream = address
	}
}
