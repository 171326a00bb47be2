package bridge

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/conclave-sfu/conclave/e2ee"
	"github.com/conclave-sfu/conclave/e2ee/framecrypt"
	"github.com/conclave-sfu/conclave/room/signal"
)

// The JSON of entries and posts is that of room/signal, whose structs e2ee must not
// import: this test does.

func fill32(b byte) []byte { return bytes.Repeat([]byte{b}, 32) }

func hash(b byte) (h e2ee.Hash) {
	copy(h[:], fill32(b))
	return h
}

var (
	testPID    = e2ee.PID{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 255}
	testPIDTxt = signal.PID(formatPID(testPID))
	groupID    = [16]byte{1, 2, 3}
)

func TestEntriesAreThoseOfSignal(t *testing.T) {
	for _, c := range []struct {
		entry signal.Entry
		want  e2ee.EntryBody
	}{
		{signal.Entry{Kind: signal.EntryLeft}, e2ee.Left{}},
		{
			signal.Entry{Kind: signal.EntryJoined, Joined: &signal.Join{KeyPackage: []byte("kp"), MAC: fill32(1)}},
			e2ee.Joined{KeyPackage: []byte("kp"), MAC: hash(1)},
		},
		{
			signal.Entry{Kind: signal.EntryCreate, Create: &signal.Create{Last: 1 << 40, Generation: 2, GroupID: groupID[:], MAC: fill32(3)}},
			e2ee.Created{Last: 1 << 40, Generation: 2, GroupID: groupID, MAC: hash(3)},
		},
		{
			signal.Entry{Kind: signal.EntryCommit, Commit: &signal.CommitEntry{
				Last: 3, Generation: 4, Adds: [][]byte{fill32(5), fill32(6)}, Commit: []byte("c"),
				CommitDigest: fill32(7), Welcome: []byte("w"), WelcomeDigest: fill32(8), MAC: fill32(9),
			}},
			e2ee.Committed{Last: 3, Generation: 4, Adds: []e2ee.Hash{hash(5), hash(6)}, Commit: []byte("c"),
				CommitDigest: hash(7), Welcome: []byte("w"), WelcomeDigest: hash(8), MAC: hash(9)},
		},
		{
			signal.Entry{Kind: signal.EntryCommit, Commit: &signal.CommitEntry{CommitDigest: fill32(7), MAC: fill32(9)}},
			e2ee.Committed{CommitDigest: hash(7), MAC: hash(9)},
		},
	} {
		c.entry.Position, c.entry.Time, c.entry.PID = 77, 1_800_000_000_123, testPIDTxt
		data, err := json.Marshal(map[string]any{"type": "log-entry", "entry": c.entry, "later": "ignored"})
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseInput(data)
		want := e2ee.LogEntry{Entry: e2ee.Entry{Position: 77, Time: 1_800_000_000_123, PID: testPID, Body: c.want}}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v; want %+v", data, got, err, want)
		}
	}
}

// Every field of a signal struct has one of the same name here, but for entries of
// kinds that are not spoken yet.
func TestFieldsAreThoseOfSignal(t *testing.T) {
	for _, c := range []struct{ theirs, ours any }{
		{signal.Entry{}, entry{}},
		{signal.Join{}, join{}},
		{signal.Create{}, create{}},
		{signal.Commit{}, commit{}},
		{signal.CommitEntry{}, commitEntry{}},
	} {
		theirs, ours := fieldNames(c.theirs), fieldNames(c.ours)
		if !reflect.DeepEqual(theirs, ours) {
			t.Errorf("%T has %v, %T has %v", c.theirs, theirs, c.ours, ours)
		}
	}
}

func fieldNames(v any) map[string]bool {
	names := map[string]bool{}
	for _, f := range reflect.VisibleFields(reflect.TypeOf(v)) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		names[name] = true
	}
	return names
}

func TestPostsAreThoseOfSignal(t *testing.T) {
	for _, c := range []struct {
		body  e2ee.PostBody
		kind  string
		want  any
		empty any
	}{
		{e2ee.PostJoin{KeyPackage: []byte("kp"), MAC: hash(1)}, "join",
			&signal.Join{KeyPackage: []byte("kp"), MAC: fill32(1)}, &signal.Join{}},
		{e2ee.PostCreate{Last: 1, Generation: 2, GroupID: groupID, MAC: hash(3)}, "create",
			&signal.Create{Last: 1, Generation: 2, GroupID: groupID[:], MAC: fill32(3)}, &signal.Create{}},
		{e2ee.PostCommit{Last: 1, Generation: 2, Adds: []e2ee.Hash{hash(4), hash(5)}, Commit: []byte("c"), Welcome: []byte("w"), MAC: hash(6)}, "commit",
			&signal.Commit{Last: 1, Generation: 2, Adds: [][]byte{fill32(4), fill32(5)}, Commit: []byte("c"), Welcome: []byte("w"), MAC: fill32(6)}, &signal.Commit{}},
		{e2ee.PostCommit{Commit: []byte("c"), MAC: hash(6)}, "commit", &signal.Commit{Commit: []byte("c"), MAC: fill32(6)}, &signal.Commit{}},
	} {
		data, err := formatOutput(e2ee.Post{Seq: 9, Body: c.body})
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Type string
			Post struct {
				Seq  uint32
				Type string
				Body json.RawMessage
			}
		}
		if err := json.Unmarshal(data, &got); err != nil {
			t.Fatal(err)
		}
		if got.Type != "post" || got.Post.Seq != 9 || got.Post.Type != c.kind {
			t.Errorf("%s: want post 9 of type %s", data, c.kind)
		}
		dec := json.NewDecoder(bytes.NewReader(got.Post.Body))
		dec.DisallowUnknownFields()
		if err := dec.Decode(c.empty); err != nil || !reflect.DeepEqual(c.empty, c.want) {
			t.Errorf("%s: read as %+v, %v; want %+v", data, c.empty, err, c.want)
		}
	}
}

func TestOtherOutputs(t *testing.T) {
	id := framecrypt.Epoch{Generation: 1, Number: 2}
	started := e2ee.EpochStarted{
		Epoch: id, Own: 0, BaseKey: framecrypt.NewBaseKey([]byte("0123456789abcdef")), SafetyNumber: "12345 67890",
		Members: []e2ee.Member{{Leaf: 0, PID: testPID, Name: `Ann "</script>`, Device: [32]byte{1}}},
	}
	for _, c := range []struct {
		out  e2ee.Output
		want string
	}{
		{started, `{"type":"epoch-started","epoch":{"generation":1,"number":2},"own":0,"members":[{"leaf":0,"pid":"AAECAwQFBgcICQoLDA0O_w","name":"Ann \"\u003c/script\u003e","device":"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}],"removed":[],"safetyNumber":"12345 67890"}`},
		{e2ee.SendEpoch{Epoch: id}, `{"type":"send-epoch","epoch":{"generation":1,"number":2}}`},
		{e2ee.EpochEnded{Epoch: id}, `{"type":"epoch-ended","epoch":{"generation":1,"number":2}}`},
		{e2ee.Status{State: e2ee.StateMember}, `{"type":"status","state":"member"}`},
		{e2ee.Status{State: e2ee.StateEnded, Code: e2ee.CodeLeft}, `{"type":"status","state":"ended","code":"left"}`},
		{e2ee.EntryRefused{Position: 3, PID: testPID, Code: e2ee.CodeStale}, `{"type":"entry-refused","position":3,"pid":"AAECAwQFBgcICQoLDA0O_w","code":"stale"}`},
	} {
		got, err := formatOutput(c.out)
		if err != nil || string(got) != c.want {
			t.Errorf("%T:\n got %s, %v\nwant %s", c.out, got, err, c.want)
		}
	}
	if got, err := formatOutput(e2ee.SignDevice{}); err == nil {
		t.Errorf("SignDevice left as %s", got)
	}
	if got, err := formatOutput(e2ee.Post{}); err == nil {
		t.Errorf("an empty post left as %s", got)
	}
}

func TestOtherInputs(t *testing.T) {
	for _, c := range []struct {
		json string
		want e2ee.Input
	}{
		{`{"type":"log-opened","logId":"AQIDAAAAAAAAAAAAAAAAAA==","head":7}`, e2ee.LogOpened{ID: e2ee.LogID(groupID), Head: 7}},
		{`{"type":"posted","seq":3}`, e2ee.Posted{Seq: 3}},
		{`{"type":"posted","seq":4294967295,"code":"stale"}`, e2ee.Posted{Seq: 1<<32 - 1, Code: "stale"}},
		{` {"type":"tick"} ` + "\n", e2ee.Tick{}},
	} {
		if got, err := parseInput([]byte(c.json)); err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: %+v, %v; want %+v", c.json, got, err, c.want)
		}
	}
}

const mac = `"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="`

var malformed = []string{
	``, `{`, `null`, `[]`, `{}`, `"tick"`, `{"type":"tick"}{}`, `{"type":"tick"} x`, `{"type":"nothing"}`, `{"type":7}`,
	`{"type":"log-opened"}`,
	`{"type":"log-opened","logId":"AQID"}`,
	`{"type":"log-opened","logId":"*"}`,
	`{"type":"log-opened","logId":"AQIDAAAAAAAAAAAAAAAAAA==","head":-1}`,
	`{"type":"posted","seq":4294967296}`,
	`{"type":"posted","seq":"1"}`,
	`{"type":"log-entry"}`,
	`{"type":"log-entry","entry":{"kind":"left"}}`,
	`{"type":"log-entry","entry":{"kind":"left","pid":"AAECAwQFBgcICQoLDA0O_x"}}`,
	`{"type":"log-entry","entry":{"kind":"left","pid":"AAECAwQFBgcICQoLDA0O\n_w"}}`,
	`{"type":"log-entry","entry":{"kind":"left","pid":"AAECAwQFBgcICQoLDA0O_w=="}}`,
	`{"type":"log-entry","entry":{"kind":"left","pid":"AAECAwQFBgcICQoLDA0O_w","position":1.5}}`,
	`{"type":"log-entry","entry":{"kind":"new","pid":"AAECAwQFBgcICQoLDA0O_w"}}`,
	`{"type":"log-entry","entry":{"kind":"joined","pid":"AAECAwQFBgcICQoLDA0O_w"}}`,
	`{"type":"log-entry","entry":{"kind":"joined","pid":"AAECAwQFBgcICQoLDA0O_w","create":{}}}`,
	`{"type":"log-entry","entry":{"kind":"joined","pid":"AAECAwQFBgcICQoLDA0O_w","joined":{"keyPackage":"","mac":"AQE="}}}`,
	`{"type":"log-entry","entry":{"kind":"create","pid":"AAECAwQFBgcICQoLDA0O_w","create":{"groupId":"AQE=","mac":` + mac + `}}}`,
	`{"type":"log-entry","entry":{"kind":"create","pid":"AAECAwQFBgcICQoLDA0O_w","create":{"groupId":"AQIDAAAAAAAAAAAAAAAAAA=="}}}`,
	`{"type":"log-entry","entry":{"kind":"commit","pid":"AAECAwQFBgcICQoLDA0O_w","commit":{}}}`,
	`{"type":"log-entry","entry":{"kind":"commit","pid":"AAECAwQFBgcICQoLDA0O_w","commit":{"adds":["AQ=="],"commitDigest":` + mac + `,"mac":` + mac + `}}}`,
	`{"type":"log-entry","entry":{"kind":"commit","pid":"AAECAwQFBgcICQoLDA0O_w","commit":{"commitDigest":` + mac + `}}}`,
	`{"type":"log-entry","entry":{"kind":"commit","pid":"AAECAwQFBgcICQoLDA0O_w","commit":{"commitDigest":` + mac + `,"welcomeDigest":"AQ==","mac":` + mac + `}}}`,
}

func TestMalformedInputs(t *testing.T) {
	for _, data := range malformed {
		got, err := parseInput([]byte(data))
		if got != nil || !errors.Is(err, ErrJSON) && !errors.Is(err, ErrPID) {
			t.Errorf("%s: %+v, %v", data, got, err)
		}
	}
}

func FuzzParseInput(f *testing.F) {
	for _, data := range malformed {
		f.Add([]byte(data))
	}
	f.Add([]byte(`{"type":"posted","seq":3,"code":"stale"}`))
	f.Add([]byte(`{"type":"log-entry","entry":{"position":1,"time":2,"kind":"joined","pid":"AAECAwQFBgcICQoLDA0O_w","joined":{"keyPackage":"AQ==","mac":` + mac + `}}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := parseInput(data)
		if (got == nil) == (err == nil) {
			t.Fatalf("%q: %+v, %v", data, got, err)
		}
		if err != nil && CodeOf(err) == "internal" {
			t.Fatalf("%q: an error without a code: %v", data, err)
		}
	})
}
