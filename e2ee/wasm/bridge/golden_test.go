package bridge

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"reflect"
	"testing"

	"github.com/conclave-sfu/conclave/e2ee"
	"github.com/conclave-sfu/conclave/e2ee/framecrypt"
	"github.com/conclave-sfu/conclave/room/signal"
)

var update = flag.Bool("update", false, "write testdata/messages.json anew")

const goldenPath = "testdata/messages.json"

// golden is a message in all its forms: the tests of webclient/src/e2ee/wire.ts read the
// same file. Value is what the page has: entries and posts are those of room/signal, whose
// structs e2ee must not import, but this test does.
type golden struct {
	Name  string          `json:"name"`
	Kind  string          `json:"kind"` // config, input, output
	Value json.RawMessage `json:"value"`
	Hex   string          `json:"hex"`
}

func fill32(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

func hash(b byte) (h e2ee.Hash) {
	copy(h[:], fill32(b))
	return h
}

var (
	testPID    = e2ee.PID{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255}
	testPIDTxt = signal.PID(formatPID(testPID))
	groupID    = [16]byte{1, 2, 3}
	epochID    = framecrypt.Epoch{Generation: 1, Number: 2}
)

type object = map[string]any

var configs = []struct {
	name  string
	value object
	want  config
}{
	{"config", object{"link": "https://meet.example/r/tea#AQ", "pid": testPIDTxt, "name": "Zoë 👋"},
		config{"https://meet.example/r/tea#AQ", string(testPIDTxt), "Zoë 👋"}},
	{"config of nothing", object{"link": "", "pid": "", "name": ""}, config{}},
}

var inputs = []struct {
	name  string
	value any
	want  e2ee.Input
}{
	{"log-opened", object{"type": "log-opened", "logId": groupID[:], "head": 7}, e2ee.LogOpened{ID: e2ee.LogID(groupID), Head: 7}},
	{"posted", object{"type": "posted", "seq": 3}, e2ee.Posted{Seq: 3}},
	{"posted, refused", object{"type": "posted", "seq": uint32(1<<32 - 1), "code": "stale"}, e2ee.Posted{Seq: 1<<32 - 1, Code: "stale"}},
	{"tick", object{"type": "tick"}, e2ee.Tick{}},
	{"joined", entryOf(signal.Entry{Kind: signal.EntryJoined, Joined: &signal.Join{KeyPackage: []byte("kp"), MAC: fill32(1)}}),
		wantEntry(e2ee.Joined{KeyPackage: []byte("kp"), MAC: hash(1)})},
	{"left", entryOf(signal.Entry{Kind: signal.EntryLeft}), wantEntry(e2ee.Left{})},
	{"create", entryOf(signal.Entry{Kind: signal.EntryCreate, Create: &signal.Create{Last: 1 << 40, Generation: 2, GroupID: groupID[:], MAC: fill32(3)}}),
		wantEntry(e2ee.Created{Last: 1 << 40, Generation: 2, GroupID: groupID, MAC: hash(3)})},
	{"commit", entryOf(signal.Entry{Kind: signal.EntryCommit, Commit: &signal.CommitEntry{
		Last: 3, Generation: 4, Adds: [][]byte{fill32(5), fill32(6)}, Commit: []byte("c"),
		CommitDigest: fill32(7), Welcome: []byte("w"), WelcomeDigest: fill32(8), MAC: fill32(9),
	}}), wantEntry(e2ee.Committed{Last: 3, Generation: 4, Adds: []e2ee.Hash{hash(5), hash(6)}, Commit: []byte("c"),
		CommitDigest: hash(7), Welcome: []byte("w"), WelcomeDigest: hash(8), MAC: hash(9)})},
	{"commit for one who joined later", entryOf(signal.Entry{Kind: signal.EntryCommit, Commit: &signal.CommitEntry{CommitDigest: fill32(7), MAC: fill32(9)}}),
		wantEntry(e2ee.Committed{CommitDigest: hash(7), MAC: hash(9)})},
}

func entryOf(e signal.Entry) any {
	e.Position, e.Time, e.PID = 77, 1_800_000_000_123, testPIDTxt
	return object{"type": "log-entry", "entry": e}
}

func wantEntry(body e2ee.EntryBody) e2ee.Input {
	return e2ee.LogEntry{Entry: e2ee.Entry{Position: 77, Time: 1_800_000_000_123, PID: testPID, Body: body}}
}

var outputs = []struct {
	name  string
	out   e2ee.Output
	value any
}{
	{"post of a join", e2ee.Post{Seq: 9, Body: e2ee.PostJoin{KeyPackage: []byte("kp"), MAC: hash(1)}},
		postOf("join", signal.Join{KeyPackage: []byte("kp"), MAC: fill32(1)})},
	{"post of a create", e2ee.Post{Seq: 9, Body: e2ee.PostCreate{Last: 1 << 40, Generation: 2, GroupID: groupID, MAC: hash(3)}},
		postOf("create", signal.Create{Last: 1 << 40, Generation: 2, GroupID: groupID[:], MAC: fill32(3)})},
	{"post of a commit", e2ee.Post{Seq: 9, Body: e2ee.PostCommit{Last: 1, Generation: 2, Adds: []e2ee.Hash{hash(4), hash(5)}, Commit: []byte("c"), Welcome: []byte("w"), MAC: hash(6)}},
		postOf("commit", signal.Commit{Last: 1, Generation: 2, Adds: [][]byte{fill32(4), fill32(5)}, Commit: []byte("c"), Welcome: []byte("w"), MAC: fill32(6)})},
	{"post of a commit that adds nobody", e2ee.Post{Seq: 9, Body: e2ee.PostCommit{Commit: []byte("c"), MAC: hash(6)}},
		postOf("commit", signal.Commit{Commit: []byte("c"), MAC: fill32(6)})},
	{"epoch-started", e2ee.EpochStarted{
		Epoch: epochID, Own: 1, SafetyNumber: "12345 67890", Removed: []framecrypt.Leaf{3, 1023},
		Members: []e2ee.Member{{Leaf: 1, PID: testPID, Name: `Zoë "</script> 👋`, Device: [32]byte{1}}, {Leaf: 2, PID: e2ee.PID{2}, Name: "\ufeffBob"}},
	}, object{"type": "epoch-started", "epoch": epochID2, "own": 1, "removed": []int{3, 1023}, "safetyNumber": "12345 67890", "members": []object{
		{"leaf": 1, "pid": testPIDTxt, "name": `Zoë "</script> 👋`, "device": append([]byte{1}, make([]byte, 31)...)},
		{"leaf": 2, "pid": formatPID(e2ee.PID{2}), "name": "\ufeffBob", "device": make([]byte, 32)},
	}}},
	{"epoch-started of nobody", e2ee.EpochStarted{}, object{"type": "epoch-started", "epoch": object{"generation": 0, "number": 0},
		"own": 0, "members": []int{}, "removed": []int{}, "safetyNumber": ""}},
	{"send-epoch", e2ee.SendEpoch{Epoch: epochID}, object{"type": "send-epoch", "epoch": epochID2}},
	{"epoch-ended", e2ee.EpochEnded{Epoch: framecrypt.Epoch{Generation: 1<<32 - 1, Number: 1 << 50}},
		object{"type": "epoch-ended", "epoch": object{"generation": uint32(1<<32 - 1), "number": int64(1 << 50)}}},
	{"status", e2ee.Status{State: e2ee.StateMember}, object{"type": "status", "state": "member"}},
	{"status with a code", e2ee.Status{State: e2ee.StateEnded, Code: e2ee.CodeLeft}, object{"type": "status", "state": "ended", "code": "left"}},
	{"entry-refused", e2ee.EntryRefused{Position: 3, PID: testPID, Code: e2ee.CodeStale},
		object{"type": "entry-refused", "position": 3, "pid": testPIDTxt, "code": "stale"}},
}

var epochID2 = object{"generation": epochID.Generation, "number": epochID.Number}

func postOf(kind string, body any) any {
	return object{"type": "post", "post": object{"seq": 9, "type": kind, "body": body}}
}

// messages are all golden messages, as the code here writes them.
func messages(t testing.TB) []golden {
	var all []golden
	add := func(name, kind string, value any, data []byte) {
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, golden{name, kind, text, hex.EncodeToString(data)})
	}
	for _, c := range configs {
		add(c.name, "config", c.value, appendConfig(c.want.link, c.want.pid, c.want.name))
	}
	for _, c := range inputs {
		add(c.name, "input", c.value, formatInput(c.want))
	}
	for _, c := range outputs {
		data, err := formatOutput(c.out)
		if err != nil {
			t.Fatal(err)
		}
		add(c.name, "output", c.value, data)
	}
	return all
}

// The file that both sides' tests read is what this side writes.
func TestGolden(t *testing.T) {
	want, err := json.MarshalIndent(messages(t), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, '\n')
	if *update {
		if err := os.WriteFile(goldenPath, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(goldenPath)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what this code writes; go test -update, and look at the difference", goldenPath)
	}
}

func TestInputs(t *testing.T) {
	for _, c := range configs {
		if got, err := parseConfig(appendConfig(c.want.link, c.want.pid, c.want.name)); err != nil || got != c.want {
			t.Errorf("%s: %+v, %v; want %+v", c.name, got, err, c.want)
		}
	}
	for _, c := range inputs {
		if got, err := parseInput(formatInput(c.want)); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, %v; want %+v", c.name, got, err, c.want)
		}
	}
}

func TestOutputs(t *testing.T) {
	for _, c := range outputs {
		data, err := formatOutput(c.out)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := parseOutput(data); err != nil || !reflect.DeepEqual(got, c.out) {
			t.Errorf("%s: %+v, %v; want %+v", c.name, got, err, c.out)
		}
	}
	if got, err := formatOutput(e2ee.SignDevice{}); err == nil {
		t.Errorf("SignDevice left as %x", got)
	}
	if got, err := formatOutput(e2ee.Post{}); err == nil {
		t.Errorf("an empty post left as %x", got)
	}
}

// A base key never leaves by a message.
func TestNoBaseKey(t *testing.T) {
	secret := []byte("0123456789abcdef")
	data, err := formatOutput(e2ee.EpochStarted{BaseKey: framecrypt.NewBaseKey(secret)})
	if err != nil || bytes.Contains(data, secret) {
		t.Errorf("%x, %v", data, err)
	}
}
