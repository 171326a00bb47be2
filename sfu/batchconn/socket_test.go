package batchconn

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"
)

const patience = time.Minute // ends a test that waits for what never comes

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

// openSockets opens n on an address.
func openSockets(t testing.TB, address string, n int) []*Socket {
	t.Helper()
	sockets, err := Listen(netip.MustParseAddrPort(address), n)
	if err != nil {
		t.Skipf("no %s here: %v", address, err)
	}
	t.Cleanup(func() {
		for _, s := range sockets {
			s.Close()
			if err := s.Release(); err != nil {
				t.Error(err)
			}
		}
	})
	return sockets
}

func read(t testing.TB, socket *net.UDPConn) []byte {
	t.Helper()
	packet, _ := readFrom(t, socket)
	return packet
}

func readFrom(t testing.TB, socket *net.UDPConn) ([]byte, netip.AddrPort) {
	t.Helper()
	if err := socket.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	var b [2048]byte
	n, from, err := socket.ReadFromUDPAddrPort(b[:])
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clone(b[:n]), netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
}

func portOf(socket *net.UDPConn, host string) netip.AddrPort {
	port := socket.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	return netip.AddrPortFrom(netip.MustParseAddr(host), port)
}

// TestSending: what is reserved arrives whole and in order, over both families.
func TestSending(t *testing.T) {
	for _, tt := range []struct{ name, local, host string }{
		{"IPv4", "127.0.0.1:0", "127.0.0.1"},
		{"IPv4 on a socket for both", "[::]:0", "127.0.0.1"},
		{"IPv6", "[::1]:0", "::1"},
	} {
		t.Run(tt.name, func(t *testing.T) { testSending(t, openSockets(t, tt.local, 1)[0], tt.host) })
	}
}

func testSending(t *testing.T, s *Socket, host string) {
	sizes := []int{1000, 1000, 1000, 900, 1000, 1200, 100, 100, 100}
	network := "udp4"
	if host == "::1" {
		network = "udp6"
	}
	var receivers []*net.UDPConn
	var targets []*Target
	for range 3 {
		r := listen(t, network, net.JoinHostPort(host, "0"))
		receivers, targets = append(receivers, r), append(targets, s.Target(portOf(r, host)))
	}
	b := NewBatch(s, 512)
	for i, size := range sizes {
		for _, to := range targets {
			b.add(media(size, i), to)
		}
	}
	b.Flush()
	for _, r := range receivers {
		for i, size := range sizes {
			if got := read(t, r); !slices.Equal(got, media(size, i)) {
				t.Fatalf("packet %d of %d bytes, want packet %d of %d", binary.BigEndian.Uint32(got[len(got)-4:]), len(got), i, size)
			}
		}
	}
	if got := s.Stats(); got.Packets != uint64(len(sizes)*len(receivers)) || got.Failed != 0 || b.Len() != 0 {
		t.Errorf("stats %+v", got)
	}
}

// TestReceiving: packets come as they were sent, from where they were sent, by one of
// the sockets that share the port; and a packet too large is told.
func TestReceiving(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "[::]:0"} {
		s := openSockets(t, address, 1)[0]
		sender := listen(t, "udp4", "127.0.0.1:0")
		to := net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), s.LocalAddr().Port()))
		in := NewInbox(4)
		for i := range in.Len() {
			in.Set(i, make([]byte, 16))
		}
		for _, text := range []string{"hello", "world", "more than sixteen bytes"} {
			if _, err := sender.WriteTo([]byte(text), to); err != nil {
				t.Fatal(err)
			}
		}
		var got []string
		for len(got) < 3 {
			n, err := s.Receive(in)
			if err != nil {
				t.Fatal(err)
			}
			for i := range n {
				size, whole := in.Size(i)
				if whole != (size == 5) || in.From(i) != portOf(sender, "127.0.0.1") {
					t.Errorf("%d bytes, whole %t, from %s", size, whole, in.From(i))
				}
				got = append(got, "")
			}
		}
	}
}

// TestAnswersFromWhereAsked: what is sent to one of several addresses of a socket is
// answered from there, packets alone or as one message.
func TestAnswersFromWhereAsked(t *testing.T) {
	for _, tt := range []struct{ name, local, client, asked string }{
		{"IPv4", "0.0.0.0:0", "127.0.0.1", "127.0.0.2"},
		{"IPv4 on a socket for both", "[::]:0", "127.0.0.1", "127.0.0.2"},
		{"the address that is chosen anyway", "0.0.0.0:0", "127.0.0.1", "127.0.0.1"},
		{"IPv6", "[::]:0", "::1", "::1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, network := openSockets(t, tt.local, 1)[0], "udp4"
			if tt.client == "::1" {
				network = "udp6"
			}
			client := listen(t, network, net.JoinHostPort(tt.client, "0"))
			asked := netip.AddrPortFrom(netip.MustParseAddr(tt.asked), s.LocalAddr().Port())
			in := NewInbox(2)
			in.Set(0, make([]byte, 16))
			in.Set(1, make([]byte, 16))
			for range 2 { // the second time, too, the place of the address is filled
				if _, err := client.WriteTo([]byte("?"), net.UDPAddrFromAddrPort(asked)); err != nil {
					t.Skipf("no %s here: %v", asked, err)
				}
				if n, err := s.Receive(in); n != 1 || err != nil || in.From(0) != portOf(client, tt.client) {
					t.Fatalf("%d packets, %v, from %s", n, err, in.From(0))
				}
			}
			if runtime.GOOS != "linux" {
				return
			}
			if in.To(0) != asked.Addr() {
				t.Fatalf("sent to %s, want %s", in.To(0), asked.Addr())
			}
			b, to := NewBatch(s, 512), s.TargetFrom(in.From(0), in.To(0))
			for i := range 4 {
				b.add(media(100-i/3, i), to)
			}
			b.Flush()
			b.add(media(100, 4), to)
			b.Flush()
			to.whole.Store(true)
			b.add(media(100, 5), to)
			b.Flush()
			sizes := []int{100, 100, 100, 99, 100, 100}
			for i := range sizes {
				if packet, from := readFrom(t, client); from != asked || !slices.Equal(packet, media(sizes[i], i)) {
					t.Errorf("packet %d of %d bytes from %s, want %s", i, len(packet), from, asked)
				}
			}
			if got := s.Stats(); got.Failed != 0 || got.Messages != 3 {
				t.Errorf("%+v", got)
			}
		})
	}
}

// TestSharedPort: several sockets take one port, which nobody else gets, and each packet
// comes to one of them.
func TestSharedPort(t *testing.T) {
	sockets := openSockets(t, "127.0.0.1:0", 3)
	if _, err := Listen(sockets[0].LocalAddr(), 1); err == nil {
		t.Fatal("a port is taken twice")
	}
	const packets = 40
	total := 0
	for range packets {
		sender := listen(t, "udp4", "127.0.0.1:0")
		if _, err := sender.WriteTo([]byte("x"), net.UDPAddrFromAddrPort(sockets[0].LocalAddr())); err != nil {
			t.Fatal(err)
		}
	}
	in := NewInbox(packets)
	for i := range in.Len() {
		in.Set(i, make([]byte, 16))
	}
	for deadline := time.Now().Add(patience); total < packets; {
		for _, s := range sockets {
			s.SetPatience(time.Millisecond)
			n, err := s.Receive(in)
			if err != nil || time.Now().After(deadline) {
				t.Fatalf("%d of %d packets, %v", total, packets, err)
			}
			total += n
		}
	}
}

// TestPatienceAndClose: waiting ends by itself, and when the socket is closed.
func TestPatienceAndClose(t *testing.T) {
	sockets, err := Listen(netip.MustParseAddrPort("127.0.0.1:0"), 1)
	if err != nil {
		t.Fatal(err)
	}
	s, in := sockets[0], NewInbox(1)
	in.Set(0, make([]byte, 16))
	s.SetPatience(time.Millisecond)
	if n, err := s.Receive(in); n != 0 || err != nil {
		t.Errorf("%d packets, %v", n, err)
	}
	s.SetPatience(0)
	ended := make(chan error)
	go func() {
		_, err := s.Receive(in)
		ended <- err
	}()
	s.Close()
	if err := <-ended; !errors.Is(err, ErrClosed) {
		t.Errorf("%v, want %v", err, ErrClosed)
	}
	if _, err := s.Receive(in); !errors.Is(err, ErrClosed) {
		t.Errorf("%v, want %v", err, ErrClosed)
	}
	if err := s.Release(); err != nil {
		t.Error(err)
	}
}

func TestNoAllocations(t *testing.T) {
	s := openSockets(t, "127.0.0.1:0", 1)[0]
	b, in := NewBatch(s, 512), NewInbox(64)
	for i := range in.Len() {
		in.Set(i, make([]byte, 1500))
	}
	raw, to := media(1000, 0), s.Target(s.LocalAddr())
	if n := testing.AllocsPerRun(200, func() {
		for range 20 {
			b.add(raw, to)
		}
		b.Flush()
		if n, err := s.Receive(in); err != nil || n == 0 {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkFanOut is a frame of six packets to fifty receivers, per packet sent; from an
// address that the system chooses, or is told.
func BenchmarkFanOut(b *testing.B) {
	for _, local := range []string{"", "127.0.0.1"} {
		b.Run("from="+local, func(b *testing.B) { benchmarkFanOut(b, local) })
	}
}

func benchmarkFanOut(b *testing.B, local string) {
	s := openSockets(b, "0.0.0.0:0", 1)[0]
	from, _ := netip.ParseAddr(local) // the zero one of none
	batch := NewBatch(s, 512)
	var to []*Target
	for range 50 {
		to = append(to, s.TargetFrom(portOf(listen(b, "udp4", "127.0.0.1:0"), "127.0.0.1"), from))
	}
	raw := media(1042, 0)
	b.ResetTimer()
	for i := 0; i < b.N; i += 6 * len(to) {
		for range 6 {
			for _, r := range to {
				batch.add(raw, r)
			}
		}
		batch.Flush()
	}
}
