package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"
)

// errModule says that the bytes are not a module as Go's linker writes it.
var errModule = errors.New("not a WebAssembly module of Go's")

const (
	dataSection = 11

	// maxMemory bounds the image of the data segments, in bytes.
	maxMemory = 64 << 20
	// maxSegments is what engines accept (WebAssembly JavaScript Interface, "Limits").
	maxSegments = 100_000
	// minGap is how many zeros in a row it takes for another segment to be shorter than
	// the zeros: its header has 6 to 9 bytes.
	minGap = 9
)

var header = []byte("\x00asm\x01\x00\x00\x00")

// section is one section of a module, its body without id and size.
type section struct {
	id   byte
	body []byte
}

type module []section

func parseModule(b []byte) (module, error) {
	rest, ok := bytes.CutPrefix(b, header)
	if !ok {
		return nil, errModule
	}
	var m module
	for r := (reader{rest: rest}); len(r.rest) > 0; {
		s := section{id: r.byte()}
		s.body = r.take(r.uint())
		if r.failed {
			return nil, fmt.Errorf("%w: section %d is cut short", errModule, s.id)
		}
		m = append(m, s)
	}
	return m, nil
}

// section returns the body of the section with an id; nil if there is none.
func (m module) section(id byte) []byte {
	for _, s := range m {
		if s.id == id {
			return s.body
		}
	}
	return nil
}

// format writes the module with another data section.
func (m module) format(data []byte) []byte {
	out := bytes.Clone(header)
	for _, s := range m {
		if s.id == dataSection {
			s.body = data
		}
		out = binary.AppendUvarint(append(out, s.id), uint64(len(s.body)))
		out = append(out, s.body...)
	}
	return out
}

// readData returns the memory that the active segments of a data section make.
func readData(body []byte) ([]byte, error) {
	r := reader{rest: body}
	var image []byte
	for n := r.uint(); n > 0; n-- {
		mode, opcode, at, end := r.byte(), r.byte(), r.int(), r.byte()
		content := r.take(r.uint())
		if r.failed || mode != 0 || opcode != opI32Const || end != opEnd || at < 0 || at > maxMemory-int64(len(content)) {
			return nil, fmt.Errorf("%w: a data segment of another kind", errModule)
		}
		if grow := int(at) + len(content) - len(image); grow > 0 {
			image = append(image, make([]byte, grow)...)
		}
		copy(image[at:], content)
	}
	if r.failed || len(r.rest) > 0 {
		return nil, fmt.Errorf("%w: data section", errModule)
	}
	return image, nil
}

const (
	opI32Const = 0x41
	opEnd      = 0x0b
)

// formatData writes a data section that makes image, without its longer runs of zeros: a
// memory is zero at first.
func formatData(image []byte) ([]byte, error) {
	var segments []byte
	n := 0
	for at := skipZeros(image, 0); at < len(image); n++ {
		end := segmentEnd(image, at)
		segments = appendInt(append(segments, 0, opI32Const), int64(at))
		segments = binary.AppendUvarint(append(segments, opEnd), uint64(end-at))
		segments = append(segments, image[at:end]...)
		at = skipZeros(image, end)
	}
	if n > maxSegments {
		return nil, fmt.Errorf("%d data segments, more than engines accept", n)
	}
	return append(binary.AppendUvarint(nil, uint64(n)), segments...), nil
}

// segmentEnd is where the first run of at least minGap zeros after at begins.
func segmentEnd(image []byte, at int) int {
	end := at
	for next := at; next < len(image) && next-end < minGap; next = skipZeros(image, end) {
		end = next
		for end < len(image) && image[end] != 0 {
			end++
		}
	}
	return end
}

func skipZeros(image []byte, at int) int {
	for at < len(image) && image[at] == 0 {
		at++
	}
	return at
}

// appendInt appends a signed LEB128 number (WebAssembly Core, Section 5.2.2).
func appendInt(dst []byte, v int64) []byte {
	for n := bits.Len64(uint64(v))/7 + 1; n > 1; n-- {
		dst = append(dst, byte(v)|0x80)
		v >>= 7
	}
	return append(dst, byte(v)&0x7f)
}

// reader takes fields off rest. After the first that is not there it reads zeros.
type reader struct {
	rest   []byte
	failed bool
}

func (r *reader) take(n uint64) []byte {
	if r.failed || n > uint64(len(r.rest)) {
		r.failed = true
		return nil
	}
	v := r.rest[:n]
	r.rest = r.rest[n:]
	return v
}

func (r *reader) byte() byte {
	if v := r.take(1); v != nil {
		return v[0]
	}
	return 0
}

// uint reads an unsigned LEB128 number.
func (r *reader) uint() uint64 {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 {
		r.failed = true
		return 0
	}
	r.take(uint64(n))
	return v
}

// int reads a signed LEB128 number of at most 32 bits.
func (r *reader) int() int64 {
	var v int64
	for shift := 0; shift < 35; shift += 7 {
		b := r.byte()
		v |= int64(b&0x7f) << shift
		if b&0x80 == 0 {
			return v << (57 - shift) >> (57 - shift)
		}
	}
	r.failed = true
	return 0
}
