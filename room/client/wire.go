package client

import (
	"fmt"

	"github.com/conclave-sfu/conclave/e2ee"
	"github.com/conclave-sfu/conclave/room/signal"
)

// entryOf translates an entry of the room's log for the session. The byte strings are
// shared. The error wraps [ErrProtocol].
func entryOf(in signal.Entry) (e2ee.Entry, error) {
	out := e2ee.Entry{Position: in.Position, Time: in.Time}
	pid, err := in.PID.Bytes()
	if err != nil {
		return out, fmt.Errorf("%w: log entry %d: pid", ErrProtocol, in.Position)
	}
	out.PID = e2ee.PID(pid)
	var ok bool
	out.Body, ok = bodyOf(in)
	if !ok {
		return out, fmt.Errorf("%w: log entry %d: body of kind %.16q", ErrProtocol, in.Position, in.Kind)
	}
	return out, nil
}

// bodyOf reports false where the body is missing or a field has the wrong size.
func bodyOf(in signal.Entry) (e2ee.EntryBody, bool) {
	var f fields
	var body e2ee.EntryBody
	switch {
	case in.Kind == signal.EntryJoined && in.Joined != nil:
		body = e2ee.Joined{KeyPackage: in.Joined.KeyPackage, MAC: f.hash(in.Joined.MAC)}
	case in.Kind == signal.EntryLeft:
		body = e2ee.Left{}
	case in.Kind == signal.EntryCreate && in.Create != nil:
		c := in.Create
		body = e2ee.Created{
			Last: c.Last, Generation: c.Generation,
			GroupID: f.bytes16(c.GroupID), MAC: f.hash(c.MAC),
		}
	case in.Kind == signal.EntryCommit && in.Commit != nil:
		c := in.Commit
		body = e2ee.Committed{
			Last: c.Last, Generation: c.Generation, Adds: f.hashes(c.Adds),
			Commit: c.Commit, CommitDigest: f.hash(c.CommitDigest),
			Welcome: c.Welcome, WelcomeDigest: f.optional(c.WelcomeDigest), MAC: f.hash(c.MAC),
		}
	default:
		return nil, false
	}
	return body, !f.wrong
}

// fields reads byte strings of fixed sizes, and remembers whether one was wrong.
type fields struct{ wrong bool }

func (f *fields) hash(b []byte) (h e2ee.Hash) {
	f.wrong = f.wrong || len(b) != len(h)
	copy(h[:], b)
	return h
}

// optional is zero where the field was left out.
func (f *fields) optional(b []byte) (h e2ee.Hash) {
	if len(b) == 0 {
		return h
	}
	return f.hash(b)
}

func (f *fields) bytes16(b []byte) (id [16]byte) {
	f.wrong = f.wrong || len(b) != len(id)
	copy(id[:], b)
	return id
}

func (f *fields) hashes(in [][]byte) []e2ee.Hash {
	out := make([]e2ee.Hash, len(in))
	for i, b := range in {
		out[i] = f.hash(b)
	}
	return out
}

// messageOf is the message that posts an entry.
func messageOf(body e2ee.PostBody) signal.ClientBody {
	switch b := body.(type) {
	case e2ee.PostJoin:
		return &signal.Join{KeyPackage: b.KeyPackage, MAC: b.MAC[:]}
	case e2ee.PostCreate:
		return &signal.Create{Last: b.Last, Generation: b.Generation, GroupID: b.GroupID[:], MAC: b.MAC[:]}
	case e2ee.PostCommit:
		adds := make([][]byte, len(b.Adds))
		for i := range b.Adds {
			adds[i] = b.Adds[i][:]
		}
		return &signal.Commit{
			Last: b.Last, Generation: b.Generation, Adds: adds,
			Commit: b.Commit, Welcome: b.Welcome, MAC: b.MAC[:],
		}
	default:
		panic(fmt.Sprintf("client: a post of %T", body))
	}
}
