package sfu

import (
	"cmp"
	"slices"
)

// pubKey names a publication within a room. The zero value is no publication.
type pubKey struct {
	participant string
	source      Source
}

// assignVideo says what each slot shows next: the first wants, by priority and
// then as listed, that are available, as many as there are slots. What has a slot
// already stays in it. The zero key is an empty slot.
func assignVideo(slots []pubKey, wants []Want, available func(pubKey) bool) []pubKey {
	wants = slices.Clone(wants)
	slices.SortStableFunc(wants, func(a, b Want) int { return cmp.Compare(b.Priority, a.Priority) })
	var chosen []pubKey
	for _, w := range wants {
		key := pubKey{w.Participant, w.Source}
		if len(chosen) == len(slots) {
			break
		}
		if !slices.Contains(chosen, key) && available(key) {
			chosen = append(chosen, key)
		}
	}
	return place(slots, chosen)
}

// place puts the chosen into slots: who has one stays, the others take what is
// free, in order.
func place(slots, chosen []pubKey) []pubKey {
	next := make([]pubKey, len(slots))
	for i, key := range slots {
		if slices.Contains(chosen, key) {
			next[i] = key
		}
	}
	for _, key := range chosen {
		if slices.Contains(next, key) {
			continue
		}
		next[slices.Index(next, pubKey{})] = key
	}
	return next
}

// speaker is an audio publication that may be heard.
type speaker struct {
	key pubKey
	// loudness is 0 for silence, up to 127 (dB above the lowest level of RFC 6464).
	loudness float64
}

// speakerMargin in dB: who is not heard must be so much louder than somebody who
// is to take the slot. Voices that take turns do not chase each other.
const speakerMargin = 10

// assignAudio says what each slot carries next: all speakers while the slots last,
// else the loudest, with [speakerMargin]. Speakers come in the order of their
// arrival, which decides where they are equally loud.
func assignAudio(slots []pubKey, speakers []speaker) []pubKey {
	var heard, waiting []speaker
	for _, s := range speakers {
		if slices.Contains(slots, s.key) {
			heard = append(heard, s)
		} else {
			waiting = append(waiting, s)
		}
	}
	slices.SortStableFunc(waiting, func(a, b speaker) int { return cmp.Compare(b.loudness, a.loudness) })
	for _, s := range waiting {
		if len(heard) < len(slots) {
			heard = append(heard, s)
			continue
		}
		i := quietest(heard)
		if i < 0 || s.loudness < heard[i].loudness+speakerMargin {
			break
		}
		heard[i] = s
	}
	chosen := make([]pubKey, len(heard))
	for i, s := range heard {
		chosen[i] = s.key
	}
	return place(slots, chosen)
}

func quietest(speakers []speaker) int {
	at := -1
	for i, s := range speakers {
		if at < 0 || s.loudness < speakers[at].loudness {
			at = i
		}
	}
	return at
}

// smoothLoudness follows a voice: up quickly, down over about a second, at one
// call each [loudnessInterval].
func smoothLoudness(before, now float64) float64 {
	if now > before {
		return before + (now-before)/2
	}
	return before * 0.9
}
