package sfu

import (
	"cmp"
	"slices"

	"github.com/conclave-sfu/conclave/sfu/speaker"
)

// pubKey names a publication within a room. The zero value is no publication.
type pubKey struct {
	participant string
	source      Source
}

// assignVideo says what each slot shows next: the first wants, by priority, the dominant
// speaker first among equals, then as listed, that are available, as many as there are
// slots. What has a slot already stays in it. The zero key is an empty slot.
func assignVideo(slots []pubKey, wants []Want, dominant string, available func(pubKey) bool) []pubKey {
	wants = slices.Clone(wants)
	slices.SortStableFunc(wants, func(a, b Want) int {
		if d := cmp.Compare(b.Priority, a.Priority); d != 0 || dominant == "" {
			return d
		}
		switch {
		case a.Participant == dominant && b.Participant != dominant:
			return -1
		case b.Participant == dominant && a.Participant != dominant:
			return 1
		}
		return 0
	})
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

// placed is what a slot is to carry: the publication, nil for none, and how its participant wants
// to see it, nil for a voice.
type placed struct {
	key         pubKey
	publication *publication
	want        *Want
}

// placedAs finds the publication of a key, and the first want of it. The zero key is nothing.
func (r *room) placedAs(key pubKey, wants []Want) placed {
	if key == (pubKey{}) {
		return placed{}
	}
	at := placed{key: key, publication: r.publications.get(key)}
	i := slices.IndexFunc(wants, func(w Want) bool { return w.Participant == key.participant && w.Source == key.source })
	if i >= 0 {
		at.want = &wants[i]
	}
	return at
}

// sends says whether there is a stream to show.
func (p *placed) sends() bool { return p.publication != nil && len(p.publication.layers) > 0 }

// height is that in pixels at which it is shown; 0 if it is not said.
func (p *placed) height() int {
	if p.want == nil {
		return 0
	}
	return p.want.Height
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

// assignAudio says what each slot of a participant carries next: all other voices while
// the slots last, else the loudest. Voices come in the order of their arrival, which
// decides where they are equally loud.
func assignAudio(slots []pubKey, participant string, voices []voice) []pubKey {
	others := slices.DeleteFunc(slices.Clone(voices), func(v voice) bool { return v.Key.participant == participant })
	return place(slots, speaker.Loudest(slots, others, len(slots)))
}
