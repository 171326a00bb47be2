//go:build linux

package main

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"
)

// Sizes of AEAD_AES_128_GCM in bytes (RFC 7714, Section 12).
const (
	saltSize = 12
	tagSize  = 16
)

// gcmStream seals or opens one SRTP stream (RFC 7714), with nothing that a floor can
// do without: no replay list, no look-ups.
type gcmStream struct {
	aead  cipher.AEAD
	salt  [saltSize]byte
	nonce [saltSize]byte
	high  int64 // of the sequence numbers, extended
}

// newGCMStream derives the session's key and salt (RFC 3711, Section 4.3.1).
func newGCMStream(master, masterSalt []byte) (gcmStream, error) {
	key, err := derive(master, masterSalt, 0, 16)
	if err != nil {
		return gcmStream{}, err
	}
	salt, err := derive(master, masterSalt, 2, saltSize)
	if err != nil {
		return gcmStream{}, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return gcmStream{}, fmt.Errorf("SRTP: %w", err)
	}
	s := gcmStream{high: -1}
	copy(s.salt[:], salt)
	s.aead, err = cipher.NewGCM(block)
	return s, err
}

// derive is AES-CM as a pseudo-random function with a key derivation rate of 0 (RFC
// 3711, Section 4.3.3).
func derive(master, salt []byte, label byte, n int) ([]byte, error) {
	block, err := aes.NewCipher(master)
	if err != nil {
		return nil, fmt.Errorf("SRTP: %w", err)
	}
	var iv [aes.BlockSize]byte
	copy(iv[:], salt)
	iv[7] ^= label
	out := make([]byte, n)
	cipher.NewCTR(block, iv[:]).XORKeyStream(out, out)
	return out, nil
}

// setNonce takes SSRC and sequence number of a header, and the roll-over counter that
// follows (RFC 7714, Section 8.1).
func (s *gcmStream) setNonce(header []byte) {
	seq := binary.BigEndian.Uint16(header[2:])
	if s.high < 0 {
		s.high = int64(seq)
	}
	n := s.high + int64(int16(seq-uint16(s.high)))
	s.high = max(s.high, n)
	s.nonce = s.salt
	for i := range 4 {
		s.nonce[2+i] ^= header[8+i]
		s.nonce[6+i] ^= byte(n >> 16 >> (24 - 8*i))
	}
	s.nonce[10] ^= header[2]
	s.nonce[11] ^= header[3]
}

// open opens a packet in place and gives it without its tag.
func (s *gcmStream) open(packet []byte, header int) ([]byte, bool) {
	if len(packet) < header+tagSize {
		return nil, false
	}
	s.setNonce(packet)
	_, err := s.aead.Open(packet[header:header], s.nonce[:], packet[header:], packet[:header])
	return packet[:len(packet)-tagSize], err == nil
}

// seal writes plain, sealed, to dst, which is a tag longer.
func (s *gcmStream) seal(dst, plain []byte, header int) {
	s.setNonce(plain)
	copy(dst, plain[:header])
	s.aead.Seal(dst[header:header], s.nonce[:], plain[header:], plain[:header])
}
