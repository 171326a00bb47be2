package hpke

import (
	"bytes"
	"crypto/ecdh"
	stdlib "crypto/hpke"
	"crypto/mlkem"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

// seeded is a random source that repeats.
func seeded(seed byte) *rand.ChaCha8 { return rand.NewChaCha8([32]byte{seed}) }

func random(r io.Reader, n int) []byte {
	b, err := readSecret(r, n)
	if err != nil {
		panic(err)
	}
	return b
}

func newKey(t testing.TB, kem KEM, r io.Reader) *PrivateKey {
	t.Helper()
	key, err := kem.DeriveKeyPair(random(r, kem.SeedSize()))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// peer is a suite of crypto/hpke.
type peer struct {
	kem  stdlib.KEM
	kdf  stdlib.KDF
	aead stdlib.AEAD
}

var peers = map[string]peer{
	"0x0001": {stdlib.DHKEM(ecdh.X25519()), stdlib.HKDFSHA256(), stdlib.AES128GCM()},
	"0x0003": {stdlib.DHKEM(ecdh.X25519()), stdlib.HKDFSHA256(), stdlib.ChaCha20Poly1305()},
	"0xF00E": {stdlib.MLKEM768X25519(), stdlib.HKDFSHA512(), stdlib.ChaCha20Poly1305()},
}

// Both ways, with keys, infos and messages of all sizes: what we seal, crypto/hpke opens,
// and the other way round.
func TestBesideCryptoHPKE(t *testing.T) {
	const seed = 7
	t.Log("seed", seed)
	for name, s := range suites {
		p, r := peers[name], seeded(seed)
		sizes := rand.New(r)
		for i := range 200 {
			ours := newKey(t, s.KEM, r)
			theirs, err := p.kem.NewPrivateKey(ours.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(theirs.PublicKey().Bytes(), ours.PublicKey()) {
				t.Fatalf("%s: public keys differ", name)
			}
			info, aad, plaintext := random(r, sizes.IntN(300)), random(r, sizes.IntN(40)), random(r, sizes.IntN(200))

			enc, ct, err := s.Seal(r, ours.PublicKey(), s.NewInfo(info), aad, plaintext)
			if err != nil {
				t.Fatal(err)
			}
			recipient, err := stdlib.NewRecipient(enc, theirs, p.kdf, p.aead, info)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := recipient.Open(aad, ct); err != nil || !bytes.Equal(got, plaintext) {
				t.Fatalf("%s, case %d: crypto/hpke does not open ours: %v", name, i, err)
			}

			enc, sender, err := stdlib.NewSender(theirs.PublicKey(), p.kdf, p.aead, info)
			if err != nil {
				t.Fatal(err)
			}
			if ct, err = sender.Seal(aad, plaintext); err != nil {
				t.Fatal(err)
			}
			if got, err := s.Open(ours, enc, s.NewInfo(info), aad, ct); err != nil || !bytes.Equal(got, plaintext) {
				t.Fatalf("%s, case %d: we do not open crypto/hpke's: %v", name, i, err)
			}
		}
	}
}

// In X25519 DeriveKeyPair is RFC 9180's; in X-Wing it is ours, and differs on purpose.
func TestDeriveKeyPairBesideCryptoHPKE(t *testing.T) {
	r := seeded(8)
	for i := range 50 {
		ikm := random(r, 32+i)
		for name, same := range map[string]bool{"0x0001": true, "0xF00E": false} {
			ours, err := suites[name].KEM.DeriveKeyPair(ikm)
			if err != nil {
				t.Fatal(err)
			}
			theirs, err := peers[name].kem.DeriveKeyPair(ikm)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Equal(ours.PublicKey(), theirs.PublicKey().Bytes()) != same {
				t.Errorf("%s: derived keys are the same: %t", name, !same)
			}
		}
	}
}

// The same randomness gives the same bytes, other randomness others, all of it is needed, and
// an error of the source is passed on.
func TestRandomnessIsAnInput(t *testing.T) {
	broken := errors.New("broken")
	for name, s := range suites {
		key := newKey(t, s.KEM, seeded(1))
		seal := func(r io.Reader) ([]byte, error) {
			enc, ct, err := s.Seal(r, key.PublicKey(), s.NewInfo(nil), nil, []byte("message"))
			return append(enc, ct...), err
		}
		one, _ := seal(seeded(2))
		again, _ := seal(seeded(2))
		other, _ := seal(seeded(3))
		if !bytes.Equal(one, again) || bytes.Equal(one, other) {
			t.Errorf("%s: a message does not follow from its randomness", name)
		}
		need := map[string]int{"0x0001": 32, "0x0003": 32, "0xF00E": 64}[name]
		if _, err := seal(bytes.NewReader(random(seeded(4), need))); err != nil {
			t.Errorf("%s: %v with %d bytes", name, err, need)
		}
		if _, err := seal(bytes.NewReader(random(seeded(4), need-1))); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%s: %v with a byte too few", name, err)
		}
		if _, err := seal(iotest.ErrReader(broken)); !errors.Is(err, broken) {
			t.Errorf("%s: %v", name, err)
		}
		// Each byte counts.
		whole := random(seeded(5), need)
		first, _ := seal(bytes.NewReader(whole))
		for i := range whole {
			if i%32 == 0 || i%32 == 31 && i/32 == need/32-1 {
				continue // bits of an X25519 key that are clamped
			}
			changed := slices.Clone(whole)
			changed[i] ^= 0x10
			if got, _ := seal(bytes.NewReader(changed)); bytes.Equal(got, first) {
				t.Errorf("%s: byte %d of the randomness is not used", name, i)
			}
		}
	}
}

func TestPublicKeysRefused(t *testing.T) {
	for name, s := range suites {
		good := newKey(t, s.KEM, seeded(9)).PublicKey()
		bad := map[string][]byte{
			"empty": {}, "nil": nil, "short": good[:len(good)-1], "long": append(slices.Clone(good), 0),
		}
		for i, u := range lowOrder {
			for _, top := range []byte{0, 0x80} {
				key := slices.Clone(good)
				copy(key[len(key)-32:], u[:])
				key[len(key)-1] |= top
				bad[fmt.Sprintf("low order %d, %x", i, top)] = key
			}
		}
		if len(good) > x25519Size {
			for _, at := range []int{0, 1, 700, 766, 767} {
				for _, value := range []uint16{3329, 3330, 4095} {
					bad[fmt.Sprintf("coefficient %d is %d", at, value)] = withCoefficient(good, at, value)
				}
			}
		}
		for what, public := range bad {
			if err := s.KEM.CheckPublicKey(public); !errors.Is(err, ErrKey) {
				t.Errorf("%s: %s: check: %v", name, what, err)
			}
			if _, _, err := s.Seal(seeded(1), public, s.NewInfo(nil), nil, nil); !errors.Is(err, ErrKey) {
				t.Errorf("%s: %s: seal: %v", name, what, err)
			}
		}
		if err := s.KEM.CheckPublicKey(good); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// withCoefficient sets one of the 768 coefficients of an ML-KEM-768 key.
func withCoefficient(public []byte, at int, value uint16) []byte {
	b := slices.Clone(public)
	i := at / 2 * 3
	if at%2 == 0 {
		b[i], b[i+1] = byte(value), b[i+1]&0xf0|byte(value>>8)
	} else {
		b[i+1], b[i+2] = b[i+1]&0x0f|byte(value<<4), byte(value>>4)
	}
	return b
}

// Our modulus check says of every key what parsing it says.
func TestModulusCheckBesideMLKEM(t *testing.T) {
	good := newKey(t, XWing, seeded(10)).PublicKey()[:mlkem.EncapsulationKeySize768]
	for at := range 768 {
		for _, value := range []uint16{0, 1, 3327, 3328, 3329, 3330, 4095} {
			key := withCoefficient(good, at, value)
			_, err := mlkem.NewEncapsulationKey768(key)
			if got := reduced(key[:mlkemVectorSize]); got != (err == nil) {
				t.Fatalf("coefficient %d is %d: %t, crypto/mlkem says %v", at, value, got, err)
			}
		}
	}
}

func TestPrivateKeysRefused(t *testing.T) {
	for name, s := range suites {
		for _, n := range []int{0, 31, 33, 64} {
			if _, err := s.KEM.NewPrivateKey(make([]byte, n)); !errors.Is(err, ErrKey) {
				t.Errorf("%s: %d bytes: %v", name, n, err)
			}
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	for name, s := range suites {
		r := seeded(11)
		key, other := newKey(t, s.KEM, r), newKey(t, s.KEM, r)
		info, aad := []byte("info"), []byte("aad")
		enc, ct, err := s.Seal(r, key.PublicKey(), s.NewInfo(info), aad, []byte("message"))
		if err != nil {
			t.Fatal(err)
		}
		open := func(key *PrivateKey, enc, info, aad, ct []byte) error {
			_, err := s.Open(key, enc, s.NewInfo(info), aad, ct)
			return err
		}
		if err := open(key, enc, info, aad, ct); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		low := slices.Clone(enc)
		clear(low[len(low)-32:])
		erased := key.Clone()
		erased.Erase()
		for what, err := range map[string]error{
			"another key":      open(other, enc, info, aad, ct),
			"erased key":       open(erased, enc, info, aad, ct),
			"another info":     open(key, enc, []byte("inf0"), aad, ct),
			"another aad":      open(key, enc, info, nil, ct),
			"altered":          open(key, enc, info, aad, append(ct[:len(ct)-1:len(ct)-1], ct[len(ct)-1]^1)),
			"no ciphertext":    open(key, enc, info, aad, nil),
			"short ciphertext": open(key, enc, info, aad, ct[:15]),
			"short enc":        open(key, enc[1:], info, aad, ct),
			"long enc":         open(key, append(slices.Clone(enc), 0), info, aad, ct),
			"no enc":           open(key, nil, info, aad, ct),
			"enc of low order": open(key, low, info, aad, ct),
			"altered enc":      open(key, append([]byte{enc[0] ^ 1}, enc[1:]...), info, aad, ct),
		} {
			if !errors.Is(err, ErrOpen) {
				t.Errorf("%s: %s: %v", name, what, err)
			}
		}
		if err := open(key, enc, info, aad, ct); err != nil {
			t.Errorf("%s: after a copy was erased: %v", name, err)
		}
	}
}

func TestEraseOverwrites(t *testing.T) {
	for _, kem := range []KEM{X25519, XWing} {
		key := newKey(t, kem, seeded(12))
		inside := key.Bytes()
		key.Erase()
		if !bytes.Equal(inside, make([]byte, len(inside))) || key.Bytes() != nil {
			t.Error("an erased key is still there")
		}
		key.Erase() // twice is no harm
	}
}

func TestKeysDoNotPrint(t *testing.T) {
	key := newKey(t, X25519, seeded(13))
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if got := fmt.Sprintf(format, key); !strings.Contains(got, "[secret]") || len(got) > 20 {
			t.Errorf("%s prints %q", format, got)
		}
	}
}

// Whatever arrives, opening says no: it never panics, and opens nothing that was not sealed.
func FuzzOpen(f *testing.F) {
	type seed struct {
		suite Suite
		key   *PrivateKey
		enc   []byte
	}
	r := seeded(14)
	seeds := []seed{{suite: suite1}, {suite: suite3}, {suite: suiteXWing}}
	for i := range seeds {
		s := &seeds[i]
		s.key = newKey(f, s.suite.KEM, r)
		enc, ct, err := s.suite.Seal(r, s.key.PublicKey(), s.suite.NewInfo(nil), nil, []byte("message"))
		if err != nil {
			f.Fatal(err)
		}
		s.enc = enc
		f.Add(byte(i), enc, ct)
	}
	f.Fuzz(func(t *testing.T, i byte, enc, ct []byte) {
		s := seeds[int(i)%len(seeds)]
		got, err := s.suite.Open(s.key, enc, s.suite.NewInfo(nil), nil, ct)
		// The highest bit of an X25519 point does not count, but is part of the context.
		if err == nil && (string(got) != "message" || !bytes.Equal(enc, s.enc)) {
			t.Fatal("a message was forged")
		}
	})
}

// Every public key that the check lets through can be encrypted to, and none else.
func FuzzPublicKey(f *testing.F) {
	for _, s := range suites {
		f.Add(newKey(f, s.KEM, seeded(15)).PublicKey())
	}
	for _, u := range lowOrder {
		f.Add(u[:])
	}
	f.Fuzz(func(t *testing.T, public []byte) {
		for _, kem := range []KEM{X25519, XWing} {
			check := kem.CheckPublicKey(public)
			_, _, err := kem.Encapsulate(seeded(16), public)
			if (check == nil) != (err == nil) {
				t.Fatalf("check says %v, encapsulation %v", check, err)
			}
		}
	})
}
