package sfu

import (
	"cmp"
	"slices"

	"github.com/conclave-sfu/conclave/sfu/dd"
	"github.com/conclave-sfu/conclave/sfu/layer"
)

// encoding is one encoding of a publication: a stream of its own.
type encoding struct {
	up         *upTrack
	connection *connection
	// place is that in the offer's list of encodings, -1 if it is not there.
	place int
	// paused says that the publisher need not send it; dueBy is until when one that was
	// paused may take to come.
	paused bool
	dueBy  int64
	// stalled says that it has stopped unasked while others go on.
	stalled bool
	// scalable says that it has, or had, several spatial layers; size is how large it is shown.
	scalable bool
	size     sizing
	// codec is the one of which those were told whom the encoding concerns.
	codec codec
	rateMeter
}

func newEncoding(u *upTrack, c *connection) *encoding {
	e := &encoding{up: u, connection: c, place: -1, size: sizing{told: anyHeight}}
	if u.format != nil && u.rid != "" {
		e.place = slices.Index(u.format.rids, u.rid)
	}
	return e
}

// noteCodec says whether the codec has changed: there are slots that do not take it.
func (e *encoding) noteCodec() bool {
	before := e.codec
	e.codec = codec(e.up.codec.Load())
	return e.codec != before
}

// sizes are the heights in pixels of the spatial layers, the lowest first; empty if the
// stream does not say.
func (e *encoding) sizes() []dd.Resolution {
	if s := e.up.shape.Load(); s != nil && s.dependencies != nil {
		return s.dependencies.Resolutions
	}
	return nil
}

// height is that of the highest spatial layer; 0 if it is not known.
func (e *encoding) height() int {
	if sizes := e.sizes(); len(sizes) > 0 {
		return sizes[len(sizes)-1].Height
	}
	return 0
}

// reversed is how much more the first encoding of an offer takes than the last, if they
// are listed from the highest down: offers are free to, and few do.
const reversed = 2

// sorted are the encodings that there are, all if none is sent, from the lowest to the
// highest. Those that are paused are there: they come if they are asked for. It is false
// if the order is not known yet.
func (p *publication) sorted() (list []*encoding, settled bool) {
	list = slices.DeleteFunc(slices.Clone(p.layers), func(e *encoding) bool { return (e.silent || e.stalled) && !e.paused })
	if len(list) == 0 {
		list = slices.Clone(p.layers)
	}
	return order(list)
}

// order sorts encodings by what is surest: the sizes that their descriptors name, the
// order of the offer, the bit rates that were measured.
func order(list []*encoding) (sorted []*encoding, settled bool) {
	all := func(known func(*encoding) bool) bool {
		return !slices.ContainsFunc(list, func(e *encoding) bool { return !known(e) })
	}
	byRate := func(a, b *encoding) int { return cmp.Compare(a.rate, b.rate) }
	rated := all(func(e *encoding) bool { return e.known })
	switch {
	case len(list) < 2:
		return list, true
	case all(func(e *encoding) bool { return e.height() > 0 }):
		slices.SortStableFunc(list, func(a, b *encoding) int { return cmp.Compare(a.height(), b.height()) })
		return list, true
	case all(func(e *encoding) bool { return e.place >= 0 }):
		slices.SortStableFunc(list, func(a, b *encoding) int { return cmp.Compare(a.place, b.place) })
		if rated && list[0].rate > reversed*list[len(list)-1].rate {
			slices.Reverse(list)
		}
		return list, true
	}
	slices.SortStableFunc(list, byRate)
	return list, rated
}

// option is one way to show a publication: an encoding, up to a layer of it.
type option struct {
	up    *upTrack
	limit layer.Layer
	// height is that of the pictures in pixels, 0 if it is not known. rate is what it
	// takes, in bits a second, as measured last; 0 before that.
	height int
	rate   int64
}

// options are the ways to show the publication, the lowest first. Of an encoding with
// layers there is one for each temporal layer of the lowest spatial one, then one for
// each higher spatial one, then again: what costs more shows more. It is false if the
// order of the encodings is not known yet.
func (p *publication) options() (list []option, settled bool) {
	encodings, settled := p.sorted()
	for _, e := range encodings {
		list = e.appendOptions(list)
	}
	return list, settled
}

func (e *encoding) appendOptions(list []option) []option {
	s := e.up.shape.Load()
	if s == nil {
		return append(list, option{up: e.up, limit: layer.Highest, rate: e.rateUpTo(layer.Highest)})
	}
	sizes := e.sizes()
	temporal := 0
	for i := range s.targets.Len() {
		temporal = max(temporal, int(s.targets.Layer(i).Temporal))
	}
	for spatial := range s.spatialLayers() {
		for t := range temporal + 1 {
			at := layer.Layer{Spatial: uint8(spatial), Temporal: uint8(t)}
			if s.dependencies == nil && e.measured[spatial][t] == 0 && (spatial > 0 || t > 0) {
				continue // of a grid, what is not sent
			}
			o := option{up: e.up, limit: at, rate: e.rateUpTo(at)}
			if spatial < len(sizes) {
				o.height = sizes[spatial].Height
			}
			list = append(list, o)
		}
	}
	if n := len(list); n > 0 {
		list[n-1].limit = layer.Highest
	}
	return list
}

// tolerance is how far a picture may be stretched before the next larger one is worth
// its price, in percent.
const tolerance = 150

// Heights in pixels up to which the lowest, and the middle, of three encodings do where
// sizes are not known.
const (
	lowHeight    = 240
	middleHeight = 540
)

// useful are those of the options that help at a height: nothing above the smallest
// picture that is large enough. A height of 0 wants all.
func useful(options []option, height int) []option {
	if height <= 0 {
		return options
	}
	enough := options[len(options)-1]
	if !slices.ContainsFunc(options, func(o option) bool { return o.height == 0 }) {
		for _, o := range options {
			if o.height*tolerance >= height*100 {
				enough = o
				break
			}
		}
	} else if ups := streams(options); len(ups) > 1 {
		up := ups[layerIndex(height, len(ups))]
		enough = options[slices.IndexFunc(options, func(o option) bool { return o.up == up })]
	}
	last := 0
	for i, o := range options {
		if o.up == enough.up && o.height == enough.height {
			last = i
		}
	}
	return options[:last+1]
}

// streams are the different ones of the options, in order.
func streams(options []option) []*upTrack {
	var list []*upTrack
	for _, o := range options {
		if !slices.Contains(list, o.up) {
			list = append(list, o.up)
		}
	}
	return list
}

// layerIndex is the place of the encoding for a height among n, the lowest first.
func layerIndex(height, n int) int {
	switch {
	case height <= 0 || height > middleHeight:
		return n - 1
	case height > lowHeight:
		return n / 2
	}
	return 0
}

// menu are the options as they were listed last, anew after a change.
func (p *publication) menu() (list []option, settled bool) {
	if p.stale {
		p.renew()
	}
	return p.list, p.settled
}

// wantedFor is the encoding that a height calls for, of all that there are.
func (p *publication) wantedFor(height int) *upTrack {
	if p.stale || len(p.whole) == 0 {
		p.whole = nil
		for _, e := range p.inOrder() {
			p.whole = e.appendOptions(p.whole)
		}
	}
	list := useful(p.whole, height)
	return list[len(list)-1].up
}

// layerRates are the bit rates of an encoding's layers, in bytes a second.
type layerRates [dd.MaxSpatial][dd.MaxTemporal]float64

func (r *layerRates) sum() (sum float64) {
	for s := range r {
		for _, rate := range r[s] {
			sum += rate
		}
	}
	return sum
}

// rateMeter measures the bit rates of an encoding's layers over [layerInterval].
type rateMeter struct {
	known, silent bool
	// rate is the highest measured, in bytes a second: the order of encodings stays when
	// the upper ones are throttled.
	rate float64
	// latest are the last three measured while something came, the latest first, and measured
	// is the middle one of them: a second with a key frame says little of those that follow.
	latest   [3]layerRates
	measured layerRates
	bytes    [dd.MaxSpatial][dd.MaxTemporal]uint64
	since    int64
}

// measure says whether the interval was over.
func (m *rateMeter) measure(counted *layerBytes, now int64) bool {
	elapsed := float64(now-m.since) / 1e9
	if m.since != 0 && now-m.since < int64(layerInterval) {
		return false
	}
	var rates layerRates
	for s := range counted {
		for t := range counted[s] {
			bytes := counted[s][t].Load()
			rates[s][t] = float64(bytes-m.bytes[s][t]) / elapsed
			m.bytes[s][t] = bytes
		}
	}
	if m.since != 0 {
		sum := rates.sum()
		m.known, m.silent, m.rate = true, sum == 0, max(m.rate, sum)
		if sum > 0 {
			m.note(&rates)
		}
	}
	m.since = now
	return true
}

// note takes one more measurement. Of two the lower counts: an encoding begins with a key frame.
func (m *rateMeter) note(rates *layerRates) {
	m.latest = [3]layerRates{*rates, m.latest[0], m.latest[1]}
	var known []*layerRates
	for i := range m.latest {
		if m.latest[i].sum() > 0 {
			known = append(known, &m.latest[i])
		}
	}
	slices.SortFunc(known, func(a, b *layerRates) int { return cmp.Compare(a.sum(), b.sum()) })
	m.measured = *known[(len(known)-1)/2]
}

// rateUpTo is what the layers up to a limit take together, in bits a second.
func (m *rateMeter) rateUpTo(limit layer.Layer) int64 {
	sum := 0.0
	for s := range m.measured {
		for t := range m.measured[s] {
			if s <= int(limit.Spatial) && t <= int(limit.Temporal) {
				sum += m.measured[s][t]
			}
		}
	}
	return int64(8 * sum)
}
