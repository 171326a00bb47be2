package sfu

import (
	"bytes"
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/dtls/v3"
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
	for deadline := time.Now().Add(patience); c.parkedState() == nil; runtime.Gosched() {
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

// parkedState is what is kept of a handshake.
func (c *connection) parkedState() *dtls.State {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.parked
}

// TestParkedIfProved: a handshake is kept whole until its peer has sent something protected: who has
// not may lack the last flight. Of a connection that ends nothing is parked.
func TestParkedIfProved(t *testing.T) {
	n, bob := parked(t)
	c := bob.transport.connection
	state := c.parkedState()
	for _, tt := range []struct {
		name                  string
		proved, closing, want bool
	}{{"not proved", false, false, false}, {"proved, but closing", true, true, false}, {"proved", true, false, true}} {
		records := newRecordConn(c)
		conn := n.resume(t.Context(), state, records)
		if conn == nil {
			t.Fatal("the state is of no use")
		}
		again := &connection{transport: c.transport, records: records, closing: tt.closing, parking: time.NewTimer(time.Hour)}
		again.proved.Store(tt.proved)
		again.park(conn, records)
		isParked := again.parked != nil && again.records == nil
		isWhole := again.parked == nil && again.records == records
		if isParked != tt.want || isWhole == tt.want || records.muted.Load() != tt.want {
			t.Errorf("%s: parked %t, whole %t, muted %t", tt.name, isParked, isWhole, records.muted.Load())
		}
		select {
		case <-records.closed:
			if !tt.want {
				t.Errorf("%s: the handshake's goroutines have ended", tt.name)
			}
		default:
			if tt.want {
				t.Errorf("%s: the handshake's goroutines go on", tt.name)
			}
		}
		again.parking.Stop()
		_ = conn.Close()
	}
}

// TestOneAlertAtATime: whoever sends alerts without end has one goroutine work for it, and the next
// alert is heard when that is done.
func TestOneAlertAtATime(t *testing.T) {
	_, bob := parked(t)
	c := bob.transport.connection
	state := c.parkedState()
	alert := record(alertRecord, 1, make([]byte, 26)...) // which does not open
	synctest.Test(t, func(t *testing.T) {
		life, stop := context.WithCancel(context.Background())
		defer stop()
		again := &connection{transport: c.transport, parked: state, life: life}
		opening := func() int {
			synctest.Wait()
			stacks := make([]byte, 1<<20)
			return strings.Count(string(stacks[:runtime.Stack(stacks, true)]), "(*Node).departs(")
		}
		for range 3 {
			again.takeAlert(record(recordHandshake, 1, 1))
			if got := opening(); got != 0 {
				t.Errorf("%d goroutines for what is no alert", got)
			}
			for range 5 {
				again.takeAlert(bytes.Clone(alert))
			}
			if got := opening(); got != 1 {
				t.Errorf("%d goroutines open alerts, want 1", got)
			}
			time.Sleep(alertPatience)
			if got := opening(); got != 0 {
				t.Errorf("%d goroutines still wait", got)
			}
		}
	})
}
