package sfu

import (
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"github.com/conclave-sfu/conclave/sfu/icelite"
	"github.com/conclave-sfu/conclave/sfu/impair"
	"github.com/conclave-sfu/conclave/sfu/srtp"
)

// talk has from speak every 20 ms until to hears it, and gives what was heard first, and
// how long it took.
func talk(t *testing.T, from, to *client, mid string) (heard *rtp.Packet, took time.Duration) {
	t.Helper()
	got := to.packets(mid)
	for len(got) > 0 {
		<-got
	}
	start := time.Now()
	every := time.NewTicker(20 * time.Millisecond)
	defer every.Stop()
	for end := time.After(patience); ; {
		from.sends[Mic].sound(t, 80)
		select {
		case heard = <-got:
			return heard, time.Since(start)
		case <-end:
			t.Fatalf("%s does not hear %s", to.name, from.name)
		case <-every.C:
		}
	}
}

// converse makes two who hear each other, and gives the slots in which they do. The
// candidate of alice's answer leads through a relay.
func converse(t *testing.T, n *Node) (alice, bob *client, hers, his string, relay *impair.Relay) {
	t.Helper()
	relay, err := impair.Listen(netip.MustParseAddrPort("127.0.0.1:0"), n.Addr(), impair.Conditions{}, impair.Conditions{}, 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = relay.Close() })
	alice, bob = join(t, n, "r", "alice"), join(t, n, "r", "bob")
	alice.via = relay
	alice.connect(1, 0, Mic)
	bob.connect(1, 0, Mic)
	alice.begin(Mic)
	bob.begin(Mic)
	hers, his = alice.awaitSlots(mic("bob"))[mic("bob")], bob.awaitSlots(mic("alice"))[mic("alice")]
	talk(t, bob, alice, hers)
	talk(t, alice, bob, his)
	return alice, bob, hers, his, relay
}

// through has the candidates of an answer name a relay.
func through(answer string, relay *impair.Relay, n *Node) string {
	port := func(a netip.AddrPort) string { return " " + strconv.Itoa(int(a.Port())) + " typ" }
	return strings.ReplaceAll(answer, port(n.Addr()), port(relay.Addr()))
}

// restartICE offers with new credentials on the same connection, and gives the answer's
// user name fragment.
func (c *client) restartICE() string {
	c.t.Helper()
	offer, err := c.pc.CreateOffer(&webrtc.OfferOptions{ICERestart: true})
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.pc.SetLocalDescription(offer); err != nil {
		c.t.Fatal(err)
	}
	answer := c.take(Offer{c.number, offer.SDP, c.sources})
	var d sdp.SessionDescription
	if err := d.UnmarshalString(answer); err != nil {
		c.t.Fatal(err)
	}
	ufrag, _ := d.MediaDescriptions[0].Attribute("ice-ufrag")
	return ufrag
}

// sessionOf gives what of a connection a restart changes, and what it must not.
func sessionOf(c *connection) (icelite.Credentials, *way, *srtp.Cipher, *srtp.Cipher) {
	c.intake.Lock()
	defer c.intake.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.agent.Local(), c.way.Load(), c.keys.Load(), c.in
}

// TestICERestart: an offer with new credentials for the same connection, from another
// address. Media flows both ways, under the same keys and on in their nonces; the former
// credentials are forgotten, and so are the ways of sessions before.
func TestICERestart(t *testing.T) {
	n := startNode(t, nil)
	alice, bob, hers, his, relay := converse(t, n)
	c := alice.transport.connection
	last, _ := talk(t, bob, alice, hers)
	for range maxPeerAddresses { // more ways than a connection may have at a time
		before, way, out, in := sessionOf(c)
		if err := relay.Move(); err != nil {
			t.Fatal(err)
		}
		if ufrag := alice.restartICE(); ufrag == before.Ufrag || ufrag == "" {
			t.Fatalf("ufrag %q after %q", ufrag, before.Ufrag)
		}
		heard, took := talk(t, bob, alice, hers)
		talk(t, alice, bob, his)
		t.Logf("heard after %s", took.Round(time.Millisecond))
		if _, _, keys, opener := sessionOf(c); keys != out || opener != in {
			t.Fatal("other keys")
		}
		if heard.SSRC != last.SSRC || int16(heard.SequenceNumber-last.SequenceNumber) <= 0 {
			t.Errorf("packet %d of %x follows %d of %x", heard.SequenceNumber, heard.SSRC, last.SequenceNumber, last.SSRC)
		}
		if n.ways.named([]byte(before.Ufrag)) != nil || c.way.Load() == way {
			t.Error("the former session stays")
		}
		last = heard
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.known) > maxPeerAddresses/2 {
		t.Errorf("%d ways are known", len(c.known))
	}
	select {
	case err := <-alice.down:
		t.Error(err)
	default:
	}
}

// TestRebinding: a NAT gives the peer another address, of which it knows nothing. Its
// next check comes from there; Pion's does not nominate, and comes each 2 s.
func TestRebinding(t *testing.T) {
	n := startNode(t, nil)
	alice, bob, hers, his, relay := converse(t, n)
	c := alice.transport.connection
	for range 2 {
		way := c.way.Load()
		if err := relay.Move(); err != nil {
			t.Fatal(err)
		}
		_, down := talk(t, bob, alice, hers)
		_, up := talk(t, alice, bob, his)
		t.Logf("heard after %s, is heard %s later", down.Round(time.Millisecond), up.Round(time.Millisecond))
		if c.way.Load() == way {
			t.Error("the way is the former one")
		}
	}
}

// TestFollow: an authentic packet leads to the way that was checked last, none back.
func TestFollow(t *testing.T) {
	n := startNode(t, nil)
	c := newConnection(&Transport{room: &room{node: n}}, 1)
	defer c.home.remove(c)
	old, next := &way{conn: c, addr: netip.MustParseAddrPort("192.0.2.1:1")}, &way{conn: c, addr: netip.MustParseAddrPort("192.0.2.2:2")}
	stranger := &way{conn: c, addr: netip.MustParseAddrPort("192.0.2.3:3")}
	stranger.checkedAt.Store(1 << 62)
	c.learn(old, true, false)
	c.learn(next, false, false)
	old.checkedAt.Store(1)
	next.checkedAt.Store(2)
	for _, step := range []struct{ came, want *way }{{nil, old}, {stranger, old}, {old, old}, {next, next}, {old, next}} {
		if c.follow(step.came); c.way.Load() != step.want {
			t.Errorf("media goes to %s, want %s", c.way.Load().addr, step.want.addr)
		}
	}
}
