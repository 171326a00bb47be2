package sfu

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
)

// codec is a format of frames.
type codec uint8

const (
	codecNone codec = iota
	codecOpus
	codecVP8
	codecVP9  // profile 0
	codecAV1  // profile 0
	codecH264 // packetization mode 1 (RFC 6184, Section 6.3)
)

// codecNames are those of rtpmap attributes.
var codecNames = [...]string{"", "opus", "VP8", "VP9", "AV1", "H264"}

// String gives the name that an rtpmap attribute has.
func (c codec) String() string { return codecNames[c] }

// payload is one payload type of a section.
type payload struct {
	codec codec
	// payloadType is the codec's, rtx that of its retransmissions (RFC 4588); 0 for
	// none.
	payloadType, rtx uint8
	// parameters are those of the fmtp attribute, as offered; rtpmap is what follows the
	// payload type there.
	parameters, rtpmap string
	// transportCC and remb say which congestion feedback was offered.
	transportCC, remb bool
}

// payloadOf finds what a packet's payload type means: its codec, and whether it is a
// retransmission.
func (s *section) payloadOf(payloadType uint8) (p payload, repair, ok bool) {
	for _, p := range s.payloads {
		if p.payloadType == payloadType {
			return p, false, true
		}
		if p.rtx == payloadType && p.rtx != 0 {
			return p, true, true
		}
	}
	return payload{}, false, false
}

// types are the payload types under which codecs are sent in a slot; of several for one
// codec the first counts.
func (s *section) types() (types [numCodecs]payloadTypes) {
	for _, p := range s.payloads {
		if t := &types[p.codec]; t.media == 0 {
			*t = payloadTypes{p.payloadType, p.rtx}
		}
	}
	return types
}

// readPayloads finds the codecs that are forwarded.
func readPayloads(media *sdp.MediaDescription, k kind) ([]payload, error) {
	if n := len(media.MediaName.Formats); n > maxPayloads {
		return nil, fmt.Errorf("%d payload types, at most %d", n, maxPayloads)
	}
	rtpmaps, parameters := byPayloadType(media, "rtpmap"), byPayloadType(media, "fmtp")
	var list []payload
	repairs := map[string]uint8{} // payload types of RTX, by the one they are for
	for _, format := range media.MediaName.Formats {
		payloadType, err := strconv.ParseUint(format, 10, 7)
		if err != nil {
			continue // not RTP's
		}
		name, rest, _ := strings.Cut(rtpmaps[format], "/")
		if strings.EqualFold(name, "rtx") {
			if apt, ok := parameter(parameters[format], "apt"); ok {
				repairs[apt] = uint8(payloadType)
			}
			continue
		}
		c := codecOf(k, name, rest, parameters[format])
		if c == codecNone || !isPrintable(rtpmaps[format]+parameters[format]) {
			continue
		}
		list = append(list, payload{
			codec: c, payloadType: uint8(payloadType), parameters: parameters[format], rtpmap: rtpmaps[format],
		})
	}
	for i := range list {
		p := &list[i]
		p.rtx = repairs[strconv.Itoa(int(p.payloadType))]
		p.transportCC, p.remb = hasFeedback(media, p.payloadType, "transport-cc"), hasFeedback(media, p.payloadType, "goog-remb")
	}
	return list, nil
}

// byPayloadType sorts the values of attributes of the form "payload-type rest".
func byPayloadType(media *sdp.MediaDescription, key string) map[string]string {
	values := map[string]string{}
	for _, a := range media.Attributes {
		if a.Key != key {
			continue
		}
		if payloadType, rest, ok := strings.Cut(a.Value, " "); ok {
			values[payloadType] = rest
		}
	}
	return values
}

// codecOf knows the codecs that are forwarded: by name, clock rate and channels of
// their rtpmap attribute, and their parameters.
func codecOf(k kind, name, rate, parameters string) codec {
	if k == audioKind {
		if strings.EqualFold(name, "opus") && rate == "48000/2" {
			return codecOpus
		}
		return codecNone
	}
	if rate != "90000" {
		return codecNone
	}
	switch strings.ToUpper(name) {
	case "VP8":
		return codecVP8
	case "VP9":
		if profile, ok := parameter(parameters, "profile-id"); !ok || profile == "0" {
			return codecVP9
		}
	case "AV1":
		if profile, ok := parameter(parameters, "profile"); !ok || profile == "0" {
			return codecAV1
		}
	case "H264":
		if mode, _ := parameter(parameters, "packetization-mode"); mode == "1" {
			return codecH264
		}
	}
	return codecNone
}

// parameter finds one of an fmtp attribute: "a=1;b=2".
func parameter(parameters, name string) (string, bool) {
	for part := range strings.SplitSeq(parameters, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		if strings.EqualFold(key, name) {
			return value, true
		}
	}
	return "", false
}

// hasFeedback says whether a kind of RTCP feedback was offered for a payload type, or
// for all (RFC 4585, Section 4.2).
func hasFeedback(media *sdp.MediaDescription, payloadType uint8, what string) bool {
	return slices.ContainsFunc(media.Attributes, func(a sdp.Attribute) bool {
		of, kind, _ := strings.Cut(a.Value, " ")
		return a.Key == "rtcp-fb" && kind == what && (of == "*" || of == strconv.Itoa(int(payloadType)))
	})
}
