package e2ee

import (
	"encoding/binary"
	"errors"
)

// errMalformed is what every decoder of this package says of bytes that it would
// not have written itself.
var errMalformed = errors.New("e2ee: malformed")

// These are called field by field, so they are kept out of line: in WebAssembly an append
// takes many times the bytes of a call.

//go:noinline
func appendUint16(dst []byte, v uint16) []byte { return binary.BigEndian.AppendUint16(dst, v) }

//go:noinline
func appendUint32(dst []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(dst, v) }

//go:noinline
func appendUint64(dst []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(dst, v) }

//go:noinline
func appendRaw(dst, v []byte) []byte { return append(dst, v...) }

// appendVector appends v with its length as an MLS variable-size vector
// (RFC 9420, Section 2.1.2). The longest vector written here has 32,000 bytes.
func appendVector(dst, v []byte) []byte {
	switch n := len(v); {
	case n < 1<<6:
		dst = append(dst, byte(n))
	case n < 1<<14:
		dst = appendUint16(dst, 1<<14|uint16(n))
	default:
		dst = appendUint32(dst, 2<<30|uint32(n))
	}
	return append(dst, v...)
}

// decoder reads big-endian fields. After the first field that is not there it
// reads zeros, and done reports the failure.
type decoder struct {
	rest   []byte
	failed bool
}

// take returns the next n bytes, a part of the input, or n zeros.
//
//go:noinline
func (d *decoder) take(n int) []byte {
	if d.failed || len(d.rest) < n {
		d.failed = true
		return make([]byte, n)
	}
	v := d.rest[:n]
	d.rest = d.rest[n:]
	return v
}

//go:noinline
func (d *decoder) uint8() uint8 { return d.take(1)[0] }

//go:noinline
func (d *decoder) uint16() uint16 { return binary.BigEndian.Uint16(d.take(2)) }

//go:noinline
func (d *decoder) uint32() uint32 { return binary.BigEndian.Uint32(d.take(4)) }

//go:noinline
func (d *decoder) uint64() uint64 { return binary.BigEndian.Uint64(d.take(8)) }

// vector reads a variable-size vector of less than 64 bytes, which is all that
// this package reads: longer ones are malformed.
func (d *decoder) vector() []byte {
	n := int(d.uint8())
	if n >= 1<<6 {
		d.failed = true
		return nil
	}
	return d.take(n)
}

// done says whether all fields were there and nothing is left over.
func (d *decoder) done() error {
	if d.failed || len(d.rest) != 0 {
		return errMalformed
	}
	return nil
}
