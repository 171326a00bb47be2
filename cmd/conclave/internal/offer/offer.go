// Package offer writes the SDP that a browser would offer, and reads what it is answered,
// for clients that are no PeerConnection: those of the benchmark and of the fault tests.
//
//	own := offer.NewCredentials()
//	sdp := offer.Offer{Own: own, Fingerprint: f, Sections: []offer.Section{
//		{Audio: true, Sends: true, SSRC: 7}, // a microphone
//		{},                                  // a slot for video
//	}}.SDP()
//	...
//	server, err := offer.ReadAnswer(answer)
package offer

import (
	"crypto/rand"
	"fmt"
	"strings"

	"github.com/pion/sdp/v3"
)

// Payload types, as Chromium numbers them.
const (
	Opus = 111
	VP8  = 96
	RTX  = 97 // of VP8 (RFC 4588)
)

// Ids of header extensions, as Chromium numbers them.
const (
	Level       = 1 // RFC 6464
	TransportCC = 3
	MID         = 4
	RID         = 10 // RFC 8852
	RepairedRID = 11
)

// Credentials are those of ICE (RFC 8445, Section 5.3).
type Credentials struct{ Ufrag, Password string }

// NewCredentials makes some.
func NewCredentials() Credentials { return Credentials{rand.Text()[:8], rand.Text()} }

// Section is one media section: what is sent, or a slot.
type Section struct {
	Audio, Sends bool
	// SSRC is that of a stream that is sent, if RIDs does not name its encodings.
	SSRC uint32
	RIDs []string
}

// Offer is what a client says of itself. The sections' mids are their places.
type Offer struct {
	Own         Credentials
	Fingerprint string // of the certificate, SHA-256
	Sections    []Section
	// Layers says that video may come with RIDs, RTX that SSRC + 1 repairs the video of
	// SSRC.
	Layers, RTX bool
}

// SDP writes the offer.
func (o Offer) SDP() string {
	var b strings.Builder
	b.WriteString("v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE")
	for i := range o.Sections {
		fmt.Fprintf(&b, " %d", i)
	}
	b.WriteString("\r\na=msid-semantic: WMS\r\n")
	for i, s := range o.Sections {
		w := writer{&b}
		o.writeTransport(w, s, i)
		if s.Audio {
			writeAudio(w)
		} else {
			o.writeVideo(w)
		}
		o.writeStreams(w, s)
	}
	return b.String()
}

type writer struct{ *strings.Builder }

func (w writer) line(format string, args ...any) { fmt.Fprintf(w, format+"\r\n", args...) }

func (s Section) kind() string {
	if s.Audio {
		return "audio"
	}
	return "video"
}

func (o Offer) writeTransport(w writer, s Section, mid int) {
	types := fmt.Sprintf("%d %d", VP8, RTX)
	if s.Audio {
		types = fmt.Sprint(Opus)
	}
	w.line("m=%s 9 UDP/TLS/RTP/SAVPF %s", s.kind(), types)
	w.line("c=IN IP4 0.0.0.0")
	w.line("a=ice-ufrag:%s", o.Own.Ufrag)
	w.line("a=ice-pwd:%s", o.Own.Password)
	w.line("a=fingerprint:sha-256 %s", o.Fingerprint)
	w.line("a=setup:actpass")
	w.line("a=mid:%d", mid)
	w.line("a=rtcp-mux")
	w.line("a=rtcp-rsize")
	w.line("a=extmap:%d %s", MID, sdp.SDESMidURI)
	w.line("a=extmap:%d %s", TransportCC, sdp.TransportCCURI)
}

func writeAudio(w writer) {
	w.line("a=extmap:%d %s", Level, sdp.AudioLevelURI)
	w.line("a=rtpmap:%d opus/48000/2", Opus)
	w.line("a=fmtp:%d minptime=10;useinbandfec=1", Opus)
	w.line("a=rtcp-fb:%d transport-cc", Opus)
}

func (o Offer) writeVideo(w writer) {
	if o.Layers {
		w.line("a=extmap:%d %s", RID, sdp.SDESRTPStreamIDURI)
		w.line("a=extmap:%d %s", RepairedRID, sdp.SDESRepairRTPStreamIDURI)
	}
	w.line("a=rtpmap:%d VP8/90000", VP8)
	for _, feedback := range []string{"transport-cc", "ccm fir", "nack", "nack pli"} {
		w.line("a=rtcp-fb:%d %s", VP8, feedback)
	}
	w.line("a=rtpmap:%d rtx/90000", RTX)
	w.line("a=fmtp:%d apt=%d", RTX, VP8)
}

func (o Offer) writeStreams(w writer, s Section) {
	if !s.Sends {
		w.line("a=recvonly")
		return
	}
	w.line("a=sendonly")
	w.line("a=msid:native %s", s.kind())
	if len(s.RIDs) > 0 {
		for _, rid := range s.RIDs {
			w.line("a=rid:%s send", rid)
		}
		w.line("a=simulcast:send %s", strings.Join(s.RIDs, ";"))
		return
	}
	if o.RTX && !s.Audio {
		w.line("a=ssrc-group:FID %d %d", s.SSRC, s.SSRC+1)
		w.line("a=ssrc:%d cname:native", s.SSRC+1)
	}
	w.line("a=ssrc:%d cname:native", s.SSRC)
}
