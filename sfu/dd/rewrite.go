package dd

import "encoding/binary"

// Shift adds offset to the frame number of a descriptor, in place. It is all that a
// forwarder has to change at a switch of sources: differences stay what they are. It
// does nothing to what is shorter than a descriptor.
func Shift(extension []byte, offset uint16) {
	if len(extension) >= mandatory {
		number := extension[1:mandatory]
		binary.BigEndian.PutUint16(number, binary.BigEndian.Uint16(number)+offset)
	}
}

// Grown is how many bytes a mask of active decode targets adds to a descriptor at most:
// flags and [MaxTargets] bits.
const Grown = 5

// Rewrite writes to dst a descriptor that was read with a structure, its own or an
// earlier one, with offset added to the frame number and the mask active of decode
// targets in it: a forwarder that changes which it forwards has to say so (Section A.4).
// It gives the size, or 0 if dst is too small or the descriptor is no such one; it takes
// at most [Grown] bytes more than the extension.
func Rewrite(dst, extension []byte, s *Structure, offset uint16, active uint32) int {
	if len(extension) < mandatory {
		return 0
	}
	r := bitReader{bytes: extension}
	w := bitWriter{bytes: dst}
	w.copyFrom(&r, 8*mandatory)
	var has flags
	if len(extension) > mandatory {
		has = readFlags(&r)
	}
	for _, f := range []bool{has.structure, true, has.indications, has.diffs, has.chains} {
		w.flag(f)
	}
	if has.structure {
		from := r.at
		if !r.repeats(s.bits) {
			return 0
		}
		w.copyFrom(&bitReader{bytes: extension, at: from}, r.at)
	}
	if has.active {
		r.f(len(s.Targets))
	}
	w.f(len(s.Targets), active)
	w.copyFrom(&r, 8*len(extension))
	size := w.pad()
	if w.short || r.short {
		return 0
	}
	Shift(dst[:size], offset)
	return size
}
