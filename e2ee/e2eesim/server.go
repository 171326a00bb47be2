package e2eesim

import (
	"crypto/sha256"
	"slices"

	"github.com/conclave-sfu/conclave/e2ee"
)

// Server is a model of the room: a log that is appended to by compare and swap.
type Server struct {
	world *World
	// ID is the log's id.
	ID e2ee.LogID
	// Log is the log as it stands, with all bytes.
	Log []e2ee.Entry

	last  uint64               // position of the last create or commit entry
	owner map[e2ee.Hash]string // who announced a KeyPackage
}

func newServer(w *World) *Server {
	s := &Server{world: w, owner: map[e2ee.Hash]string{}}
	w.fill(s.ID[:])
	return s
}

// Head is the position of the last entry.
func (s *Server) Head() uint64 { return uint64(len(s.Log)) }

// post is what a participant asks to append. It returns the error code of a refusal.
func (s *Server) post(p *Participant, body e2ee.PostBody) string {
	switch body := body.(type) {
	case e2ee.PostJoin:
		s.Append(p, e2ee.Joined(body))
	case e2ee.PostCreate:
		if body.Last != s.last {
			return "stale"
		}
		s.Append(p, e2ee.Created(body))
	case e2ee.PostCommit:
		if body.Last != s.last {
			return "stale"
		}
		s.Append(p, Committed(body))
	}
	return ""
}

// Committed is the entry that a room makes of a posted commit.
func Committed(body e2ee.PostCommit) e2ee.Committed {
	c := e2ee.Committed{
		Last: body.Last, Generation: body.Generation, Adds: slices.Clone(body.Adds),
		Commit: body.Commit, CommitDigest: sha256.Sum256(body.Commit), Welcome: body.Welcome, MAC: body.MAC,
	}
	if len(body.Welcome) > 0 {
		c.WelcomeDigest = sha256.Sum256(body.Welcome)
	}
	return c
}

// Append adds an entry in the name of a participant, without any condition, and sends
// it to all who are connected.
func (s *Server) Append(p *Participant, body e2ee.EntryBody) e2ee.Entry {
	e := e2ee.Entry{Position: s.Head() + 1, Time: s.world.now.UnixMilli(), PID: p.PID, Body: body}
	switch body := body.(type) {
	case e2ee.Joined:
		s.owner[sha256.Sum256(body.KeyPackage)] = p.Name
	case e2ee.Created, e2ee.Committed:
		s.last = e.Position
	}
	s.Log = append(s.Log, e)
	s.world.note("log", "%d %s", e.Position, s.describe(e))
	for _, q := range s.world.People {
		q.show(e)
	}
	return e
}

// Last is the position of the last create or commit entry.
func (s *Server) Last() uint64 { return s.last }

// view is an entry as p gets it: the commit if it was there at the time, the Welcome if
// it is named.
func (s *Server) view(p *Participant, e e2ee.Entry) e2ee.Entry {
	c, ok := e.Body.(e2ee.Committed)
	if !ok {
		return e
	}
	if e.Position <= p.arrived {
		c.Commit = nil
	}
	named := func(digest e2ee.Hash) bool { return s.owner[digest] == p.Name }
	if !slices.ContainsFunc(c.Adds, named) {
		c.Welcome = nil
	}
	e.Body = c
	return e
}
