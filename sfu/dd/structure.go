package dd

import "fmt"

// Limits of what is read. The format has room for 64 templates and 32 decode targets;
// no encoder knows more than 7 references of a frame (AV1), 4 spatial layers (as
// WebRTC's), or 8 temporal ones.
const (
	MaxTemplates = 64
	MaxTargets   = 32
	MaxSpatial   = 4
	MaxTemporal  = 8
	MaxDiffs     = 8
)

// Indication says how a frame relates to a decode target (Table A.1).
type Indication uint8

// The decode target indications.
const (
	NotPresent  Indication = iota // does not belong to it
	Discardable                   // belongs to it, and no other frame of it refers to this one
	Switch                        // all later frames of it can be decoded if this one can
	Required                      // belongs to it, nothing more
)

// Indications are those of one frame, two bits for each decode target.
type Indications uint64

// At is the indication for a decode target.
func (i Indications) At(target int) Indication { return Indication(i >> (2 * target) & 3) }

// with sets the indication for a decode target that has none.
func (i Indications) with(target int, v Indication) Indications {
	return i | Indications(v)<<(2*target)
}

// low has the lower bit of each indication.
const low = 0x5555555555555555

// Present is the mask of the decode targets that the frame belongs to.
func (i Indications) Present() uint32 { return squeeze(uint64(i) | uint64(i)>>1) }

// Switches is the mask of the decode targets that a switch to is possible at the frame.
func (i Indications) Switches() uint32 { return squeeze(uint64(i) >> 1 &^ uint64(i)) }

// squeeze gathers the bits at even places.
func squeeze(x uint64) uint32 {
	x &= low
	x = (x | x>>1) & 0x3333333333333333
	x = (x | x>>2) & 0x0f0f0f0f0f0f0f0f
	x = (x | x>>4) & 0x00ff00ff00ff00ff
	x = (x | x>>8) & 0x0000ffff0000ffff
	return uint32(x | x>>16)
}

// Layer is a place in the grid of spatial and temporal layers.
type Layer struct{ Spatial, Temporal uint8 }

// Resolution is a size in pixels.
type Resolution struct{ Width, Height int }

// Template is what frames have in common (Section A.8.1).
type Template struct {
	Layer
	DecodeTargets Indications
	// Diffs are the distances to the frames referred to.
	Diffs []uint16
	// ChainDiffs are the distances to the frame before in each chain, 0 for none.
	ChainDiffs []uint8
}

// Structure is a template dependency structure. It is immutable.
type Structure struct {
	// offset is the template id of the first template.
	offset    uint8
	Templates []Template
	// Targets are the layers of the decode targets.
	Targets []Layer
	// Chains is how many chains there are; ProtectedBy says for each decode target
	// which one protects it, and is empty without chains.
	Chains      int
	ProtectedBy []uint8
	// Resolutions are the largest of each spatial layer; empty if not said.
	Resolutions []Resolution
	// bits is the structure as it was read, to know it again.
	bits string
}

// template is that of an id, nil if there is none.
func (s *Structure) template(id uint8) *Template {
	if s == nil {
		return nil
	}
	if i := int(id-s.offset) & (MaxTemplates - 1); i < len(s.Templates) {
		return &s.Templates[i]
	}
	return nil
}

// all is the mask of all decode targets.
func (s *Structure) all() uint32 { return uint32(1<<len(s.Targets) - 1) }

// readStructure reads template_dependency_structure.
func readStructure(r *bitReader) (*Structure, error) {
	s := &Structure{offset: uint8(r.f(6))}
	targets := int(r.f(5)) + 1
	if err := s.readLayers(r); err != nil {
		return nil, err
	}
	for i := range s.Templates {
		s.Templates[i].DecodeTargets = readIndications(r, targets)
	}
	for i := range s.Templates {
		if err := s.Templates[i].readDiffs(r); err != nil {
			return nil, err
		}
	}
	s.readChains(r, targets)
	s.nameTargets(targets)
	if r.flag() {
		s.readResolutions(r)
	}
	if r.short {
		return nil, fmt.Errorf("%w: structure cut short", ErrMalformed)
	}
	return s, nil
}

// readLayers reads template_layers.
func (s *Structure) readLayers(r *bitReader) error {
	for at := (Layer{}); ; {
		if len(s.Templates) == MaxTemplates || at.Spatial >= MaxSpatial || at.Temporal >= MaxTemporal {
			return fmt.Errorf("%w: more than %d templates, %d spatial or %d temporal layers",
				ErrMalformed, MaxTemplates, MaxSpatial, MaxTemporal)
		}
		s.Templates = append(s.Templates, Template{Layer: at})
		switch r.f(2) {
		case 1:
			at.Temporal++
		case 2:
			at = Layer{Spatial: at.Spatial + 1}
		case 3:
			return nil
		}
	}
}

func readIndications(r *bitReader, targets int) Indications {
	var list Indications
	for t := range targets {
		list = list.with(t, Indication(r.f(2)))
	}
	return list
}

// readDiffs reads a template's part of template_fdiffs.
func (t *Template) readDiffs(r *bitReader) error {
	for r.flag() {
		if len(t.Diffs) == MaxDiffs {
			return fmt.Errorf("%w: more than %d references of a template", ErrMalformed, MaxDiffs)
		}
		t.Diffs = append(t.Diffs, uint16(r.f(4))+1)
	}
	return nil
}

// readChains reads template_chains.
func (s *Structure) readChains(r *bitReader, targets int) {
	s.Chains = int(r.ns(uint32(targets) + 1))
	if s.Chains == 0 {
		return
	}
	s.ProtectedBy = make([]uint8, targets)
	for i := range s.ProtectedBy {
		s.ProtectedBy[i] = uint8(r.ns(uint32(s.Chains)))
	}
	for i := range s.Templates {
		diffs := make([]uint8, s.Chains)
		for c := range diffs {
			diffs[c] = uint8(r.f(4))
		}
		s.Templates[i].ChainDiffs = diffs
	}
}

// nameTargets finds each decode target's layer (decode_target_layers): the highest that
// a template of it has.
func (s *Structure) nameTargets(targets int) {
	s.Targets = make([]Layer, targets)
	for i := range s.Targets {
		at := &s.Targets[i]
		for _, t := range s.Templates {
			if t.DecodeTargets.At(i) != NotPresent {
				at.Spatial = max(at.Spatial, t.Spatial)
				at.Temporal = max(at.Temporal, t.Temporal)
			}
		}
	}
}

// readResolutions reads render_resolutions. Templates are in the order of their spatial
// layers.
func (s *Structure) readResolutions(r *bitReader) {
	s.Resolutions = make([]Resolution, s.Templates[len(s.Templates)-1].Spatial+1)
	for i := range s.Resolutions {
		s.Resolutions[i] = Resolution{Width: int(r.f(16)) + 1, Height: int(r.f(16)) + 1}
	}
}
