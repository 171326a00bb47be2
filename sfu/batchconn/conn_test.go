package batchconn

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"
)

const patience = 20 * time.Second // ends a test that waits for what never comes

func listen(t testing.TB, network, address string) *net.UDPConn {
	t.Helper()
	addr := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(address))
	socket, err := net.ListenUDP(network, addr)
	if err != nil {
		t.Skipf("no %s here: %v", network, err)
	}
	if err := socket.SetReadBuffer(4 << 20); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	return socket
}

func open(t testing.TB, network, address string) *Conn {
	t.Helper()
	c, err := New(listen(t, network, address))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func read(t testing.TB, socket *net.UDPConn) []byte {
	t.Helper()
	if err := socket.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	var b [2048]byte
	n, _, err := socket.ReadFromUDPAddrPort(b[:])
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clone(b[:n])
}

func portOf(socket *net.UDPConn, host string) netip.AddrPort {
	port := socket.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	return netip.AddrPortFrom(netip.MustParseAddr(host), port)
}

// TestSockets: what is written arrives whole and in order, over both families, by the
// system's way and packet by packet.
func TestSockets(t *testing.T) {
	for _, tt := range []struct{ name, network, local, host string }{
		{"IPv4", "udp4", "127.0.0.1:0", "127.0.0.1"},
		{"IPv4 on a socket for both", "udp", "[::]:0", "127.0.0.1"},
		{"IPv6", "udp6", "[::1]:0", "::1"},
	} {
		for _, plain := range []bool{false, true} {
			name := tt.name
			if plain {
				name += ", one by one"
			}
			t.Run(name, func(t *testing.T) {
				c := open(t, tt.network, tt.local)
				if plain {
					c.transport = oneByOne{c.UDPConn}
				}
				testSockets(t, c, tt.host)
			})
		}
	}
}

func testSockets(t *testing.T, c *Conn, host string) {
	sizes := []int{1000, 1000, 1000, 900, 1000, 1200, 100, 100, 100}
	network := "udp4"
	if host == "::1" {
		network = "udp6"
	}
	var receivers []*net.UDPConn
	for range 3 {
		receivers = append(receivers, listen(t, network, net.JoinHostPort(host, "0")))
	}
	for i, size := range sizes {
		for _, r := range receivers {
			if n, err := c.WriteToAddrPort(media(size, i), portOf(r, host)); err != nil || n != size {
				t.Fatalf("write: %d, %v", n, err)
			}
		}
	}
	c.Flush()
	for _, r := range receivers {
		for i, size := range sizes {
			if got := read(t, r); !slices.Equal(got, media(size, i)) {
				t.Fatalf("packet %d of %d bytes, want packet %d of %d", binary.BigEndian.Uint32(got[len(got)-4:]), len(got), i, size)
			}
		}
	}
	want := Stats{Packets: uint64(len(sizes) * len(receivers))}
	if got := c.Stats(); got.Packets != want.Packets || got.Failed != 0 {
		t.Errorf("stats %+v", got)
	}
}

// TestOthersGoAtOnce: STUN, DTLS and RTCP need no Flush.
func TestOthersGoAtOnce(t *testing.T) {
	c, r := open(t, "udp4", "127.0.0.1:0"), listen(t, "udp4", "127.0.0.1:0")
	stun := []byte{0, 1, 0, 0}
	if _, err := c.WriteTo(stun, r.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	if got := read(t, r); !slices.Equal(got, stun) {
		t.Errorf("got %x", got)
	}
	if c.Stats().Packets != 0 {
		t.Error("it went through the batch")
	}
}

func TestReading(t *testing.T) {
	c, other := open(t, "udp4", "127.0.0.1:0"), listen(t, "udp4", "127.0.0.1:0")
	if _, err := other.WriteTo([]byte("hello"), c.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	var b [16]byte
	n, from, err := c.ReadFromAddrPort(b[:])
	if err != nil || string(b[:n]) != "hello" || from != portOf(other, "127.0.0.1") {
		t.Errorf("%q from %v, %v", b[:n], from, err)
	}
}

// TestClose: a closed connection takes writes, blocks nobody, and says so where it can.
func TestClose(t *testing.T) {
	c := open(t, "udp4", "127.0.0.1:0")
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	const packets = 3 * maxPackets
	for i := range packets {
		if _, err := c.WriteToAddrPort(media(100, i), receiver(i%7)); err != nil {
			t.Fatal(err)
		}
	}
	c.Flush()
	if got := c.Stats().Failed; got != packets {
		t.Errorf("%d failed, want %d", got, packets)
	}
	if _, err := c.WriteToAddrPort([]byte{0, 1}, receiver(1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("error %v, want %v", err, net.ErrClosed)
	}
	if err := c.Close(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("second close: %v", err)
	}
}

// gate is a transport that keeps what it is given, and may wait.
type gate struct {
	entered, leave chan struct{} // nil: no waiting
	mu             sync.Mutex
	got            map[netip.AddrPort][]uint32
	batches        int
}

func (g *gate) segments() bool { return true }

func (g *gate) send(b *batch, _ *counters) {
	if g.entered != nil {
		g.entered <- struct{}{}
		<-g.leave
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.batches++
	for i := range b.messages {
		m := &b.messages[i]
		for at := m.first; at != none; at = b.packets[at].next {
			p := b.packets[at]
			g.got[m.to] = append(g.got[m.to], binary.BigEndian.Uint32(b.bytes[p.at+p.size-4:]))
		}
	}
}

func gated(t *testing.T, g *gate) *Conn {
	t.Helper()
	g.got = map[netip.AddrPort][]uint32{}
	c := newConn(listen(t, "udp4", "127.0.0.1:0"), g)
	t.Cleanup(func() { c.Close() })
	return c
}

// TestFlushLeavesItToWhoSends: a flush while another one sends does not wait, and loses
// nothing; and who sends does not do so for ever.
func TestFlushLeavesItToWhoSends(t *testing.T) {
	g := &gate{entered: make(chan struct{}), leave: make(chan struct{})}
	c := gated(t, g)
	write := func(i int) {
		if _, err := c.WriteToAddrPort(media(100, i), receiver(1)); err != nil {
			t.Error(err)
		}
		c.Flush()
	}
	first := make(chan struct{})
	go func() { write(0); close(first) }()
	const rounds = 3 * maxRounds
	for i := 1; i <= rounds; i++ {
		<-g.entered
		write(i) // returns although the transport waits
		g.leave <- struct{}{}
		if i == maxRounds {
			<-first // the relay sends on
		}
	}
	<-g.entered
	g.leave <- struct{}{}
	// Whoever sends is done when state is idle again: one more flush goes through then.
	g.entered = nil
	for c.state.Load() != idle {
		c.Flush()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if got := len(g.got[receiver(1)]); got != rounds+1 || !slices.IsSorted(g.got[receiver(1)]) {
		t.Errorf("%d packets, want %d in order", got, rounds+1)
	}
}

// TestManyWriters: each writer's packets come in order, none is lost, and full batches
// are waited for.
func TestManyWriters(t *testing.T) {
	g := &gate{}
	c := gated(t, g)
	const writers, packets = 8, 3000
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for i := range packets {
				if _, err := c.WriteToAddrPort(media(200, i), receiver(w)); err != nil {
					t.Error(err)
				}
				if i%(50+w) == 0 {
					c.Flush()
				}
			}
			c.Flush()
		})
	}
	writing.Wait()
	c.Close() // the relay has ended
	for c.state.Load() != idle {
		c.Flush()
	}
	for w := range writers {
		got := g.got[receiver(w)]
		if len(got) != packets || !slices.IsSorted(got) {
			t.Errorf("writer %d: %d packets, want %d in order", w, len(got), packets)
		}
	}
}

func TestNoAllocations(t *testing.T) {
	c := open(t, "udp4", "127.0.0.1:0")
	raw := media(1000, 0)
	to := c.LocalAddr().(*net.UDPAddr).AddrPort()
	if n := testing.AllocsPerRun(200, func() {
		for range 20 {
			if _, err := c.WriteToAddrPort(raw, to); err != nil {
				t.Fatal(err)
			}
		}
		c.Flush()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkFanOut is a frame of six packets to fifty receivers, per packet sent.
func BenchmarkFanOut(b *testing.B) {
	for _, plain := range []bool{false, true} {
		name := "batched"
		if plain {
			name = "one by one"
		}
		b.Run(name, func(b *testing.B) {
			c := open(b, "udp4", "127.0.0.1:0")
			if plain {
				c.transport = oneByOne{c.UDPConn}
			}
			var to []netip.AddrPort
			for range 50 {
				to = append(to, portOf(listen(b, "udp4", "127.0.0.1:0"), "127.0.0.1"))
			}
			raw := media(1042, 0)
			b.ResetTimer()
			for i := 0; i < b.N; i += 6 * len(to) {
				for range 6 {
					for _, r := range to {
						if _, err := c.WriteToAddrPort(raw, r); err != nil {
							b.Fatal(err)
						}
					}
				}
				c.Flush()
			}
		})
	}
}
