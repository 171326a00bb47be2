// Package speaker decides who is heard and who has the floor, from the loudness that
// senders put into a header extension of their audio (RFC 6464).
//
// Each voice has a [Meter], which is fed at a steady rate, each [Interval]. Then
// [Loudest] says who gets one of the few audio slots, and a [Floor] who is the dominant
// speaker. Both have hysteresis: voices that take turns do not chase each other.
//
//	every Interval:
//		meter.Hear(average loudness of the packets that came, how many)
//	heard := speaker.Loudest(slots, voices, n)
//	dominant, changed := floor.Observe(now, voices)
//
// The package knows no packet, clock or lock.
package speaker

import (
	"cmp"
	"slices"
	"time"
)

// Interval is the time between two readings.
const Interval = 200 * time.Millisecond

// Loudness is in dB above the lowest level of RFC 6464: 0 for silence, up to 127.
type Loudness float64

const (
	// Margin is by how much who is not heard must be louder than somebody who is, to
	// take the slot.
	Margin Loudness = 10
	// audible is what a voice exceeds: -60 dBov. Below are fans and breath.
	audible Loudness = 67
	// release is what remains of a loudness when it falls, for each interval: 10 dB in
	// a quarter of a second after a loud voice, less after a soft one.
	release = 0.9
)

// Meter follows one voice. The zero value is silent.
type Meter struct{ loudness Loudness }

// Hear takes the average loudness of the packets of one interval, and how many came.
// None came from who is muted, or silent and so clever as to send nothing.
func (m *Meter) Hear(average Loudness, packets int) {
	if packets == 0 {
		average = 0
	}
	if average > m.loudness {
		m.loudness += (average - m.loudness) / 2
		return
	}
	m.loudness *= release
}

// Loudness is the present one: up quickly, down over about a second.
func (m *Meter) Loudness() Loudness { return m.loudness }

// Voice is somebody who may be heard.
type Voice[K comparable] struct {
	Key      K
	Loudness Loudness
}

// Loudest chooses n voices: all while n lasts, else the loudest, though who is heard
// stays unless another one is much louder. Voices come in the order of their arrival,
// which decides between equals. The result is in no order.
func Loudest[K comparable](heard []K, voices []Voice[K], n int) []K {
	var chosen, waiting []Voice[K]
	for _, v := range voices {
		if slices.Contains(heard, v.Key) && len(chosen) < n {
			chosen = append(chosen, v)
		} else {
			waiting = append(waiting, v)
		}
	}
	slices.SortStableFunc(waiting, func(a, b Voice[K]) int { return cmp.Compare(b.Loudness, a.Loudness) })
	for _, v := range waiting {
		if len(chosen) < n {
			chosen = append(chosen, v)
			continue
		}
		i := quietest(chosen)
		if i < 0 || v.Loudness < chosen[i].Loudness+Margin {
			break
		}
		chosen[i] = v
	}
	keys := make([]K, len(chosen))
	for i, v := range chosen {
		keys[i] = v.Key
	}
	return keys
}

// quietest is the place of the first of the quietest voices, -1 if there is none.
func quietest[K comparable](voices []Voice[K]) int {
	at := -1
	for i, v := range voices {
		if at < 0 || v.Loudness < voices[at].Loudness {
			at = i
		}
	}
	return at
}
