package bridge

import "encoding/binary"

// The functions that a message calls field by field are kept out of line: each call is
// small, the code behind it is not.

// reader takes a message apart. After the first field that is not there it reads nothing
// but zeros, and done says so.
type reader struct {
	rest   []byte
	failed bool
}

// take returns the next n bytes, a part of the message; nil if they are not there.
//
//go:noinline
func (r *reader) take(n uint32) []byte {
	if r.failed || uint64(len(r.rest)) < uint64(n) {
		r.failed = true
		return nil
	}
	v := r.rest[:n:n]
	r.rest = r.rest[n:]
	return v
}

//go:noinline
func (r *reader) uint8() uint8 {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

//go:noinline
func (r *reader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

//go:noinline
func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

// bytes reads bytes of any length; nil if it is 0.
//
//go:noinline
func (r *reader) bytes() []byte {
	if n := r.uint32(); n > 0 {
		return r.take(n)
	}
	return nil
}

// fill reads bytes of the length of dst.
//
//go:noinline
func (r *reader) fill(dst []byte) {
	b := r.bytes()
	if len(b) != len(dst) {
		r.failed = true
	}
	copy(dst, b)
}

//go:noinline
func (r *reader) text() string { return string(r.bytes()) }

// done says whether all fields were there and nothing is left over.
func (r *reader) done() error {
	if r.failed || len(r.rest) > 0 {
		return ErrMessage
	}
	return nil
}

//go:noinline
func appendUint32(dst []byte, n uint32) []byte { return binary.BigEndian.AppendUint32(dst, n) }

//go:noinline
func appendUint64(dst []byte, n uint64) []byte { return binary.BigEndian.AppendUint64(dst, n) }

//go:noinline
func appendBytes(dst, b []byte) []byte { return append(appendUint32(dst, uint32(len(b))), b...) }

//go:noinline
func appendText[T ~string](dst []byte, s T) []byte {
	return append(appendUint32(dst, uint32(len(s))), s...)
}
