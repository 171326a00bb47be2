package speaker

import (
	"slices"
	"testing"
	"time"
)

// FuzzVoices has voices come, go and speak as the input says: four bytes a round are the time that
// passes, who is there, and two levels. As many are heard as can be, each once, and who is not heard
// any more has gone, or gave way to somebody much louder; the floor is with somebody who is there,
// and with nobody for less than its tenure who speaks all the while.
func FuzzVoices(f *testing.F) {
	f.Add(uint8(2), []byte{1, 0xff, 0x12, 0x34, 1, 0xff, 0xf0, 0x0f, 4, 0x0f, 0xf1, 0xff})
	f.Fuzz(func(t *testing.T, n uint8, rounds []byte) {
		slots := int(n % 5)
		meters := make([]Meter, 8)
		var heard []int
		var floor Floor[int]
		now, since := int64(0), int64(0)
		for ; len(rounds) >= 4; rounds = rounds[4:] {
			now += int64(rounds[0]) * int64(Interval) / 4
			var voices []Voice[int]
			for i := range meters {
				if rounds[1]>>i&1 == 0 {
					meters[i] = Meter{}
					continue
				}
				meters[i].Hear(Loudness(rounds[2+i/4]>>(2*(i%4))&3)*42, int(rounds[0])%7)
				voices = append(voices, Voice[int]{i, meters[i].Loudness()})
			}
			heard = checkLoudest(t, heard, voices, slots)
			before, held := floor.Holder()
			speaks := held && slices.ContainsFunc(voices, func(v Voice[int]) bool { return v.Key == before && v.Loudness >= audible })
			changed := floor.Observe(now, voices)
			after, holds := floor.Holder()
			if changed != (held != holds || before != after) {
				t.Fatalf("%d, %t, then %d, %t; changed: %t", before, held, after, holds, changed)
			}
			if holds && !slices.ContainsFunc(voices, func(v Voice[int]) bool { return v.Key == after }) {
				t.Fatalf("%d has the floor, and is not there", after)
			}
			if changed && speaks && time.Duration(now-since) < tenure {
				t.Fatalf("%d had the floor for %v, and speaks", before, time.Duration(now-since))
			}
			if changed {
				since = now
			}
		}
	})
}

func checkLoudest(t *testing.T, heard []int, voices []Voice[int], n int) []int {
	loudness := map[int]Loudness{}
	for _, v := range voices {
		loudness[v.Key] = v.Loudness
	}
	next := Loudest(heard, voices, n)
	if len(next) != min(n, len(voices)) {
		t.Fatalf("%d of %d voices are heard, %d can be", len(next), len(voices), n)
	}
	loudest := Loudness(-1) // of those who are new
	for i, key := range next {
		if _, there := loudness[key]; !there || slices.Contains(next[:i], key) {
			t.Fatalf("%v are heard", next)
		}
		if !slices.Contains(heard, key) {
			loudest = max(loudest, loudness[key])
		}
	}
	for _, key := range heard {
		if level, there := loudness[key]; there && !slices.Contains(next, key) && loudest < level+Margin {
			t.Fatalf("%d at %.0f gave way to %.0f", key, level, loudest)
		}
	}
	return next
}
