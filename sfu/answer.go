package sfu

import (
	"fmt"
	"strings"

	"github.com/pion/sdp/v3"

	"github.com/conclave-sfu/conclave/sfu/icelite"
)

// answer writes the SDP answer to an offer (RFC 8829, Section 5.3; RFC 9429).
func (c *connection) answer(p plan) string {
	c.mu.Lock()
	local, version := c.agent.Local(), c.version
	c.mu.Unlock()
	w := &answerWriter{Builder: &strings.Builder{}}
	w.session(c, p, version)
	named := false // the transport's candidates
	for i := range p.sections {
		s := &p.sections[i]
		if !s.accepted() {
			w.reject(s)
			continue
		}
		w.accept(c, s, local)
		if !named {
			w.candidates(c.node().named())
			named = true
		}
	}
	return w.String()
}

// accepted says whether the answer takes a section: it is offered, and has a codec that
// is forwarded.
func (s *section) accepted() bool { return !s.stopped && len(s.payloads) > 0 }

type answerWriter struct{ *strings.Builder }

func (w *answerWriter) line(format string, args ...any) { fmt.Fprintf(w, format+"\r\n", args...) }

// session writes what is of all sections.
func (w *answerWriter) session(c *connection, p plan, version uint64) {
	w.line("v=0")
	w.line("o=- %d %d IN IP4 0.0.0.0", c.ssrc, version)
	w.line("s=-")
	w.line("t=0 0")
	w.bundle(p)
	w.line("a=ice-lite")
	w.line("a=extmap-allow-mixed")
	w.line("a=msid-semantic:WMS *")
	w.line("a=fingerprint:sha-256 %s", c.node().identity.fingerprint)
}

// bundle lists the sections that share the transport (RFC 9143, Section 7.3).
func (w *answerWriter) bundle(p plan) {
	w.WriteString("a=group:BUNDLE")
	for i := range p.sections {
		if p.sections[i].accepted() {
			w.WriteString(" " + p.sections[i].mid)
		}
	}
	w.WriteString("\r\n")
}

// reject answers a section that is stopped or offers nothing that is forwarded (RFC
// 3264, Section 6).
func (w *answerWriter) reject(s *section) {
	w.line("m=%s 0 UDP/TLS/RTP/SAVPF %s", s.kind, s.firstFormat)
	w.line("c=IN IP4 0.0.0.0")
	w.line("a=mid:%s", s.mid)
	w.line("a=inactive")
}

// accept answers a section that is taken.
func (w *answerWriter) accept(c *connection, s *section, local icelite.Credentials) {
	w.begin(s)
	w.line("a=ice-ufrag:%s", local.Ufrag)
	w.line("a=ice-pwd:%s", string(local.Password))
	w.formats(s)
	w.extensions(s)
	switch s.direction {
	case sendonly:
		w.uplink(s)
	case recvonly:
		w.slot(c, s)
	default:
		w.line("a=inactive")
	}
}

func (w *answerWriter) candidates(list []Candidate) {
	for i, candidate := range list {
		w.line("a=candidate:%s", candidate.line(i))
	}
	w.line("a=end-of-candidates")
}

func (w *answerWriter) begin(s *section) {
	fmt.Fprintf(w, "m=%s 9 UDP/TLS/RTP/SAVPF", s.kind)
	for _, p := range s.payloads {
		fmt.Fprintf(w, " %d", p.payloadType)
		if p.rtx != 0 {
			fmt.Fprintf(w, " %d", p.rtx)
		}
	}
	w.WriteString("\r\n")
	w.line("c=IN IP4 0.0.0.0")
	w.line("a=mid:%s", s.mid)
	w.line("a=setup:passive")
	w.line("a=rtcp-mux")
	if s.reducedSize {
		w.line("a=rtcp-rsize")
	}
}

// formats names the codecs with the offer's own payload types.
func (w *answerWriter) formats(s *section) {
	for _, p := range s.payloads {
		w.line("a=rtpmap:%d %s", p.payloadType, p.rtpmap)
		if parameters := s.formatParameters(p); parameters != "" {
			w.line("a=fmtp:%d %s", p.payloadType, parameters)
		}
		switch {
		case p.transportCC && s.extensions.transportCC != 0:
			w.line("a=rtcp-fb:%d transport-cc", p.payloadType)
		case p.remb:
			w.line("a=rtcp-fb:%d goog-remb", p.payloadType)
		}
		if s.kind == videoKind {
			w.line("a=rtcp-fb:%d ccm fir", p.payloadType)
			w.line("a=rtcp-fb:%d nack", p.payloadType)
			w.line("a=rtcp-fb:%d nack pli", p.payloadType)
		}
		if p.rtx != 0 {
			w.line("a=rtpmap:%d rtx/90000", p.rtx)
			w.line("a=fmtp:%d apt=%d", p.rtx, p.payloadType)
		}
	}
}

// formatParameters are those offered. A microphone's Opus is asked for discontinuous
// transmission too (RFC 7587, Section 7.1), so that silence costs nothing.
func (s *section) formatParameters(p payload) string {
	_, said := parameter(p.parameters, "usedtx")
	if p.codec != codecOpus || s.direction != sendonly || s.source != Mic || said {
		return p.parameters
	}
	return strings.TrimPrefix(p.parameters+";usedtx=1", ";")
}

// extensions names those that are read, or written, with the offer's ids.
func (w *answerWriter) extensions(s *section) {
	up := s.direction == sendonly
	for _, e := range []struct {
		id   uint8
		uri  string
		used bool
	}{
		{s.extensions.mid, uriMID, true},
		{s.extensions.transportCC, uriTransportCC, true},
		{s.extensions.sendTime, uriSendTime, up && s.remb},
		{s.extensions.dependency, uriDependency, s.kind == videoKind},
		{s.extensions.level, uriLevel, up && s.kind == audioKind},
		{s.extensions.rid, uriRID, up && s.kind == videoKind},
		{s.extensions.repairedRID, uriRepairedRID, up && s.kind == videoKind},
	} {
		if e.id != 0 && e.used {
			w.line("a=extmap:%d %s", e.id, e.uri)
		}
	}
}

// uplink says that a source is received, with all of its encodings (RFC 8853).
func (w *answerWriter) uplink(s *section) {
	w.line("a=recvonly")
	for _, rid := range s.rids {
		w.line("a=rid:%s recv", rid)
	}
	if len(s.rids) > 0 {
		w.line("a=simulcast:recv %s", strings.Join(s.rids, ";"))
	}
}

// slot names the streams of a slot. Each slot has a media stream of its own: what
// belongs together changes.
func (w *answerWriter) slot(c *connection, s *section) {
	w.line("a=sendonly")
	c.intake.Lock()
	d := c.slotOf(s.mid)
	c.intake.Unlock()
	if d == nil {
		return
	}
	w.line("a=msid:slot-%s %s", s.mid, s.mid)
	ssrcs := []uint32{d.ssrc}
	if d.rtxSSRC != 0 {
		w.line("a=ssrc-group:FID %d %d", d.ssrc, d.rtxSSRC)
		ssrcs = append(ssrcs, d.rtxSSRC)
	}
	for _, ssrc := range ssrcs {
		w.line("a=ssrc:%d cname:conclave", ssrc)
		w.line("a=ssrc:%d msid:slot-%s %s", ssrc, s.mid, s.mid)
	}
}

// remote is what an offer says of the peer.
type remote struct {
	ufrag, password string
	fingerprints    []fingerprint
}

// sameIdentity says whether two offers are of one certificate.
func (r remote) sameIdentity(other remote) bool {
	return fmt.Sprint(r.fingerprints) == fmt.Sprint(other.fingerprints)
}

// Limits of what an offer says of the peer (RFC 8839, Section 5.4).
const (
	maxUfrag        = 256
	minPassword     = 22
	maxFingerprints = 8
)

// readRemote takes the parameters of the one transport: those of the first section that
// is used, or else of the session.
func readRemote(d *sdp.SessionDescription, sections []section) (r remote, err error) {
	at := 0
	for i := range sections {
		if !sections[i].stopped {
			at = i
			break
		}
	}
	media := d.MediaDescriptions[at]
	attribute := func(key string) string {
		if v, ok := media.Attribute(key); ok {
			return v
		}
		v, _ := d.Attribute(key)
		return v
	}
	r.ufrag, r.password = attribute("ice-ufrag"), attribute("ice-pwd")
	if n := len(r.ufrag); n < 4 || n > maxUfrag || strings.ContainsAny(r.ufrag, ": \t") {
		return r, fmt.Errorf("ice-ufrag of %d characters, 4 to %d", n, maxUfrag)
	}
	if n := len(r.password); n < minPassword || n > maxUfrag {
		return r, fmt.Errorf("ice-pwd of %d characters, %d to %d", n, minPassword, maxUfrag)
	}
	if setup := attribute("setup"); setup != "actpass" && setup != "active" {
		return r, fmt.Errorf("setup %q, not actpass or active", clip(setup))
	}
	for _, attributes := range [][]sdp.Attribute{media.Attributes, d.Attributes} {
		if len(r.fingerprints) > 0 {
			break
		}
		if r.fingerprints, err = readFingerprints(attributes); err != nil {
			return r, err
		}
	}
	if len(r.fingerprints) == 0 {
		return r, fmt.Errorf("no fingerprint by SHA-256, SHA-384 or SHA-512")
	}
	return r, nil
}

// readFingerprints takes those that count (RFC 8122, Section 5).
func readFingerprints(attributes []sdp.Attribute) (list []fingerprint, err error) {
	for _, a := range attributes {
		if a.Key != "fingerprint" {
			continue
		}
		algorithm, value, _ := strings.Cut(a.Value, " ")
		f := fingerprint{strings.ToLower(algorithm), strings.ToUpper(value)}
		if digests[f.algorithm] == nil {
			continue
		}
		if list = append(list, f); len(list) > maxFingerprints {
			return nil, fmt.Errorf("more than %d fingerprints", maxFingerprints)
		}
	}
	return list, nil
}
