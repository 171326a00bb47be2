package mls

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
)

func testSeal(t testing.TB, p party, n int) (messages [][]byte) {
	t.Helper()
	for i := range n {
		msg, err := p.sender.Seal(testRandom(byte(i)), nil, fmt.Appendf(nil, "message %d", i))
		requireNoError(t, "seal", err)
		messages = append(messages, msg)
	}
	return messages
}

// header reads the sender data of a message, as any member can.
func header(t testing.TB, g *Group, msg []byte) (privateMessage, senderData) {
	t.Helper()
	m, err := parsePrivateMessage(msg)
	requireNoError(t, "message", err)
	d, err := g.suite.openSenderData(g.secrets.senderData, &m)
	requireNoError(t, "sender data", err)
	return m, d
}

// Each message is accepted once, in any order within 1,000 generations (rule 9).
func TestReceiverOrder(t *testing.T) {
	parties := testGroup(t, testRandom(30), Suite3, 3)
	messages := testSeal(t, parties[0], 2*maxAhead+3)
	r := parties[1].group.NewReceiver()
	open := func(i int, want error) {
		t.Helper()
		got, err := r.Open(messages[i])
		if !errors.Is(err, want) {
			t.Fatalf("message %d: %v instead of %v", i, err, want)
		}
		if err == nil && string(got.Plaintext) != fmt.Sprint("message ", i) {
			t.Errorf("message %d: %q", i, got.Plaintext)
		}
	}
	open(maxAhead+1, ErrGeneration)
	open(5, nil)
	open(5, ErrGeneration)
	open(3, nil)
	open(3, ErrGeneration)
	open(0, nil)
	open(6, nil)
	open(7+maxAhead+1, ErrGeneration)
	open(7+maxAhead, nil)
	open(7, nil)
	open(1, ErrGeneration) // more than 1,000 behind: forgotten
	open(7+maxAhead-1, nil)
	if got := len(r.ratchets[0].skipped); got > maxAhead {
		t.Errorf("%d skipped keys are kept", got)
	}
	if again := parties[1].group.NewReceiver(); again != r {
		t.Error("a second receiver would accept messages twice")
	}
	if parties[2].group.NewReceiver().ratchets[0].next != 0 {
		t.Error("receivers of two members share a ratchet")
	}
}

// What fails changes nothing: a member cannot burn another's generations.
func TestReceiverRefuses(t *testing.T) {
	random := testRandom(31)
	parties := testGroup(t, random, Suite3, 3)
	g := parties[1].group
	r := g.NewReceiver()
	honest := testSeal(t, parties[0], 1)[0]

	// Member 2 writes in the name of member 0: it has the keys, not the signature.
	forge := func(generation uint32, change func(a *authenticatedContent)) []byte {
		a := parties[0].group.frame(contentApplication, nil, appendVec(nil, []byte("forged")))
		requireNoError(t, "sign", a.sign(parties[2].group.signer, g.encoded))
		change(a)
		root := ratchet{suite: g.suite, secret: slices.Clone(parties[2].group.NewReceiver().ratchets[0].secret)}
		for root.next < generation {
			root.skip()
		}
		msg, err := g.suite.sealPrivate(random, g.secrets.senderData, &root, a, 1)
		requireNoError(t, "seal", err)
		return msg
	}
	other := testGroup(t, testRandom(32), Suite3, 2)
	commit := parties[0].commit(t, random, CommitParams{}).Commit
	own := testSeal(t, parties[1], 1)[0]
	flipped := slices.Clone(honest)
	flipped[len(flipped)-1] ^= 1
	for _, tc := range []struct {
		name string
		msg  []byte
		want error
	}{
		{"signature of another", forge(0, func(*authenticatedContent) {}), ErrInvalid},
		{"far ahead, signature of another", forge(maxAhead, func(*authenticatedContent) {}), ErrInvalid},
		{"sender is nobody", forge(0, func(a *authenticatedContent) { a.content.sender = 3 }), ErrInvalid},
		{"content is not a vector", forge(0, func(a *authenticatedContent) { a.content.body = []byte{0x40, 1, 2} }), ErrMalformed},
		{"another group", testSeal(t, other[0], 1)[0], ErrDecrypt}, // it has the same id
		{"a commit", commit, ErrProfile},
		{"our own", own, ErrInvalid},
		{"flipped bit", flipped, ErrDecrypt},
		{"empty", nil, ErrMalformed},
	} {
		if _, err := r.Open(tc.msg); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	if r.ratchets[0].next != 0 || len(r.ratchets[0].skipped) != 0 {
		t.Error("a refused message moved the ratchet")
	}
	if _, err := r.Open(honest); err != nil {
		t.Errorf("the honest message: %v", err)
	}
	testCommit(t, random, parties, 0, CommitParams{})
	if _, err := parties[1].group.NewReceiver().Open(honest); !errors.Is(err, ErrWrongEpoch) {
		t.Errorf("in the next epoch: %v", err)
	}
}

// Used secrets are gone (rule 9).
func TestSecretsDeleted(t *testing.T) {
	parties := testGroup(t, testRandom(33), Suite3, 2)
	s, r := parties[0].sender, parties[1].group.NewReceiver()
	roots := [][]byte{s.application.secret, s.handshake.secret, r.ratchets[0].secret}
	if _, err := r.Open(testSeal(t, parties[0], 1)[0]); err != nil {
		t.Fatal(err)
	}
	parties[0].commit(t, testRandom(34), CommitParams{})
	for i, root := range roots {
		if !bytes.Equal(root, make([]byte, len(root))) {
			t.Errorf("root %d is still there", i)
		}
	}
	if parties[0].group.secrets.encryption != nil {
		t.Error("the encryption secret is still there")
	}
	if own := parties[0].group.NewReceiver().ratchets[0].secret; own != nil {
		t.Error("the receiver holds its owner's ratchet")
	}
}

// Two seals from one old state share no key and nonce, commits and messages count apart
// (rules 9 and 13).
func TestDroppedCommitBurnsItsGeneration(t *testing.T) {
	random := testRandom(35)
	parties := testGroup(t, random, Suite3, 3)
	g := parties[0].group
	first := parties[0].commit(t, random, CommitParams{})
	testSeal(t, parties[0], 3)
	second := parties[0].commit(t, random, CommitParams{Removes: []LeafIndex{2}})
	seen := make(map[string]bool)
	for i, msg := range [][]byte{first.Commit, second.Commit} {
		m, d := header(t, g, msg)
		if d.generation != uint32(i) {
			t.Errorf("commit %d has generation %d", i, d.generation)
		}
		key, err := ratchet{suite: g.suite, secret: g.handshake[0]}.keyAt(d.generation)
		requireNoError(t, "key", err)
		seen[string(key.key)+string(key.nonce)] = true
		if _, err := g.suite.openPrivate(&m, d, key); err != nil {
			t.Errorf("commit %d: %v", i, err)
		}
	}
	if len(seen) != 2 {
		t.Error("two commits under one key and nonce")
	}
	if _, d := header(t, g, testSeal(t, parties[0], 1)[0]); d.generation != 3 {
		t.Errorf("message of generation %d after 3 messages and 2 commits", d.generation)
	}

	// The second one wins; the first was never sent.
	for i := range 2 {
		parties[i+1].process(t, second.Commit)
	}
	parties[0].merge(second)
	requireOneEpoch(t, random, parties[:2])

	s := parties[0].sender
	for s.handshake.next <= maxAhead {
		s.handshake.skip()
	}
	if _, err := parties[0].group.Commit(random, s, CommitParams{PSK: testPSK}); !errors.Is(err, ErrGeneration) {
		t.Errorf("commit of generation %d: %v", maxAhead+1, err)
	}
	if _, err := s.Seal(random, nil, make([]byte, maxInput)); !errors.Is(err, ErrInvalid) {
		t.Errorf("message of %d bytes: %v", maxInput, err)
	}
	s.application.next = ^uint32(0)
	if _, err := s.Seal(random, nil, nil); !errors.Is(err, ErrGeneration) {
		t.Errorf("message of the last generation: %v", err)
	}
}

// A staged commit that loses the race leaves its author able to process the winner, and
// to see that it was its own where it was (rule 11).
func TestLostRace(t *testing.T) {
	random := testRandom(36)
	parties := testGroup(t, random, Suite3, 4)
	lost := parties[1].commit(t, random, CommitParams{Removes: []LeafIndex{3}})
	testCommit(t, random, parties, 0, CommitParams{})
	requireOneEpoch(t, random, parties)
	if _, err := parties[2].group.Process(lost.Commit, ProcessParams{PSKs: testPSKs, Now: testTime}); !errors.Is(err, ErrWrongEpoch) {
		t.Errorf("the loser, late: %v", err)
	}
	won := parties[1].commit(t, random, CommitParams{})
	if _, err := parties[1].group.Process(won.Commit, ProcessParams{PSKs: testPSKs, Now: testTime}); !errors.Is(err, ErrOwnCommit) {
		t.Errorf("own commit: %v", err)
	}
	if _, err := parties[1].group.Commit(random, parties[0].sender, CommitParams{PSK: testPSK}); !errors.Is(err, ErrInvalid) {
		t.Errorf("with another's sender: %v", err)
	}
}

// An author judges its own commit by the log's time as well: a KeyPackage that expired
// on the way makes it invalid for all (rule 15).
func TestOwnCommitExpires(t *testing.T) {
	random := testRandom(37)
	parties := testGroup(t, random, Suite3, 2)
	kp := testKeyPackage(t, random, Suite3, "late").KeyPackage()
	staged := parties[0].commit(t, random, CommitParams{Adds: []*KeyPackage{kp}})
	for _, p := range parties {
		_, err := p.group.Process(staged.Commit, ProcessParams{PSKs: testPSKs, Now: testTime.AddDate(0, 0, 2)})
		if !errors.Is(err, ErrInvalid) {
			t.Errorf("member %d: %v", p.group.Own(), err)
		}
	}
}
