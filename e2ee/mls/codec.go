package mls

import (
	"encoding/binary"
	"strconv"

	"github.com/conclave-sfu/conclave/e2ee/internal/fail"
)

// maxInput bounds every message before a byte of it is looked at. A Welcome for
// a full room, with hybrid keys and sealed identities, stays below 6 MB.
const maxInput = 8 << 20

// maxVarint is the largest length a variable-size vector can announce: 30 bits
// (RFC 9420, Section 2.1.2).
const maxVarint = 1<<30 - 1

// reader decodes the TLS presentation language as RFC 9420 uses it. The first
// error sticks: what is read after it is zero, so that a decoder reads a whole
// structure and asks for the error once. Slices alias the input; nothing is
// allocated from a length that the input does not hold, and no list grows longer than its
// bound. An element takes up to 60 times the memory of its shortest encoding, and a commit
// of the shortest elements 11 MB: a decoder takes at most twice its input and 12 MiB.
type reader struct {
	b   []byte
	err error
}

// decode runs f over the whole of b. Bytes left over are an error.
func decode(what string, b []byte, f func(r *reader)) error {
	if len(b) > maxInput {
		return fail.With(ErrMalformed, what+" of "+strconv.Itoa(len(b))+" bytes")
	}
	r := &reader{b: b}
	f(r)
	if r.err == nil && len(r.b) > 0 {
		r.malformed(strconv.Itoa(len(r.b)) + " bytes left over")
	}
	if r.err != nil {
		return fail.At(what, r.err)
	}
	return nil
}

// fail records err, unless there was an error before.
//
//go:noinline
func (r *reader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.b = nil
}

// malformed records that the input is not the encoding of anything.
func (r *reader) malformed(text string) {
	r.fail(fail.With(ErrMalformed, text))
}

// more reports whether a vector has elements left to read.
func (r *reader) more() bool { return r.err == nil && len(r.b) > 0 }

// The small readers and writers are not inlined: they occur some 500 times, and in
// WebAssembly every inlined append is 150 bytes, 100 kB in all.

// take returns the next n bytes, without copying.
//
//go:noinline
func (r *reader) take(n int) []byte {
	if r.err != nil || n < 0 || n > len(r.b) {
		r.malformed("truncated")
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

//go:noinline
func (r *reader) u8() uint8 {
	if v := r.take(1); v != nil {
		return v[0]
	}
	return 0
}

//go:noinline
func (r *reader) u16() uint16 {
	if v := r.take(2); v != nil {
		return binary.BigEndian.Uint16(v)
	}
	return 0
}

//go:noinline
func (r *reader) u32() uint32 {
	if v := r.take(4); v != nil {
		return binary.BigEndian.Uint32(v)
	}
	return 0
}

//go:noinline
func (r *reader) u64() uint64 {
	if v := r.take(8); v != nil {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}

// varint reads the length of a variable-size vector. A longer encoding than
// needed is an error (RFC 9420, Section 2.1.2).
func (r *reader) varint() int {
	first := r.u8()
	v := int(first & 0x3f)
	switch first >> 6 {
	case 0:
		return v
	case 1:
		v = v<<8 | int(r.u8())
		if v < 1<<6 {
			r.malformed("length not minimal")
		}
	case 2:
		v = v<<8 | int(r.u8())
		v = v<<16 | int(r.u16())
		if v < 1<<14 {
			r.malformed("length not minimal")
		}
	default:
		r.malformed("length prefix 3")
	}
	if r.err != nil {
		return 0
	}
	return v
}

// vec reads opaque<V>.
//
//go:noinline
func (r *reader) vec() []byte { return r.take(r.varint()) }

// list reads a vector of structures, at most limit of them, which must be more than the
// profile needs: f is called while the vector has bytes.
func (r *reader) list(limit int, f func(r *reader)) {
	sub := &reader{b: r.vec()}
	for n := 0; sub.more(); n++ {
		if n == limit {
			sub.fail(fail.With(ErrProfile, "list of more than "+strconv.Itoa(limit)))
			break
		}
		f(sub)
	}
	if sub.err != nil {
		r.fail(sub.err)
	}
}

// optional reads the presence byte of optional<T>.
//
//go:noinline
func (r *reader) optional() bool {
	switch r.u8() {
	case 0:
		return false
	case 1:
		return r.err == nil
	}
	r.malformed("presence byte neither 0 nor 1")
	return false
}

// maxCodePoints bounds a list of code points: far more than all registries of MLS and
// GREASE. Each that a group requires is looked for among those of each leaf.
const maxCodePoints = 256

// u16s reads a vector of uint16, which are code points.
func (r *reader) u16s() []uint16 {
	b := r.vec()
	if len(b)%2 != 0 {
		r.malformed("half a uint16")
	}
	if len(b)/2 > maxCodePoints {
		r.fail(fail.With(ErrProfile, "list of more than "+strconv.Itoa(maxCodePoints)))
	}
	if r.err != nil || len(b) == 0 {
		return nil
	}
	out := make([]uint16, len(b)/2)
	for i := range out {
		out[i] = binary.BigEndian.Uint16(b[2*i:])
	}
	return out
}

// since returns the bytes between an earlier view of the input and now.
//
//go:noinline
func (r *reader) since(start []byte) []byte {
	if r.err != nil {
		return nil
	}
	n := len(start) - len(r.b)
	return start[:n:n]
}

// appendVarint appends a vector's length. It panics above 30 bits: no structure
// of ours comes near.
//
//go:noinline
func appendVarint(b []byte, n int) []byte {
	switch {
	case n < 1<<6:
		return append(b, byte(n))
	case n < 1<<14:
		return binary.BigEndian.AppendUint16(b, 1<<14|uint16(n))
	case n <= maxVarint:
		return binary.BigEndian.AppendUint32(b, 2<<30|uint32(n))
	}
	panic("mls: vector too long")
}

// appendVec appends opaque<V>.
//
//go:noinline
func appendVec[T ~[]byte | ~string](b []byte, v T) []byte {
	return append(appendVarint(b, len(v)), v...)
}

// appendList appends a vector whose bytes f writes.
func appendList(b []byte, f func(b []byte) []byte) []byte {
	return appendVec(b, f(nil))
}

//go:noinline
func appendU16(b []byte, v uint16) []byte { return binary.BigEndian.AppendUint16(b, v) }

//go:noinline
func appendU32(b []byte, v uint32) []byte { return binary.BigEndian.AppendUint32(b, v) }

//go:noinline
func appendU64(b []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(b, v) }

// appendU16s appends a vector of uint16.
func appendU16s(b []byte, vs []uint16) []byte {
	b = appendVarint(b, 2*len(vs))
	for _, v := range vs {
		b = appendU16(b, v)
	}
	return b
}
