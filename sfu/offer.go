package sfu

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
)

// Limits of an offer.
const (
	maxSDP        = 256 << 10 // bytes; 100 video and 16 audio slots take 151 kB
	maxSections   = 128       // media sections, also those no longer in use
	maxSources    = 8         // sendonly media sections
	maxMID        = 32        // characters
	maxRIDs       = 3         // encodings of one media section
	maxSSRCs      = 16        // of one media section
	maxPayloads   = 128       // payload types of one media section: there are no more
	maxExtensions = 64        // header extensions of one media section
)

// The header extensions that the forwarder knows.
const (
	uriMID         = sdp.SDESMidURI
	uriRID         = sdp.SDESRTPStreamIDURI
	uriRepairedRID = sdp.SDESRepairRTPStreamIDURI
	uriLevel       = sdp.AudioLevelURI
	uriTransportCC = sdp.TransportCCURI
	uriSendTime    = sdp.ABSSendTimeURI
	uriDependency  = "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension"
)

// plan is what an offer asks for.
type plan struct {
	// remote is the peer. Its candidates do not matter: an ICE-lite agent learns
	// addresses from the peer's checks (RFC 8445, Section 7.3.1.3), and nobody makes it
	// send elsewhere.
	remote   remote
	sections []section
}

// section is one media section of an offer.
type section struct {
	mid       string
	kind      kind
	direction direction
	// stopped says that the section is not used any more, or cannot be; the answer
	// rejects it, with the first of its formats.
	stopped     bool
	firstFormat string
	reducedSize bool // RTCP need not be compound (RFC 5506)
	// source is what a sendonly section carries.
	source Source
	// extensions are the ids of the header extensions that were offered.
	extensions extensions
	// payloads are the codecs that are forwarded, as the offer prefers them.
	payloads []payload
	// rids are the encodings of a simulcast (RFC 8853), in the offer's order.
	rids []string
	// ssrcs are the streams that a sendonly section names (RFC 5576); none where the
	// encodings have rids only.
	ssrcs []ssrcPair
	// remb says that a sender takes REMB, and nothing better.
	remb bool
}

// kind is the medium of a section.
type kind uint8

const (
	audioKind kind = iota + 1
	videoKind
)

// String gives the word of the m line.
func (k kind) String() string {
	return map[kind]string{audioKind: "audio", videoKind: "video"}[k]
}

type direction uint8

const (
	inactive direction = iota
	sendonly           // an uplink
	recvonly           // a slot
)

// extensions are the ids of the header extensions that the forwarder knows (RFC
// 8285); 0 for what was not offered. From 15 on an id needs two-byte headers.
type extensions struct {
	mid, rid, repairedRID, level, transportCC, sendTime uint8
	// dependency is that of the Dependency Descriptor (AV1 RTP specification,
	// appendix A).
	dependency uint8
}

// byURI gives the place of an extension's id; nil for one that is not known.
func (e *extensions) byURI(uri string) *uint8 {
	switch uri {
	case uriMID:
		return &e.mid
	case uriRID:
		return &e.rid
	case uriRepairedRID:
		return &e.repairedRID
	case uriLevel:
		return &e.level
	case uriTransportCC:
		return &e.transportCC
	case uriSendTime:
		return &e.sendTime
	case uriDependency:
		return &e.dependency
	}
	return nil
}

// format says how the packets of an uplink are to be read.
func (s *section) format() *uplinkFormat {
	f := &uplinkFormat{levelExtension: s.extensions.level, ddExtension: s.extensions.dependency, rids: s.rids}
	for _, p := range s.payloads {
		f.codecs[p.payloadType] = p.codec
	}
	return f
}

// ssrcPair is a stream, and that of its retransmissions; 0 for none.
type ssrcPair struct{ media, rtx uint32 }

// parseOffer checks an offer. Errors wrap [ErrBadOffer].
func parseOffer(o Offer) (plan, error) {
	p, err := readOffer(o)
	if err != nil {
		return plan{}, fmt.Errorf("%w: %w", ErrBadOffer, err)
	}
	return p, nil
}

func readOffer(o Offer) (plan, error) {
	if o.Connection == 0 {
		return plan{}, fmt.Errorf("connection 0")
	}
	if len(o.SDP) > maxSDP {
		return plan{}, fmt.Errorf("SDP of %d bytes, at most %d", len(o.SDP), maxSDP)
	}
	var description sdp.SessionDescription
	if err := description.UnmarshalString(o.SDP); err != nil {
		return plan{}, err
	}
	if n := len(description.MediaDescriptions); n == 0 || n > maxSections {
		return plan{}, fmt.Errorf("%d media sections, 1 to %d", n, maxSections)
	}
	p := plan{sections: make([]section, 0, len(description.MediaDescriptions))}
	for i, media := range description.MediaDescriptions {
		s, err := readSection(media, o.Sources, bundled(&description))
		if err != nil {
			return plan{}, fmt.Errorf("media section %d: %w", i, err)
		}
		p.sections = append(p.sections, s)
	}
	if err := p.check(o.Sources); err != nil {
		return plan{}, err
	}
	var err error
	p.remote, err = readRemote(&description, p.sections)
	return p, err
}

// bundled says which mids share the one transport (RFC 9143): all, where nothing is said.
func bundled(d *sdp.SessionDescription) func(mid string) bool {
	for _, a := range d.Attributes {
		if mids, ok := strings.CutPrefix(a.Value, "BUNDLE "); ok && a.Key == "group" {
			list := strings.Fields(mids)
			return func(mid string) bool { return slices.Contains(list, mid) }
		}
	}
	return func(string) bool { return true }
}

// readSection takes a media section: of one that is stopped no more than its answer needs.
func readSection(media *sdp.MediaDescription, sources map[string]Source, bundled func(string) bool) (s section, err error) {
	if err := s.readName(media); err != nil {
		return s, err
	}
	_, bundleOnly := media.Attribute("bundle-only")
	s.stopped = media.MediaName.Port.Value == 0 && !bundleOnly || !bundled(s.mid)
	if s.stopped {
		return s, nil
	}
	if _, muxed := media.Attribute("rtcp-mux"); !muxed {
		return s, fmt.Errorf("no rtcp-mux")
	}
	if s.direction, err = readDirection(media); err != nil {
		return s, err
	}
	if err := s.readStreams(media); err != nil {
		return s, err
	}
	if s.payloads, err = readPayloads(media, s.kind); err != nil {
		return s, err
	}
	_, s.reducedSize = media.Attribute("rtcp-rsize")
	s.remb = s.usesREMB()
	return s, s.readSource(sources)
}

// readName takes what every answer repeats: the medium, the mid and a format.
func (s *section) readName(media *sdp.MediaDescription) error {
	switch media.MediaName.Media {
	case "audio":
		s.kind = audioKind
	case "video":
		s.kind = videoKind
	default:
		return fmt.Errorf("unknown medium %q", clip(media.MediaName.Media))
	}
	s.mid, _ = media.Attribute("mid")
	if s.mid == "" || len(s.mid) > maxMID {
		return fmt.Errorf("mid of %d characters, 1 to %d", len(s.mid), maxMID)
	}
	if !isToken(s.mid) {
		return fmt.Errorf("mid %q", clip(s.mid))
	}
	if s.firstFormat = "0"; len(media.MediaName.Formats) > 0 && isToken(media.MediaName.Formats[0]) {
		s.firstFormat = media.MediaName.Formats[0]
	}
	return nil
}

// readSource finds what an uplink carries.
func (s *section) readSource(sources map[string]Source) error {
	if s.direction != sendonly {
		return nil
	}
	source, ok := sources[s.mid]
	if !ok || source >= numSources {
		return fmt.Errorf("sendonly, but no source for mid %q", s.mid)
	}
	if source.Audio() != (s.kind == audioKind) {
		return fmt.Errorf("%s for source %s", s.kind, source)
	}
	s.source = source
	return nil
}

// readDirection wants a direction said: what a slot is and what an uplink must not
// come from a default.
func readDirection(media *sdp.MediaDescription) (direction, error) {
	for _, a := range media.Attributes {
		switch a.Key {
		case "sendonly":
			return sendonly, nil
		case "recvonly":
			return recvonly, nil
		case "inactive":
			return inactive, nil
		}
	}
	return inactive, fmt.Errorf("neither sendonly nor recvonly nor inactive")
}

// readStreams takes the header extensions, encodings and SSRCs.
func (s *section) readStreams(media *sdp.MediaDescription) error {
	extensions := 0
	for _, a := range media.Attributes {
		var err error
		switch a.Key {
		case "rid":
			id, direction, _ := strings.Cut(a.Value, " ")
			if !isToken(id) || slices.Contains(s.rids, id) {
				err = fmt.Errorf("rid %q", clip(id))
			}
			if sending, _, _ := strings.Cut(direction, " "); sending == "send" {
				s.rids = append(s.rids, id)
			}
		case "extmap":
			extensions++
			err = s.readExtension(a.Value)
		case "ssrc":
			err = s.readSSRC(a.Value)
		case "ssrc-group":
			err = s.readGroup(a.Value)
		}
		switch {
		case err != nil:
			return err
		case len(s.rids) > maxRIDs:
			return fmt.Errorf("%d encodings, at most %d", len(s.rids), maxRIDs)
		case len(s.ssrcs) > maxSSRCs:
			return fmt.Errorf("more than %d SSRCs", maxSSRCs)
		case extensions > maxExtensions:
			return fmt.Errorf("more than %d header extensions", maxExtensions)
		}
	}
	return nil
}

// readExtension takes the value of an extmap attribute (RFC 8285, Section 5):
// "id[/direction] URI [attributes]".
func (s *section) readExtension(value string) error {
	fields := strings.Fields(value)
	if len(fields) < 2 {
		return fmt.Errorf("extmap %q", clip(value))
	}
	number, _, _ := strings.Cut(fields[0], "/")
	id, err := strconv.ParseUint(number, 10, 8)
	if err != nil || id == 0 {
		return fmt.Errorf("extmap id %q", clip(number))
	}
	if place := s.extensions.byURI(fields[1]); place != nil {
		*place = uint8(id)
	}
	return nil
}

// readSSRC takes the value of an ssrc attribute (RFC 5576, Section 4.1): "ssrc
// attribute".
func (s *section) readSSRC(value string) error {
	number, _, _ := strings.Cut(value, " ")
	ssrc, err := parseSSRC(number)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(s.ssrcs, func(p ssrcPair) bool { return p.media == ssrc || p.rtx == ssrc }) {
		s.ssrcs = append(s.ssrcs, ssrcPair{media: ssrc})
	}
	return nil
}

// readGroup takes the value of an ssrc-group attribute (RFC 5576, Section 4.2), if it
// pairs a stream with its retransmissions (RFC 4588, Section 8.7).
func (s *section) readGroup(value string) error {
	fields := strings.Fields(value)
	if len(fields) != 3 || fields[0] != "FID" {
		return nil
	}
	media, err := parseSSRC(fields[1])
	if err != nil {
		return err
	}
	rtx, err := parseSSRC(fields[2])
	if err != nil {
		return err
	}
	s.ssrcs = slices.DeleteFunc(s.ssrcs, func(p ssrcPair) bool { return p.media == media || p.media == rtx })
	s.ssrcs = append(s.ssrcs, ssrcPair{media, rtx})
	return nil
}

func parseSSRC(text string) (uint32, error) {
	ssrc, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("SSRC %q", clip(text))
	}
	return uint32(ssrc), nil
}

// check looks at the sections together.
func (p *plan) check(sources map[string]Source) error {
	mids, taken := map[string]bool{}, map[Source]bool{}
	for _, s := range p.sections {
		if mids[s.mid] {
			return fmt.Errorf("two sections with mid %q", s.mid)
		}
		mids[s.mid] = true
		if s.direction != sendonly {
			continue
		}
		if taken[s.source] {
			return fmt.Errorf("two sections for source %s", s.source)
		}
		taken[s.source] = true
	}
	if len(sources) > maxSources {
		return fmt.Errorf("%d sources, at most %d", len(sources), maxSources)
	}
	return nil
}

// isToken says whether text can stand in an answer (RFC 8866, Section 9: token).
func isToken(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' })
}

// isPrintable says whether text can stand in a line of an answer.
func isPrintable(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' })
}

// clip shortens what others wrote for an error.
func clip(s string) string { return s[:min(len(s), 40)] }
