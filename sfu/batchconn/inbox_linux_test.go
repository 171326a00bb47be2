package batchconn

import (
	"net/netip"
	"testing"
	"time"
)

// TestPutOff: a deadline stays, whatever comes, until its socket is told to begin anew.
func TestPutOff(t *testing.T) {
	sockets, err := Listen(netip.MustParseAddrPort("127.0.0.1:0"), 2)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		for _, s := range sockets {
			s.Close()
			if err := s.Release(); err != nil {
				t.Error(err)
			}
		}
	}()
	s, in := sockets[0], NewInbox(1)
	in.Set(0, make([]byte, 16))
	s.SetPatience(time.Hour)
	for _, step := range []struct {
		name     string
		do       func()
		deadline bool // is to be set
	}{
		{"at first", func() {}, true}, {"after a packet", func() {}, false}, {"put off", s.PutOff, true},
		{"of another length", func() { s.SetPatience(time.Minute) }, true}, {"of none", func() { s.SetPatience(0) }, true},
	} {
		step.do()
		if s.waiting == time.Duration(s.patience.Load()) == step.deadline {
			t.Errorf("%s: a deadline is to be set: %t, want %t", step.name, !step.deadline, step.deadline)
		}
		s.setDeadline()
		if s.waiting != time.Duration(s.patience.Load()) {
			t.Errorf("%s: waits for %s", step.name, s.waiting)
		}
	}
}
