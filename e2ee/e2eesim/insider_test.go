package e2eesim

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"github.com/conclave-sfu/conclave/e2ee"
)

// What one who has the link can do beside its session. It is written from the protocol's
// description, not from package e2ee.

// joinKey is Expand(Extract(SHA-256("conclave/1" || room), secret || 0), "conclave/1 join", 32).
func joinKey(link e2ee.Link) []byte {
	salt := sha256.Sum256([]byte("conclave/1" + link.Room))
	prk, err := hkdf.Extract(sha256.New, append(link.Secret[:], 0), salt[:])
	if err != nil {
		panic("e2eesim: " + err.Error())
	}
	key, err := hkdf.Expand(sha256.New, prk, "conclave/1 join", 32)
	if err != nil {
		panic("e2eesim: " + err.Error())
	}
	return key
}

// sealed is c with the MAC of its envelope, as an entry of pid.
func (w *World) sealed(pid e2ee.PID, c e2ee.Committed) e2ee.Committed {
	h := hmac.New(sha256.New, joinKey(w.Link))
	h.Write([]byte("conclave/1 commit"))
	h.Write(append([]byte{byte(len(w.Link.Room))}, w.Link.Room...))
	h.Write(w.Server.ID[:])
	h.Write(binary.BigEndian.AppendUint64(nil, c.Last))
	h.Write(binary.BigEndian.AppendUint32(nil, c.Generation))
	h.Write(pid[:])
	h.Write(vectorHeader(len(c.Adds) * len(e2ee.Hash{})))
	for _, digest := range c.Adds {
		h.Write(digest[:])
	}
	h.Write(c.CommitDigest[:])
	h.Write(c.WelcomeDigest[:])
	c.MAC = e2ee.Hash(h.Sum(nil))
	return c
}

// vectorHeader is the length of a vector (RFC 9420, Section 2.1.2) below 2^14 bytes.
func vectorHeader(n int) []byte {
	if n < 1<<6 {
		return []byte{byte(n)}
	}
	return binary.BigEndian.AppendUint16(nil, 1<<14|uint16(n))
}

// lastCommit is the last commit entry.
func (w *World) lastCommit() (e2ee.Entry, e2ee.Committed) {
	for _, e := range slices.Backward(w.Server.Log) {
		if c, ok := e.Body.(e2ee.Committed); ok {
			return e, c
		}
	}
	panic("e2eesim: no commit in the log")
}

// intercept stops p's next commit on its way to the room and gives it to take.
func (p *Participant) intercept(take func(e2ee.Committed)) {
	p.Posts = func(body e2ee.PostBody) bool {
		c, ok := body.(e2ee.PostCommit)
		if ok {
			p.Posts = nil
			take(Committed(c))
		}
		return !ok
	}
}
