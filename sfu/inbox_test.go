package sfu

import (
	"errors"
	"io"
	"testing"

	"github.com/pion/transport/v4/packetio"
)

// TestInbox: what was written goes out when nothing more is there to be read, and not
// before.
func TestInbox(t *testing.T) {
	flushes := 0
	i := newInbox(packetio.RTPBufferPacket, func() { flushes++ })
	for _, p := range []string{"one", "two"} {
		if _, err := i.Write([]byte(p)); err != nil {
			t.Fatal(err)
		}
	}
	var b [16]byte
	for _, want := range []string{"one", "two"} {
		if n, err := i.Read(b[:]); err != nil || string(b[:n]) != want || flushes != 0 {
			t.Fatalf("read %q, %v after %d flushes, want %q after none", b[:n], err, flushes, want)
		}
	}
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := i.Read(b[:]); !errors.Is(err, io.EOF) || flushes != 1 {
		t.Errorf("%v after %d flushes, want %v after one", err, flushes, io.EOF)
	}
}

func TestInboxIsBounded(t *testing.T) {
	i := newInbox(packetio.RTPBufferPacket, func() {})
	packet, kept := make([]byte, 1000), 0
	for range 2 * inboxSize / len(packet) {
		if _, err := i.Write(packet); err == nil {
			kept += len(packet)
		} else if !errors.Is(err, packetio.ErrFull) {
			t.Fatal(err)
		}
	}
	if kept == 0 || kept > inboxSize {
		t.Errorf("%d bytes kept, at most %d", kept, inboxSize)
	}
}
