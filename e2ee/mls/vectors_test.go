package mls

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/conclave-sfu/conclave/e2ee/mls/hpke"
)

type ecdsaSigner struct {
	key  *ecdsa.PrivateKey
	hash crypto.Hash
}

func (s ecdsaSigner) public() []byte {
	b, err := s.key.PublicKey.Bytes()
	if err != nil {
		panic(err)
	}
	return b
}

func (s ecdsaSigner) sign(message []byte) ([]byte, error) {
	h := s.hash.New()
	h.Write(message)
	return ecdsa.SignASN1(rand.Reader, s.key, h.Sum(nil))
}

// vectorSigner reads a vector's signature key.
func vectorSigner(t testing.TB, id Suite, private []byte) signer {
	t.Helper()
	curves := map[Suite]elliptic.Curve{2: elliptic.P256(), 5: elliptic.P521(), 7: elliptic.P384()}
	hashes := map[Suite]crypto.Hash{2: crypto.SHA256, 5: crypto.SHA512, 7: crypto.SHA384}
	if curve := curves[id]; curve != nil {
		padded := make([]byte, (curve.Params().BitSize+7)/8)
		copy(padded[max(0, len(padded)-len(private)):], private)
		key, err := ecdsa.ParseRawPrivateKey(curve, padded)
		if err != nil {
			t.Fatal(err)
		}
		return ecdsaSigner{key, hashes[id]}
	}
	return ed25519Signer(ed25519.NewKeyFromSeed(private[:ed25519.SeedSize]))
}

func vectorKey(t testing.TB, s *suite, private []byte) *hpke.PrivateKey {
	t.Helper()
	if size := map[Suite]int{2: 32, 5: 66, 7: 48}[s.id]; size > len(private) { // leading zeros cut
		private = append(make([]byte, size-len(private)), private...)
	}
	key, err := s.hpke.KEM.NewPrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// hexed is a byte string that JSON holds in hexadecimal; null is nil.
type hexed []byte

func (h *hexed) UnmarshalText(text []byte) (err error) {
	*h, err = hex.DecodeString(string(text))
	return err
}

// A vector whose suite is one of these is skipped, for the reason in whySkipped.
const (
	skipOwnSuite Suite = 0xFF01 + iota
	skipSlow
)

// whySkipped says why a vector is not run.
func whySkipped(s Suite) string {
	switch s {
	case skipOwnSuite:
		return "leaves that do not list their own suite, 7"
	case skipSlow:
		return "P-521, tried elsewhere and slow"
	}
	return "suite " + s.String() + " on X448 or Ed448"
}

// runVectors runs f over the vectors of a file, and logs how many of them and why not all.
func runVectors[T any](t *testing.T, file string, suiteOf func(T) Suite, f func(t *testing.T, s *suite, v T)) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "..", "shared", "vectors", file))
	if os.IsNotExist(err) {
		t.Skip("no vectors at ../shared/vectors")
	}
	if err != nil {
		t.Fatal(err)
	}
	var vectors []T
	if err := json.Unmarshal(raw, &vectors); err != nil {
		t.Fatal(err)
	}
	ran, skipped := 0, make(map[string]int)
	for i, v := range vectors {
		s := suites[suiteOf(v)]
		if s == nil {
			skipped[whySkipped(suiteOf(v))]++
			continue
		}
		f(t, s, v)
		ran++
		if t.Failed() {
			t.Fatalf("%s: vector %d, suite %v", file, i, s.id)
		}
	}
	t.Logf("%s: %d of %d ran; not: %v", file, ran, len(vectors), skipped)
	if ran == 0 {
		t.Error("no vector ran")
	}
}

func requireEqual(t testing.TB, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got %x, want %x", what, got, want)
	}
}

func requireNoError(t testing.TB, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}
