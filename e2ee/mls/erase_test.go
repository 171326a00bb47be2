package mls

import (
	"bytes"
	"errors"
	"slices"
	"testing"
)

// secretsOf lists the secrets that a Group and its Receiver hold, not copied.
func secretsOf(g *Group) (out [][]byte) {
	e := g.secrets
	out = append(out, e.initSecret, e.senderData, e.membership, e.exporter, e.epochAuthenticator)
	for _, key := range g.keys {
		out = append(out, key.Bytes())
	}
	out = append(out, g.handshake...)
	for _, r := range g.receiver.ratchets {
		out = append(out, r.secret)
		for _, key := range r.skipped {
			out = append(out, key.key, key.nonce)
		}
	}
	return slices.DeleteFunc(out, func(b []byte) bool { return len(b) == 0 })
}

func isZero(b []byte) bool { return bytes.Equal(b, make([]byte, len(b))) }

// Erase overwrites what the epoch alone holds, refuses everything afterwards, and leaves
// the epochs before and after as they are.
func TestErase(t *testing.T) {
	for _, id := range []Suite{Suite3, SuiteXWing} {
		random := testRandom(90)
		parties := testGroup(t, random, id, 4)
		testCommit(t, random, parties, 1, CommitParams{})
		old := slices.Clone(parties)
		messages := testSeal(t, old[1], 3)
		_, err := old[0].group.NewReceiver().Open(messages[2]) // skips two
		requireNoError(t, "open", err)
		commit := old[2].commit(t, random, CommitParams{})
		next, err := old[0].group.Process(commit.Commit, ProcessParams{PSKs: testPSKs})
		requireNoError(t, "process", err)

		secrets, sender := secretsOf(old[0].group), old[0].sender
		ratchets := [][]byte{sender.handshake.secret, sender.application.secret}
		if len(secrets) < 15 {
			t.Fatalf("only %d secrets", len(secrets))
		}
		old[0].group.Erase()
		// The Sender alone seals nothing.
		_, sealed := sender.Seal(random, nil, nil)
		_, committed := old[0].group.Commit(random, sender, CommitParams{PSK: testPSK})
		if !errors.Is(sealed, ErrInvalid) || !errors.Is(committed, ErrInvalid) {
			t.Errorf("%v: sealed in an erased epoch: %v, %v", id, sealed, committed)
		}
		sender.Erase()
		for i, b := range append(secrets, ratchets...) {
			if !isZero(b) {
				t.Errorf("%v: secret %d of %d is still there", id, i, len(secrets))
			}
		}
		for i, b := range secretsOf(next.Group) {
			if isZero(b) {
				t.Errorf("%v: secret %d of the next epoch is erased with the one before", id, i)
			}
		}
		for x, key := range next.Group.keys {
			if len(key.Bytes()) == 0 {
				t.Errorf("%v: the next epoch's key of node %d went with the one before", id, x)
			}
		}
		g := old[0].group
		_, exported := g.Export("label", nil, 16)
		_, processed := g.Process(commit.Commit, ProcessParams{PSKs: testPSKs})
		_, committed = g.Commit(random, sender, CommitParams{PSK: testPSK})
		_, sealed = sender.Seal(random, nil, nil)
		_, opened := g.NewReceiver().Open(messages[0])
		for what, err := range map[string]error{
			"export": exported, "process": processed, "commit": committed, "seal": sealed, "open": opened,
		} {
			if !errors.Is(err, ErrInvalid) {
				t.Errorf("%v: %s with an erased epoch: %v", id, what, err)
			}
		}
		if len(g.EpochAuthenticator()) != 0 || len(g.Members()) != 4 {
			t.Errorf("%v: authenticator or members of an erased epoch", id)
		}
		g.Erase() // twice is no harm

		// The epoch after it, which began from it, goes on in all that they could have shared.
		parties[0].group, parties[0].sender = next.Group, next.Sender
		parties[2].merge(commit)
		for _, i := range []int{1, 3} {
			out, err := parties[i].group.Process(commit.Commit, ProcessParams{PSKs: testPSKs})
			requireNoError(t, "process", err)
			parties[i].group, parties[i].sender = out.Group, out.Sender
		}
		requireOneEpoch(t, random, parties)
		for i := range parties {
			testCommit(t, random, parties, i, CommitParams{})
		}
	}
}

// What is erased by itself: a KeyPackage after joining, a staged commit that lost.
func TestEraseParts(t *testing.T) {
	random := testRandom(91)
	parties := testGroup(t, random, Suite3, 2)
	kp := testKeyPackage(t, random, Suite3, "joiner")
	staged := parties[0].commit(t, random, CommitParams{Adds: []*KeyPackage{kp.KeyPackage()}})
	joined := testJoin(t, staged.Welcome, kp)
	inside := [][]byte{kp.initKey.Bytes(), kp.leafKey.Bytes()}
	kp.Erase()
	kp.Erase()
	if !isZero(inside[0]) || !isZero(inside[1]) {
		t.Error("a KeyPackage's keys are still there")
	}
	out, err := parties[1].group.Process(staged.Commit, ProcessParams{PSKs: testPSKs})
	requireNoError(t, "process", err)
	parties[0].merge(staged)
	parties[1].group, parties[1].sender = out.Group, out.Sender
	parties = append(parties, joined)
	requireOneEpoch(t, random, parties)
	testCommit(t, random, parties, 2, CommitParams{}) // with the leaf key that it joined with

	lost := parties[0].commit(t, random, CommitParams{})
	secrets := secretsOf(lost.group)
	won := parties[1].commit(t, random, CommitParams{})
	lost.Erase()
	for i, b := range secrets {
		if !isZero(b) {
			t.Errorf("secret %d of a lost commit is still there", i)
		}
	}
	for _, i := range []int{0, 2} {
		out, err := parties[i].group.Process(won.Commit, ProcessParams{PSKs: testPSKs})
		requireNoError(t, "process", err)
		parties[i].group, parties[i].sender = out.Group, out.Sender
	}
	parties[1].merge(won)
	requireOneEpoch(t, random, parties)
}

// A forgery for a generation that was skipped costs the true message nothing.
func TestSkippedKeySurvivesForgery(t *testing.T) {
	random := testRandom(92)
	parties := testGroup(t, random, Suite3, 2)
	messages, receiver := testSeal(t, parties[0], 2), parties[1].group.NewReceiver()
	_, err := receiver.Open(messages[1])
	requireNoError(t, "second", err)
	m, err := parsePrivateMessage(messages[0])
	requireNoError(t, "parse", err)
	m.ciphertext = slices.Clone(m.ciphertext)
	m.ciphertext[len(m.ciphertext)-1] ^= 1 // beyond the sample of the sender data
	if _, err := receiver.Open(m.encode()); !errors.Is(err, ErrDecrypt) {
		t.Errorf("forgery: %v", err)
	}
	_, err = receiver.Open(messages[0])
	requireNoError(t, "first", err)
	if _, err := receiver.Open(messages[0]); !errors.Is(err, ErrGeneration) {
		t.Errorf("first again: %v", err)
	}
}
