package e2ee

import (
	"crypto/sha256"
)

// MaxLogEntries is how many entries a log has at most.
const MaxLogEntries = 1 << 16

// The kinds of entries in the canonical encoding. 5 is reserved for host entries.
const (
	kindJoined  = 1
	kindLeft    = 2
	kindCreate  = 3
	kindCommit  = 4
	hashedFixed = 32 + 8 + 8 + 1 + 16
)

// LogStart is H(0) = SHA-256("conclave/1 log" || vector(room) || log id[16]).
func LogStart(room string, id LogID) Hash {
	b := appendVector([]byte("conclave/1 log"), []byte(room))
	return sha256.Sum256(appendRaw(b, id[:]))
}

// LogNext is H(i), where prev is H(i-1) and e is entry i:
//
//	H(i) = SHA-256(H(i-1)[32] || position u64 || time u64 || kind u8 || pid[16] || body)
//
//	1 joined  SHA-256(KeyPackage)[32] || MAC[32]
//	2 left    nothing
//	3 create  last u64 || generation u32 || group id[16] || MAC[32]
//	4 commit  last u64 || generation u32 || vector(digests of the added KeyPackages) ||
//	          SHA-256(commit)[32] || SHA-256(Welcome)[32], or zeros without one || MAC[32]
//
// Commits and Welcomes enter as the digests that the entry gives, so that all have
// the same hash whether they were sent the bytes or not.
func LogNext(prev Hash, e Entry) Hash {
	b := make([]byte, 0, hashedFixed+128)
	b = appendRaw(b, prev[:])
	b = appendUint64(b, e.Position)
	b = appendUint64(b, uint64(e.Time))
	return sha256.Sum256(appendBody(b, e))
}

func appendBody(b []byte, e Entry) []byte {
	head := func(kind byte) []byte { return appendRaw(append(b, kind), e.PID[:]) }
	switch body := e.Body.(type) {
	case Joined:
		digest := sha256.Sum256(body.KeyPackage)
		return appendRaw(appendRaw(head(kindJoined), digest[:]), body.MAC[:])
	case Left:
		return head(kindLeft)
	case Created:
		b = appendUint64(head(kindCreate), body.Last)
		b = appendUint32(b, body.Generation)
		b = appendRaw(b, body.GroupID[:])
		return appendRaw(b, body.MAC[:])
	case Committed:
		b = appendUint64(head(kindCommit), body.Last)
		b = appendUint32(b, body.Generation)
		b = appendVector(b, joinHashes(body.Adds))
		b = appendRaw(b, body.CommitDigest[:])
		b = appendRaw(b, body.WelcomeDigest[:])
		return appendRaw(b, body.MAC[:])
	}
	panic("e2ee: entry without a body") // Step refuses it
}

func joinHashes(list []Hash) []byte {
	b := make([]byte, 0, len(list)*len(Hash{}))
	for _, h := range list {
		b = appendRaw(b, h[:])
	}
	return b
}

// chain is the log's hashes: H(i) for every i up to the head, 2 MB at most.
type chain struct{ hashes []Hash }

func newChain(room string, id LogID) chain { return chain{hashes: []Hash{LogStart(room, id)}} }

// head is the position of the last entry, 0 if there is none.
func (c *chain) head() uint64 { return uint64(len(c.hashes) - 1) }

// append adds an entry, which must be the next.
func (c *chain) append(e Entry) {
	c.hashes = append(c.hashes, LogNext(c.hashes[len(c.hashes)-1], e))
}

// at is H(i), if i is not past the head.
func (c *chain) at(i uint64) (Hash, bool) {
	if i > c.head() {
		return Hash{}, false
	}
	return c.hashes[i], true
}
