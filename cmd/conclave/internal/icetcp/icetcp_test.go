package icetcp

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/stun/v4"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/stream"
)

// fakeMedia answers checks and says all else back.
type fakeMedia struct {
	deaf bool
	got  []string
	gone atomic.Int32
}

func (m *fakeMedia) Receive(p *Path, packet []byte) {
	m.got = append(m.got, string(packet))
	switch {
	case m.deaf:
	case stun.IsMessage(packet):
		p.Send(stun.MustBuild(stun.TransactionID, stun.BindingSuccess).Raw)
	default:
		p.Send(packet)
	}
}

func (m *fakeMedia) Gone(*Path) { m.gone.Add(1) }

func frame(packet []byte) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(packet))), packet...)
}

var check = frame(stun.MustBuild(stun.TransactionID, stun.BindingRequest).Raw)

// from is a pipe that comes from an address.
type from struct {
	net.Conn
	addr string
}

func (f from) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(f.addr))
}

// serve gives the client's end of a stream, and says when that is over.
func serve(s *Server, addr string) (net.Conn, chan struct{}) {
	near, far := net.Pipe()
	over := make(chan struct{})
	go func() {
		s.Serve(from{near, addr})
		close(over)
	}()
	return far, over
}

func TestStream(t *testing.T) {
	m := &fakeMedia{}
	s := New(m, DefaultLimits)
	c, over := serve(s, "192.0.2.1:5")
	go c.Write(check)
	answer := make([]byte, 2+20)
	if _, err := io.ReadFull(c, answer); err != nil || !isCheckSuccess(answer[2:]) || answer[1] != 20 {
		t.Fatalf("%x, %v", answer, err)
	}
	for _, size := range []int{1, 2, 1199, maxPacket} {
		sent := frame(bytes.Repeat([]byte{0x80}, size))
		go c.Write(append([]byte{0, 0}, sent...)) // an empty packet before it
		got := make([]byte, len(sent))
		if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	if n := s.Stats().Streams; n != 1 {
		t.Errorf("%d streams", n)
	}
	c.Close()
	<-over
	if m.gone.Load() != 1 || s.Stats() != (Stats{}) || len(s.from) != 0 {
		t.Errorf("%d gone, %+v", m.gone.Load(), s.Stats())
	}
}

// TestStreamsEnd: what says nothing, something else, or nothing more.
func TestStreamsEnd(t *testing.T) {
	for _, tt := range []struct {
		name  string
		deaf  bool // no check is right
		says  []byte
		after time.Duration
	}{
		{"silence", false, nil, checkTimeout},
		{"half a length", false, []byte{0}, checkTimeout},
		{"half a check", false, check[:10], checkTimeout},
		{"a check with a wrong password", true, check, checkTimeout},
		{"no check first", false, frame([]byte("\x80 is RTP")), 0},
		{"a check, then nothing", false, check, idleTimeout},
		{"an endless packet", false, []byte{0xff, 0xff}, 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := New(&fakeMedia{deaf: tt.deaf}, DefaultLimits)
			c, over := serve(s, "192.0.2.1:5")
			begun := time.Now()
			go io.Copy(io.Discard, c)
			go c.Write(tt.says)
			<-over
			if after := time.Since(begun); after != tt.after {
				t.Errorf("%s: ended after %s, want %s", tt.name, after, tt.after)
			}
			c.Close()
		})
	}
}

// TestWrongChecksDoNotHelp: a stream that keeps guessing passwords is closed all the same.
func TestWrongChecksDoNotHelp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(&fakeMedia{deaf: true}, DefaultLimits)
		c, over := serve(s, "192.0.2.1:5")
		begun := time.Now()
		for {
			if _, err := c.Write(check); err != nil {
				break
			}
			time.Sleep(time.Second)
		}
		<-over
		if after := time.Since(begun); after > checkTimeout+time.Second {
			t.Errorf("open for %s", after)
		}
	})
}

func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(&fakeMedia{}, Limits{Streams: 3, PerAddress: 2})
		var open []net.Conn
		for _, tt := range []struct {
			addr string
			want int // streams then
		}{
			{"[2001:db8::1]:1", 1}, {"[2001:db8::2]:1", 2}, {"[2001:db8::3]:1", 2},
			{"192.0.2.1:1", 3}, {"192.0.2.2:1", 3},
		} {
			c, _ := serve(s, tt.addr)
			open = append(open, c)
			synctest.Wait()
			if n := s.Stats().Streams; n != tt.want {
				t.Errorf("%s: %d streams, want %d", tt.addr, n, tt.want)
			}
		}
		if n := s.Stats().Refused; n != 2 {
			t.Errorf("%d refused", n)
		}
		for _, c := range open {
			c.Close()
		}
	})
}

// TestSubscriberThatReadsNothing: the forwarder never waits for it, and drops are counted.
func TestSubscriberThatReadsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(&fakeMedia{}, DefaultLimits)
		c, over := serve(s, "192.0.2.1:5")
		c.Write(check)
		synctest.Wait()
		begun := time.Now()
		var path *Path
		for p := range s.paths {
			path = p
		}
		for range 1000 {
			path.Send(make([]byte, 1200))
		}
		if time.Since(begun) != 0 || s.Stats().Dropped < 800 {
			t.Errorf("waited %s, dropped %d of 1000", time.Since(begun), s.Stats().Dropped)
		}
		c.Close()
		<-over
	})
}

// TestWhatProvesACheck: only the forwarder's word that a check was right keeps a stream: no error, no
// other method, no media, no packet that is cut or longer than it says.
func TestWhatProvesACheck(t *testing.T) {
	build := func(kind stun.MessageType) []byte { return stun.MustBuild(stun.TransactionID, kind).Raw }
	success := build(stun.BindingSuccess)
	for name, tt := range map[string]struct {
		packet []byte
		want   bool
	}{
		"success":               {success, true},
		"an error":              {build(stun.BindingError), false},
		"a request":             {build(stun.BindingRequest), false},
		"an indication":         {build(stun.NewType(stun.MethodBinding, stun.ClassIndication)), false},
		"an allocation":         {build(stun.NewType(stun.MethodAllocate, stun.ClassSuccessResponse)), false},
		"its first bytes alone": {success[:2], false},
		"another cookie":        {append([]byte{1, 1, 0, 0, 1, 2, 3, 4}, success[8:]...), false},
		"media":                 {append([]byte{0x80, 111}, success[2:]...), false},
		"nothing":               {nil, false},
		"more than there is":    {make([]byte, maxPacket+1), false},
	} {
		near, far := net.Pipe()
		p := &Path{out: stream.NewWriter(near)}
		p.Send(tt.packet)
		p.Send([]byte("\x80 is media")) // which changes nothing
		if p.checked.Load() != tt.want {
			t.Errorf("%s: proves a check: %t", name, !tt.want)
		}
		want := frame([]byte("\x80 is media"))
		if len(tt.packet) > 0 && len(tt.packet) <= maxPacket {
			want = append(frame(tt.packet), want...)
		}
		got := make([]byte, len(want))
		if _, err := io.ReadFull(far, got); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: what was sent begins with %.20x, %v", name, got, err)
		}
		p.out.Close()
	}
}

func FuzzServe(f *testing.F) {
	f.Add(append(bytes.Clone(check), frame([]byte("\x80media"))...))
	f.Add(check[:7])
	f.Fuzz(func(t *testing.T, said []byte) {
		m := &fakeMedia{}
		c, over := serve(New(m, DefaultLimits), "192.0.2.1:5")
		go io.Copy(io.Discard, c)
		_, _ = c.Write(said)
		c.Close()
		<-over
		rest := said
		for _, packet := range m.got {
			for len(rest) > 1 && rest[0] == 0 && rest[1] == 0 {
				rest = rest[2:]
			}
			if want := frame([]byte(packet)); !bytes.HasPrefix(rest, want) {
				t.Fatalf("%x is not what was sent: %x", packet, rest)
			} else {
				rest = rest[len(want):]
			}
		}
	})
}
