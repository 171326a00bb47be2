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

// Rewrite writes to dst the descriptor that d was read from, with offset added to the
// frame number and the mask active of decode targets in it: a forwarder that changes
// which it forwards has to say so (Section A.4). It gives the size, or 0 if dst is too
// small; it takes at most [Grown] bytes more than the extension.
func (d *Descriptor) Rewrite(dst, extension []byte, offset uint16, active uint32) int {
	r := bitReader{bytes: extension}
	w := bitWriter{bytes: dst}
	w.copyFrom(&r, 8*mandatory)
	if len(extension) > mandatory {
		w.f(1, r.f(1)) // the structure's flag
		w.flag(true)
		r.f(1)
		w.copyFrom(&r, d.layout.structureEnd)
	} else {
		w.f(5, 1<<3)
	}
	w.f(len(d.Structure.Targets), active)
	r.at = d.layout.restFrom
	if len(extension) > mandatory {
		w.copyFrom(&r, d.layout.end)
	}
	size := w.pad()
	if w.short {
		return 0
	}
	Shift(dst[:size], offset)
	return size
}

// Grown is how many bytes a mask of active decode targets adds to a descriptor at most:
// flags and [MaxTargets] bits.
const Grown = 5
