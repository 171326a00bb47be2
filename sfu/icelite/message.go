package icelite

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/binary"
	"hash/crc32"
	"net/netip"
)

// The parts of a STUN message (RFC 8489, Section 5), in bytes.
const (
	headerSize      = 20
	magicCookie     = 0x2112a442
	transactionAt   = 8
	attributeHeader = 4
	integritySize   = sha1.Size
	fingerprintSize = 4
	fingerprintXOR  = 0x5354554e // (RFC 8489, Section 14.7)
)

// Types of messages (RFC 8489, Section 18.1).
const (
	bindingRequest = 0x0001
	bindingSuccess = 0x0101
	bindingError   = 0x0111
)

// Types of attributes (RFC 8489, Section 18.3; RFC 8445, Section 16.1).
const (
	attrUsername          = 0x0006
	attrIntegrity         = 0x0008
	attrErrorCode         = 0x0009
	attrUnknownAttributes = 0x000a
	attrXORMappedAddress  = 0x0020
	attrPriority          = 0x0024
	attrUseCandidate      = 0x0025
	attrFingerprint       = 0x8028
	attrControlled        = 0x8029
	attrControlling       = 0x802a

	optional = 0x8000 // and above: may be ignored
)

// maxUnknown is how many unknown attributes an answer names.
const maxUnknown = 8

// request is a Binding request, or an answer to one, whose parts are slices of the packet.
type request struct {
	transaction []byte // 12 bytes
	username    []byte
	// covered is what MESSAGE-INTEGRITY covers but for the length field, integrity its
	// value; nil for none.
	covered, integrity       []byte
	useCandidate, controlled bool
	unknown                  [maxUnknown]uint16
	unknowns                 int
}

// IsMessage says whether a packet is a STUN message by its first bits, its length and
// the magic cookie (RFC 8489, Section 6.3).
func IsMessage(packet []byte) bool {
	return len(packet) >= headerSize && packet[0]&0xc0 == 0 &&
		binary.BigEndian.Uint32(packet[4:]) == magicCookie &&
		int(binary.BigEndian.Uint16(packet[2:])) == len(packet)-headerSize
}

// parse reads a message of a kind. Printed says that a right FINGERPRINT is its last attribute.
// Nothing of it is authenticated.
func parse(packet []byte, kind uint16) (r request, printed, ok bool) {
	if !IsMessage(packet) || binary.BigEndian.Uint16(packet) != kind {
		return r, false, false
	}
	r.transaction = packet[transactionAt:headerSize]
	at := headerSize
	for at < len(packet) {
		if len(packet)-at < attributeHeader {
			return r, false, false
		}
		kind, size := binary.BigEndian.Uint16(packet[at:]), int(binary.BigEndian.Uint16(packet[at+2:]))
		value := packet[at+attributeHeader:]
		if size > len(value) {
			return r, false, false
		}
		if kind == attrFingerprint {
			printed = at+attributeHeader+fingerprintSize == len(packet) && size == fingerprintSize &&
				binary.BigEndian.Uint32(value) == fingerprint(packet[:at])
			return r, printed, printed
		}
		// What follows MESSAGE-INTEGRITY is ignored, but for FINGERPRINT (RFC 8489,
		// Section 14.5).
		if r.integrity == nil {
			r.take(packet[:at], kind, value[:size])
		}
		at += attributeHeader + (size+3)&^3
	}
	return r, false, at == len(packet)
}

// take notes an attribute; before is the message up to it.
func (r *request) take(before []byte, kind uint16, value []byte) {
	switch kind {
	case attrUsername:
		if r.username == nil {
			r.username = value
		}
	case attrIntegrity:
		r.covered, r.integrity = before, value
	case attrUseCandidate:
		r.useCandidate = true
	case attrControlled:
		r.controlled = true
	case attrPriority, attrControlling:
	default:
		if kind < optional && r.unknowns < maxUnknown {
			r.unknown[r.unknowns] = kind
			r.unknowns++
		}
	}
}

// isAuthentic checks MESSAGE-INTEGRITY with a short-term credential (RFC 8489,
// Section 9.1.3).
func (r *request) isAuthentic(password string) bool {
	if len(r.integrity) != integritySize {
		return false
	}
	return hmac.Equal(r.integrity, integrity(r.covered, password))
}

// integrity is the HMAC over a message as if it ended with MESSAGE-INTEGRITY.
func integrity(covered []byte, password string) []byte {
	var length [2]byte
	binary.BigEndian.PutUint16(length[:], uint16(len(covered)-headerSize+attributeHeader+integritySize))
	mac := hmac.New(sha1.New, []byte(password))
	mac.Write(covered[:2])
	mac.Write(length[:])
	mac.Write(covered[4:])
	return mac.Sum(nil)
}

// fingerprint is that of a message that ends before the attribute; the length field
// counts it already.
func fingerprint(covered []byte) uint32 { return crc32.ChecksumIEEE(covered) ^ fingerprintXOR }

// message builds one with the request's transaction, which begins with attributes
// and ends with MESSAGE-INTEGRITY and FINGERPRINT.
func (r *request) message(kind uint16, password string, attributes func([]byte) []byte) []byte {
	m := make([]byte, headerSize, 128)
	binary.BigEndian.PutUint16(m, kind)
	binary.BigEndian.PutUint32(m[4:], magicCookie)
	copy(m[transactionAt:], r.transaction)
	m = attributes(m)
	m = appendAttribute(m, attrIntegrity, integrity(m, password))
	binary.BigEndian.PutUint16(m[2:], uint16(len(m)-headerSize+attributeHeader+fingerprintSize))
	return appendAttribute(m, attrFingerprint, binary.BigEndian.AppendUint32(nil, fingerprint(m)))
}

// appendAttribute appends one, padded to 32 bits (RFC 8489, Section 14).
func appendAttribute(m []byte, kind uint16, value []byte) []byte {
	m = binary.BigEndian.AppendUint16(m, kind)
	m = binary.BigEndian.AppendUint16(m, uint16(len(value)))
	m = append(m, value...)
	return append(m, make([]byte, -len(value)&3)...)
}

// success answers with the address that the request came from (RFC 8489, Section 14.2).
func (r *request) success(password string, from netip.AddrPort) []byte {
	return r.message(bindingSuccess, password, func(m []byte) []byte {
		ip := from.Addr().Unmap().AsSlice()
		value := []byte{0, 1}
		if len(ip) == 16 {
			value[1] = 2
		}
		value = binary.BigEndian.AppendUint16(value, from.Port()^magicCookie>>16)
		value = append(value, ip...)
		for i := range ip {
			value[4+i] ^= m[4+i] // the magic cookie, then the transaction
		}
		return appendAttribute(m, attrXORMappedAddress, value)
	})
}

// failure answers with an error (RFC 8489, Section 14.8).
func (r *request) failure(password string, code int, reason string) []byte {
	return r.message(bindingError, password, func(m []byte) []byte {
		value := append([]byte{0, 0, byte(code / 100), byte(code % 100)}, reason...)
		m = appendAttribute(m, attrErrorCode, value)
		if r.unknowns == 0 {
			return m
		}
		var types []byte
		for _, kind := range r.unknown[:r.unknowns] {
			types = binary.BigEndian.AppendUint16(types, kind)
		}
		return appendAttribute(m, attrUnknownAttributes, types)
	})
}

// ufrags splits USERNAME: ours, a colon, the peer's (RFC 8445, Section 7.2.2).
func (r *request) ufrags() (local, remote []byte, ok bool) {
	return bytes.Cut(r.username, []byte{':'})
}
