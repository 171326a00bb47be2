package signal

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata from the golden messages")

func filled(b byte, n int) []byte { return bytes.Repeat([]byte{b}, n) }

func testPID(b byte) PID { return NewPID([PIDSize]byte(filled(b, PIDSize))) }

// goldenClient has each message of a client once or more, by file name.
var goldenClient = map[string]ClientBody{
	"client-hello":       &Hello{PID: testPID(1)},
	"client-hello-lists": &Hello{PID: testPID(1), Lists: true},
	"client-hello-resume": &Hello{PID: testPID(1), Resume: &Resume{
		Token: "dG9rZW4", LogID: filled(9, LogIDSize), After: 41}},
	"client-join":   &Join{KeyPackage: []byte("key package"), MAC: filled(2, MACSize)},
	"client-create": &Create{Generation: 1, GroupID: filled(3, GroupIDSize), MAC: filled(4, MACSize)},
	"client-commit": &Commit{Last: 3, Generation: 1, Adds: [][]byte{filled(5, DigestSize), filled(6, DigestSize)},
		Commit: []byte("commit"), Welcome: []byte("welcome"), MAC: filled(13, MACSize)},
	"client-commit-removes": &Commit{Last: 4, Generation: 1, Commit: []byte("commit"), MAC: filled(14, MACSize)},
	"client-message":        &Message{Data: []byte("message")},
	"client-offer": &Offer{Connection: 1, SDP: "v=0\r\n",
		Tracks: []OfferTrack{{MID: "0", Source: SourceMic}, {MID: "1", Source: SourceCamera}}},
	"client-view": &View{Wants: []Want{{PID: testPID(2), Source: SourceCamera, Width: 1280, Height: 720, Priority: 2},
		{PID: testPID(3), Source: SourceScreen, Width: 320, Height: 180}}},
	"client-mute":  &Mute{Source: SourceMic, Muted: true},
	"client-leave": &Leave{},
}

// goldenServer has each message of the server once or more, by file name.
var goldenServer = map[string]any{
	"server-ready": &Ready{Token: "dG9rZW4", LogID: filled(9, LogIDSize), Head: 41, HeadHash: filled(7, DigestSize),
		Now: 1760000000000, Resumed: true, Here: []PID{testPID(2)}, MaxMessage: MaxMessage(2),
		ICEServers: []ICEServer{{URLs: []string{"turns:meet.example.org:443?transport=tcp"},
			Username: "1760043200:AgICAgICAgICAgICAgICAg", Credential: "c2VjcmV0"}}},
	"server-log": &Log{Entries: []Entry{
		{Position: 1, Time: 1760000000000, Kind: EntryJoined, PID: testPID(1),
			Joined: &Join{KeyPackage: []byte("key package"), MAC: filled(2, MACSize)}},
		{Position: 2, Time: 1760000000001, Kind: EntryCreate, PID: testPID(1),
			Create: &Create{Generation: 1, GroupID: filled(3, GroupIDSize), MAC: filled(4, MACSize)}},
		{Position: 3, Time: 1760000000002, Kind: EntryCommit, PID: testPID(1),
			Commit: &CommitEntry{Last: 2, Generation: 1, Adds: [][]byte{filled(5, DigestSize)},
				Commit: []byte("commit"), CommitDigest: filled(10, DigestSize),
				Welcome: []byte("welcome"), WelcomeDigest: filled(11, DigestSize), MAC: filled(13, MACSize)}},
		{Position: 4, Time: 1760000000003, Kind: EntryCommit, PID: testPID(2),
			Commit: &CommitEntry{Last: 3, Generation: 1, CommitDigest: filled(12, DigestSize), MAC: filled(14, MACSize)}},
		{Position: 5, Time: 1760000000004, Kind: EntryLeft, PID: testPID(1)},
	}},
	"server-participant": &Participant{PID: testPID(2), Publications: []Publication{
		{Source: SourceMic, Muted: true}, {Source: SourceCamera}}},
	"server-participant-away": &Participant{PID: testPID(2), Publications: []Publication{}, Away: true},
	"server-participants": &Participants{Participants: []Participant{
		{PID: testPID(2), Publications: []Publication{{Source: SourceMic, Muted: true}}},
		{PID: testPID(3), Publications: []Publication{}, Away: true}}},
	"server-gone":     &Gone{PID: testPID(2)},
	"server-message":  &Message{PID: testPID(2), Data: []byte("message")},
	"server-appended": &Appended{Position: 6},
	"server-answer":   &Answer{Connection: 1, SDP: "v=0\r\n"},
	"server-slots": &Slots{Connection: 1, Slots: []Slot{
		{MID: "4", PID: testPID(2), Source: SourceCamera}}},
	"server-demand": &Demand{Connection: 1, Sources: []SourceDemand{
		{Source: SourceCamera, Watched: true, RIDs: []string{"q", "h"}}, {Source: SourceScreen, Watched: true, RIDs: []string{}, Height: 360}}},
	"server-media-down": &MediaDown{Connection: 1, Code: CodeMediaFailed},
	"server-error":      &Error{Code: CodeStale, Message: "last is 6"},
}

// answered says which golden messages answer one with the id 7.
var answered = map[string]bool{"server-appended": true, "server-answer": true, "server-error": true}

func encodeGolden(t *testing.T, name string) []byte {
	t.Helper()
	var frame []byte
	var err error
	if body, ok := goldenClient[name]; ok {
		frame, err = EncodeClient(7, body)
	} else if answered[name] {
		frame, err = EncodeServer(7, goldenServer[name])
	} else {
		frame, err = EncodeServer(0, goldenServer[name])
	}
	if err != nil {
		t.Fatal(err)
	}
	return frame
}

func goldenNames() []string {
	var names []string
	for name := range goldenClient {
		names = append(names, name)
	}
	for name := range goldenServer {
		names = append(names, name)
	}
	return names
}

func goldenFile(name string) string { return filepath.Join("testdata", name+".json") }

func TestGolden(t *testing.T) {
	for _, name := range goldenNames() {
		t.Run(name, func(t *testing.T) {
			frame := encodeGolden(t, name)
			if *update {
				writeGolden(t, name, frame)
			}
			file, err := os.ReadFile(goldenFile(name))
			if err != nil {
				t.Fatal(err)
			}
			var compact bytes.Buffer
			if err := json.Compact(&compact, file); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(compact.Bytes(), frame) {
				t.Fatalf("encoded\n%s\nthe file has\n%s", frame, compact.Bytes())
			}
			decodeGolden(t, name, file)
		})
	}
}

func writeGolden(t *testing.T, name string, frame []byte) {
	t.Helper()
	var indented bytes.Buffer
	if err := json.Indent(&indented, frame, "", "  "); err != nil {
		t.Fatal(err)
	}
	indented.WriteByte('\n')
	if err := os.WriteFile(goldenFile(name), indented.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

// decodeGolden checks that the file decodes to the message it was made from.
func decodeGolden(t *testing.T, name string, file []byte) {
	t.Helper()
	if want, ok := goldenClient[name]; ok {
		got, err := DecodeClient(file)
		if err != nil {
			t.Fatal(err)
		}
		if got.ID != 7 || got.Type != typeOf(want) || !reflect.DeepEqual(got.Body, want) {
			t.Fatalf("decoded %+v, want %+v", got, want)
		}
		return
	}
	got, err := DecodeServer(file)
	if err != nil {
		t.Fatal(err)
	}
	want := goldenServer[name]
	if (got.Re == 7) != answered[name] || got.Type != typeOf(want) || !reflect.DeepEqual(got.Body, want) {
		t.Fatalf("decoded %+v, want %+v", got, want)
	}
}

func TestGoldenHasEveryType(t *testing.T) {
	client := []Type{TypeHello, TypeJoin, TypeCreate, TypeCommit, TypeMessage, TypeOffer, TypeView, TypeMute, TypeLeave}
	server := []Type{TypeReady, TypeLog, TypeParticipant, TypeParticipants, TypeGone, TypeMessage, TypeAppended, TypeAnswer, TypeSlots,
		TypeMediaDown, TypeError}
	for _, typ := range client {
		if _, ok := goldenClient["client-"+string(typ)]; !ok || typeOf(newClientBody(typ)) != typ {
			t.Errorf("client message %q has no golden file or no body", typ)
		}
	}
	for _, typ := range server {
		if _, ok := goldenServer["server-"+string(typ)]; !ok || typeOf(newServerBody(typ)) != typ {
			t.Errorf("server message %q has no golden file or no body", typ)
		}
	}
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) != len(goldenNames()) {
		t.Errorf("%d files in testdata for %d golden messages (%v)", len(files), len(goldenNames()), err)
	}
}

// TestGeneratedUnions checks by text that the unions written by hand for TypeScript
// name every type and every kind.
func TestGeneratedUnions(t *testing.T) {
	source, err := os.ReadFile("envelope.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range goldenNames() {
		side, typ, _ := strings.Cut(name, "-")
		if typ == "hello-resume" || typ == "hello-lists" || typ == "commit-removes" || typ == "participant-away" {
			continue
		}
		union := string(source[bytes.Index(source, []byte("export type ClientMessage")):])
		if side == "server" {
			union = union[strings.Index(union, "export type ServerMessage"):]
		}
		if !strings.Contains(union, `{ type: "`+typ+`"; body: `) {
			t.Errorf("the %s union lacks %q", side, typ)
		}
	}
	messages, err := os.ReadFile("messages.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range []EntryKind{EntryJoined, EntryLeft, EntryCreate, EntryCommit} {
		if !bytes.Contains(messages, []byte(`"`+kind+`"`)) {
			t.Errorf("messages.go emits no kind %q", kind)
		}
	}
}
