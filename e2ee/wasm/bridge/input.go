package bridge

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"

	"github.com/conclave-sfu/conclave/e2ee"
)

// input is every input in one: Type says which fields count.
type input struct {
	Type  string `json:"type"`
	LogID []byte `json:"logId"`
	Head  uint64 `json:"head"`
	Entry *entry `json:"entry"`
	Seq   uint32 `json:"seq"`
	Code  string `json:"code"`
}

// entry is a signal.Entry.
type entry struct {
	Position uint64       `json:"position"`
	Time     int64        `json:"time"`
	Kind     string       `json:"kind"`
	PID      string       `json:"pid"`
	Joined   *join        `json:"joined"`
	Create   *create      `json:"create"`
	Commit   *commitEntry `json:"commit"`
}

// join is a signal.Join.
type join struct {
	KeyPackage []byte `json:"keyPackage"`
	MAC        []byte `json:"mac"`
}

// create is a signal.Create.
type create struct {
	Last       uint64 `json:"last"`
	Generation uint32 `json:"generation"`
	GroupID    []byte `json:"groupId"`
	MAC        []byte `json:"mac"`
}

// commitEntry is a signal.CommitEntry.
type commitEntry struct {
	Last          uint64   `json:"last"`
	Generation    uint32   `json:"generation"`
	Adds          [][]byte `json:"adds"`
	Commit        []byte   `json:"commit"`
	CommitDigest  []byte   `json:"commitDigest"`
	Welcome       []byte   `json:"welcome"`
	WelcomeDigest []byte   `json:"welcomeDigest"`
	MAC           []byte   `json:"mac"`
}

// parseInput reads one input. The errors wrap ErrJSON or ErrPID and quote nothing.
func parseInput(data []byte) (e2ee.Input, error) {
	var in input
	if err := unmarshal(data, &in); err != nil {
		return nil, err
	}
	switch in.Type {
	case "log-opened":
		return in.logOpened()
	case "log-entry":
		return in.logEntry()
	case "posted":
		return e2ee.Posted{Seq: in.Seq, Code: in.Code}, nil
	case "tick":
		return e2ee.Tick{}, nil
	}
	return nil, fmt.Errorf("%w: unknown type", ErrJSON)
}

func (in *input) logOpened() (e2ee.Input, error) {
	opened := e2ee.LogOpened{Head: in.Head}
	if err := fill("log id", opened.ID[:], in.LogID); err != nil {
		return nil, err
	}
	return opened, nil
}

func (in *input) logEntry() (e2ee.Input, error) {
	if in.Entry == nil {
		return nil, fmt.Errorf("%w: no entry", ErrJSON)
	}
	pid, err := parsePID(in.Entry.PID)
	if err != nil {
		return nil, err
	}
	body, err := in.Entry.body()
	if err != nil {
		return nil, err
	}
	return e2ee.LogEntry{Entry: e2ee.Entry{
		Position: in.Entry.Position,
		Time:     in.Entry.Time,
		PID:      pid,
		Body:     body,
	}}, nil
}

// body reads what the kind names; other fields are ignored.
func (e *entry) body() (e2ee.EntryBody, error) {
	switch {
	case e.Kind == "left":
		return e2ee.Left{}, nil
	case e.Kind == "joined" && e.Joined != nil:
		return e.Joined.decode()
	case e.Kind == "create" && e.Create != nil:
		return e.Create.decode()
	case e.Kind == "commit" && e.Commit != nil:
		return e.Commit.decode()
	}
	return nil, fmt.Errorf("%w: entry of unknown kind or without its body", ErrJSON)
}

func (j *join) decode() (e2ee.EntryBody, error) {
	out := e2ee.Joined{KeyPackage: j.KeyPackage}
	if err := fill("MAC", out.MAC[:], j.MAC); err != nil {
		return nil, err
	}
	return out, nil
}

func (c *create) decode() (e2ee.EntryBody, error) {
	out := e2ee.Created{Last: c.Last, Generation: c.Generation}
	if err := fill("group id", out.GroupID[:], c.GroupID); err != nil {
		return nil, err
	}
	if err := fill("MAC", out.MAC[:], c.MAC); err != nil {
		return nil, err
	}
	return out, nil
}

func (c *commitEntry) decode() (e2ee.EntryBody, error) {
	out := e2ee.Committed{Last: c.Last, Generation: c.Generation, Commit: c.Commit, Welcome: c.Welcome}
	for _, digest := range c.Adds {
		var d e2ee.Hash
		if err := fill("digest of an added KeyPackage", d[:], digest); err != nil {
			return nil, err
		}
		out.Adds = append(out.Adds, d)
	}
	if err := fill("digest of the commit", out.CommitDigest[:], c.CommitDigest); err != nil {
		return nil, err
	}
	if err := fill("MAC", out.MAC[:], c.MAC); err != nil {
		return nil, err
	}
	if len(c.WelcomeDigest) == 0 {
		return out, nil
	}
	if err := fill("digest of the Welcome", out.WelcomeDigest[:], c.WelcomeDigest); err != nil {
		return nil, err
	}
	return out, nil
}

// fill copies src to dst, which it has to fit.
func fill(what string, dst, src []byte) error {
	if len(src) != len(dst) {
		return fmt.Errorf("%w: %s of %d bytes, not %d", ErrJSON, what, len(src), len(dst))
	}
	copy(dst, src)
	return nil
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

// unmarshal reads one JSON value and nothing after it. Unknown fields are ignored.
func unmarshal(data []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	if err := dec.Decode(v); err != nil {
		return ErrJSON // without the cause, which may quote the data
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("%w: more than one value", ErrJSON)
	}
	return nil
}
