package sfu

import (
	"net"
	"net/netip"
	"testing"

	"github.com/pion/stun/v4"
)

// TestChecksFromManyAddresses: a PeerConnection takes checks from some addresses, and goes on
// with those when there are more; media is let through.
func TestChecksFromManyAddresses(t *testing.T) {
	n := startNode(t, nil)
	conn, err := n.mux.GetConn("ufrag", n.mux.socket)
	if err != nil {
		t.Fatal(err)
	}
	defer n.mux.RemoveConnByUfrag("ufrag")
	check, err := stun.Build(stun.BindingRequest, stun.TransactionID, stun.NewUsername("ufrag:peer"))
	if err != nil {
		t.Fatal(err)
	}
	var sockets []net.Conn
	send := func(i int) {
		if _, err := sockets[i].Write(check.Raw); err != nil {
			t.Fatal(err)
		}
	}
	for range maxPeerAddresses + 4 {
		socket, err := net.Dial("udp", n.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer socket.Close()
		sockets = append(sockets, socket)
	}
	read := func() netip.AddrPort {
		_, from, err := conn.ReadFrom(make([]byte, 1500))
		if err != nil {
			t.Fatal(err)
		}
		return from.(*net.UDPAddr).AddrPort()
	}
	for i := range sockets {
		send(i)
		if i >= maxPeerAddresses {
			send(0) // what comes next shows that the one before was dropped
			i = 0
		}
		if got, want := read(), sockets[i].LocalAddr().(*net.UDPAddr).AddrPort(); got.Port() != want.Port() {
			t.Fatalf("a check from %s, want the one from %s", got, want)
		}
	}
	c := conn.(*checkedConn)
	if from := netip.MustParseAddrPort("192.0.2.1:9"); !c.admits([]byte{0x80, 1, 2}, from) || c.admits(check.Raw, from) {
		t.Error("only checks are dropped")
	}
}
