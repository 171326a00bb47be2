package e2eesim

import (
	"crypto/sha256"
	"slices"

	"github.com/conclave-sfu/conclave/e2ee"
)

// attack lets the server do one random thing that it should not, to or in the name of p.
func (w *World) attack(p *Participant) {
	s := w.Server
	switch w.Rand.IntN(10) {
	case 0:
		s.Append(p, w.garbageCommit(nil))
	case 1:
		c := w.garbageCommit(s.announced())
		if w.Rand.IntN(2) == 0 {
			c = w.sealed(p.PID, c) // the server works with one who has the link
		}
		s.Append(p, c)
	case 2:
		s.Append(p, e2ee.Created{Last: s.Last(), Generation: w.generation() + 1, GroupID: [16]byte{1}})
	case 3, 4:
		if len(s.Log) > 0 { // an entry once more, as it was, in this or another name
			s.Append(p, s.Log[w.Rand.IntN(len(s.Log))].Body)
		}
	case 5:
		p.Show = func(e e2ee.Entry) []e2ee.Entry { return []e2ee.Entry{e, e} }
	case 6:
		p.Show = w.withCommit(func(c *e2ee.Committed) { c.Commit = nil })
	case 7:
		p.Show = w.withCommit(func(c *e2ee.Committed) { c.Commit = w.flip(c.Commit) })
	case 8:
		p.Show = w.withCommit(func(c *e2ee.Committed) { c.Welcome = nil })
	case 9:
		p.Show = w.withCommit(func(c *e2ee.Committed) { c.Welcome = w.flip(c.Welcome) })
	}
}

// withCommit changes commit entries on their way.
func (w *World) withCommit(change func(*e2ee.Committed)) func(e2ee.Entry) []e2ee.Entry {
	return func(e e2ee.Entry) []e2ee.Entry {
		if c, ok := e.Body.(e2ee.Committed); ok {
			change(&c)
			e.Body = c
		}
		return []e2ee.Entry{e}
	}
}

// flip changes one bit of a copy.
func (w *World) flip(b []byte) []byte {
	if len(b) == 0 {
		return b
	}
	b = slices.Clone(b)
	b[w.Rand.IntN(len(b))] ^= 1 << w.Rand.IntN(8)
	return b
}

// garbageCommit is a commit entry that fits the log and nothing else. It has no MAC.
func (w *World) garbageCommit(adds []e2ee.Hash) e2ee.Committed {
	c := e2ee.Committed{Last: w.Server.Last(), Generation: w.generation(), Adds: adds, Commit: make([]byte, 300)}
	w.fill(c.Commit)
	for _, e := range slices.Backward(w.Server.Log) {
		if old, ok := e.Body.(e2ee.Committed); ok {
			c.Commit = w.flip(old.Commit)
			break
		}
	}
	c.CommitDigest = sha256.Sum256(c.Commit)
	return c
}

// generation is the highest that a create entry of the log begins.
func (w *World) generation() uint32 {
	var g uint32
	for _, e := range w.Server.Log {
		if c, ok := e.Body.(e2ee.Created); ok && c.MAC != (e2ee.Hash{}) {
			g = max(g, c.Generation)
		}
	}
	return g
}

// announced are the digests of the KeyPackages in the last entries.
func (s *Server) announced() []e2ee.Hash {
	var list []e2ee.Hash
	for _, e := range s.Log[max(len(s.Log)-10, 0):] {
		if j, ok := e.Body.(e2ee.Joined); ok {
			list = append(list, sha256.Sum256(j.KeyPackage))
		}
	}
	return list
}
