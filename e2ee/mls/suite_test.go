package mls

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	requireNoError(t, "hex", err)
	return b
}

// counting is the bytes 0, 1, 2... .
func counting(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

// DeriveKeyPair of X-Wing is the key of the seed SHAKE256(ikm, 32) (rule 14). The seeds
// are also those of Python's hashlib, seeds and keys those of @hpke/hybridkem-x-wing 0.7.0.
func TestXWingDeriveKeyPair(t *testing.T) {
	for _, v := range []struct {
		ikm          []byte
		seed, digest string // SHA-256 of the public key
	}{
		{counting(32), "69f07c8840ce80024db30939882c3d5bbc9c98b3e31e4513ebd2ca9b4503cdd3", "e735f8e75ba7883aae5d6456ae03c14086b769d73502147370f2963b397e4d4a"},
		{counting(64), "755e8863a2b2bc067f51c1637a71c819d524dc37c17ba7a29c6ee3767c996a49", "534ca24d8d6e01bddf462876d102b0e734e9f4c308e02c45d142231b31be16fc"},
	} {
		key, err := suites[SuiteXWing].hpke.KEM.DeriveKeyPair(v.ikm)
		requireNoError(t, "derive", err)
		requireEqual(t, "seed", key.Bytes(), unhex(t, v.seed))
		digest := sha256.Sum256(key.PublicKey())
		requireEqual(t, "public key", digest[:], unhex(t, v.digest))
	}
}

// The key of a seed is that of draft-connolly-cfrg-xwing-kem, Appendix C.
func TestXWingKey(t *testing.T) {
	key, err := suites[SuiteXWing].hpke.KEM.NewPrivateKey(unhex(t, "7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26"))
	requireNoError(t, "key", err)
	public := key.PublicKey()
	requireEqual(t, "start of the public key", public[:32], unhex(t, "e2236b35a8c24b39b10aa1323a96a919a2ced88400633a7b07131713fc14b2b5"))
	if len(public) != 1216 {
		t.Errorf("public key of %d bytes", len(public))
	}
}

// What a hostile member can put in the place of an X-Wing key: neither half may be one that
// nobody can encrypt to, or it would stop all commits.
func TestXWingKeysRefused(t *testing.T) {
	s := suites[SuiteXWing]
	key, err := s.generateKeyPair(testRandom(80))
	requireNoError(t, "key", err)
	good := key.PublicKey()
	requireNoError(t, "honest key", s.checkPublic(good))
	for _, tc := range []struct {
		name  string
		spoil func(b []byte) []byte
	}{
		{"empty", func(b []byte) []byte { return nil }},
		{"one byte short", func(b []byte) []byte { return b[1:] }},
		{"one byte long", func(b []byte) []byte { return append(b, 0) }},
		{"an X25519 key alone", func(b []byte) []byte { return b[1184:] }},
		{"an ML-KEM coefficient of 4095", func(b []byte) []byte { b[0], b[1] = 0xff, 0xff; return b }},
		{"the X25519 half zero", func(b []byte) []byte { clear(b[1184:]); return b }},
		{"the X25519 half one", func(b []byte) []byte { clear(b[1184:]); b[1184] = 1; return b }},
		{"the X25519 half p, highest bit set", func(b []byte) []byte {
			copy(b[1184:], bytes.Repeat([]byte{0xff}, 32))
			b[1184] = 0xed
			return b
		}},
	} {
		if err := s.checkPublic(tc.spoil(bytes.Clone(good))); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

// The protocol's limits hold what the largest suite makes: 8 kB for a KeyPackage, and for
// a commit with its Welcome what the server takes from a room of that size
// (signal.MaxMessage, in base64).
func TestSizes(t *testing.T) {
	for _, s := range []Suite{Suite1, Suite3, SuiteXWing} {
		random := testRandom(81)
		for _, n := range []int{2, 10, 50, 200} {
			adds := testKeyPackages(t, random, s, n-1)
			p := testCreate(t, random, s, "creator")
			staged := p.commit(t, random, CommitParams{Adds: adds})
			kp := len(adds[0].Raw())
			if kp > 8<<10 {
				t.Errorf("%v: KeyPackage of %d bytes", s, kp)
			}
			if got, limit := (len(staged.Commit)+len(staged.Welcome))*4/3, 512<<10+n*24<<10; got > limit {
				t.Errorf("%v: commit and Welcome of %d bytes in base64, %d are allowed", s, got, limit)
			}
			p.merge(staged)
			remove := p.commit(t, random, CommitParams{Removes: []LeafIndex{1}})
			t.Logf("%v, N=%d: KeyPackage %d, commit that adds N-1 %d, Welcome %d, commit that removes one %d bytes",
				s, n, kp, len(staged.Commit), len(staged.Welcome), len(remove.Commit))
		}
	}
}

func TestSuiteNames(t *testing.T) {
	for s, want := range map[Suite]string{Suite1: "0x0001", Suite3: "0x0003", SuiteXWing: "0xF00E"} {
		if got := fmt.Sprint(s); got != want {
			t.Errorf("%s instead of %s", got, want)
		}
	}
}
