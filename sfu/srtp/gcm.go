package srtp

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
)

// gcmTag is the size of the tag in bytes (RFC 7714, Section 12).
const gcmTag = 16

const gcmNonce = 12 // bytes

// gcm is AEAD_AES_128_GCM.
type gcm struct {
	media, control         cipher.AEAD
	mediaSalt, controlSalt [gcmNonce]byte
}

// Labels of the key derivation (RFC 3711, Section 4.3.2).
const (
	labelMediaKey = iota
	labelMediaTag
	labelMediaSalt
	labelControlKey
	labelControlTag
	labelControlSalt
)

func newGCM(m Master) (*gcm, error) {
	g := &gcm{}
	for _, part := range []struct {
		aead      *cipher.AEAD
		salt      *[gcmNonce]byte
		key, nacl byte
	}{
		{&g.media, &g.mediaSalt, labelMediaKey, labelMediaSalt},
		{&g.control, &g.controlSalt, labelControlKey, labelControlSalt},
	} {
		key, err := derive(m, part.key, keySize)
		if err != nil {
			return nil, err
		}
		salt, err := derive(m, part.nacl, gcmNonce)
		if err != nil {
			return nil, err
		}
		copy(part.salt[:], salt)
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil, err
		}
		if *part.aead, err = cipher.NewGCM(block); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// derive is AES-CM as a pseudo-random function with a key derivation rate of 0 (RFC
// 3711, Section 4.3.3).
func derive(m Master, label byte, n int) ([]byte, error) {
	block, err := aes.NewCipher(m.Key)
	if err != nil {
		return nil, err
	}
	var iv [aes.BlockSize]byte
	copy(iv[:], m.Salt)
	iv[7] ^= label
	out := make([]byte, n)
	cipher.NewCTR(block, iv[:]).XORKeyStream(out, out)
	return out, nil
}

func (g *gcm) overhead() int { return gcmTag }

func (g *gcm) mediaKey() any { return g.media }

// nonce of an RTP packet (RFC 7714, Section 8.1).
func (g *gcm) nonce(header []byte, roc uint32, into *scratch) []byte {
	n := into[:gcmNonce]
	copy(n, g.mediaSalt[:])
	xor32(n[2:], binary.BigEndian.Uint32(header[8:]))
	xor32(n[6:], roc)
	n[10] ^= header[2]
	n[11] ^= header[3]
	return n
}

func xor32(b []byte, v uint32) { binary.BigEndian.PutUint32(b, binary.BigEndian.Uint32(b)^v) }

func (g *gcm) seal(packet, payload []byte, roc uint32, s *scratch) []byte {
	return g.media.Seal(packet, g.nonce(packet, roc, s), payload, packet)
}

func (g *gcm) open(packet []byte, header int, roc uint32, s *scratch) ([]byte, error) {
	if len(packet) < header+gcmTag {
		return nil, ErrShort
	}
	plain, err := g.media.Open(packet[header:header], g.nonce(packet, roc, s), packet[header:], packet[:header])
	if err != nil {
		return nil, ErrAuthentication
	}
	return packet[:header+len(plain)], nil
}

// controlNonce is that of an RTCP packet (RFC 7714, Section 9.1).
func (g *gcm) controlNonce(packet []byte, index uint32, s *controlScratch) []byte {
	s.nonce = g.controlSalt
	xor32(s.nonce[2:], binary.BigEndian.Uint32(packet[4:]))
	xor32(s.nonce[8:], index)
	return s.nonce[:]
}

// inClear is what is authenticated and not encrypted (RFC 7714, Section 9.2): the header,
// and the index with its flag.
func (s *controlScratch) inClear(packet, index []byte) []byte {
	copy(s.clear[copy(s.clear[:], packet[:controlHeader]):], index)
	return s.clear[:]
}

func (g *gcm) controlOverhead() (tag, behind int) { return gcmTag, 0 }

func (g *gcm) sealControl(dst, packet []byte, index uint32, s *controlScratch) []byte {
	var word [indexSize]byte
	binary.BigEndian.PutUint32(word[:], index|encryptedFlag)
	clear := s.inClear(packet, word[:])
	dst = append(dst, packet[:controlHeader]...)
	dst = g.control.Seal(dst, g.controlNonce(packet, index, s), packet[controlHeader:], clear)
	return append(dst, word[:]...)
}

func (g *gcm) openControl(packet []byte, index uint32, encrypted bool, s *controlScratch) ([]byte, error) {
	nonce, end := g.controlNonce(packet, index, s), len(packet)-indexSize
	if !encrypted { // all of it is only authenticated (RFC 7714, Section 9.3)
		aad := append(append([]byte(nil), packet[:end-gcmTag]...), packet[end:]...)
		if _, err := g.control.Open(nil, nonce, packet[end-gcmTag:end], aad); err != nil {
			return nil, ErrAuthentication
		}
		return packet[:end-gcmTag], nil
	}
	plain, err := g.control.Open(packet[controlHeader:controlHeader], nonce, packet[controlHeader:end], s.inClear(packet, packet[end:]))
	if err != nil {
		return nil, ErrAuthentication
	}
	return packet[:controlHeader+len(plain)], nil
}
