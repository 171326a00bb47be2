package e2ee

import (
	"bytes"
	"encoding/hex"
	"testing"
)

// TestWireForms holds the bytes of what goes into MLS.
func TestWireForms(t *testing.T) {
	at := place{parent: 2, x: 3, hash: Hash{4}}
	tests := []struct {
		name string
		got  []byte
		want string
	}{
		{"group", groupExtension{"ab", LogID{1}, 2, 3}.encode(), "01" + "026162" + "01000000000000000000000000000000" + "00000002" + "0003"},
		{"join", joinExtension{"ab", LogID{1}, 2, 3}.encode(), "01" + "026162" + "01000000000000000000000000000000" + "00000002" + "0000000000000003"},
		{"aad", commitAAD{1, at, 5}.encode(), "01" + "00000001" + "0000000000000002" + "0000000000000003" +
			"0400000000000000000000000000000000000000000000000000000000000000" + "0005"},
		{"welcome", welcomeExtension{at, Hash{6}}.encode(), "01" + "0000000000000002" + "0000000000000003" +
			"0400000000000000000000000000000000000000000000000000000000000000" +
			"0600000000000000000000000000000000000000000000000000000000000000"},
		{"required capabilities", requiredCapabilities.Data, "04f0c0f0c1" + "00" + "020001"},
	}
	for _, test := range tests {
		if got := hex.EncodeToString(test.got); got != test.want {
			t.Errorf("%s: %s", test.name, got)
		}
	}
}

// TestTruncated: no decoder takes anything shorter or longer than a whole.
func TestTruncated(t *testing.T) {
	for name, c := range decoders() {
		for n := range len(c.whole) {
			if err := c.decode(c.whole[:n]); err == nil {
				t.Errorf("%s cut to %d bytes is taken", name, n)
			}
		}
		if c.decode(c.whole) != nil || c.decode(append(c.whole, 0)) == nil {
			t.Errorf("%s: whole and longer", name)
		}
	}
}

type decoderCase struct {
	whole  []byte
	decode func([]byte) error
	again  func([]byte) []byte // decodes and encodes
}

func decoders() map[string]decoderCase {
	at := place{2, 3, Hash{4}}
	return map[string]decoderCase{
		"join": {
			joinExtension{"room", LogID{1}, 2, 3}.encode(),
			func(b []byte) error { _, err := decodeJoinExtension(b); return err },
			func(b []byte) []byte { e, _ := decodeJoinExtension(b); return e.encode() },
		},
		"aad": {
			commitAAD{1, at, 5}.encode(),
			func(b []byte) error { _, err := decodeCommitAAD(b); return err },
			func(b []byte) []byte { e, _ := decodeCommitAAD(b); return e.encode() },
		},
		"welcome": {
			welcomeExtension{at, Hash{6}}.encode(),
			func(b []byte) error { _, err := decodeWelcomeExtension(b); return err },
			func(b []byte) []byte { e, _ := decodeWelcomeExtension(b); return e.encode() },
		},
	}
}

func FuzzDecoders(f *testing.F) {
	for _, c := range decoders() {
		f.Add(c.whole)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for name, c := range decoders() {
			if c.decode(b) == nil && !bytes.Equal(c.again(b), b) {
				t.Errorf("%s: %x is not what it is encoded as", name, b)
			}
		}
	})
}

func TestVectors(t *testing.T) {
	for n, want := range map[int]string{0: "00", 63: "3f", 64: "4040", 16383: "7fff", 16384: "80004000"} {
		got := appendVector(nil, make([]byte, n))
		if head := hex.EncodeToString(got[:len(got)-n]); head != want {
			t.Errorf("%d: %s", n, head)
		}
	}
}
