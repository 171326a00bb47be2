package hpke

import (
	"crypto/ecdh"
	"crypto/mlkem"
	"crypto/mlkem/mlkemtest"
	"crypto/sha3"
	"io"
	"slices"

	"github.com/conclave-sfu/conclave/e2ee/internal/fail"
)

// XWing is X-Wing, MLKEM768-X25519 (draft-connolly-cfrg-xwing-kem, draft-ietf-hpke-pq),
// with a DeriveKeyPair of its own.
var XWing KEM = xwing{}

type xwing struct{}

const (
	xwingID         = 0x647a
	xwingSeedSize   = 32
	xwingPublicSize = mlkem.EncapsulationKeySize768 + x25519Size
	xwingEncSize    = mlkem.CiphertextSize768 + x25519Size
	xwingLabel      = `\.//^\`
)

func (xwing) ID() uint16    { return xwingID }
func (xwing) SeedSize() int { return xwingSeedSize }
func (xwing) EncSize() int  { return xwingEncSize }

// NewPrivateKey takes a decapsulation key of X-Wing, which is a seed of 32 bytes.
func (xwing) NewPrivateKey(private []byte) (*PrivateKey, error) {
	if len(private) != xwingSeedSize {
		return nil, ErrKey
	}
	pq, t, err := xwingExpand(private)
	if err != nil {
		return nil, err
	}
	public := append(pq.EncapsulationKey().Bytes(), t.PublicKey().Bytes()...)
	return &PrivateKey{slices.Clone(private), public}, nil
}

// xwingExpand is expandDecapsulationKey.
func xwingExpand(seed []byte) (*mlkem.DecapsulationKey768, *ecdh.PrivateKey, error) {
	expanded := sha3.SumSHAKE256(seed, mlkem.SeedSize+x25519Size)
	defer clear(expanded)
	pq, err := mlkem.NewDecapsulationKey768(expanded[:mlkem.SeedSize])
	if err != nil {
		return nil, nil, ErrKey
	}
	t, err := ecdh.X25519().NewPrivateKey(expanded[mlkem.SeedSize:])
	if err != nil {
		return nil, nil, ErrKey
	}
	return pq, t, nil
}

// DeriveKeyPair is the key whose seed is SHAKE256(ikm, 32). It is not that of crypto/hpke,
// which labels its input as drafts on hybrid KEMs in HPKE do; docs/protocol.md holds it down.
func (k xwing) DeriveKeyPair(ikm []byte) (*PrivateKey, error) {
	seed := sha3.SumSHAKE256(ikm, xwingSeedSize)
	defer clear(seed)
	return k.NewPrivateKey(seed)
}

// CheckPublicKey refuses another length, an ML-KEM key with a coefficient that is not
// reduced (FIPS 203, Section 7.2) and an X25519 point of low order.
func (xwing) CheckPublicKey(public []byte) error {
	if len(public) != xwingPublicSize || isLowOrder(public[mlkem.EncapsulationKeySize768:]) ||
		!reduced(public[:mlkemVectorSize]) {
		return ErrKey
	}
	return nil
}

// mlkemVectorSize is the part of an ML-KEM-768 key before its seed: three polynomials of
// 256 coefficients of 12 bits.
const mlkemVectorSize = mlkem.EncapsulationKeySize768 - 32

// reduced is the modulus check of FIPS 203, Section 7.2: every coefficient is below q. It is
// what parsing an encapsulation key checks, without the cost of the matrix that it expands.
func reduced(vector []byte) bool {
	const q = 3329
	for b := range slices.Chunk(vector, 3) {
		lo, hi := uint(b[0])|uint(b[1])&0x0f<<8, uint(b[1])>>4|uint(b[2])<<4
		if lo >= q || hi >= q {
			return false
		}
	}
	return true
}

// Encapsulate reads 32 bytes for ML-KEM and then 32 for X25519, in the order of X-Wing's
// EncapsulateDerand.
//
// The standard library has ML-KEM.Encaps_internal (FIPS 203, Algorithm 17) in a package
// meant for known answers, since whoever passes it anything but fresh random bytes loses
// all security. This is its only call, and m is fresh: 32 bytes of rand that serve nothing
// else, which is ML-KEM.Encaps (Algorithm 20). docs/adr/0007 says why.
func (xwing) Encapsulate(rand io.Reader, public []byte) (secret, enc []byte, err error) {
	if len(public) != xwingPublicSize {
		return nil, nil, ErrKey
	}
	ekM, ekX := public[:mlkem.EncapsulationKeySize768], public[mlkem.EncapsulationKeySize768:]
	pq, err := mlkem.NewEncapsulationKey768(ekM)
	if err != nil {
		return nil, nil, ErrKey
	}
	m, err := readSecret(rand, mlkem.SharedKeySize)
	if err != nil {
		return nil, nil, err
	}
	defer clear(m)
	ssX, ctX, err := x25519Agree(rand, ekX)
	if err != nil {
		return nil, nil, err
	}
	ssM, ctM, err := mlkemtest.Encapsulate768(pq, m)
	if err != nil { // not the key's fault: in FIPS 140-only mode it is forbidden
		clear(ssX)
		return nil, nil, fail.At("hpke: ML-KEM", err)
	}
	return combine(ssM, ssX, ctX, ekX), append(ctM, ctX...), nil
}

// Decapsulate never fails for an altered ML-KEM ciphertext: it gives another secret then
// (FIPS 203, Section 6.3).
func (xwing) Decapsulate(key *PrivateKey, enc []byte) (secret []byte, err error) {
	if len(enc) != xwingEncSize || len(key.private) != xwingSeedSize {
		return nil, ErrOpen
	}
	pq, t, err := xwingExpand(key.private)
	if err != nil {
		return nil, ErrOpen
	}
	ctX := enc[mlkem.CiphertextSize768:]
	ssX, err := x25519DH(t, ctX)
	if err != nil {
		return nil, err
	}
	ssM, err := pq.Decapsulate(enc[:mlkem.CiphertextSize768])
	if err != nil {
		return nil, ErrOpen
	}
	return combine(ssM, ssX, ctX, t.PublicKey().Bytes()), nil
}

// combine is X-Wing's Combiner. It erases both secrets.
func combine(ssM, ssX, ctX, pkX []byte) []byte {
	h := sha3.New256()
	for _, part := range [][]byte{ssM, ssX, ctX, pkX, []byte(xwingLabel)} {
		h.Write(part)
	}
	clear(ssM)
	clear(ssX)
	return h.Sum(nil)
}
