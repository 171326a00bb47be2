package sfu

import (
	"fmt"
	"net"
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
		r.checks(r.path(name))
	case "nominate":
		r.checks(r.path(name), nominating)
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

// reply has the peer answer what it was asked at an address, if it was there.
func (r *rig) reply(addr netip.AddrPort) {
	r.t.Helper()
	w := r.wayTo(addr)
	if w == nil {
		r.t.Fatalf("no way to %s", addr)
	}
	r.mu.Lock()
	transaction := w.transaction
	r.mu.Unlock()
	r.replyWith(addr, transaction, r.remote.password)
}

// wayTo gives the way to an address that the connection knows; nil for none.
func (r *rig) wayTo(addr netip.AddrPort) *way {
	r.mu.Lock() // the node's loop learns of ways, too
	defer r.mu.Unlock()
	for _, w := range r.known {
		if w.isTo(addr, nil) {
			return w
		}
	}
	return nil
}

// replyWith has an answer come from an address.
func (r *rig) replyWith(from netip.AddrPort, transaction icelite.Transaction, password string) {
	r.t.Helper()
	m, err := stun.Build(stun.NewTransactionIDSetter(transaction), stun.BindingSuccess,
		&stun.XORMappedAddress{IP: net.IPv4(127, 0, 0, 1), Port: 9}, stun.NewShortTermIntegrity(password), stun.Fingerprint)
	if err != nil {
		r.t.Fatal(err)
	}
	r.node().takeSTUN(r.egress, m.Raw, from, nil)
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
		if r.way.Load() == nil {
			r.takeCheckFrom(peer, ours)
			r.reply(netip.MustParseAddrPort(peer))
		}
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

// addresses are those of a peer, by their names.
var addresses = map[string]netip.AddrPort{
	"home": netip.MustParseAddrPort("127.0.0.1:9"), "away": netip.MustParseAddrPort("127.0.0.1:10"), "third": netip.MustParseAddrPort("127.0.0.1:11"),
}

// doAt is [roads.do] for UDP addresses: there a peer answers too, or somebody else does, or who is
// elsewhere; and checks end.
func (r *rig) doAt(what, name string) {
	at := addresses[name]
	switch what {
	case "check":
		r.takeCheckFrom(at.String(), "127.0.0.1")
	case "nominate":
		r.takeCheckFrom(at.String(), "127.0.0.1", nominating)
	case "packet":
		r.follow(r.wayTo(at))
	case "answer":
		r.reply(at)
	case "guess":
		r.replyWith(at, icelite.Transaction{1}, r.remote.password)
	case "forge":
		r.replyWith(at, r.wayTo(at).transaction, "somebody-else's-password")
	case "answer-elsewhere":
		for _, other := range addresses {
			if other != at {
				r.replyWith(other, r.wayTo(at).transaction, r.remote.password)
			}
		}
	case "heard":
		r.proved.Store(true)
	case "silent":
		r.wayTo(at).checkedAt.Add(-int64(consentTimeout) - 1)
		r.leaveSilent(r.node().now())
	case "restart":
		if err := r.restart(remote{ufrag: r.remote.ufrag + "x", password: r.remote.password + "x"}); err != nil {
			r.t.Fatal(err)
		}
	case "greet":
		r.greetedBy = r.way.Load()
	case "keys":
		r.use(r.cipher)
	default:
		r.t.Fatalf("what is %q?", what)
	}
}

// TestNobodyElseIsSentMedia: a peer may write the address of somebody else on its checks and
// packets. Media goes where an answer has come from, and while the peer asks for it there.
func TestNobodyElseIsSentMedia(t *testing.T) {
	for _, test := range []struct {
		name, steps string
		keys        bool // from the beginning
	}{
		{"a nomination counts when it is answered", "nominate home=-, answer home=home, nominate away=home, answer away=away", true},
		{"a check alone does not, nor its answer", "nominate home=-, answer home=home, heard=home, check away=home, answer away=home", true},
		{"a packet counts when an answer has come", "nominate home=-, answer home=home, heard=home, check away=home, packet away=home, answer away=away", true},
		{"or came before", "nominate home=-, answer home=home, heard=home, check away=home, answer away=home, packet away=away", true},
		{"the first nomination after a restart too", "nominate home=-, answer home=home, restart=home, nominate away=home, packet away=home, answer away=away", true},
		{"answers that are none", "nominate home=-, answer home=home, nominate away=home, guess away=home, forge away=home, packet away=home", true},
		{"an answer from elsewhere", "nominate home=-, answer home=home, check third=home, nominate away=home, answer-elsewhere away=home, packet third=home", true},
		{"the latest change counts", "nominate home=-, answer home=home, nominate away=home, nominate third=home, answer away=home, answer third=third", true},
		{"an answer that comes late changes nothing", "nominate home=-, answer home=home, check third=home, answer third=home, nominate away=home, nominate third=third, answer away=third", true},
		{"who comes back is known", "nominate home=-, answer home=home, nominate away=home, answer away=away, nominate home=home", true},
		{"not where it is checked no longer", "nominate home=-, answer home=home, heard=home, check away=home, answer away=home, silent home=away", true},
		{"nor elsewhere unproven", "nominate home=-, answer home=home, heard=home, check away=home, silent home=-, answer away=away", true},
		{"nor anywhere if there is nothing else", "nominate home=-, answer home=home, silent home=-, check home=-, nominate home=home", true},
		{"a handshake proves its way", "check home=home, greet=home, nominate home=home, keys=home, nominate away=home", false},
		{"not one that came meanwhile", "nominate home=home, greet=home, nominate away=away, keys=-, answer away=away", false},
		{"nor the first after another", "nominate home=home, greet=home, nominate away=away, nominate home=home, keys=-, answer home=home", false},
		{"an answer before the keys counts", "nominate home=home, greet=home, nominate away=away, answer away=away, keys=away", false},
	} {
		n := startNode(t, nil)
		r := newRig(t, n, "alice", nil, rigSection("audio", "a", "recvonly"))
		if !test.keys {
			r.keys.Store(nil)
		}
		media := func() string {
			for name, addr := range addresses {
				if w := r.way.Load(); w != nil && w.addr == addr {
					return name
				}
			}
			return "-"
		}
		for i, step := range strings.Split(test.steps, ", ") {
			action, want, _ := strings.Cut(step, "=")
			what, name, _ := strings.Cut(action, " ")
			if r.doAt(what, name); media() != want {
				t.Errorf("%s: after step %d, %s, media goes to %s, want %s", test.name, i, action, media(), want)
			}
		}
	}
}

// TestQuestionsEnd: where the peer has answered a check is answered and nothing is asked.
func TestQuestionsEnd(t *testing.T) {
	n := startNode(t, nil)
	r := newRig(t, n, "alice", nil, rigSection("audio", "a", "recvonly"))
	sent := func(check func()) int {
		before := r.egress.batch.Len()
		check()
		return r.egress.batch.Len() - before
	}
	home := addresses["home"]
	check := func() { r.takeCheckFrom(home.String(), "127.0.0.1") }
	if first, second := sent(check), sent(check); first != 2 || second != 2 {
		t.Errorf("%d and %d packets for a check, before an answer", first, second)
	}
	r.reply(home)
	if got := sent(check); got != 1 {
		t.Errorf("%d packets for a check after an answer", got)
	}
	if got := sent(func() { r.takeCheckFrom(home.String(), "127.0.0.2") }); got != 1 {
		t.Errorf("%d packets for a check of another address of ours", got)
	}
	path := &fakePath{sent: [][]byte{}}
	for range 2 {
		r.checks(path)
	}
	if len(path.sent) != 2 || len(path.asked) != 1 {
		t.Errorf("%d answers and %d questions for two checks by a path", len(path.sent), len(path.asked))
	}
}
