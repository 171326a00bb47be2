package sfu

import (
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
)

// parked is a participant of whose handshake the state alone is left.
func parked(t *testing.T) (*Node, *client) {
	t.Helper()
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
	return n, bob
}

// TestGoodbyeOfTheParked: a goodbye is still understood.
func TestGoodbyeOfTheParked(t *testing.T) {
	_, bob := parked(t)
	if err := bob.pc.GracefulClose(); err != nil {
		t.Fatal(err)
	}
	if err := await(t, bob.down, "down"); !errors.Is(err, ErrMediaFailed) || !errors.Is(err, errDeparted) {
		t.Error(err)
	}
}

// TestGoodbyeToTheParked: who is closed by the server learns it at once, and not when ICE has
// lost its patience.
func TestGoodbyeToTheParked(t *testing.T) {
	for name, end := range map[string]func(*Node, *client){
		"the participant": func(_ *Node, bob *client) { bob.transport.Close() },
		"the node":        func(n *Node, _ *client) { _ = n.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			n, bob := parked(t)
			told := make(chan struct{})
			bob.pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
				if s == webrtc.PeerConnectionStateClosed {
					close(told)
				}
			})
			end(n, bob)
			await(t, told, "close_notify")
		})
	}
}
