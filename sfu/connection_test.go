package sfu

import (
	"errors"
	"runtime"
	"testing"
	"time"
)

// TestGoodbyeOfTheParked: of a handshake that is over its state is left, and the
// goodbye is still understood.
func TestGoodbyeOfTheParked(t *testing.T) {
	n := startNode(t, nil)
	n.parkAfter = time.Millisecond
	bob := join(t, n, "r", "bob")
	bob.open(clientAPI(t))
	bob.publish(Mic)
	bob.negotiate()
	await(t, bob.connected, "connected")
	bob.begin(Mic)
	c := bob.transport.connection
	isParked := func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.parked != nil
	}
	for deadline := time.Now().Add(patience); !isParked(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("the handshake is not parked")
		}
	}
	if err := bob.pc.GracefulClose(); err != nil {
		t.Fatal(err)
	}
	if err := await(t, bob.down, "down"); !errors.Is(err, ErrMediaFailed) || !errors.Is(err, errDeparted) {
		t.Error(err)
	}
}
