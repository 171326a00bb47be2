//go:build tap

package main

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"

	"github.com/conclave-sfu/conclave/sfu"
)

func TestTapRecordsPayloads(t *testing.T) {
	name := filepath.Join(t.TempDir(), "tap")
	payloads := []string{"one", "", string(make([]byte, 3000)), "four"}
	for range 2 { // the second run appends
		tap, err := tapFlags{Tap: name}.open()
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range payloads {
			tap.packet(sfu.Tapped{Payload: []byte(p)})
		}
		tap.close()
	}
	raw, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 * len(payloads) {
		if len(raw) < 4 {
			t.Fatalf("the file ends before payload %d", i)
		}
		n := int(binary.BigEndian.Uint32(raw))
		if n > len(raw)-4 || string(raw[4:4+n]) != payloads[i%len(payloads)] {
			t.Fatalf("payload %d has %d bytes, or others", i, n)
		}
		raw = raw[4+n:]
	}
	if len(raw) != 0 {
		t.Errorf("%d bytes left over", len(raw))
	}
}

func TestTapIsOffByDefault(t *testing.T) {
	tap, err := tapFlags{}.open()
	if err != nil || tap.packet != nil {
		t.Errorf("a tap without --tap: %v", err)
	}
	tap.close()
}
