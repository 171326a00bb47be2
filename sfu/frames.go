package sfu

import (
	"errors"
	"sync/atomic"

	"github.com/conclave-sfu/conclave/sfu/dd"
	"github.com/conclave-sfu/conclave/sfu/layer"
	"github.com/conclave-sfu/conclave/sfu/packetcache"
)

// structure is what the masks of a stream's frames refer to. It is immutable.
type structure struct {
	// dependencies is nil for layers that payload descriptors name.
	dependencies *dd.Structure
	targets      *layer.Targets
}

// Streams whose payload descriptors name their layers.
var (
	vp8Structure = &structure{targets: vp8Grid}
	vp9Structure = &structure{targets: vp9Grid}
)

func newStructure(s *dd.Structure) *structure {
	layers := make([]layer.Layer, len(s.Targets))
	for i, at := range s.Targets {
		layers[i] = layer.Layer(at)
	}
	patterns := make([]uint32, len(s.Templates))
	for i, t := range s.Templates {
		patterns[i] = t.DecodeTargets.Present()
	}
	return &structure{dependencies: s, targets: layer.NewTargets(layers, patterns)}
}

// spatialLayers is how many there are.
func (s *structure) spatialLayers() int {
	n := 1
	for i := range s.targets.Len() {
		n = max(n, int(s.targets.Layer(i).Spatial)+1)
	}
	return n
}

// frameReader finds out what the frames of one stream are. It belongs to the goroutine
// that reads the stream.
type frameReader struct {
	descriptors dd.Reader
	dependency  dd.Descriptor
	// present and before are the structures of the stream, as descriptors has them.
	present, before *structure
	active          uint32
	// keyed says that a key frame began, at the picture keyStamp.
	keyed    bool
	keyStamp uint32
	// parameters says that the sender puts parameter sets before key frames (H.264).
	parameters bool
}

// layerBytes counts what was received of each layer.
type layerBytes [dd.MaxSpatial][dd.MaxTemporal]atomic.Uint64

func (b *layerBytes) add(at layer.Layer, n int) {
	b[min(int(at.Spatial), dd.MaxSpatial-1)][min(int(at.Temporal), dd.MaxTemporal-1)].Add(uint64(n))
}

// readFrame fills in what p says of its frame. It is false if it holds no byte of one.
func (u *upTrack) readFrame(p *packetcache.Packet, c codec, payload []byte, now int64) bool {
	part, ok := parsePayload(c, payload)
	if !ok {
		u.counters.drop(dropMalformed)
		return false
	}
	p.Payload, p.KeyFrame = part.payload, false
	p.Front, p.FrontEnd = part.front, part.frontEnd
	p.Layered, p.Structure, p.Descriptor, p.Frame = false, nil, nil, packetcache.Frame{}
	if !u.video {
		return true
	}
	begins := u.frames.opens(c, &part)
	if extension := u.header.GetExtension(u.format.ddExtension); u.format.ddExtension != 0 && len(extension) > 0 {
		begins = u.readDependencies(p, extension)
	} else if part.layered {
		u.readLayers(p, c, &part)
	}
	u.rates.add(layer.Layer{Spatial: p.Frame.Spatial, Temporal: p.Frame.Temporal}, len(p.Payload))
	if begins && u.frames.isNewKey(p.Timestamp) {
		p.KeyFrame = true
		u.keyFrameBegins(p, now)
	}
	return true
}

// opens says whether a decoder can begin with what the packet holds. A slice of a sender who
// puts parameter sets before it is no beginning: they were lost on the way, and come late. With
// those of another encoding, which a slot had before, it would be decoded to another size.
func (f *frameReader) opens(c codec, part *unit) bool {
	f.parameters = f.parameters || part.parameters
	return part.begins && (part.parameters || c != codecH264 || !f.parameters)
}

// isNewKey says whether a key frame is not one more part of the picture's: parameter
// sets before a slice, or another layer's.
func (f *frameReader) isNewKey(stamp uint32) bool {
	again := f.keyed && f.keyStamp == stamp
	f.keyed, f.keyStamp = true, stamp
	return !again
}

// keyFrameBegins notes a key frame, unless another has come since it was sent, or too much.
func (u *upTrack) keyFrameBegins(p *packetcache.Packet, now int64) {
	if !p.InOrder && (p.Number <= u.keyFrame.number.Load() || u.newest.Load()-p.Number >= maxBehind) {
		p.KeyFrame = false
		return
	}
	u.keyFrameAnswered(now)
	u.keyFrame.number.Store(p.Number)
	u.keyFrame.at.Store(now)
	if u.awaited.Load() {
		u.wake()
	}
}

// readDependencies takes p's Dependency Descriptor, and says whether a key frame begins.
func (u *upTrack) readDependencies(p *packetcache.Packet, extension []byte) (begins bool) {
	f, d := &u.frames, &u.frames.dependency
	switch err := f.descriptors.Read(extension, d); {
	case errors.Is(err, dd.ErrUnknownTemplate):
		p.Layered, p.Descriptor = true, extension
		return false
	case err != nil:
		u.counters.drop(dropMalformedDD)
		p.Layered = true
		return false
	}
	s := f.structureOf(d.Structure)
	if d.ActiveSaid && p.InOrder {
		f.active = d.Active
	}
	if p.InOrder && d.Attached {
		u.shape.Store(s)
	}
	p.Layered, p.Structure, p.Descriptor = true, s, extension
	p.Frame = packetcache.Frame{
		Picture: p.Timestamp, Number: d.FrameNumber, Numbered: true, Start: d.Start, End: d.End, Begin: d.Attached,
		Spatial: d.Spatial, Temporal: d.Temporal, Active: f.active,
		Present: d.DecodeTargets.Present(), Switch: d.DecodeTargets.Switches(),
	}
	p.Frame.DiffCount = uint8(copy(p.Frame.Diffs[:], d.Diffs))
	return d.Attached && d.Start
}

// structureOf keeps the two structures that the descriptors' reader keeps.
func (f *frameReader) structureOf(s *dd.Structure) *structure {
	switch {
	case f.present != nil && f.present.dependencies == s:
		return f.present
	case f.before != nil && f.before.dependencies == s:
		return f.before
	}
	f.before, f.present = f.present, newStructure(s)
	return f.present
}

// readLayers takes what the payload descriptor says of layers.
func (u *upTrack) readLayers(p *packetcache.Packet, c codec, part *unit) {
	s, spatial := vp8Structure, 1
	if c == codecVP9 {
		s, spatial = vp9Structure, vp9Spatial
	}
	at := part.layer
	present := layer.GridPresent(spatial, temporalLayers, at)
	row := uint32(1<<temporalLayers-1) << (min(int(at.Spatial), spatial-1) * temporalLayers)
	p.Layered, p.Structure = true, s
	p.Frame = packetcache.Frame{
		Picture: p.Timestamp, Start: part.starts, End: part.ends || p.Marker, Begin: part.begins,
		Spatial: at.Spatial, Temporal: at.Temporal, Active: ^uint32(0), Present: present,
	}
	switch {
	case part.begins:
		p.Frame.Switch = present
	case part.switches || part.independent:
		p.Frame.Switch = present & row
	}
	if u.shape.Load() != s {
		u.shape.Store(s)
	}
}
