package e2ee

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/conclave-sfu/conclave/e2ee/internal/fail"
)

// MaxName is the longest display name in bytes of UTF-8.
const MaxName = 128

// Sizes of the extension conclave_identity in bytes.
const (
	identitySalt    = 16
	identityPlain   = 256
	identitySealed  = identitySalt + identityPlain + 16
	identityVersion = 1
)

// leafIdentity is what a leaf says of its participant. The name is what the participant
// chose; only the device key tells two of the same name apart.
type leafIdentity struct {
	Name string
	// Device is the Ed25519 key that signed the leaf's signature key.
	Device [32]byte
}

// CheckName says whether a display name can be used: 1 to [MaxName] bytes of UTF-8
// without control characters, marks that turn the direction of writing, characters that
// are not seen, or spaces at either end. The error wraps [ErrName].
func CheckName(name string) error {
	switch {
	case name == "":
		return fail.With(ErrName, "it is empty")
	case len(name) > MaxName:
		return fail.With(ErrName, "it has more than "+strconv.Itoa(MaxName)+" bytes")
	case !utf8.ValidString(name):
		return fail.With(ErrName, "it is not UTF-8")
	case strings.TrimSpace(name) != name:
		return fail.With(ErrName, "it starts or ends with a space")
	case strings.ContainsFunc(name, unprintable):
		return fail.With(ErrName, "it has control characters")
	case hasUnseen(name):
		return fail.With(ErrName, "it has characters that are not seen")
	}
	return nil
}

// unprintable says whether a character can make one name look like another's, or
// reach beyond its place: controls, line separators, bidirectional overrides.
func unprintable(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp, unicode.Bidi_Control)
}

// hasUnseen says whether a name has characters that are not seen and shape nothing
// either: with them two names differ and look alike, or a name looks empty.
func hasUnseen(name string) bool {
	var before rune
	for i, r := range name {
		if isUnseen(r) && !shapes(before, r, name[i+utf8.RuneLen(r):]) {
			return true
		}
		before = r
	}
	return false
}

// isUnseen says whether a character shows nothing by itself: Unicode's
// Default_Ignorable_Code_Point, the blank of Braille, and annotation marks.
func isUnseen(r rune) bool {
	switch {
	case r == 0x2800, 0xfff9 <= r && r <= 0xfffb:
		return true
	case unicode.Is(unicode.Prepended_Concatenation_Mark, r), 0x13430 <= r && r <= 0x1343f:
		return false // Arabic and Egyptian characters of category Cf that are seen
	}
	return unicode.In(r, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}

// shapes says whether an unseen character has a use where it stands: a joiner between
// characters that it shapes, a variation selector after a symbol.
func shapes(before, r rune, rest string) bool {
	switch r {
	case 0x200c, 0x200d: // zero width non-joiner and joiner
		after, size := utf8.DecodeRuneInString(rest)
		return size > 0 && isJoined(before) && isJoined(after)
	case 0xfe0e, 0xfe0f: // as text, as picture
		return unicode.In(before, unicode.So, unicode.Sm)
	}
	return false
}

// isJoined says whether a joiner beside this character can be seen: emoji, and letters
// of scripts that join; not those whose letters stand by themselves.
func isJoined(r rune) bool {
	if unicode.In(r, unicode.Latin, unicode.Greek, unicode.Cyrillic, unicode.Han, unicode.Hangul) {
		return false
	}
	return unicode.In(r, unicode.L, unicode.M, unicode.So, unicode.Sk)
}

// leafBinding is what an identity belongs to and cannot be moved from.
type leafBinding struct {
	room string
	log  LogID
	pid  PID
	key  ed25519.PublicKey // the leaf's signature key
}

// message is what the device key signs:
//
//	"conclave/1 identity" || vector(room) || log id[16] || pid[16] || leaf signature key[32]
func (b leafBinding) message() []byte {
	m := appendVector([]byte("conclave/1 identity"), []byte(b.room))
	m = appendRaw(m, b.log[:])
	m = appendRaw(m, b.pid[:])
	return append(m, b.key...)
}

// aead is AES-256-GCM under
//
//	HKDF-Expand(name key, "conclave/1 identity" || salt[16] || pid[16] || leaf signature key[32], 32)
//
// A random salt makes each key good for one identity, so the nonce is zero.
func (b leafBinding) aead(keys linkKeys, salt []byte) cipher.AEAD {
	info := append([]byte("conclave/1 identity"), salt...)
	info = appendRaw(info, b.pid[:])
	info = append(info, b.key...)
	block, err := aes.NewCipher(expand(keys.name, string(info), 32))
	if err != nil {
		panic("e2ee: AES: " + err.Error()) // only for another key size
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic("e2ee: GCM: " + err.Error()) // only for another block size
	}
	return aead
}

// sealIdentity makes the data of the leaf extension conclave_identity, 288 bytes:
//
//	salt[16] || AES-256-GCM(plaintext)
//	plaintext[256] = version u8 (1) || device key[32] || signature[64] || name length u8 || name || zeros
func sealIdentity(rand io.Reader, keys linkKeys, b leafBinding, id leafIdentity, signature [64]byte) ([]byte, error) {
	if err := CheckName(id.Name); err != nil {
		return nil, err
	}
	data := make([]byte, identitySalt, identitySealed)
	if _, err := io.ReadFull(rand, data); err != nil {
		return nil, fail.At("make an identity's salt", err)
	}
	plain := make([]byte, 0, identityPlain)
	plain = append(plain, identityVersion)
	plain = appendRaw(plain, id.Device[:])
	plain = appendRaw(plain, signature[:])
	plain = append(plain, byte(len(id.Name)))
	plain = append(plain, id.Name...)
	aead := b.aead(keys, data)
	return aead.Seal(data, make([]byte, aead.NonceSize()), plain[:identityPlain], nil), nil
}

// openIdentity is the reverse of sealIdentity. It checks the device's signature, the
// name and the padding.
func openIdentity(keys linkKeys, b leafBinding, data []byte) (leafIdentity, error) {
	if len(data) != identitySealed || len(b.key) != ed25519.PublicKeySize {
		return leafIdentity{}, errMalformed
	}
	aead := b.aead(keys, data[:identitySalt])
	plain, err := aead.Open(nil, make([]byte, aead.NonceSize()), data[identitySalt:], nil)
	if err != nil {
		return leafIdentity{}, errMalformed
	}
	return parseIdentity(plain, b)
}

func parseIdentity(plain []byte, b leafBinding) (leafIdentity, error) {
	d := decoder{rest: plain}
	version, device, signature := d.uint8(), d.take(32), d.take(64)
	name := string(d.take(int(d.uint8())))
	padding := d.rest
	if d.failed || version != identityVersion || CheckName(name) != nil {
		return leafIdentity{}, errMalformed
	}
	for _, c := range padding {
		if c != 0 {
			return leafIdentity{}, errMalformed
		}
	}
	if !ed25519.Verify(device, b.message(), signature) {
		return leafIdentity{}, errMalformed
	}
	return leafIdentity{Name: name, Device: [32]byte(device)}, nil
}
