package ws

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"net"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/conclave-sfu/conclave/room/signal"
)

// recorder is a network connection that keeps what is written.
type recorder struct {
	net.Conn
	writes [][]byte
	err    error
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	r.writes = append(r.writes, bytes.Clone(b))
	return len(b), nil
}

// TestCork: what is written while it is in goes out as one write, in order.
func TestCork(t *testing.T) {
	r := &recorder{}
	k := &cork{conn: r}
	write := func(sizes ...int) (all int) {
		for _, n := range sizes {
			if got, err := k.Write(bytes.Repeat([]byte{byte(n)}, n)); got != n || err != nil {
				t.Fatalf("%d of %d: %v", got, n, err)
			}
			all += n
		}
		return all
	}
	check := func(what string, want ...int) {
		t.Helper()
		var got []int
		for _, w := range r.writes {
			got = append(got, len(w))
		}
		if len(got) != len(want) {
			t.Fatalf("%s: writes of %v bytes, want %v", what, got, want)
		}
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("%s: writes of %v bytes, want %v", what, got, want)
			}
		}
		r.writes = nil
	}
	pull := func() {
		t.Helper()
		if err := k.pull(); err != nil {
			t.Fatal(err)
		}
	}
	write(5, 6)
	check("out", 5, 6)
	k.put()
	n := write(5, 6, 7)
	check("in")
	pull()
	check("pulled", n)
	pull()
	check("pulled again")
	k.put()
	write(100, corkSize-50, 70)
	check("more than it holds", 100, corkSize-50)
	write(corkSize)
	check("a large one", 70, corkSize)
	pull()
	check("nothing is left")
	write(3)
	check("out again", 3)
}

// TestCorkOrder: whatever is written, with the cork in or out, is what arrives.
func TestCorkOrder(t *testing.T) {
	const seed = 7
	random := rand.New(rand.NewPCG(seed, seed))
	r := &recorder{}
	k := &cork{conn: r}
	var want []byte
	for range 5000 {
		switch random.IntN(4) {
		case 0:
			k.put()
		case 1:
			if err := k.pull(); err != nil {
				t.Fatal(err)
			}
		default:
			b := make([]byte, random.IntN(10)*random.IntN(5000))
			for i := range b {
				b[i] = byte(random.Uint32())
			}
			want = append(want, b...)
			if n, err := k.Write(b); n != len(b) || err != nil {
				t.Fatalf("%d of %d: %v", n, len(b), err)
			}
		}
	}
	if err := k.pull(); err != nil {
		t.Fatal(err)
	}
	if got := bytes.Join(r.writes, nil); !bytes.Equal(got, want) {
		t.Fatalf("seed %d: %d bytes arrived, %d were written, or others", seed, len(got), len(want))
	}
}

// TestCorkFails: who pulls it learns that what was held back is lost.
func TestCorkFails(t *testing.T) {
	r := &recorder{err: errors.New("gone")}
	k := &cork{conn: r}
	k.put()
	if _, err := k.Write([]byte("a")); err != nil {
		t.Fatal(err)
	}
	if err := k.pull(); !errors.Is(err, r.err) {
		t.Errorf("pulled: %v", err)
	}
	k.put()
	if _, err := k.Write([]byte("a")); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Write(make([]byte, corkSize)); !errors.Is(err, r.err) {
		t.Errorf("overflows: %v", err)
	}
}

// counted counts the writes of the connections that a listener accepts.
type counted struct {
	net.Listener
	writes atomic.Int64
}

func (c *counted) Accept() (net.Conn, error) {
	conn, err := c.Listener.Accept()
	return &countedConn{conn, c}, err
}

type countedConn struct {
	net.Conn
	of *counted
}

func (c *countedConn) Write(b []byte) (int, error) {
	c.of.writes.Add(1)
	return c.Conn.Write(b)
}

// TestNewcomer: who comes to a room of many is told of each, and not by a write for each.
func TestNewcomer(t *testing.T) {
	const many = 60
	s := serve(t, func(h *Handler) { h.timing.ending = time.Millisecond }) // nobody reads its end
	for i := range byte(many) {
		s.enter(i, nil)
	}
	other := httptest.NewUnstartedServer(s.handler)
	l := &counted{Listener: other.Listener}
	other.Listener = l
	other.Start()
	defer other.Close()
	defer s.stop()
	all := s.http
	s.http = other // where the next one dials
	c := s.enter(many, nil)
	s.http = all
	if len(c.ready.Here) != many {
		t.Fatalf("%d are here", len(c.ready.Here))
	}
	for range many {
		next[signal.Participant](c)
	}
	if n := l.writes.Load(); n > 5 { // the upgrade, the ready, and the rest
		t.Errorf("%d writes", n)
	}
}
