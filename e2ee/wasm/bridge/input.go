package bridge

import (
	"encoding/base64"

	"github.com/conclave-sfu/conclave/e2ee"
)

// The types of inputs and the kinds of entries: the first bytes of their messages.
const (
	typeLogOpened = 1
	typeLogEntry  = 2
	typePosted    = 3
	typeTick      = 4

	entryJoined = 1
	entryLeft   = 2
	entryCreate = 3
	entryCommit = 4
)

// config is what a session is made of.
type config struct{ link, pid, name string }

func parseConfig(data []byte) (config, error) {
	r := reader{rest: data}
	c := config{link: r.text(), pid: r.text(), name: r.text()}
	return c, r.done()
}

// parseInput reads one input, which keeps parts of data. The errors wrap ErrMessage or
// ErrPID and quote nothing.
func parseInput(data []byte) (e2ee.Input, error) {
	r := reader{rest: data}
	in, err := r.input()
	if err == nil {
		err = r.done()
	}
	if err != nil {
		return nil, err
	}
	return in, nil
}

func (r *reader) input() (e2ee.Input, error) {
	switch r.uint8() {
	case typeLogOpened:
		var opened e2ee.LogOpened
		r.fill(opened.ID[:])
		opened.Head = r.uint64()
		return opened, nil
	case typeLogEntry:
		return r.logEntry()
	case typePosted:
		return e2ee.Posted{Seq: r.uint32(), Code: r.text()}, nil
	case typeTick:
		return e2ee.Tick{}, nil
	}
	return nil, ErrMessage
}

func (r *reader) logEntry() (e2ee.Input, error) {
	e := e2ee.Entry{Position: r.uint64(), Time: int64(r.uint64())}
	pid := r.text()
	if e.Body = r.entryBody(); e.Body == nil || r.failed {
		return nil, ErrMessage
	}
	var err error
	e.PID, err = parsePID(pid)
	return e2ee.LogEntry{Entry: e}, err
}

// entryBody reads the kind and what it says; nil if there is no such kind.
func (r *reader) entryBody() e2ee.EntryBody {
	switch r.uint8() {
	case entryJoined:
		return r.joined()
	case entryLeft:
		return e2ee.Left{}
	case entryCreate:
		return r.created()
	case entryCommit:
		return r.committed()
	}
	return nil
}

func (r *reader) joined() e2ee.Joined {
	j := e2ee.Joined{KeyPackage: r.bytes()}
	r.fill(j.MAC[:])
	return j
}

func (r *reader) created() e2ee.Created {
	c := e2ee.Created{Last: r.uint64(), Generation: r.uint32()}
	r.fill(c.GroupID[:])
	r.fill(c.MAC[:])
	return c
}

func (r *reader) committed() e2ee.Committed {
	c := e2ee.Committed{Last: r.uint64(), Generation: r.uint32(), Adds: r.hashes()}
	c.Commit = r.bytes()
	r.fill(c.CommitDigest[:])
	c.Welcome = r.bytes()
	r.fillOrNone(c.WelcomeDigest[:])
	r.fill(c.MAC[:])
	return c
}

// hashes reads a list of digests. It allocates as much as the message holds, whatever
// number it says.
func (r *reader) hashes() (list []e2ee.Hash) {
	for n := r.uint32(); n > 0 && !r.failed; n-- {
		var h e2ee.Hash
		r.fill(h[:])
		list = append(list, h)
	}
	return list
}

// fillOrNone reads bytes of the length of dst, or none.
func (r *reader) fillOrNone(dst []byte) {
	if b := r.bytes(); len(b) == len(dst) {
		copy(dst, b)
	} else if len(b) > 0 {
		r.failed = true
	}
}

// parsePID reads the one form of a pid: base64url without padding.
func parsePID(s string) (pid e2ee.PID, err error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(b) != len(pid) || len(s) != base64.RawURLEncoding.EncodedLen(len(pid)) {
		return e2ee.PID{}, ErrPID
	}
	return e2ee.PID(b), nil
}

func formatPID(pid e2ee.PID) string { return base64.RawURLEncoding.EncodeToString(pid[:]) }
