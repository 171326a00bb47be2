package sfu

import "encoding/binary"

// NAL unit types (RFC 6184, Section 5.2; H.264, Table 7-1).
const (
	nalType   = 0x1f // of a NAL unit's first byte
	nalIDR    = 5
	nalSPS    = 7
	nalSTAPA  = 24
	nalFUA    = 28
	fuaStart  = 0x80 // of an FU-A's second byte
	nalSingle = 23   // the last of the types of single NAL units
)

// readH264 reads the types of the NAL units that start in the packet: senders leave
// them in clear. A key frame begins with its parameter sets or its first slice.
func readH264(payload []byte) (unit, bool) {
	if len(payload) < 2 {
		return unit{}, false
	}
	u := unit{payload: payload}
	switch t := payload[0] & nalType; {
	case t <= nalSingle:
		u.begins = beginsH264(payload[0])
	case t == nalSTAPA:
		u.begins = aggregateBegins(payload[1:])
	case t == nalFUA:
		u.begins = payload[1]&fuaStart != 0 && beginsH264(payload[1])
	}
	return u, true
}

func beginsH264(nal byte) bool { return nal&nalType == nalIDR || nal&nalType == nalSPS }

// aggregateBegins looks at the NAL units of an STAP-A (RFC 6184, Section 5.7.1): each
// has its size in two bytes before it.
func aggregateBegins(units []byte) bool {
	for len(units) > 2 {
		size := int(binary.BigEndian.Uint16(units))
		if beginsH264(units[2]) {
			return true
		}
		units = units[min(2+size, len(units)):]
	}
	return false
}
