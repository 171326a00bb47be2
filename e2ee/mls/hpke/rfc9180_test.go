package hpke

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha512"
	"encoding/hex"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"
)

func aesGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// The suites of MLS 0x0001, 0x0003 and 0xF00E.
var (
	suite1     = Suite{X25519, sha256KDF, AEAD{0x0001, 16, aesGCM}}
	suite3     = Suite{X25519, sha256KDF, AEAD{0x0003, 32, chacha20poly1305.New}}
	suiteXWing = Suite{XWing, KDF{0x0003, sha512.New}, AEAD{0x0003, 32, chacha20poly1305.New}}
	suites     = map[string]Suite{"0x0001": suite1, "0x0003": suite3, "0xF00E": suiteXWing}
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func equal(t testing.TB, what string, got []byte, want string) {
	t.Helper()
	if !bytes.Equal(got, unhex(t, want)) {
		t.Errorf("%s: got %x, want %s", what, got, want)
	}
}

// RFC 9180, Appendices A.1.1 (with the first message of A.1.1.1) and A.2.1 (A.2.1.1).
var rfc9180 = []struct {
	name                               string
	suite                              Suite
	ikmE, pkEm, skEm, ikmR, pkRm, skRm string
	shared, context, key, nonce, ct    string
}{
	{
		name: "A.1.1", suite: suite1,
		ikmE:    "7268600d403fce431561aef583ee1613527cff655c1343f29812e66706df3234",
		pkEm:    "37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431",
		skEm:    "52c4a758a802cd8b936eceea314432798d5baf2d7e9235dc084ab1b9cfa2f736",
		ikmR:    "6db9df30aa07dd42ee5e8181afdb977e538f5e1fec8a06223f33f7013e525037",
		pkRm:    "3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d",
		skRm:    "4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8",
		shared:  "fe0e18c9f024ce43799ae393c7e8fe8fce9d218875e8227b0187c04e7d2ea1fc",
		context: "00725611c9d98c07c03f60095cd32d400d8347d45ed67097bbad50fc56da742d07cb6cffde367bb0565ba28bb02c90744a20f5ef37f30523526106f637abb05449",
		key:     "4531685d41d65f03dc48f6b8302c05b0",
		nonce:   "56d890e5accaaf011cff4b7d",
		ct:      "f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a96d8770ac83d07bea87e13c512a",
	}, {
		name: "A.2.1", suite: suite3,
		ikmE:    "909a9b35d3dc4713a5e72a4da274b55d3d3821a37e5d099e74a647db583a904b",
		pkEm:    "1afa08d3dec047a643885163f1180476fa7ddb54c6a8029ea33f95796bf2ac4a",
		skEm:    "f4ec9b33b792c372c1d2c2063507b684ef925b8c75a42dbcbf57d63ccd381600",
		ikmR:    "1ac01f181fdf9f352797655161c58b75c656a6cc2716dcb66372da835542e1df",
		pkRm:    "4310ee97d88cc1f088a5576c77ab0cf5c3ac797f3d95139c6c84b5429c59662a",
		skRm:    "8057991eef8f1f1af18f4a9491d16a1ce333f695d4db8e38da75975c4478e0fb",
		shared:  "0bbe78490412b4bbea4812666f7916932b828bba79942424abb65244930d69a7",
		context: "00431df6cd95e11ff49d7013563baf7f11588c75a6611ee2a4404a49306ae4cfc5b69c5718a60cc5876c358d3f7fc31ddb598503f67be58ea1e798c0bb19eb9796",
		key:     "ad2744de8e17f4ebba575b3f5f5a8fa1f69c2a07f6e7500bc60ca6e3e3ec1c91",
		nonce:   "5c4d98150661b848853b547f",
		ct:      "1c5250d8034ec2b784ba2cfd69dbdb8af406cfe3ff938e131f0def8c8b60b4db21993c62ce81883d2dd1b51a28",
	},
}

const (
	rfcInfo      = "4f6465206f6e2061204772656369616e2055726e"                   // Ode on a Grecian Urn
	rfcAAD       = "436f756e742d30"                                             // Count-0
	rfcPlaintext = "4265617574792069732074727574682c20747275746820626561757479" // Beauty is truth, ...
)

func TestRFC9180(t *testing.T) {
	for _, v := range rfc9180 {
		t.Run(v.name, func(t *testing.T) {
			s := v.suite
			for _, pair := range [][3]string{{v.ikmE, v.skEm, v.pkEm}, {v.ikmR, v.skRm, v.pkRm}} {
				key, err := s.KEM.DeriveKeyPair(unhex(t, pair[0]))
				if err != nil {
					t.Fatal(err)
				}
				equal(t, "derived private key", key.Bytes(), pair[1])
				equal(t, "derived public key", key.PublicKey(), pair[2])
			}
			shared, enc, err := s.KEM.Encapsulate(bytes.NewReader(unhex(t, v.skEm)), unhex(t, v.pkRm))
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "enc", enc, v.pkEm)
			equal(t, "shared secret", shared, v.shared)
			info := s.NewInfo(unhex(t, rfcInfo))
			equal(t, "key schedule context", info.context, v.context)
			key, nonce := s.keys(shared, info)
			equal(t, "key", key, v.key)
			equal(t, "nonce", nonce, v.nonce)

			enc, ct, err := s.Seal(bytes.NewReader(unhex(t, v.skEm)), unhex(t, v.pkRm), info, unhex(t, rfcAAD), unhex(t, rfcPlaintext))
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "ciphertext", ct, v.ct)
			private, err := s.KEM.NewPrivateKey(unhex(t, v.skRm))
			if err != nil {
				t.Fatal(err)
			}
			plaintext, err := s.Open(private, enc, info, unhex(t, rfcAAD), ct)
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "plaintext", plaintext, rfcPlaintext)
		})
	}
}

// draft-connolly-cfrg-xwing-kem-06, Appendix C. eseed is ML-KEM's randomness and X25519's.
func TestXWingVectors(t *testing.T) {
	for _, v := range []struct{ seed, eseed, ss string }{
		{
			"7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26",
			"3cb1eea988004b93103cfb0aeefd2a686e01fa4a58e8a3639ca8a1e3f9ae57e235b8cc873c23dc62b8d260169afa2f75ab916a58d974918835d25e6a435085b2",
			"d2df0522128f09dd8e2c92b1e905c793d8f57a54c3da25861f10bf4ca613e384",
		}, {
			"badfd6dfaac359a5efbb7bcc4b59d538df9a04302e10c8bc1cbf1a0b3a5120ea",
			"17cda7cfad765f5623474d368ccca8af0007cd9f5e4c849f167a580b14aabdefaee7eef47cb0fca9767be1fda69419dfb927e9df07348b196691abaeb580b32d",
			"f2e86241c64d60f6649fbc6c5b7d17180b780a3f34355e64a85749949c45f150",
		}, {
			"ef58538b8d23f87732ea63b02b4fa0f4873360e2841928cd60dd4cee8cc0d4c9",
			"22a96188d032675c8ac850933c7aff1533b94c834adbb69c6115bad4692d8619f90b0cdf8a7b9c264029ac185b70b83f2801f2f4b3f70c593ea3aeeb613a7f1b",
			"953f7f4e8c5b5049bdc771d1dffada0dd961477d1a2ae0988baa7ea6898d893f",
		},
	} {
		key, err := XWing.NewPrivateKey(unhex(t, v.seed))
		if err != nil {
			t.Fatal(err)
		}
		secret, enc, err := XWing.Encapsulate(bytes.NewReader(unhex(t, v.eseed)), key.PublicKey())
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "encapsulated secret", secret, v.ss)
		opened, err := XWing.Decapsulate(key, enc)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "decapsulated secret", opened, v.ss)
	}
}
