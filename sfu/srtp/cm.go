package srtp

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/binary"
)

const (
	cmTag     = 10 // bytes of the tag (RFC 3711, Section 5.2)
	cmSalt    = 14 // bytes
	cmAuthKey = 20 // bytes
)

// cm is AES_CM_128_HMAC_SHA1_80 (RFC 3711, Sections 4.1.1 and 4.2.1). It is for peers
// that know no GCM, and costs several times as much, some of it in allocations.
type cm struct{ media, control cmKeys }

type cmKeys struct {
	block cipher.Block
	auth  []byte
	salt  [aes.BlockSize]byte // shifted to its place in the counter
}

func newCM(m Master) (*cm, error) {
	c := &cm{}
	for _, part := range []struct {
		keys            *cmKeys
		key, auth, salt byte
	}{
		{&c.media, labelMediaKey, labelMediaTag, labelMediaSalt},
		{&c.control, labelControlKey, labelControlTag, labelControlSalt},
	} {
		key, err := derive(m, part.key, keySize)
		if err != nil {
			return nil, err
		}
		if part.keys.auth, err = derive(m, part.auth, cmAuthKey); err != nil {
			return nil, err
		}
		salt, err := derive(m, part.salt, cmSalt)
		if err != nil {
			return nil, err
		}
		copy(part.keys.salt[:], salt)
		if part.keys.block, err = aes.NewCipher(key); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// stream is the key stream of a packet: IV = (salt * 2^16) XOR (SSRC * 2^64) XOR (index
// * 2^16).
func (k *cmKeys) stream(ssrc uint32, index uint64) cipher.Stream {
	iv := k.salt
	xor32(iv[4:], ssrc)
	high, low := uint32(index>>16), uint32(index)<<16
	xor32(iv[8:], high)
	xor32(iv[12:], low)
	return cipher.NewCTR(k.block, iv[:])
}

// tag authenticates a message and what follows it: the roll-over counter of RTP.
func (k *cmKeys) tag(message []byte, more ...byte) []byte {
	mac := hmac.New(sha1.New, k.auth)
	mac.Write(message)
	mac.Write(more)
	return mac.Sum(nil)[:cmTag]
}

func (c *cm) overhead() int { return cmTag }

func (c *cm) mediaKey() any { return c.media.block }

func (c *cm) seal(packet, payload []byte, roc uint32, _ *scratch) []byte {
	header := len(packet)
	packet = append(packet, payload...)
	c.media.stream(mediaIndex(packet, roc)).XORKeyStream(packet[header:], packet[header:])
	return append(packet, c.media.tag(packet, binary.BigEndian.AppendUint32(nil, roc)...)...)
}

// mediaIndex gives the SSRC and the index of an RTP packet.
func mediaIndex(packet []byte, roc uint32) (ssrc uint32, index uint64) {
	return binary.BigEndian.Uint32(packet[8:]), uint64(roc)<<16 | uint64(binary.BigEndian.Uint16(packet[2:]))
}

func (c *cm) open(packet []byte, header int, roc uint32, _ *scratch) ([]byte, error) {
	end := len(packet) - cmTag
	if end < header {
		return nil, ErrShort
	}
	if !hmac.Equal(packet[end:], c.media.tag(packet[:end], binary.BigEndian.AppendUint32(nil, roc)...)) {
		return nil, ErrAuthentication
	}
	c.media.stream(mediaIndex(packet, roc)).XORKeyStream(packet[header:end], packet[header:end])
	return packet[:end], nil
}

func (c *cm) controlOverhead() (tag, behind int) { return cmTag, cmTag }

func (c *cm) sealControl(dst, packet []byte, index uint32, _ *controlScratch) []byte {
	from := len(dst)
	dst = append(dst, packet...)
	body := dst[from+controlHeader:]
	c.control.stream(binary.BigEndian.Uint32(packet[4:]), uint64(index)).XORKeyStream(body, body)
	dst = binary.BigEndian.AppendUint32(dst, index|encryptedFlag)
	return append(dst, c.control.tag(dst[from:])...)
}

func (c *cm) openControl(packet []byte, index uint32, encrypted bool, _ *controlScratch) ([]byte, error) {
	end := len(packet) - cmTag
	if !hmac.Equal(packet[end:], c.control.tag(packet[:end])) {
		return nil, ErrAuthentication
	}
	plain := packet[:end-indexSize]
	if encrypted {
		body := plain[controlHeader:]
		c.control.stream(binary.BigEndian.Uint32(packet[4:]), uint64(index)).XORKeyStream(body, body)
	}
	return plain, nil
}
