package sfu

import (
	"unsafe"

	"github.com/conclave-sfu/conclave/sfu/prefetch"
)

// To a large audience a packet costs as much memory as work: between two frames the state of all other
// slots has driven that of each out of the processor's cache, and the atomic operations of sending
// wait for one part of it after the other. So a shard has what its next slots need fetched while it
// sends to the present one. One part leads to the next, and each must have come before it can be
// followed: hence a step for each.

// The parts of which every packet touches something, in bytes from the beginning.
const (
	hotSlot       = unsafe.Offsetof(downTrack{}.numbers) + prefetch.Line // without the spans of its map
	hotWriter     = unsafe.Offsetof(slotWriter{}.media) + unsafe.Offsetof(outStream{}.described)
	hotConnection = unsafe.Offsetof(connection{}.transport)
)

// fetchSteps are done for a slot in this order, while the slots before it are served.
var fetchSteps = [...]func(*downTrack){
	func(d *downTrack) { prefetch.Bytes(unsafe.Pointer(d), hotSlot) },
	(*downTrack).fetchWriter,
	(*downTrack).fetchConnection,
	(*downTrack).fetchWay,
	(*downTrack).fetchTarget,
}

// fetchAhead does a step for each of the slots that come next after the one at a place.
func fetchAhead(slots []*downTrack, at int) {
	for step, fetch := range fetchSteps {
		if next := at + len(fetchSteps) - step; next < len(slots) {
			fetch(slots[next])
		}
	}
}

func (d *downTrack) fetchWriter() {
	prefetch.Bytes(unsafe.Pointer(d.ceiling), unsafe.Sizeof(ceiling{}))
	if w, ok := d.writer.(*slotWriter); ok {
		prefetch.Bytes(unsafe.Pointer(w), hotWriter)
	}
}

func (d *downTrack) fetchConnection() {
	if w, ok := d.writer.(*slotWriter); ok {
		prefetch.Bytes(unsafe.Pointer(w.conn), hotConnection)
	}
}

func (d *downTrack) fetchWay() {
	if w, ok := d.writer.(*slotWriter); ok {
		c := w.conn
		prefetch.Bytes(unsafe.Pointer(c.way.Load()), prefetch.Line)
		prefetch.Bytes(unsafe.Pointer(c.keys.Load()), prefetch.Line)
		prefetch.Bytes(c.sent.Place(), prefetch.Line)
	}
}

func (d *downTrack) fetchTarget() {
	w, ok := d.writer.(*slotWriter)
	if !ok {
		return
	}
	if way := w.conn.way.Load(); way != nil {
		prefetch.Bytes(unsafe.Pointer(way.target), unsafe.Sizeof(*way.target))
	}
	if keys := w.conn.keys.Load(); keys != nil {
		prefetch.Bytes(keys.MediaKey())
	}
}
