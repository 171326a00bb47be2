package faults

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"sync"

	"github.com/pion/srtp/v3"
)

// sealing seals SRTP packets of which the first header bytes stay in clear.
type sealing interface {
	seal(packet []byte, header int) []byte
}

// librarySealer seals as a library does, under any profile; what is no RTP it sends as it is.
type librarySealer struct {
	mu      sync.Mutex
	context *srtp.Context // Guarded by mu.
}

func (s *librarySealer) seal(packet []byte, _ int) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	sealed, err := s.context.EncryptRTP(nil, packet, nil)
	if err != nil {
		return packet
	}
	return sealed
}

// sealer seals SRTP packets as AEAD_AES_128_GCM does (RFC 7714), of whatever bytes: also
// of headers that are none, which no library would seal.
type sealer struct {
	aead cipher.AEAD
	salt [12]byte

	mu   sync.Mutex
	high map[uint32]int64 // Guarded by mu. The highest sequence number of each SSRC, extended.
}

// newSealer derives the session's key and salt (RFC 3711, Section 4.3.1).
func newSealer(master, masterSalt []byte) (*sealer, error) {
	block, err := aes.NewCipher(derive(master, masterSalt, 0, 16))
	if err != nil {
		return nil, err
	}
	s := &sealer{high: make(map[uint32]int64)}
	copy(s.salt[:], derive(master, masterSalt, 2, len(s.salt)))
	s.aead, err = cipher.NewGCM(block)
	return s, err
}

// derive is AES-CM as a pseudo-random function (RFC 3711, Section 4.3.3).
func derive(master, salt []byte, label byte, n int) []byte {
	block, err := aes.NewCipher(master)
	if err != nil {
		panic(err) // the keys come from DTLS and have the right length
	}
	var iv [aes.BlockSize]byte
	copy(iv[:], salt)
	iv[7] ^= label
	out := make([]byte, n)
	cipher.NewCTR(block, iv[:]).XORKeyStream(out, out)
	return out
}

// seal seals a packet of which the first header bytes, at least 12, stay in clear.
func (s *sealer) seal(packet []byte, header int) []byte {
	ssrc, seq := binary.BigEndian.Uint32(packet[8:]), binary.BigEndian.Uint16(packet[2:])
	s.mu.Lock()
	high, ok := s.high[ssrc]
	if !ok {
		high = int64(seq)
	}
	n := high + int64(int16(seq-uint16(high)))
	s.high[ssrc] = max(high, n)
	s.mu.Unlock()
	nonce := s.salt
	for i := range 4 {
		nonce[2+i] ^= packet[8+i]
		nonce[6+i] ^= byte(n >> 16 >> (24 - 8*i))
	}
	nonce[10] ^= packet[2]
	nonce[11] ^= packet[3]
	out := append([]byte(nil), packet[:header]...)
	return s.aead.Seal(out, nonce[:], packet[header:], packet[:header])
}
