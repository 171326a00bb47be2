package sfu

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/pion/stun/v4"

	"github.com/conclave-sfu/conclave/sfu/icelite"
)

// roads are the ways of a rig by their names, for tests in which each step says what the
// peer does, and by which way media goes then.
type roads struct {
	*rig
	paths map[string]*fakePath
}

func newRoads(t *testing.T) *roads {
	n := startNode(t, nil)
	return &roads{newRig(t, n, "alice", nil, rigSection("audio", "a", "recvonly")), map[string]*fakePath{}}
}

func (r *roads) path(name string) *fakePath {
	if r.paths[name] == nil {
		r.paths[name] = &fakePath{sent: [][]byte{}}
	}
	return r.paths[name]
}

// wayOf gives a way that is known; nil for none.
func (r *roads) wayOf(name string) *way { return r.node().ways.find(netip.AddrPort{}, r.path(name)) }

// do has the peer check or nominate a way, or send a packet by it; it ends; its latest check
// becomes old; the peer proves to have the keys; the session restarts.
func (r *roads) do(what, name string) {
	switch what {
	case "check":
		r.node().Receive(r.path(name), r.checkFrom(r.t))
	case "nominate":
		r.node().Receive(r.path(name), r.checkFrom(r.t, stun.RawAttribute{Type: stun.AttrUseCandidate}))
	case "packet":
		r.follow(r.wayOf(name))
	case "gone":
		r.node().Gone(r.path(name))
	case "old":
		r.wayOf(name).checkedAt.Add(-int64(heldFor) - 1)
	case "heard":
		r.proved.Store(true)
	case "restart":
		if err := r.connection.restart(remote{ufrag: r.remote.ufrag + "x", password: r.remote.password}); err != nil {
			r.t.Fatal(err)
		}
	default:
		r.t.Fatalf("what is %q?", what)
	}
}

// media is the name of the way by which media goes; "-" for none.
func (r *roads) media() string {
	w := r.way.Load()
	for name, p := range r.paths {
		if w != nil && w.path == p {
			return name
		}
	}
	return "-"
}

// TestWays: by which way media goes, whatever the peer checks, nominates and sends by.
func TestWays(t *testing.T) {
	for _, test := range []struct{ name, steps string }{
		{"the first one, until one is nominated", "check a=a, check b=a, packet b=b, nominate c=c, check d=c"},
		{"the one that was nominated last, before anything is heard", "nominate a=a, nominate b=b, check a=b, nominate a=a"},
		{"of one that is heard, where a packet comes from", "nominate a=a, heard=a, nominate b=a, check b=a, packet b=b, nominate a=b"},
		{"a packet that was overtaken by a change leads nowhere", "nominate a=a, heard=a, nominate b=a, packet b=b, packet a=b, check a=b, packet a=a"},
		{"one whose present way is checked no more is believed", "nominate a=a, heard=a, nominate b=a, old a=a, nominate b=b"},
		{"the first nomination after a restart counts, no other", "nominate a=a, heard=a, restart=a, check b=a, nominate b=b, nominate a=b"},
		{"a check of the way in use does not end the restart", "nominate a=a, heard=a, restart=a, check a=a, check b=a, nominate c=c"},
		{"where the way that was nominated has ended, a check alone makes no way", "nominate a=a, check b=a, gone a=-, check b=-, check c=-, packet b=b, check c=b"},
		{"nor does it keep a way from being nominated", "nominate a=a, heard=a, gone a=-, check b=-, nominate b=b"},
		{"the end of another one changes nothing", "nominate a=a, check b=a, gone b=a, packet b=a"},
		{"a way that has ended leads nowhere until it is checked", "nominate a=a, check b=a, gone b=a, packet b=a, check b=a, packet b=b"},
		{"a packet by no way known leads nowhere", "nominate a=a, packet z=a"},
		{"ways of the network before a restart are forgotten, but that in use", "nominate a=a, check b=a, heard=a, restart=a, packet b=a"},
	} {
		r := newRoads(t)
		for i, step := range strings.Split(test.steps, ", ") {
			action, want, _ := strings.Cut(step, "=")
			what, name, _ := strings.Cut(action, " ")
			if r.do(what, name); r.media() != want {
				t.Errorf("%s: after step %d, %s, media goes by %s, want %s", test.name, i, action, r.media(), want)
			}
			for _, w := range r.known {
				if r.node().ways.find(w.addr, w.path) != w {
					t.Errorf("%s: after step %d, %s, a way is known that leads to nobody", test.name, i, action)
				}
			}
			if n := len(r.node().ways.byPath); n != len(r.known) {
				t.Errorf("%s: after step %d, %s, the node has %d ways, the connection %d", test.name, i, action, n, len(r.known))
			}
		}
	}
}

// TestOldestWayIsForgotten: that which was checked longest ago, but not the one in use.
func TestOldestWayIsForgotten(t *testing.T) {
	r := newRoads(t)
	name := func(i int) string { return fmt.Sprint(i) }
	for i := range maxPeerAddresses {
		r.do("check", name(i))
	}
	r.do("check", name(1))
	for i := range 3 {
		r.do("check", name(maxPeerAddresses+i))
	}
	var forgotten []string
	for i := range maxPeerAddresses + 3 {
		if r.wayOf(name(i)) == nil {
			forgotten = append(forgotten, name(i))
		}
	}
	if want := []string{"2", "3", "4"}; !slices.Equal(forgotten, want) || r.media() != "0" {
		t.Errorf("ways %q are forgotten, want %q; media goes by %s", forgotten, want, r.media())
	}
}

// takeCheckFrom has the connection take a check that came from an address, to one of ours.
func (r *rig) takeCheckFrom(from, to string, more ...stun.Setter) (answered bool) {
	r.t.Helper()
	check, ok := icelite.Parse(r.checkFrom(r.t, more...))
	if !ok {
		r.t.Fatal("no check")
	}
	r.egress.local = netip.MustParseAddr(to)
	before := r.egress.batch.Len()
	r.takeCheck(r.egress, &check, netip.MustParseAddrPort(from), nil)
	return r.egress.batch.Len() > before
}

var nominating = stun.RawAttribute{Type: stun.AttrUseCandidate}

// TestOneAddressOfThePeer: between addresses of ours a nomination decides at once, also for a
// peer that is heard; and after a restart the way in use is found again.
func TestOneAddressOfThePeer(t *testing.T) {
	n := startNode(t, nil)
	r := newRig(t, n, "alice", nil, rigSection("audio", "a", "recvonly"))
	const peer = "127.0.0.1:9"
	r.proved.Store(true)
	for _, ours := range []string{"127.0.0.2", "127.0.0.3", "127.0.0.2"} {
		if r.takeCheckFrom(peer, ours, nominating); r.way.Load().local.String() != ours {
			t.Errorf("media goes from %s, want %s", r.way.Load().local, ours)
		}
	}
	r.takeCheckFrom(peer, "127.0.0.3")
	if err := r.restart(remote{ufrag: "other", password: r.remote.password}); err != nil {
		t.Fatal(err)
	}
	if got := n.ways.find(netip.MustParseAddrPort(peer), nil); got == nil || got != r.way.Load() || got.local.String() != "127.0.0.2" {
		t.Errorf("packets are taken from %v, and sent by %v", got, r.way.Load())
	}
}

// TestNextConnection: a participant that begins anew has its address at once.
func TestNextConnection(t *testing.T) {
	n := startNode(t, nil)
	r := newRig(t, n, "alice", nil, rigSection("audio", "a", "recvonly"))
	const peer = "127.0.0.1:9"
	before := r.connection
	r.takeCheckFrom(peer, "127.0.0.1", nominating)
	if _, err := r.transport.Answer(t.Context(), Offer{2, testSDP(rigSection("audio", "a", "recvonly")), nil}); err != nil {
		t.Fatal(err)
	}
	if r.connection = r.transport.connection; r.connection == before {
		t.Fatal("there is no other connection")
	}
	if !r.takeCheckFrom(peer, "127.0.0.1", nominating) || n.ways.find(netip.MustParseAddrPort(peer), nil).conn != r.connection {
		t.Error("the address is still that of the connection before")
	}
}

// TestChecksThatAreNotAnswered: of a connection that is closed, and from where nothing can be
// sent. Neither leaves anything.
func TestChecksThatAreNotAnswered(t *testing.T) {
	n := startNode(t, nil)
	r := newRig(t, n, "alice", nil, rigSection("audio", "a", "recvonly"))
	if !n.sockets[0].CanReach(netip.MustParseAddrPort("[2001:db8::1]:9")) && r.takeCheckFrom("[2001:db8::1]:9", "127.0.0.1") {
		t.Error("a check from an address that cannot be reached is answered")
	}
	r.checkedAt.Store(0)
	if !r.takeCheckFrom("127.0.0.1:9", "127.0.0.1") || r.checkedAt.Load() == 0 {
		t.Error("a check is not answered, or does not say that the peer is there")
	}
	r.close()
	if r.takeCheckFrom("127.0.0.1:9", "127.0.0.1", nominating) {
		t.Error("a closed connection answers")
	}
	if len(n.ways.byAddr)+len(n.ways.byPath)+len(n.ways.byUfrag) != 0 {
		t.Error("the node knows ways of a closed connection")
	}
}

// TestDirectory: a way is taken out by whom it belongs to, alone.
func TestDirectory(t *testing.T) {
	d := newDirectory()
	addr, path := netip.MustParseAddrPort("192.0.2.1:1"), &fakePath{sent: [][]byte{}}
	for _, pair := range [][2]*way{{{addr: addr}, {addr: addr}}, {{path: path}, {path: path}}} {
		before, now := pair[0], pair[1]
		d.put(before)
		d.put(now)
		if d.remove(before); d.find(now.addr, now.path) != now {
			t.Error("a way is gone with that of another connection")
		}
		if d.remove(now); d.find(now.addr, now.path) != nil {
			t.Error("a way stays that was taken out")
		}
	}
	c := &connection{}
	d.name("ufrag", c)
	if d.named([]byte("ufrag")) != c {
		t.Error("a connection is not found by its name")
	}
	if d.unname("ufrag"); d.named([]byte("ufrag")) != nil {
		t.Error("it is found by a name that it had")
	}
}
