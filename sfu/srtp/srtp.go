// Package srtp seals and opens RTP and RTCP packets (RFC 3711): AEAD_AES_128_GCM (RFC
// 7714), and AES_CM_128_HMAC_SHA1_80 for those who know nothing newer.
//
//	 key, salt of DTLS (RFC 5764)
//	   |
//	[Master] -> [Cipher] of one direction, shared, immutable
//	               |-> [Stream] of each SSRC: roll-over counter, nonce, replay window
//	               |-> [Control] of RTCP: index, replay windows
//
// A Cipher may be used by any goroutine; a Stream by one at a time. So a slot's stream
// belongs to whoever forwards to it, and no two of them share anything. With GCM neither
// sealing nor opening allocates.
//
// The caller writes and parses headers; the package knows of them what it must: where
// the SSRC and the sequence number stand.
package srtp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"unsafe"
)

// Profile is a protection profile, by its number (RFC 5764, Section 4.1.2; RFC 7714,
// Section 14.2).
type Profile uint16

// The profiles.
const (
	AES128CMHMACSHA1 Profile = 0x0001
	AEADAES128GCM    Profile = 0x0007
)

// keySize is that of AES-128 in bytes.
const keySize = 16

// SaltSize is that of the profile's master salt in bytes; 0 if the profile is not
// known.
func (p Profile) SaltSize() int {
	switch p {
	case AES128CMHMACSHA1:
		return 14
	case AEADAES128GCM:
		return 12
	}
	return 0
}

// MaxOverhead is how many bytes sealing adds at most: to an RTCP packet a tag and an
// index.
const MaxOverhead = 16 + indexSize

// Errors. A packet that fails to open proves nothing about its sender.
var (
	// ErrShort: the packet ends too early.
	ErrShort = errors.New("packet too short")
	// ErrReplayed: the packet was here before, or is too old to tell.
	ErrReplayed = errors.New("packet replayed")
	// ErrAuthentication: the packet was not sealed with these keys, or has changed.
	ErrAuthentication = errors.New("packet not authentic")
	// ErrExhausted: the packet would repeat a nonce (RFC 3711, Section 9.2): its number was
	// sealed before, or is too far back to tell.
	ErrExhausted = errors.New("keys used up")
)

// Master are the keys of one direction. It does not print.
type Master struct{ Key, Salt []byte }

// String hides the keys.
func (Master) String() string { return "[secret]" }

// GoString hides them too.
func (Master) GoString() string { return "[secret]" }

// Split takes the keys of both directions out of what DTLS exports under
// "EXTRACTOR-dtls_srtp" (RFC 5764, Section 4.2).
func Split(p Profile, exported []byte) (client, server Master, err error) {
	salt := p.SaltSize()
	if salt == 0 || len(exported) != Exported(p) {
		return client, server, fmt.Errorf("srtp: %d bytes of keys for profile %d", len(exported), p)
	}
	next := func(n int) []byte {
		part := exported[:n:n]
		exported = exported[n:]
		return part
	}
	client.Key, server.Key = next(keySize), next(keySize)
	client.Salt, server.Salt = next(salt), next(salt)
	return client, server, nil
}

// Exported is how many bytes a profile takes of DTLS.
func Exported(p Profile) int { return 2 * (keySize + p.SaltSize()) }

// Cipher seals or opens the packets of one direction. It is immutable.
type Cipher struct {
	transform
	key memory // of the expanded key of media
}

// memory is where something is; nil if that is not known.
type memory struct {
	at   unsafe.Pointer
	size uintptr // bytes
}

// memoryOf is that of what v points to.
func memoryOf(v any) memory {
	p := reflect.ValueOf(v)
	if p.Kind() != reflect.Pointer {
		return memory{}
	}
	return memory{p.UnsafePointer(), p.Type().Elem().Size()}
}

// transform is what the profiles differ in. roc and seq, or index, make a nonce that is
// used once; scratch is memory for it.
type transform interface {
	// overhead is how many bytes an RTP packet grows.
	overhead() int
	// seal appends to packet, which holds a header, its sealed payload and the tag.
	seal(packet, payload []byte, roc uint32, scratch *scratch) []byte
	// open opens in place what follows header bytes, and gives the packet without tag.
	open(packet []byte, header int, roc uint32, scratch *scratch) ([]byte, error)
	// sealControl appends the sealed packet with its index.
	sealControl(dst, packet []byte, index uint32, scratch *controlScratch) []byte
	// openControl opens in place.
	openControl(packet []byte, index uint32, encrypted bool, scratch *controlScratch) ([]byte, error)
	// mediaKey is what holds the expanded key that seals RTP.
	mediaKey() any
	// controlOverhead is the tag's size, and how much of it follows the index.
	controlOverhead() (tag, behindIndex int)
}

// scratch is memory that a transform works with. It belongs to one stream.
type scratch [16]byte

// controlScratch is the same for RTCP: a nonce, and what is authenticated in clear.
type controlScratch struct {
	nonce [gcmNonce]byte
	clear [controlHeader + indexSize]byte
}

// NewCipher derives the session keys (RFC 3711, Section 4.3).
func NewCipher(p Profile, m Master) (*Cipher, error) {
	if len(m.Key) != keySize || len(m.Salt) != p.SaltSize() || p.SaltSize() == 0 {
		return nil, fmt.Errorf("srtp: key of %d and salt of %d bytes for profile %d", len(m.Key), len(m.Salt), p)
	}
	var t transform
	var err error
	if p == AEADAES128GCM {
		t, err = newGCM(m)
	} else {
		t, err = newCM(m)
	}
	if err != nil {
		return nil, fmt.Errorf("srtp: %w", err)
	}
	return &Cipher{t, memoryOf(t.mediaKey())}, nil
}

// MediaKey is where the expanded key of media is, in so many bytes, for those who have the processor
// fetch it before it is needed; nil if that is not known.
func (c *Cipher) MediaKey() (at unsafe.Pointer, size uintptr) { return c.key.at, c.key.size }

// Overhead is how many bytes an RTP packet grows.
func (c *Cipher) Overhead() int { return c.overhead() }

// fixedHeader is the size of an RTP header without more, in bytes.
const fixedHeader = 12

// HeaderSize is that of an RTP header with CSRCs and extension (RFC 3550, Section 5.1).
// It is false if the packet ends before.
func HeaderSize(packet []byte) (int, bool) {
	if len(packet) < fixedHeader {
		return 0, false
	}
	n := fixedHeader + 4*int(packet[0]&0x0f)
	if packet[0]&0x10 != 0 {
		if len(packet) < n+4 {
			return 0, false
		}
		n += 4 + 4*int(binary.BigEndian.Uint16(packet[n+2:]))
	}
	return n, n <= len(packet)
}
