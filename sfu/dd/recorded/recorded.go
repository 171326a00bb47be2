// Package recorded has Dependency Descriptors that encoders of Chromium 156 wrote, for
// tests.
package recorded

import (
	"embed"
	"encoding/hex"
	"strings"
	"testing"
)

//go:embed *.hex
var files embed.FS

// Descriptors are those of a stream, in the order of sending, each once: the codec and the
// scalability mode, as in "vp9_L3T3_KEY".
func Descriptors(t testing.TB, name string) [][]byte {
	t.Helper()
	text, err := files.ReadFile(name + ".hex")
	if err != nil {
		t.Fatal(err)
	}
	var list [][]byte
	for word := range strings.FieldsSeq(string(text)) {
		extension, err := hex.DecodeString(word)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, extension)
	}
	return list
}
