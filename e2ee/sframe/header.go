package sframe

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

// KID names a key (RFC 9605, Section 4.4).
type KID uint64

// CTR counts the frames under one key. It never repeats.
type CTR uint64

// MaxHeaderSize is the size in bytes of the longest header: config byte, KID, CTR.
const MaxHeaderSize = 1 + 8 + 8

// ErrHeader says that a header is cut short.
var ErrHeader = errors.New("sframe: truncated header")

// Header is an SFrame header (RFC 9605, Section 4.3).
type Header struct {
	KID KID
	CTR CTR
}

// The config byte holds two fields of four bits, for KID and CTR: a flag, and
// either the value itself or, under the flag, its length in bytes less one.
const (
	extended  = 0x8 // X or Y
	maxInline = 0x7
	kidShift  = 4
)

// Append appends the header to dst, each field in its shortest form.
func (h Header) Append(dst []byte) []byte {
	kid, ctr := uint64(h.KID), uint64(h.CTR)
	dst = append(dst, configBits(kid)<<kidShift|configBits(ctr))
	return appendField(appendField(dst, kid), ctr)
}

// ParseHeader reads the header at the start of data and says how many bytes it
// takes. Like RFC 9605 it accepts fields that are longer than they need to be.
func ParseHeader(data []byte) (h Header, n int, err error) {
	if len(data) == 0 {
		return Header{}, 0, ErrHeader
	}
	kid, rest, err := parseField(data[0]>>kidShift, data[1:])
	if err != nil {
		return Header{}, 0, err
	}
	ctr, rest, err := parseField(data[0]&0xf, rest)
	if err != nil {
		return Header{}, 0, err
	}
	return Header{KID: KID(kid), CTR: CTR(ctr)}, len(data) - len(rest), nil
}

// Size is the number of bytes that Append appends.
func (h Header) Size() int {
	return 1 + fieldSize(uint64(h.KID)) + fieldSize(uint64(h.CTR))
}

func configBits(v uint64) byte {
	if v <= maxInline {
		return byte(v)
	}
	return extended | byte(fieldSize(v)-1)
}

// fieldSize is the number of bytes of v after the config byte.
func fieldSize(v uint64) int {
	if v <= maxInline {
		return 0
	}
	return (bits.Len64(v) + 7) / 8
}

func appendField(dst []byte, v uint64) []byte {
	var be [8]byte
	binary.BigEndian.PutUint64(be[:], v)
	return append(dst, be[8-fieldSize(v):]...)
}

func parseField(config byte, data []byte) (v uint64, rest []byte, err error) {
	if config&extended == 0 {
		return uint64(config), data, nil
	}
	n := int(config&maxInline) + 1
	if len(data) < n {
		return 0, nil, ErrHeader
	}
	for _, b := range data[:n] {
		v = v<<8 | uint64(b)
	}
	return v, data[n:], nil
}
