package sfu

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"
)

// Limits of an offer.
const (
	maxSDP      = 256 << 10 // bytes; 100 video and 16 audio slots take 151 kB
	maxSections = 128       // media sections, also those no longer in use: one takes most of a millisecond
	maxSources  = 8         // sendonly media sections
	maxMID      = 32        // characters
	maxRIDs     = 3         // encodings of one media section
)

// The header extensions that the forwarder knows.
const (
	uriMID   = sdp.SDESMidURI
	uriLevel = sdp.AudioLevelURI
)

// plan is what an offer asks for.
type plan struct {
	// sdp is the offer without candidates: an ICE-lite agent learns the addresses of
	// its peer from the peer's checks (RFC 8445, Section 7.3.1.3), and nobody makes
	// it send elsewhere.
	sdp      string
	sections []section
}

// section is one media section of an offer.
type section struct {
	mid       string
	kind      webrtc.RTPCodecType
	direction direction
	// source is what a sendonly section carries.
	source Source
	// midExtension is the id of the header extension for the mid, levelExtension that
	// of the audio level; 0 if it was not offered.
	midExtension, levelExtension uint8
}

type direction uint8

const (
	inactive direction = iota
	sendonly           // an uplink
	recvonly           // a slot
)

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
		s, err := readSection(media, o.Sources)
		if err != nil {
			return plan{}, fmt.Errorf("media section %d: %w", i, err)
		}
		p.sections = append(p.sections, s)
	}
	if err := p.check(o.Sources); err != nil {
		return plan{}, err
	}
	dropCandidates(&description)
	raw, err := description.Marshal()
	p.sdp = string(raw)
	return p, err
}

func readSection(media *sdp.MediaDescription, sources map[string]Source) (section, error) {
	s := section{kind: webrtc.NewRTPCodecType(media.MediaName.Media)}
	if s.kind == 0 {
		return s, fmt.Errorf("unknown medium %q", clip(media.MediaName.Media))
	}
	s.mid, _ = media.Attribute("mid")
	if s.mid == "" || len(s.mid) > maxMID {
		return s, fmt.Errorf("mid of %d characters, 1 to %d", len(s.mid), maxMID)
	}
	var err error
	if s.direction, err = readDirection(media); err != nil {
		return s, err
	}
	rids := 0
	for _, a := range media.Attributes {
		switch a.Key {
		case "rid":
			rids++
		case "extmap":
			if err := s.readExtension(a.Value); err != nil {
				return s, err
			}
		}
	}
	if rids > maxRIDs {
		return s, fmt.Errorf("%d encodings, at most %d", rids, maxRIDs)
	}
	if s.direction == sendonly {
		source, ok := sources[s.mid]
		if !ok || source >= numSources {
			return s, fmt.Errorf("sendonly, but no source for mid %q", s.mid)
		}
		if source.Audio() != (s.kind == webrtc.RTPCodecTypeAudio) {
			return s, fmt.Errorf("%s for source %s", s.kind, source)
		}
		s.source = source
	}
	return s, nil
}

// readDirection wants a direction said: what a slot is and what an uplink must not
// come from a default. A section with port 0 is rejected or stopped, unless it is
// bundle-only (RFC 8843, Section 6).
func readDirection(media *sdp.MediaDescription) (direction, error) {
	if _, bundleOnly := media.Attribute("bundle-only"); media.MediaName.Port.Value == 0 && !bundleOnly {
		return inactive, nil
	}
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
	switch fields[1] {
	case uriMID:
		s.midExtension = uint8(id)
	case uriLevel:
		s.levelExtension = uint8(id)
	}
	return nil
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

func dropCandidates(d *sdp.SessionDescription) {
	d.Attributes = withoutCandidates(d.Attributes)
	for _, media := range d.MediaDescriptions {
		media.Attributes = withoutCandidates(media.Attributes)
	}
}

func withoutCandidates(attributes []sdp.Attribute) []sdp.Attribute {
	var kept []sdp.Attribute
	for _, a := range attributes {
		if a.Key != "candidate" && a.Key != "remote-candidates" && a.Key != "end-of-candidates" {
			kept = append(kept, a)
		}
	}
	return kept
}

// clip shortens what others wrote for an error.
func clip(s string) string { return s[:min(len(s), 40)] }
