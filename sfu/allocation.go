package sfu

import (
	"slices"

	"github.com/conclave-sfu/conclave/sfu/allocate"
	"github.com/conclave-sfu/conclave/sfu/layer"
)

const (
	// audioRate is what a voice takes in bits a second: Opus at 32 kbit/s in packets of
	// 20 ms, and their headers.
	audioRate = 48_000
	// unknownRate is what the lowest encoding of a source is held to take until it was
	// measured; each higher one takes unknownStep times as much.
	unknownRate, unknownStep = 150_000, 3
	// overhead of headers, in percent of what was measured.
	overhead = 5
)

// share chooses how the slots of a participant carry what next says: an option for each,
// or none where the path has no room for it. Slots for audio always get theirs. The
// caller holds the lock.
func (r *room) share(c *connection, slots []*downTrack, next []placed, now int64) []option {
	chosen := make([]option, len(next))
	if len(slots) == 0 || !slots[0].video {
		for i := range next {
			chosen[i] = next[i].latest()
		}
		return chosen
	}
	menus := make([]menu, len(next))
	for i, d := range slots {
		r.wishFor(d, &next[i], now)
		menus[i] = menuFor(&next[i], d.up)
	}
	result := c.divide(r.shares(slots, next, menus), now)
	for i := range chosen {
		chosen[i] = menus[i].at(result.Layers[i])
	}
	return chosen
}

// divide shares what the path takes or, where its receiver says nothing of that, what the
// participant may be sent at most: at once then, since nothing tells when to look again.
func (c *connection) divide(shares []allocate.Slot, now int64) allocate.Result {
	b, most, audio := c.budget.Load(), c.transport.outgoing.room(), c.audioUse()
	room, thin := most, false
	if b != nil {
		room, thin = b.room.Load(), b.thin.Load()
	}
	for i := range shares {
		s := &shares[i]
		s.MustFit = thin || len(s.Layers) > 0 && s.Layers[0].Rate > most-audio
		if b == nil {
			*s.Memory = allocate.Memory{}
		}
	}
	result := allocate.Allocate(now, room, audio, shares, nil)
	if b != nil {
		b.give(room, audio, result)
	}
	return result
}

// wishFor says which encoding the size of a slot calls for, whether or not the path has
// room for it: one that is not sent cannot be measured.
func (r *room) wishFor(d *downTrack, at *placed, now int64) {
	d.wanted = nil
	if at.sends() {
		d.wantedHeight = at.height()
		d.wanted = at.publication.wantedFor(d.wantedHeight)
		r.wish(at.publication, d.wanted, d.wantedHeight, now)
	}
}

// latest is how a voice is sent: it has one stream, the one that began last.
func (p *placed) latest() option {
	if !p.sends() {
		return option{}
	}
	layers := p.publication.layers
	return option{up: layers[len(layers)-1].up}
}

// shares are what the slots compete with. A slot whose source changes begins anew.
func (r *room) shares(slots []*downTrack, next []placed, menus []menu) []allocate.Slot {
	list := make([]allocate.Slot, len(slots))
	for i, d := range slots {
		if d.key != next[i].key {
			d.memory = allocate.Memory{}
		}
		list[i] = r.shareOf(&next[i], menus[i])
		list[i].Memory = &d.memory
	}
	return list
}

// audioUse is what the voices take that a participant hears.
func (c *connection) audioUse() int64 {
	n := 0
	for _, d := range c.audio {
		if d.key != (pubKey{}) {
			n++
		}
	}
	return int64(n) * audioRate
}

// shareOf says who is to be shown in a slot, and how large.
func (r *room) shareOf(at *placed, m menu) allocate.Slot {
	s := allocate.Slot{Layers: m.layers}
	switch {
	case at.key.source == Screen:
		s.Class = allocate.Screen
	case at.key.participant != "" && at.key.participant == r.dominant():
		s.Class = allocate.Speaker
	}
	if w := at.want; w != nil {
		s.Priority, s.Pixels = w.Priority, w.Width*w.Height
	}
	return s
}

// menu is the options among which a slot's share decides, the lowest first, with their
// prices. Slots share it: it is not changed.
type menu struct {
	options []option
	layers  []allocate.Layer
}

func (m *menu) at(i int) option {
	if i < 0 {
		return option{}
	}
	return m.options[i]
}

// menuFor lists what helps at the size at which a publication is wanted. Until the order
// of its encodings is known, the present one stays.
func menuFor(at *placed, present *upTrack) menu {
	if !at.sends() {
		return menu{}
	}
	p := at.publication
	list, settled := p.menu()
	if !settled && slices.ContainsFunc(list, func(o option) bool { return o.up == present }) {
		return newMenu([]option{{up: present, limit: layer.Highest}})
	}
	return p.menuOf(len(useful(list, at.height())))
}

// menuOf has the first n of the publication's options.
func (p *publication) menuOf(n int) menu {
	for len(p.menus) <= n {
		p.menus = append(p.menus, menu{})
	}
	if m := &p.menus[n]; m.options == nil {
		*m = newMenu(p.list[:n])
	}
	return p.menus[n]
}

// newMenu leaves out what costs as much as something better.
func newMenu(list []option) menu {
	var m menu
	encodings, inEncoding := 0, 0
	for i, o := range list {
		if i > 0 && list[i-1].up != o.up {
			encodings, inEncoding = encodings+1, 0
		}
		l := allocate.Layer{ID: uint8(encodings<<5 | inEncoding), Rate: price(o, encodings)}
		inEncoding++
		for n := len(m.layers); n > 0 && m.layers[n-1].Rate >= l.Rate; n-- {
			m.options, m.layers = m.options[:n-1], m.layers[:n-1]
		}
		m.options, m.layers = append(m.options, o), append(m.layers, l)
	}
	return m
}

// price is what an option takes with its headers.
func price(o option, encoding int) int64 {
	if o.rate > 0 {
		return o.rate * (100 + overhead) / 100
	}
	rate := int64(unknownRate)
	for range min(encoding, 3) {
		rate *= unknownStep
	}
	return rate
}
