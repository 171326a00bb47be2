package sfu

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestDown: when the participant closes the PeerConnection, that is reported, what
// it published ends, and a new one may be offered.
func TestDown(t *testing.T) {
	n := startNode(t, nil)
	alice, bob := join(t, n, "r", "alice"), join(t, n, "r", "bob")
	alice.connect(1, 1)
	bob.connect(0, 0, Mic)
	bob.begin(Mic)
	alice.awaitSlots(mic("bob"))
	if err := bob.pc.GracefulClose(); err != nil {
		t.Fatal(err)
	}
	if err := await(t, bob.down, "down"); !errors.Is(err, ErrMediaFailed) {
		t.Error(err)
	}
	if got := await(t, bob.published, "published"); len(got) != 0 {
		t.Errorf("still published: %v", got)
	}
	alice.awaitSlots()
	bob.connect(0, 0, Mic)
	bob.begin(Mic)
	alice.awaitSlots(mic("bob"))
}

// TestLastTwoLeave: the last two of a room leave at once, and another comes in between.
// The room ends once, and what they leave is the newcomer's room.
func TestLastTwoLeave(t *testing.T) {
	n := startNode(t, nil)
	enter := func(name string) *Transport {
		transport, err := n.Join("r", name, Events{})
		if err != nil {
			t.Fatal(err)
		}
		return transport
	}
	alice, bob := enter("alice"), enter("bob")
	r := alice.room
	if !r.leave(alice) || !r.leave(bob) {
		t.Fatal("left before")
	}
	n.left(r, "alice")
	carol := enter("carol")
	n.left(r, "bob")
	if n.rooms["r"] != carol.room || carol.room == r {
		t.Error("who comes is not in the room of that id")
	}
	alice.Close()
	bob.Close()
	carol.Close()
	if s := n.Stats(); s.Rooms != 0 || s.Transports != 0 {
		t.Errorf("left over: %+v", s)
	}
}

// TestOffersTakeTurns: an offer waits while the node answers as many as it may, whosever
// they are, and is given up with its context.
func TestOffersTakeTurns(t *testing.T) {
	n := startNode(t, nil)
	ghost := join(t, n, "r", "ghost")
	offer := Offer{1, testSDP(testSection("video", "0", "recvonly")), nil}
	for range cap(n.negotiating) {
		n.negotiating <- struct{}{}
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := ghost.transport.Answer(ended, offer); !errors.Is(err, context.Canceled) {
		t.Errorf("an offer beyond those that are answered: %v", err)
	}
	<-n.negotiating
	if _, err := ghost.transport.Answer(context.Background(), offer); err != nil {
		t.Error(err)
	}
	if len(n.negotiating) != cap(n.negotiating)-1 {
		t.Error("an answered offer holds its turn")
	}
}

// TestHalfOpen: an offer that nobody follows up does not stay.
func TestHalfOpen(t *testing.T) {
	n := startNode(t, nil)
	n.patience = time.Millisecond
	ghost := join(t, n, "r", "ghost")
	if _, err := ghost.transport.Answer(context.Background(), Offer{1, testSDP(testSection("video", "0", "recvonly")), nil}); err != nil {
		t.Fatal(err)
	}
	if err := await(t, ghost.down, "down"); !errors.Is(err, ErrMediaFailed) {
		t.Error(err)
	}
	if s := n.Stats(); s.Slots != 0 || s.Transports != 1 {
		t.Errorf("%+v", s)
	}
	if _, err := ghost.transport.Answer(context.Background(), Offer{1, testSDP(testSection("video", "0", "recvonly")), nil}); !errors.Is(err, ErrStaleConnection) {
		t.Errorf("an offer for the connection that is down: %v", err)
	}
}

// TestCandidates: answers name the configured addresses, or those of the interfaces,
// all with the one port.
func TestCandidates(t *testing.T) {
	for _, test := range []struct {
		name   string
		listen string
		ips    []string
		want   []string
	}{
		{"the socket's", "127.0.0.1:0", nil, []string{"127.0.0.1"}},
		{"an outer address", "127.0.0.1:0", []string{"192.0.2.7"}, []string{"192.0.2.7"}},
		{"several", "0.0.0.0:0", []string{"127.0.0.1", "192.0.2.7"}, []string{"127.0.0.1", "192.0.2.7"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := startNode(t, func(c *Config) {
				c.Listen = netip.MustParseAddrPort(test.listen)
				for _, ip := range test.ips {
					c.NodeIPs = append(c.NodeIPs, netip.MustParseAddr(ip))
				}
			})
			c := join(t, n, "r", "alice")
			answer, err := c.transport.Answer(context.Background(), Offer{1, testSDP(testSection("video", "0", "recvonly")), nil})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, line := range strings.Split(answer, "\r\n") {
				fields := strings.Fields(line)
				if !strings.HasPrefix(line, "a=candidate:") || fields[1] != "1" {
					continue
				}
				if fields[5] != fmt.Sprint(n.Addr().Port()) {
					t.Errorf("another port: %s", line)
				}
				got = append(got, fields[4])
			}
			slices.Sort(got)
			if !slices.Equal(got, test.want) {
				t.Errorf("candidates %v, want %v", got, test.want)
			}
		})
	}
}

// TestEveryInterface: a node on the unspecified address is reached by loopback.
func TestEveryInterface(t *testing.T) {
	for _, listen := range []string{"0.0.0.0:0", "[::]:0"} {
		n := startNode(t, func(c *Config) { c.Listen = netip.MustParseAddrPort(listen) })
		alice, bob := join(t, n, "r", "alice"), join(t, n, "r", "bob")
		alice.connect(1, 0)
		bob.connect(0, 0, Mic)
		bob.begin(Mic)
		mid := alice.awaitSlots(mic("bob"))[mic("bob")]
		awaitFrame(t, alice, mid, bob.sends[Mic].sound(t, 0))
	}
}

// TestBothFamiliesAreNamed: a socket of IPv6 is named by the machine's addresses of both
// families, one of IPv4 by those of its own; link-local ones are of no use to others.
func TestBothFamiliesAreNamed(t *testing.T) {
	var machine []net.Addr
	for _, cidr := range []string{"192.0.2.7/24", "2001:db8::7/64", "fe80::7/64", "169.254.1.2/16", "fd00::7/8", "127.0.0.1/8"} {
		ip, network, err := net.ParseCIDR(cidr)
		if err != nil {
			t.Fatal(err)
		}
		machine = append(machine, &net.IPNet{IP: ip, Mask: network.Mask})
	}
	for own, want := range map[netip.Addr]string{
		netip.IPv6Unspecified(): "[192.0.2.7 2001:db8::7 fd00::7 127.0.0.1]",
		netip.IPv4Unspecified(): "[192.0.2.7 127.0.0.1]",
	} {
		if got := fmt.Sprint(reachable(own, machine)); got != want {
			t.Errorf("a socket on %s is named by %s, want %s", own, got, want)
		}
	}
}

func TestListenErrors(t *testing.T) {
	n := startNode(t, nil)
	if _, err := New(Config{Listen: n.Addr()}); err == nil {
		t.Error("two nodes on one port")
	}
	for _, ip := range []netip.Addr{{}, netip.IPv4Unspecified()} {
		if _, err := New(Config{Listen: netip.MustParseAddrPort("127.0.0.1:0"), NodeIPs: []netip.Addr{ip}}); err == nil {
			t.Errorf("a node with the address %s", ip)
		}
	}
}

// TestGarbage: what comes to the port from nobody is ignored.
func TestGarbage(t *testing.T) {
	n := startNode(t, nil)
	conn, err := net.Dial("udp", n.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := rand.New(rand.NewPCG(5, 6))
	for i := range 2000 {
		b := make([]byte, r.IntN(1500))
		for j := range b {
			b[j] = byte(r.Uint32())
		}
		if len(b) > 20 && i%2 == 0 { // like STUN, like RTP
			copy(b, []byte{0, 1, 0, byte(len(b) - 20), 0x21, 0x12, 0xa4, 0x42})
		}
		if _, err := conn.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	alice := join(t, n, "r", "alice")
	alice.connect(1, 1)
}

// TestBadOffers: a refused offer leaves the transport usable.
func TestBadOffers(t *testing.T) {
	n := startNode(t, nil)
	alice := join(t, n, "r", "alice")
	for name, text := range map[string]string{
		"no SDP":         "v=0",
		"no credentials": strings.ReplaceAll(testSDP(testSection("audio", "0", "recvonly")), "ice-", "x-"),
		"no fingerprint": strings.ReplaceAll(testSDP(testSection("audio", "0", "recvonly")), "fingerprint", "x"),
		"no codec":       strings.ReplaceAll(testSDP(testSection("video", "0", "recvonly")), "VP8", "VP7"),
	} {
		alice.number++
		_, err := alice.transport.Answer(context.Background(), Offer{alice.number, text, nil})
		if name != "no codec" && !errors.Is(err, ErrBadOffer) {
			t.Errorf("%s: %v", name, err)
		}
	}
	alice.connect(1, 1)
	offer := alice.offer()
	offer.Sources = map[string]Source{"0": Camera}
	offer.SDP = strings.Replace(offer.SDP, "a=recvonly", "a=sendonly", 1)
	if _, err := alice.transport.Answer(context.Background(), offer); !errors.Is(err, ErrBadOffer) {
		t.Errorf("a slot that becomes an uplink: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	offer.Connection++
	if _, err := alice.transport.Answer(ctx, offer); err == nil {
		t.Error("an answer under a context that is done")
	}
}

func TestJoinErrors(t *testing.T) {
	n := startNode(t, nil)
	alice := join(t, n, "r", "alice")
	if _, err := n.Join("r", "alice", Events{}); !errors.Is(err, ErrAlreadyJoined) {
		t.Errorf("a second alice: %v", err)
	}
	alice.transport.Close()
	alice.transport.Close()
	alice.transport.View(nil)
	alice.transport.Mute(Mic, true)
	if _, err := alice.transport.Answer(context.Background(), Offer{1, testSDP(testSection("audio", "0", "recvonly")), nil}); !errors.Is(err, ErrClosed) {
		t.Errorf("an offer after Close: %v", err)
	}
	if _, err := n.Join("r", "alice", Events{}); err != nil {
		t.Errorf("alice again: %v", err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Join("r", "bob", Events{}); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close of the node: %v", err)
	}
}

// TestCloseLeavesNothing: neither a goroutine of a meeting nor of a connection that
// never came about.
func TestCloseLeavesNothing(t *testing.T) {
	before := runtime.NumGoroutine()
	n, err := New(Config{Listen: netip.MustParseAddrPort("127.0.0.1:0")})
	if err != nil {
		t.Fatal(err)
	}
	alice, bob, ghost := join(t, n, "r", "alice"), join(t, n, "r", "bob"), join(t, n, "r", "ghost")
	for _, c := range []*client{alice, bob} {
		c.connect(2, 2, Mic, Camera)
		c.begin(Mic)
		c.begin(Camera)
	}
	alice.awaitSlots(mic("bob"))
	if _, err := ghost.transport.Answer(context.Background(), Offer{1, testSDP(testSection("video", "0", "recvonly")), nil}); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*client{alice, bob} {
		if err := c.pc.GracefulClose(); err != nil {
			t.Error(err)
		}
	}
	for deadline := time.Now().Add(patience); runtime.NumGoroutine() > before; runtime.Gosched() {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, %d before:\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
	}
}
