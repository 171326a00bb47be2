package sfu

import "github.com/conclave-sfu/conclave/sfu/layer"

// numCodecs is how many values a codec has.
const numCodecs = int(codecH264) + 1

// payloadTypes are those under which a codec goes out: its own and that of its
// retransmissions (RFC 4588); 0 for none.
type payloadTypes struct{ media, rtx uint8 }

// uplinkFormat says how the packets of one uplink section are to be read. It is
// immutable, and shared by the streams of the section.
type uplinkFormat struct {
	// codecs are by payload type; packets of no codec are not forwarded.
	codecs [128]codec
	// levelExtension is the id of the header extension of the audio level, ddExtension
	// that of the Dependency Descriptor; 0 for none.
	levelExtension, ddExtension uint8
	// rids are the encodings of a simulcast, in the offer's order.
	rids []string
}

// unit is what a packet's payload descriptor says: the packetiser's bytes before those
// of the frame.
type unit struct {
	// payload is what is forwarded.
	payload []byte
	// front is the whole descriptor but for its last byte, which is frontEnd; nil unless it
	// counts pictures and names their layers.
	front    []byte
	frontEnd byte
	// begins says that a key frame begins in this packet.
	begins bool
	// parameters says that the parameter sets of H.264 do.
	parameters bool
	// layered says that the rest is known.
	layered      bool
	starts, ends bool // of a frame
	// layer is the frame's; switches says that layers above it can be switched to from
	// here on, for temporal ones; independent that it refers to no earlier picture.
	layer                 layer.Layer
	switches, independent bool
}

// parsePayload reads the payload descriptor, and of codecs that have none the bytes at
// the front that senders leave in clear. It is false if the packet holds no byte of a
// frame. The payload is cut in place where a descriptor must not go out as it came.
func parsePayload(c codec, payload []byte) (unit, bool) {
	switch c {
	case codecVP8:
		return readVP8(payload)
	case codecVP9:
		return readVP9(payload)
	case codecAV1:
		return readAV1(payload)
	case codecH264:
		return readH264(payload)
	}
	return unit{payload: payload}, len(payload) > 0
}
