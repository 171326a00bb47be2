package bridge

import (
	"encoding/json"
	"fmt"

	"github.com/conclave-sfu/conclave/e2ee"
	"github.com/conclave-sfu/conclave/e2ee/framecrypt"
)

// The outputs, by their types. BaseKey has no place in any of them.
type (
	postOutput struct {
		Type string `json:"type"` // post
		Post post   `json:"post"`
	}
	epochStarted struct {
		Type         string            `json:"type"` // epoch-started
		Epoch        epoch             `json:"epoch"`
		Own          framecrypt.Leaf   `json:"own"`
		Members      []member          `json:"members"`
		Removed      []framecrypt.Leaf `json:"removed"`
		SafetyNumber string            `json:"safetyNumber"`
	}
	epochOutput struct {
		Type  string `json:"type"` // send-epoch, epoch-ended
		Epoch epoch  `json:"epoch"`
	}
	status struct {
		Type  string     `json:"type"` // status
		State e2ee.State `json:"state"`
		Code  e2ee.Code  `json:"code,omitempty"`
	}
	entryRefused struct {
		Type     string    `json:"type"` // entry-refused
		Position uint64    `json:"position"`
		PID      string    `json:"pid"`
		Code     e2ee.Code `json:"code"`
	}
)

type epoch struct {
	Generation uint32 `json:"generation"`
	Number     uint64 `json:"number"`
}

type member struct {
	Leaf   framecrypt.Leaf `json:"leaf"`
	PID    string          `json:"pid"`
	Name   string          `json:"name"`
	Device []byte          `json:"device"`
}

type post struct {
	Seq  uint32 `json:"seq"`
	Type string `json:"type"` // join, create, commit
	Body any    `json:"body"`
}

// commit is a signal.Commit.
type commit struct {
	Last       uint64   `json:"last"`
	Generation uint32   `json:"generation"`
	Adds       [][]byte `json:"adds,omitempty"`
	Commit     []byte   `json:"commit"`
	Welcome    []byte   `json:"welcome,omitempty"`
	MAC        []byte   `json:"mac"`
}

// formatOutput writes one output, but for SignDevice, which the bridge answers itself.
func formatOutput(out e2ee.Output) ([]byte, error) {
	v, err := outputOf(out)
	if err != nil {
		return nil, err
	}
	return json.Marshal(v)
}

func outputOf(out e2ee.Output) (any, error) {
	switch o := out.(type) {
	case e2ee.Post:
		p, err := postOf(o)
		return postOutput{"post", p}, err
	case e2ee.EpochStarted:
		return epochStarted{"epoch-started", epochOf(o.Epoch), o.Own, membersOf(o.Members), append([]framecrypt.Leaf{}, o.Removed...), o.SafetyNumber}, nil
	case e2ee.SendEpoch:
		return epochOutput{"send-epoch", epochOf(o.Epoch)}, nil
	case e2ee.EpochEnded:
		return epochOutput{"epoch-ended", epochOf(o.Epoch)}, nil
	case e2ee.Status:
		return status{"status", o.State, o.Code}, nil
	case e2ee.EntryRefused:
		return entryRefused{"entry-refused", o.Position, formatPID(o.PID), o.Code}, nil
	}
	return nil, fmt.Errorf("bridge: no JSON for an output of type %T", out)
}

func postOf(o e2ee.Post) (post, error) {
	switch b := o.Body.(type) {
	case e2ee.PostJoin:
		return post{o.Seq, "join", join{b.KeyPackage, b.MAC[:]}}, nil
	case e2ee.PostCreate:
		return post{o.Seq, "create", create{b.Last, b.Generation, b.GroupID[:], b.MAC[:]}}, nil
	case e2ee.PostCommit:
		var adds [][]byte
		for _, d := range b.Adds {
			adds = append(adds, d[:])
		}
		return post{o.Seq, "commit", commit{b.Last, b.Generation, adds, b.Commit, b.Welcome, b.MAC[:]}}, nil
	}
	return post{}, fmt.Errorf("bridge: no JSON for a post of type %T", o.Body)
}

func epochOf(id framecrypt.Epoch) epoch { return epoch{id.Generation, id.Number} }

func membersOf(members []e2ee.Member) []member {
	all := make([]member, 0, len(members))
	for _, m := range members {
		all = append(all, member{m.Leaf, formatPID(m.PID), m.Name, m.Device[:]})
	}
	return all
}
