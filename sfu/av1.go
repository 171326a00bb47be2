package sfu

// Bits of the AV1 aggregation header (RTP Payload Format For AV1, Section 4.4).
const (
	av1Continues = 0x80 // Z: begins with the rest of an OBU
	av1New       = 0x08 // N: the first packet of a coded video sequence
)

// readAV1 reads the aggregation header, and nothing of the frame.
func readAV1(payload []byte) (unit, bool) {
	if len(payload) < 2 {
		return unit{}, false
	}
	return unit{payload: payload, begins: payload[0]&(av1New|av1Continues) == av1New}, true
}
