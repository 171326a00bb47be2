package mls

import (
	"bytes"
	"testing"
)

// Everything follows from the randomness that is passed in: the same meeting twice gives the
// same bytes, KeyPackages, commits, Welcomes and messages alike.
func TestRepeats(t *testing.T) {
	meeting := func(id Suite, seed byte) (all []byte) {
		random := testRandom(seed)
		p := testCreate(t, random, id, "creator")
		kps := testKeyPackages(t, random, id, 3)
		for _, kp := range kps {
			all = append(all, kp.Raw()...)
		}
		staged := p.commit(t, random, CommitParams{Adds: kps})
		p.merge(staged)
		remove := p.commit(t, random, CommitParams{Removes: []LeafIndex{1}})
		message := testSeal(t, p, 1)[0]
		for _, b := range [][]byte{staged.Commit, staged.Welcome, remove.Commit, message} {
			all = append(all, b...)
		}
		return all
	}
	for _, id := range []Suite{Suite1, Suite3, SuiteXWing} {
		first := meeting(id, 99)
		if !bytes.Equal(first, meeting(id, 99)) {
			t.Errorf("%v: two meetings from one seed differ", id)
		}
		if bytes.Equal(first, meeting(id, 100)) {
			t.Errorf("%v: two seeds give one meeting", id)
		}
	}
}
