package sfu

import "encoding/binary"

// DTLS records (RFC 6347, Section 4.1; RFC 5246, Section 6.2.1).
const (
	recordHeader           = 13 // bytes
	recordChangeCipherSpec = 20
	recordHandshake        = 22
)

// sift appends to dst the records of a DTLS datagram that may change something. Of those
// in clear, which anybody can forge who knows the peer's address, only handshake
// messages and the change of cipher count: an alert in clear would end the connection
// (RFC 6347, Section 4.1.2.7, wants invalid records discarded), and so would, inside
// Pion, whatever else in clear it cannot read. What is sealed speaks for itself. From the
// first record on that is cut short the rest is left out.
func sift(dst, datagram []byte) []byte {
	for len(datagram) >= recordHeader {
		end := recordHeader + int(binary.BigEndian.Uint16(datagram[11:]))
		if end > len(datagram) {
			break
		}
		if counts(datagram[:end]) {
			dst = append(dst, datagram[:end]...)
		}
		datagram = datagram[end:]
	}
	return dst
}

// counts says whether a record may change something. A change of cipher is never sealed
// (Pion takes it for good in any epoch), and there is one, from the first epoch to the next.
func counts(record []byte) bool {
	body, clear := record[recordHeader:], binary.BigEndian.Uint16(record[3:]) == 0
	switch record[0] {
	case recordChangeCipherSpec: // RFC 5246, Section 7.1
		return clear && len(body) == 1 && body[0] == 1
	case recordHandshake:
		return len(body) > 0
	default:
		return !clear
	}
}
