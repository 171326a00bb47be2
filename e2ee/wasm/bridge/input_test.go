package bridge

import (
	"bytes"
	"errors"
	"reflect"
	"testing"

	"github.com/conclave-sfu/conclave/e2ee"
)

// malformed are messages that are none, by what is wrong with them.
func malformed() map[string][]byte {
	entry := func(pid string, rest ...byte) []byte {
		return append(appendText(appendUint64(appendUint64([]byte{typeLogEntry}, 1), 2), pid), rest...)
	}
	pid := formatPID(testPID)
	joined := appendBytes(append([]byte{entryJoined}, appendBytes(nil, nil)...), fill32(1))
	commit := func(adds, digest, welcomeDigest, mac []byte) []byte {
		b := appendUint32(appendUint64([]byte{entryCommit}, 1), 2)
		b = append(b, adds...)
		b = appendBytes(appendBytes(appendBytes(b, nil), digest), nil)
		return entry(pid, appendBytes(appendBytes(b, welcomeDigest), mac)...)
	}
	none, mac := appendUint32(nil, 0), fill32(1)
	return map[string][]byte{
		"nothing":                     {},
		"an unknown type":             {9},
		"more than one message":       {typeTick, typeTick},
		"a short log id":              appendUint64(appendBytes([]byte{typeLogOpened}, []byte{1, 2}), 0),
		"a long log id":               appendUint64(appendBytes([]byte{typeLogOpened}, make([]byte, 17)), 0),
		"an unknown kind":             entry(pid, 5),
		"no kind":                     entry(pid),
		"a body that is not all":      entry(pid, entryCreate),
		"bytes after the entry":       entry(pid, entryLeft, 0),
		"a pid of another form":       entry("AAECAwQFBgcICQoLDA0O_x", entryLeft),
		"a pid with a line break":     entry("AAECAwQFBgcICQoLDA0O\n_w", entryLeft),
		"a padded pid":                entry(pid+"==", entryLeft),
		"no pid":                      entry("", joined...),
		"a short MAC":                 entry(pid, appendBytes(appendBytes([]byte{entryJoined}, nil), []byte{1})...),
		"a short group id":            entry(pid, appendBytes(appendBytes(appendUint32(appendUint64([]byte{entryCreate}, 1), 2), []byte{1}), mac)...),
		"a short added digest":        commit(appendBytes(appendUint32(nil, 1), []byte{1}), mac, nil, mac),
		"fewer digests than counted":  commit(appendBytes(appendUint32(nil, 1<<32-1), mac), mac, nil, mac),
		"no digest of the commit":     commit(none, nil, nil, mac),
		"a short digest of a Welcome": commit(none, mac, []byte{1}, mac),
		"a length past the end":       {typePosted, 0, 0, 0, 1, 255, 255, 255, 255, 'x'},
	}
}

func TestMalformedInputs(t *testing.T) {
	for name, data := range malformed() {
		got, err := parseInput(data)
		if got != nil || !errors.Is(err, ErrMessage) && !errors.Is(err, ErrPID) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

// No message is the beginning of another.
func TestTruncated(t *testing.T) {
	for _, c := range inputs {
		data := formatInput(c.want)
		for n := range data {
			if got, err := parseInput(data[:n]); !errors.Is(err, ErrMessage) && !errors.Is(err, ErrPID) {
				t.Errorf("%d of %d bytes of %s: %+v, %v", n, len(data), c.name, got, err)
			}
		}
	}
	for _, c := range configs {
		data := appendConfig(c.want.link, c.want.pid, c.want.name)
		for n := range data {
			if got, err := parseConfig(data[:n]); !errors.Is(err, ErrMessage) {
				t.Errorf("%d of %d bytes of %s: %+v, %v", n, len(data), c.name, got, err)
			}
		}
	}
}

// What an input keeps cannot grow into what stood beside it in the message.
func TestInputsAreApart(t *testing.T) {
	want := e2ee.Committed{Commit: []byte("cc"), CommitDigest: hash(1), Welcome: []byte("ww"), MAC: hash(2)}
	in, err := parseInput(formatInput(wantEntry(want)))
	if err != nil {
		t.Fatal(err)
	}
	got := in.(e2ee.LogEntry).Entry.Body.(e2ee.Committed)
	_ = append(got.Commit, bytes.Repeat([]byte{0xff}, 100)...)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// Every input is read in one form only, and every other message is refused with a code.
func FuzzParseInput(f *testing.F) {
	for _, data := range malformed() {
		f.Add(data)
	}
	for _, c := range inputs {
		f.Add(formatInput(c.want))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := parseInput(data)
		if err != nil {
			if got != nil || CodeOf(err) == "internal" {
				t.Fatalf("%x: %+v, an error without a code: %v", data, got, err)
			}
			return
		}
		if again := formatInput(got); !bytes.Equal(again, data) && !zeroDigest(got) {
			t.Fatalf("%x: %+v, which is %x", data, got, again)
		}
	})
}

// zeroDigest says whether a Welcome's digest is all zeros: given or not, that is one.
func zeroDigest(in e2ee.Input) bool {
	entry, _ := in.(e2ee.LogEntry)
	c, ok := entry.Entry.Body.(e2ee.Committed)
	return ok && c.WelcomeDigest == e2ee.Hash{}
}
