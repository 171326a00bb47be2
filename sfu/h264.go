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
// them in clear. A key frame begins with its parameter sets or, of senders that put none
// before it, with its first slice.
func readH264(payload []byte) (unit, bool) {
	if len(payload) < 2 {
		return unit{}, false
	}
	u := unit{payload: payload}
	switch t := payload[0] & nalType; {
	case t <= nalSingle:
		u.has(payload[0])
	case t == nalSTAPA:
		u.hasAggregate(payload[1:])
	case t == nalFUA && payload[1]&fuaStart != 0:
		u.has(payload[1])
	}
	return u, true
}

// has takes what a NAL unit that starts in the packet is.
func (u *unit) has(nal byte) {
	u.begins = u.begins || nal&nalType == nalIDR || nal&nalType == nalSPS
	u.parameters = u.parameters || nal&nalType == nalSPS
}

// hasAggregate looks at the NAL units of an STAP-A (RFC 6184, Section 5.7.1): each has its
// size in two bytes before it.
func (u *unit) hasAggregate(units []byte) {
	for len(units) > 2 {
		size := int(binary.BigEndian.Uint16(units))
		u.has(units[2])
		units = units[min(2+size, len(units)):]
	}
}
