package impair

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
	"time"
)

var loopback = netip.MustParseAddrPort("127.0.0.1:0")

// echo is a server that sends everything back, and tells who sent it.
func echo(t *testing.T) (netip.AddrPort, <-chan netip.AddrPort) {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(loopback))
	if err != nil {
		t.Fatal(err)
	}
	senders := make(chan netip.AddrPort, 10_000)
	ended := make(chan struct{})
	t.Cleanup(func() { _ = conn.Close(); <-ended })
	go func() {
		defer close(ended)
		buffer := make([]byte, 2000)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buffer)
			if err != nil {
				return
			}
			senders <- from
			_, _ = conn.WriteToUDPAddrPort(buffer[:n], from)
		}
	}()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort(), senders
}

func dialRelay(t *testing.T, up, down Conditions) (*Relay, *net.UDPConn, <-chan netip.AddrPort) {
	server, senders := echo(t)
	r, err := Listen(loopback, server, up, down, 7)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(r.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return r, conn, senders
}

// exchange sends number i and waits for it to come back.
func exchange(t *testing.T, conn *net.UDPConn, i uint32) {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Write(binary.BigEndian.AppendUint32(nil, i)); err != nil {
		t.Fatal(err)
	}
	var buffer [100]byte
	n, err := conn.Read(buffer[:])
	if err != nil || n != 4 || binary.BigEndian.Uint32(buffer[:]) != i {
		t.Fatalf("packet %d came back as %x, %v", i, buffer[:n], err)
	}
}

func TestRelayPassesBothWays(t *testing.T) {
	delay := Conditions{Delay: 3 * time.Millisecond}
	r, conn, _ := dialRelay(t, delay, Conditions{})
	began := time.Now()
	for i := range uint32(50) {
		exchange(t, conn, i)
	}
	if took := time.Since(began); took < 50*delay.Delay {
		t.Errorf("50 times there and back took %s, with %s on the way up", took, delay.Delay)
	}
	up, down := r.Counts()
	if up != (Counts{Sent: 50}) || down != (Counts{Sent: 50}) {
		t.Errorf("up %+v, down %+v", up, down)
	}
}

// TestRelayLosesThenNot changes the conditions of a client that is there already.
func TestRelayLosesThenNot(t *testing.T) {
	r, conn, senders := dialRelay(t, Conditions{Loss: 1}, Conditions{})
	for range 20 {
		if _, err := conn.Write([]byte("lost")); err != nil {
			t.Fatal(err)
		}
	}
	for up, _ := r.Counts(); up.Lost < 20; up, _ = r.Counts() {
		// until the relay has read and lost them all
	}
	r.Set(Conditions{}, Conditions{})
	exchange(t, conn, 1)
	if n := len(senders); n != 1 {
		t.Errorf("the server saw %d packets, want the last one only", n)
	}
}

func TestRelayMoves(t *testing.T) {
	r, conn, senders := dialRelay(t, Conditions{}, Conditions{})
	exchange(t, conn, 1)
	if err := r.Move(); err != nil {
		t.Fatal(err)
	}
	exchange(t, conn, 2)
	if first, second := <-senders, <-senders; first == second {
		t.Errorf("both packets came from %s", first)
	}
}

func TestRelayGivesEachClientAnAddress(t *testing.T) {
	r, one, senders := dialRelay(t, Conditions{}, Conditions{})
	other, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(r.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	exchange(t, one, 1)
	exchange(t, other, 2)
	if first, second := <-senders, <-senders; first == second {
		t.Errorf("both clients came from %s", first)
	}
}
