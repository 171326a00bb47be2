package e2ee

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"strconv"
	"strings"

	"github.com/conclave-sfu/conclave/e2ee/internal/fail"
	"github.com/conclave-sfu/conclave/e2ee/mls"
)

// ErrLink says that a text is not a meeting link that this version can join by. The
// errors that wrap it name the part that is wrong and never quote the link.
var ErrLink = errors.New("e2ee: not a usable meeting link")

// The formats of a link. Each fixes the MLS cipher suite.
const (
	FormatSuite3 uint8 = 1 // suite 0x0003
	FormatSuite1 uint8 = 2 // suite 0x0001
	FormatXWing  uint8 = 3 // suite 0xF00E, post-quantum
)

// DefaultFormat is that of new links: who records a meeting today shall not read it with
// tomorrow's machine.
const DefaultFormat = FormatXWing

// maxRoomName is the longest room name in bytes.
const maxRoomName = 64

// fragmentSize is the size in bytes of a link's fragment before base64url.
const fragmentSize = 1 + 2 + 16 + 16

// LinkSecret is the secret that everyone in a meeting shares. Only [Link.URL] and
// this package's key derivation read it.
type LinkSecret [16]byte

// String keeps the secret out of logs.
func (LinkSecret) String() string { return "[secret]" }

// MarshalText keeps the secret out of JSON.
func (LinkSecret) MarshalText() ([]byte, error) { return []byte("[secret]"), nil }

// Link is a meeting link,
//
//	https://host/r/<room>#<fragment>
//
// where the fragment, which browsers do not send to the server, is the base64url
// form without padding (RFC 4648, Section 5) of
//
//	0        1            3                  19                 35
//	+--------+------------+------------------+------------------+
//	| format | version    | secret           | host key hash    |
//	+--------+------------+------------------+------------------+
//
// with a big-endian version, from 1 on.
type Link struct {
	// Host is scheme://host or scheme://host:port, with scheme https or http.
	Host string
	// Room is the room's name: 1 to 64 of A-Z, a-z, 0-9, "_" and "-".
	Room string
	// Format fixes the MLS cipher suite: one of the Format constants.
	Format uint8
	// Version counts the secrets of this room.
	Version uint16
	Secret  LinkSecret
	// HostKeyHash names the key that host entries are signed by; zero is none.
	HostKeyHash [16]byte
}

// NewLink makes a link with a fresh secret from rand, of [DefaultFormat]. host is
// scheme://host[:port].
func NewLink(rand io.Reader, host, room string) (Link, error) {
	l := Link{Host: strings.TrimSuffix(host, "/"), Room: room, Format: DefaultFormat, Version: 1}
	if _, err := io.ReadFull(rand, l.Secret[:]); err != nil {
		return Link{}, fail.At("make a link secret", err)
	}
	if err := l.check(); err != nil {
		return Link{}, err
	}
	return l, nil
}

// ParseLink reads a link strictly: [Link.URL] of the result is s.
func ParseLink(s string) (Link, error) {
	page, fragment, _ := strings.Cut(s, "#")
	if fragment == "" {
		return Link{}, fail.With(ErrLink, "it has no secret after '#'")
	}
	host, room, ok := strings.Cut(page, "/r/")
	if !ok {
		return Link{}, fail.With(ErrLink, "its path is not /r/<room>")
	}
	l := Link{Host: host, Room: room}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(fragment)
	if err != nil || len(raw) != fragmentSize || len(fragment) != base64.RawURLEncoding.EncodedLen(fragmentSize) {
		return Link{}, fail.With(ErrLink, "the part after '#' is damaged")
	}
	d := decoder{rest: raw}
	l.Format, l.Version = d.uint8(), d.uint16()
	copy(l.Secret[:], d.take(16))
	copy(l.HostKeyHash[:], d.take(16))
	if err := l.check(); err != nil {
		return Link{}, err
	}
	return l, nil
}

// URL is the link with its secret: the one way to get the secret out.
func (l Link) URL() string {
	raw := append(make([]byte, 0, fragmentSize), l.Format)
	raw = appendUint16(raw, l.Version)
	raw = appendRaw(raw, l.Secret[:])
	raw = appendRaw(raw, l.HostKeyHash[:])
	return l.Page() + "#" + base64.RawURLEncoding.EncodeToString(raw)
}

// Page is the link without its fragment: what may be shown, logged and sent.
func (l Link) Page() string { return l.Host + "/r/" + l.Room }

// String is [Link.Page].
func (l Link) String() string { return l.Page() }

func (l Link) check() error {
	switch {
	case !validHost(l.Host):
		return fail.With(ErrLink, "it does not start with https://host or http://host")
	case !validRoom(l.Room):
		return fail.With(ErrLink, "the room name is not 1 to "+strconv.Itoa(maxRoomName)+" of A-Z a-z 0-9 _ -")
	case l.suite() == 0:
		return fail.With(ErrLink, "format "+strconv.Itoa(int(l.Format))+" is not known; a newer version may know it")
	case l.Version == 0:
		return fail.With(ErrLink, "version 0")
	case l.Secret == LinkSecret{}:
		return fail.With(ErrLink, "it has no secret")
	}
	return nil
}

// suite is the MLS cipher suite that the link's format fixes, 0 if there is none.
func (l Link) suite() mls.Suite {
	switch l.Format {
	case FormatSuite3:
		return mls.Suite3
	case FormatSuite1:
		return mls.Suite1
	case FormatXWing:
		return mls.SuiteXWing
	}
	return 0
}

func validHost(s string) bool {
	name, ok := strings.CutPrefix(s, "https://")
	if !ok {
		name, ok = strings.CutPrefix(s, "http://")
	}
	return ok && len(name) > 0 && len(name) <= 255+len(":65535") && onlyOf(name, ".-:[]")
}

func validRoom(s string) bool { return len(s) > 0 && len(s) <= maxRoomName && onlyOf(s, "_-") }

// onlyOf says whether s consists of ASCII letters, digits and the marks given.
func onlyOf(s, marks string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case strings.IndexByte(marks, c) >= 0:
		default:
			return false
		}
	}
	return true
}

// passphraseFlag says in the key derivation whether a passphrase is part of it.
// This version has none.
const passphraseFlag = 0

// linkKeys are the keys under the link:
//
//	PRK   = HKDF-Extract(salt, secret || flag || passphrase part), SHA-256 (RFC 5869)
//	salt  = SHA-256("conclave/1" || room)
//	label = HKDF-Expand(PRK, "conclave/1 " || label, 32)
//
// with the labels psk, join and name. flag is one byte, 0 as long as there is no
// passphrase; the passphrase part is empty then.
type linkKeys struct {
	psk  []byte // the external PSK of every commit
	join []byte // authenticates joined, create and commit entries
	name []byte // seals identities
}

func deriveLinkKeys(l Link) linkKeys {
	salt := sha256.Sum256([]byte("conclave/1" + l.Room))
	prk, err := hkdf.Extract(sha256.New, append(l.Secret[:], passphraseFlag), salt[:])
	if err != nil {
		panic("e2ee: HKDF-Extract: " + err.Error()) // only a hash that FIPS forbids fails here
	}
	expand := func(label string) []byte { return expand(prk, "conclave/1 "+label, sha256.Size) }
	return linkKeys{psk: expand("psk"), join: expand("join"), name: expand("name")}
}

// expand is HKDF-Expand with SHA-256.
func expand(prk []byte, info string, n int) []byte {
	key, err := hkdf.Expand(sha256.New, prk, info, n)
	if err != nil {
		panic("e2ee: HKDF-Expand: " + err.Error()) // only for more than 255 hashes
	}
	return key
}

// pskID is the external PSK's id: "conclave/1 link" || version, big endian.
func pskID(version uint16) []byte {
	return appendUint16([]byte("conclave/1 link"), version)
}

// joinMAC authenticates a joined entry: HMAC-SHA256 over the KeyPackage, which
// names the pid, the room, the log, the generation and seq.
func (k linkKeys) joinMAC(keyPackage []byte) Hash {
	return k.mac(keyPackage)
}

// createMAC authenticates a create entry: HMAC-SHA256 over
//
//	"conclave/1 create" || vector(room) || log id[16] || last u64 || generation u32 ||
//	group id[16] || pid[16]
//
// No KeyPackage starts with these bytes, so that no MAC is of both kinds.
func (k linkKeys) createMAC(room string, log LogID, c Created, pid PID) Hash {
	m := appendVector([]byte("conclave/1 create"), []byte(room))
	m = appendRaw(m, log[:])
	m = appendUint64(m, c.Last)
	m = appendUint32(m, c.Generation)
	m = appendRaw(m, c.GroupID[:])
	return k.mac(appendRaw(m, pid[:]))
}

// commitMAC authenticates the envelope of a commit entry: HMAC-SHA256 over
//
//	"conclave/1 commit" || vector(room) || log id[16] || last u64 || generation u32 || pid[16] ||
//	vector(digests of the added KeyPackages) || SHA-256(commit)[32] ||
//	SHA-256(Welcome)[32], or zeros without one
//
// Since it covers last, an entry is good for one place in the log: nobody without the link
// can repeat it or move it.
func (k linkKeys) commitMAC(room string, log LogID, c Committed, pid PID) Hash {
	m := appendVector([]byte("conclave/1 commit"), []byte(room))
	m = appendRaw(m, log[:])
	m = appendUint64(m, c.Last)
	m = appendUint32(m, c.Generation)
	m = appendRaw(m, pid[:])
	m = appendVector(m, joinHashes(c.Adds))
	m = appendRaw(m, c.CommitDigest[:])
	return k.mac(appendRaw(m, c.WelcomeDigest[:]))
}

func (k linkKeys) mac(message []byte) Hash {
	h := hmac.New(sha256.New, k.join)
	h.Write(message)
	return Hash(h.Sum(nil))
}

// equal compares MACs in constant time.
func (h Hash) equal(o Hash) bool { return hmac.Equal(h[:], o[:]) }
