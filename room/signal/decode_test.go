package signal

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestDecodeClientRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, frame string
		code        Code
		text        string // part of the message
		id          uint32
	}{
		{"empty", ``, CodeBadMessage, "not JSON", 0},
		{"garbage", `hello`, CodeBadMessage, "not JSON", 0},
		{"array", `[]`, CodeBadMessage, "not a message", 0},
		{"null", `null`, CodeBadMessage, "type", 0},
		{"no type", `{"id":3}`, CodeBadMessage, "type", 0},
		{"negative id", `{"type":"leave","id":-1}`, CodeBadMessage, "id", 0},
		{"unknown", `{"type":"dance","id":3,"body":{}}`, CodeUnknownType, "no such", 3},
		{"of the server", `{"type":"ready","id":3,"body":{}}`, CodeUnknownType, "no such", 3},
		{"no body", `{"type":"hello","id":3}`, CodeBadMessage, "body", 3},
		{"null body", `{"type":"hello","id":3,"body":null}`, CodeBadMessage, "body", 3},
		{"body array", `{"type":"hello","id":3,"body":[]}`, CodeBadMessage, "body", 3},
		{"wrong field type", `{"type":"hello","id":3,"body":{"pid":7}}`, CodeBadMessage, "pid", 3},
		{"broken base64", `{"type":"message","id":3,"body":{"data":"%%"}}`, CodeBadMessage, "base64", 3},
		{"fraction", `{"type":"view","id":3,"body":{"wants":[{"width":1.5}]}}`, CodeBadMessage, "width", 3},
		{"deep", strings.Repeat(`[`, 20000), CodeBadMessage, "", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			msg, err := DecodeClient([]byte(tt.frame))
			var refusal *Error
			if !errors.As(err, &refusal) || refusal.Code != tt.code || !strings.Contains(refusal.Message, tt.text) {
				t.Fatalf("error %v, want %s with %q", err, tt.code, tt.text)
			}
			if msg.ID != tt.id || msg.Body != nil {
				t.Fatalf("decoded %+v, want id %d and no body", msg, tt.id)
			}
		})
	}
}

func TestValidate(t *testing.T) {
	pid, long := testPID(1), strings.Repeat("a", MaxSDP+1)
	digest, mac := filled(1, DigestSize), filled(2, MACSize)
	all := slices.Repeat([][]byte{digest}, MaxParticipants+1)
	for _, tt := range []struct {
		body  ClientBody
		field string // "" is valid
	}{
		{&Hello{PID: pid}, ""},
		{&Hello{PID: pid[:21]}, "pid"},
		{&Hello{PID: pid + "A"}, "pid"},
		{&Hello{PID: pid[:21] + "+"}, "pid"},
		{&Hello{PID: pid[:21] + "R"}, "pid"}, // bits left over: a second spelling
		{&Hello{PID: pid, Resume: &Resume{LogID: filled(1, LogIDSize)}}, "resume.token"},
		{&Hello{PID: pid, Resume: &Resume{Token: long[:MaxToken+1], LogID: filled(1, LogIDSize)}}, "resume.token"},
		{&Hello{PID: pid, Resume: &Resume{Token: "t", LogID: filled(1, LogIDSize-1)}}, "resume.logId"},
		{&Hello{PID: pid, Resume: &Resume{Token: "t", LogID: filled(1, LogIDSize)}}, ""},
		{&Join{MAC: filled(1, MACSize)}, "keyPackage"},
		{&Join{KeyPackage: filled(1, MaxKeyPackage+1), MAC: filled(1, MACSize)}, "keyPackage"},
		{&Join{KeyPackage: filled(1, MaxKeyPackage), MAC: filled(1, MACSize+1)}, "mac"},
		{&Join{KeyPackage: filled(1, MaxKeyPackage), MAC: filled(1, MACSize)}, ""},
		{&Create{GroupID: filled(1, 15), MAC: filled(1, MACSize)}, "groupId"},
		{&Create{GroupID: filled(1, 16)}, "mac"},
		{&Create{GroupID: filled(1, 16), MAC: filled(1, MACSize)}, ""},
		{&Commit{}, "commit"},
		{&Commit{Commit: []byte{1}, MAC: mac}, ""},
		{&Commit{Commit: []byte{1}}, "mac"},
		{&Commit{Commit: []byte{1}, MAC: mac[1:]}, "mac"},
		{&Commit{Commit: []byte{1}, Adds: [][]byte{digest}}, "welcome"},
		{&Commit{Commit: []byte{1}, Welcome: []byte{1}}, "welcome"},
		{&Commit{Commit: []byte{1}, Welcome: []byte{1}, Adds: [][]byte{digest, digest[1:]}}, "adds[1]"},
		{&Commit{Commit: []byte{1}, Welcome: []byte{1}, Adds: all, MAC: mac}, "adds"},
		{&Commit{Commit: []byte{1}, Welcome: []byte{1}, Adds: all[1:], MAC: mac}, ""},
		{&Message{}, "data"},
		{&Message{Data: filled(1, MaxGroupMessage+1)}, "data"},
		{&Message{Data: filled(1, MaxGroupMessage)}, ""},
		{&Offer{SDP: "v=0"}, "connection"},
		{&Offer{Connection: 1}, "sdp"},
		{&Offer{Connection: 1, SDP: long}, "sdp"},
		{&Offer{Connection: 1, SDP: "v=0", Tracks: make([]OfferTrack, MaxTracks+1)}, "tracks"},
		{&Offer{Connection: 1, SDP: "v=0", Tracks: []OfferTrack{{Source: SourceMic}}}, "tracks[0].mid"},
		{&Offer{Connection: 1, SDP: "v=0", Tracks: []OfferTrack{{MID: long[:17], Source: SourceMic}}}, "tracks[0].mid"},
		{&Offer{Connection: 1, SDP: "v=0", Tracks: []OfferTrack{{MID: "0", Source: "tv"}}}, "tracks[0].source"},
		{&Offer{Connection: 1, SDP: "v=0", Tracks: []OfferTrack{{"0", SourceMic}, {"0", SourceCamera}}}, "tracks[1]"},
		{&Offer{Connection: 1, SDP: "v=0", Tracks: []OfferTrack{{"0", SourceMic}, {"1", SourceMic}}}, "tracks[1]"},
		{&Offer{Connection: 1, SDP: "v=0"}, ""},
		{&View{}, ""},
		{&View{Wants: make([]Want, MaxWants+1)}, "wants"},
		{&View{Wants: []Want{{Source: SourceCamera}}}, "wants[0].pid"},
		{&View{Wants: []Want{{PID: pid, Source: SourceMic}}}, "wants[0].source"},
		{&View{Wants: []Want{{PID: pid, Source: SourceScreen, Width: -1}}}, "wants[0].width"},
		{&View{Wants: []Want{{PID: pid, Source: SourceScreen, Height: MaxViewSize + 1}}}, "wants[0].height"},
		{&View{Wants: []Want{{PID: pid, Source: SourceScreen, Priority: MaxPriority + 1}}}, "wants[0].priority"},
		{&View{Wants: []Want{{PID: pid, Source: SourceScreen, Width: 1, Height: 1}}}, ""},
		{&Mute{Source: "tv"}, "source"},
		{&Mute{Source: SourceScreenAudio}, ""},
		{&Leave{}, ""},
	} {
		err := tt.body.Validate()
		if tt.field == "" {
			if err != nil {
				t.Errorf("%T: %v, want none", tt.body, err)
			}
			continue
		}
		var refusal *Error
		if !errors.As(err, &refusal) || refusal.Code != CodeBadMessage || !strings.HasPrefix(refusal.Message, tt.field+" ") {
			t.Errorf("%T: %v, want one that names %s", tt.body, err, tt.field)
		}
	}
}

func TestErrorsRepeatNothing(t *testing.T) {
	const secret = "c2VjcmV0LXNlY3JldA"
	for _, frame := range []string{
		`{"type":"hello","body":{"pid":"` + secret + `"}}`,
		`{"type":"hello","body":{"pid":"AQEBAQEBAQEBAQEBAQEBAQ","resume":{"token":"` + secret + `","logId":"` + secret + `"}}}`,
		`{"type":"` + secret + `"}`,
		`{"type":"join","body":{"keyPackage":"` + secret + `%"}}`,
	} {
		if _, err := DecodeClient([]byte(frame)); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", frame, err)
		}
	}
}

func TestPID(t *testing.T) {
	id := [PIDSize]byte{0: 0xff, 7: 0x80, 15: 0x3f}
	if got, err := NewPID(id).Bytes(); err != nil || got != id {
		t.Fatalf("%x (%v), want %x", got, err, id)
	}
}

func TestValidRoomName(t *testing.T) {
	for name, want := range map[string]bool{
		"": false, "a": true, "Az09_-": true, "a b": false, "a/b": false, "..": false, "ä": false, "a\n": false,
		strings.Repeat("x", MaxRoomName): true, strings.Repeat("x", MaxRoomName+1): false,
	} {
		if ValidRoomName(name) != want {
			t.Errorf("ValidRoomName(%q) = %t", name, !want)
		}
	}
}

func TestCloseCodesDiffer(t *testing.T) {
	seen := map[int]Code{}
	for _, code := range []Code{CodeInternal, CodeBadMessage, CodeTooLarge, CodeNotReady, CodeAlreadyHere, CodeResumeRefused,
		CodeReplaced, CodeRoomFull, CodeServerFull, CodeLogFull, CodeRateLimited, CodeSlow, CodeShutdown} {
		n := code.CloseCode()
		if other, ok := seen[n]; ok || n < 4000 || n > 4999 {
			t.Errorf("%s closes with %d, as %s does", code, n, other)
		}
		seen[n] = code
	}
}

func TestEncodeRefusesOthers(t *testing.T) {
	if _, err := EncodeServer(0, "text"); err == nil {
		t.Fatal("a string was encoded")
	}
}

// TestTruncated cuts every golden message at every byte: an error, never a panic.
func TestTruncated(t *testing.T) {
	for _, name := range goldenNames() {
		frame := encodeGolden(t, name)
		for n := range frame {
			if _, err := DecodeClient(frame[:n]); err == nil {
				t.Fatalf("%s cut to %d bytes is decoded", name, n)
			}
			if _, err := DecodeServer(frame[:n]); err == nil {
				t.Fatalf("%s cut to %d bytes is decoded", name, n)
			}
		}
	}
}

func FuzzDecodeClient(f *testing.F) {
	for name, body := range goldenClient {
		frame, err := EncodeClient(7, body)
		if err != nil {
			f.Fatal(name, err)
		}
		f.Add(frame)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		msg, err := DecodeClient(frame)
		if err != nil {
			var refusal *Error
			if !errors.As(err, &refusal) || refusal.Code == "" || len(refusal.Message) > 256 {
				t.Fatalf("error %#v", err)
			}
			return
		}
		if err := msg.Body.Validate(); err != nil {
			t.Fatalf("accepted, but %v", err)
		}
		again, err := EncodeClient(msg.ID, msg.Body)
		if err != nil {
			t.Fatal(err)
		}
		back, err := DecodeClient(again)
		if err != nil {
			t.Fatalf("%s: %v", again, err)
		}
		if third, _ := EncodeClient(back.ID, back.Body); !bytes.Equal(again, third) {
			t.Fatalf("not stable: %s and %s", again, third)
		}
	})
}

func FuzzDecodeServer(f *testing.F) {
	for _, body := range goldenServer {
		frame, err := EncodeServer(7, body)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(frame)
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		msg, err := DecodeServer(frame)
		if err != nil {
			return
		}
		again, err := EncodeServer(msg.Re, msg.Body)
		if err != nil {
			t.Fatal(err)
		}
		back, err := DecodeServer(again)
		if err != nil || back.Type != msg.Type || back.Re != msg.Re {
			t.Fatalf("%s: %+v, %v", again, back, err)
		}
		if third, _ := EncodeServer(back.Re, back.Body); !bytes.Equal(again, third) {
			t.Fatalf("not stable: %s and %s", again, third)
		}
	})
}

func TestUnknownFieldsAreIgnored(t *testing.T) {
	frame := []byte(`{"type":"mute","id":7,"later":1,"body":{"source":"mic","muted":true,"later":{"x":[1]}}}`)
	msg, err := DecodeClient(frame)
	if err != nil || !reflect.DeepEqual(msg.Body, goldenClient["client-mute"]) {
		t.Fatalf("%+v, %v", msg, err)
	}
	if !json.Valid(frame) {
		t.Fatal("the test's frame is not JSON")
	}
}
