package dd

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Errors of [Reader.Read]; they come wrapped.
var (
	// ErrMalformed: the descriptor is too short, or has more than the limits allow.
	ErrMalformed = errors.New("malformed dependency descriptor")
	// ErrUnknownTemplate: the structure that the descriptor refers to was not seen. It
	// comes with the next key frame.
	ErrUnknownTemplate = errors.New("dependency descriptor of an unknown template")
)

// mandatory is the size in bytes of what every descriptor has.
const mandatory = 3

// Descriptor is what one packet says of its frame. Its slices belong to the structure
// or to itself; the descriptor is good until the next Read into it.
type Descriptor struct {
	// Start and End say that the frame starts or ends in this packet.
	Start, End bool
	// FrameNumber grows from frame to frame, in decoding order, and wraps.
	FrameNumber uint16
	// Structure is the one that the frame refers to; Attached says that it came with
	// this packet: here a coded video sequence begins.
	Structure *Structure
	Attached  bool
	// Active is the mask of active decode targets that came with this packet; it holds
	// until the next. ActiveSaid says that there was one, explicitly or by Attached.
	Active     uint32
	ActiveSaid bool
	// Layer is the frame's own.
	Layer
	// DecodeTargets are the frame's indications.
	DecodeTargets Indications
	// Diffs are the distances to the frames that the frame refers to.
	Diffs []uint16
	// ChainDiffs are the distances to the frame before in each chain, 0 for none.
	ChainDiffs []uint8

	diffs      [MaxDiffs]uint16
	chainDiffs [MaxTargets]uint8
}

// Reader reads the descriptors of one stream, in the order of arrival. The zero value
// is ready.
//
// A packet may be late, and refer to the structure before: template ids of a new
// structure do not overlap those of the one before, so two are remembered.
type Reader struct {
	present, before *Structure
}

// Read reads an extension element into d. It does not keep the extension. Errors wrap
// [ErrMalformed] or [ErrUnknownTemplate]; d is then of no use. It allocates only where
// a structure comes that is not the present one.
func (r *Reader) Read(extension []byte, d *Descriptor) error {
	if len(extension) < mandatory {
		return fmt.Errorf("%w: %d bytes", ErrMalformed, len(extension))
	}
	first := extension[0]
	d.Start, d.End = first&0x80 != 0, first&0x40 != 0
	d.FrameNumber = binary.BigEndian.Uint16(extension[1:])
	d.Attached, d.ActiveSaid, d.Active = false, false, 0
	bits := bitReader{bytes: extension, at: 8 * mandatory}
	var has flags
	if len(extension) > mandatory {
		has = readFlags(&bits)
		if has.structure {
			if err := r.takeStructure(&bits); err != nil {
				return err
			}
		}
	}
	id := first & (MaxTemplates - 1)
	structure, template := r.present, r.present.template(id)
	if template == nil && !has.structure {
		structure, template = r.before, r.before.template(id)
	}
	if template == nil {
		return fmt.Errorf("%w: %d", ErrUnknownTemplate, id)
	}
	d.Structure, d.Attached = structure, has.structure
	return d.readFrame(&bits, has, template)
}

// flags are those of extended_descriptor_fields.
type flags struct{ structure, active, indications, diffs, chains bool }

func readFlags(bits *bitReader) flags {
	return flags{bits.flag(), bits.flag(), bits.flag(), bits.flag(), bits.flag()}
}

// takeStructure makes the structure that comes the present one, unless it is.
func (r *Reader) takeStructure(bits *bitReader) error {
	if p := r.present; p != nil && bits.repeats(p.bits) {
		return nil
	}
	from := bits.at
	s, err := readStructure(bits)
	if err != nil {
		return err
	}
	s.bits = string(bits.cut(from))
	r.before, r.present = r.present, s
	return nil
}

// cut gives the bits from a place up to the present one, with their number in front and
// from the start of a byte.
func (r *bitReader) cut(from int) []byte {
	n := r.at - from
	w := bitWriter{bytes: make([]byte, 4+(n+7)/8)}
	w.f(32, uint32(n))
	w.copyFrom(&bitReader{bytes: r.bytes, at: from}, r.at)
	return w.bytes
}

// repeats says whether what comes are the bits of a cut, and if so reads past them.
func (r *bitReader) repeats(cut string) bool {
	n := int(binary.BigEndian.Uint32([]byte(cut[:4])))
	if r.at+n > 8*len(r.bytes) {
		return false
	}
	ahead := bitReader{bytes: r.bytes, at: r.at}
	for i := 4; n > 0; i, n = i+1, n-8 {
		size := min(n, 8)
		if ahead.f(size) != uint32(cut[i]>>(8-size)) {
			return false
		}
	}
	r.at = ahead.at
	return true
}

// readFrame reads what follows the structure.
func (d *Descriptor) readFrame(bits *bitReader, has flags, t *Template) error {
	targets := len(d.Structure.Targets)
	if has.structure {
		d.Active, d.ActiveSaid = d.Structure.all(), true
	}
	if has.active {
		d.Active, d.ActiveSaid = bits.f(targets), true
	}
	d.Layer, d.DecodeTargets, d.Diffs, d.ChainDiffs = t.Layer, t.DecodeTargets, t.Diffs, t.ChainDiffs
	if has.indications {
		d.DecodeTargets = readIndications(bits, targets)
	}
	if has.diffs {
		if err := d.readDiffs(bits); err != nil {
			return err
		}
	}
	if has.chains {
		d.ChainDiffs = d.chainDiffs[:d.Structure.Chains]
		for i := range d.ChainDiffs {
			d.ChainDiffs[i] = uint8(bits.f(8))
		}
	}
	if bits.short {
		return fmt.Errorf("%w: cut short", ErrMalformed)
	}
	return nil
}

// readDiffs reads frame_fdiffs.
func (d *Descriptor) readDiffs(bits *bitReader) error {
	d.Diffs = d.diffs[:0]
	for size := bits.f(2); size != 0; size = bits.f(2) {
		if len(d.Diffs) == MaxDiffs {
			return fmt.Errorf("%w: more than %d references", ErrMalformed, MaxDiffs)
		}
		d.Diffs = append(d.Diffs, uint16(bits.f(4*int(size)))+1)
	}
	return nil
}

// Resolution is the largest of the frame's spatial layer, if it was said.
func (d *Descriptor) Resolution() (Resolution, bool) {
	if int(d.Spatial) >= len(d.Structure.Resolutions) {
		return Resolution{}, false
	}
	return d.Structure.Resolutions[d.Spatial], true
}
