package turn

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/stun/v4"
)

func TestAllocate(t *testing.T) {
	for _, tt := range []struct {
		name    string
		what    []stun.Setter
		code    stun.ErrorCode
		relayed netip.Addr
		life    uint32
	}{
		{"as browsers do", []stun.Setter{udp}, 0, public.Addr(), 600},
		{"IPv4", []stun.Setter{udp, family(1)}, 0, public.Addr(), 600},
		{"IPv6", []stun.Setter{udp, family(2)}, 0, six.Addr(), 600},
		{"IPX", []stun.Setter{udp, family(3)}, stun.CodeAddrFamilyNotSupported, netip.Addr{}, 0},
		{"for half an hour", []stun.Setter{udp, seconds(30 * time.Minute)}, 0, public.Addr(), 1800},
		{"for ever", []stun.Setter{udp, seconds(1000 * time.Hour)}, 0, public.Addr(), 600},
		{"for no time", []stun.Setter{udp, seconds(0)}, stun.CodeInsufficientCapacity, netip.Addr{}, 0},
		{"of nothing", nil, stun.CodeBadRequest, netip.Addr{}, 0},
		{"TCP (RFC 6062)", []stun.Setter{attribute{stun.AttrRequestedTransport, []byte{6, 0, 0, 0}}}, stun.CodeInsufficientCapacity, netip.Addr{}, 0},
		{"SCTP", []stun.Setter{attribute{stun.AttrRequestedTransport, []byte{132, 0, 0, 0}}}, stun.CodeUnsupportedTransProto, netip.Addr{}, 0},
		{"an even port", []stun.Setter{udp, attribute{stun.AttrEvenPort, []byte{0x80}}}, stun.CodeInsufficientCapacity, netip.Addr{}, 0},
		{"a reservation", []stun.Setter{udp, attribute{stun.AttrReservationToken, make([]byte, 8)}}, stun.CodeInsufficientCapacity, netip.Addr{}, 0},
		{"who knows what", []stun.Setter{udp, attribute{0x7777, nil}}, stun.CodeUnknownAttribute, netip.Addr{}, 0},
	} {
		inWorld(t, allPeers, func(w *world) {
			u := w.user("198.51.100.9:4000", "alice")
			m, code := u.ask(stun.MethodAllocate, tt.what...)
			if n := w.server.Stats().Allocations; code != int(tt.code) || (n == 1) != (tt.code == 0) {
				t.Errorf("%s: %d, want %d; %d allocations", tt.name, code, tt.code, n)
			}
			if code != success {
				return
			}
			relayed, mapped := addressIn(m, stun.AttrXORRelayedAddress), addressIn(m, stun.AttrXORMappedAddress)
			life := binary.BigEndian.Uint32(must(m.Get(stun.AttrLifetime)))
			if relayed.Addr() != tt.relayed || relayed.Port() == 0 || mapped != u.addr || life != tt.life {
				t.Errorf("%s: relayed %s, mapped %s, for %d s", tt.name, relayed, mapped, life)
			}
		})
	}
}

// TestFamilyThatIsThere: who does not ask gets IPv4, and IPv6 from a server that has nothing else,
// whatever they come by.
func TestFamilyThatIsThere(t *testing.T) {
	for _, from := range []string{"198.51.100.9:4000", "[2001:db8::9]:4000"} {
		for _, peers := range [][]netip.AddrPort{{six}, {public}, allPeers} {
			inWorld(t, peers, func(w *world) {
				u := w.user(from, "alice")
				m, code := u.ask(stun.MethodAllocate, udp)
				if code != success || addressIn(m, stun.AttrXORRelayedAddress).Addr() != peers[0].Addr() {
					t.Errorf("from %s, of %v: %d", from, peers, code)
				}
			})
		}
	}
	inWorld(t, []netip.AddrPort{six}, func(w *world) {
		if _, code := w.user("[2001:db8::9]:4001", "bob").ask(stun.MethodAllocate, udp, family(1)); code != int(stun.CodeInsufficientCapacity) {
			t.Errorf("IPv4: %d", code)
		}
	})
}

// TestAuthentication walks through what can be wrong with a credential.
func TestAuthentication(t *testing.T) {
	inWorld(t, allPeers, func(w *world) {
		u := w.user("198.51.100.9:4000", "alice")
		m := u.raw(stun.MethodAllocate, udp)
		if codeOf(m) != int(stun.CodeUnauthorized) || !m.Contains(stun.AttrNonce) || !m.Contains(stun.AttrRealm) {
			t.Fatalf("without a credential: %s", m)
		}
		if size := len(m.Raw); size > 3*28 {
			t.Errorf("a challenge of %d bytes to a request of 28: others can be flooded by it", size)
		}
		u.nonce = string(must(m.Get(stun.AttrNonce)))
		good := u.sign()
		other := w.server.cfg.Credentials.For("bob", time.Now())
		late := Credential{Username: fmt.Sprint(time.Now().Unix(), ":alice")}
		late.Password = w.server.cfg.Credentials.password(late.Username)
		odd := Credential{Username: "alice"}
		odd.Password = w.server.cfg.Credentials.password(odd.Username)
		theirs := NewCredentials().For("alice", time.Now())
		signed := func(c Credential, nonce string) []stun.Setter {
			return (&user{credential: c, nonce: nonce}).sign()
		}
		for _, tt := range []struct {
			name string
			with []stun.Setter
			code stun.ErrorCode
		}{
			{"no username", []stun.Setter{good[1], good[2], good[3]}, stun.CodeBadRequest},
			{"no realm", []stun.Setter{good[0], good[2], good[3]}, stun.CodeBadRequest},
			{"no nonce", []stun.Setter{good[0], good[1], good[3]}, stun.CodeBadRequest},
			{"another password", []stun.Setter{good[0], good[1], good[2], stun.NewLongTermIntegrity(u.credential.Username, Realm, "x")}, stun.CodeBadRequest},
			{"another's password", []stun.Setter{good[0], good[1], good[2], stun.NewLongTermIntegrity(u.credential.Username, Realm, other.Password)}, stun.CodeBadRequest},
			{"another realm", []stun.Setter{good[0], stun.NewRealm("x"), good[2], stun.NewLongTermIntegrity(u.credential.Username, "x", u.credential.Password)}, stun.CodeBadRequest},
			{"of another process", signed(theirs, u.nonce), stun.CodeBadRequest},
			{"expired", signed(late, u.nonce), stun.CodeBadRequest},
			{"without an expiry", signed(odd, u.nonce), stun.CodeBadRequest},
			{"a nonce of nobody's", signed(u.credential, "x"), stun.CodeStaleNonce},
			{"right", good, 0},
		} {
			if got := codeOf(u.raw(stun.MethodAllocate, append([]stun.Setter{udp}, tt.with...)...)); got != int(tt.code) {
				t.Errorf("%s: %d, want %d", tt.name, got, tt.code)
			}
		}
		if n := w.server.Stats().Allocations; n != 1 {
			t.Errorf("%d allocations", n)
		}
	})
}

// TestNonceAges: an hour later it is stale, and a new one comes with the answer.
func TestNonceAges(t *testing.T) {
	inWorld(t, allPeers, func(w *world) {
		u := w.allocated("198.51.100.9:4000", "alice")
		time.Sleep(62 * time.Minute)
		if m, code := u.ask(stun.MethodAllocate, udp); code != int(stun.CodeStaleNonce) || !m.Contains(stun.AttrNonce) {
			t.Errorf("%d", code)
		}
	})
}

// TestNothingElseIsRelayedTo is what keeps the relay from being one for everybody.
func TestNothingElseIsRelayedTo(t *testing.T) {
	for _, elsewhere := range []string{"198.51.100.1:3478", "203.0.113.8:3478", "127.0.0.1:3478", "10.0.0.1:53", "[::ffff:203.0.113.8]:3478", "[2001:db8::8]:3478", "0.0.0.0:3478"} {
		inWorld(t, allPeers, func(w *world) {
			to := netip.MustParseAddrPort(elsewhere)
			u := w.allocated("198.51.100.9:4000", "alice")
			if to.Addr().Is6() && !to.Addr().Is4In6() {
				u = w.allocated("198.51.100.9:4001", "alice", family(2))
			}
			if _, code := u.ask(stun.MethodCreatePermission, peer(to)); code != int(stun.CodeForbidden) {
				t.Errorf("permission for %s: %d", to, code)
			}
			if _, code := u.ask(stun.MethodChannelBind, channel(0x4000), peer(to)); code != int(stun.CodeUnauthorized) {
				t.Errorf("channel to %s: %d", to, code)
			}
			u.say(sends(to, "indication"), channelData(0x4000, "channel"))
			if news := w.media.news(); news != "" {
				t.Errorf("relayed %s", news)
			}
		})
	}
}

// TestNoOtherPortIsRelayedTo: permissions have no port, and pion/turn sees none, but the relay does.
func TestNoOtherPortIsRelayedTo(t *testing.T) {
	inWorld(t, allPeers, func(w *world) {
		u := w.allocated("198.51.100.9:4000", "alice")
		ssh := netip.AddrPortFrom(public.Addr(), 22)
		u.say(sends(public, "too early"))
		for _, what := range [][]stun.Setter{{peer(ssh)}, {peer(ssh), channel(0x4000)}} {
			method := []stun.Method{stun.MethodCreatePermission, stun.MethodChannelBind}[len(what)-1]
			if _, code := u.ask(method, what...); code != success {
				t.Errorf("%s: %d", method, code)
			}
		}
		if got := u.say(sends(ssh, "ssh?"), channelData(0x4000, "ssh?")); len(got) != 0 || w.media.news() != "" {
			t.Error("relayed")
		}
		if u.say(sends(public, "media")); w.media.news() != "203.0.113.7:3478 < media" {
			t.Error("the media port itself is not relayed to")
		}
	})
}

func TestRelay(t *testing.T) {
	inWorld(t, allPeers, func(w *world) {
		u := w.permitted("198.51.100.9:4000", "alice")
		u.ask(stun.MethodCreatePermission, peer(private))
		u.say(sends(public, "one"), sends(private, "two"))
		if news := w.media.news(); news != "203.0.113.7:3478 < one, 10.0.0.7:3478 < two" {
			t.Error(news)
		}
		path := w.media.path
		path.Send([]byte("three"))
		m := &stun.Message{Raw: u.hear()[0]}
		if err := m.Decode(); err != nil {
			t.Fatal(err)
		}
		if data := must(m.Get(stun.AttrData)); m.Type != stun.NewType(stun.MethodData, stun.ClassIndication) || addressIn(m, stun.AttrXORPeerAddress) != private || string(data) != "three" {
			t.Errorf("%s: %q", m.Type, data)
		}
		for _, tt := range []struct {
			number uint16
			to     netip.AddrPort
			code   stun.ErrorCode
		}{
			{0x4000, private, 0},
			{0x4000, private, 0},
			{0x4000, public, stun.CodeBadRequest},
			{0x4001, private, stun.CodeBadRequest},
			{0x4fff, public, 0},
			{0x4002, six, stun.CodePeerAddrFamilyMismatch},
		} {
			if _, code := u.ask(stun.MethodChannelBind, channel(tt.number), peer(tt.to)); code != int(tt.code) {
				t.Errorf("channel %x to %s: %d, want %d", tt.number, tt.to, code, tt.code)
			}
		}
		u.say(channelData(0x4000, "four!"), channelData(0x4123, "lost"), []byte{0x40, 0, 0, 5, 'l', 'o'})
		if news := w.media.news(); news != "10.0.0.7:3478 < four!" || w.media.path != path {
			t.Error(news, "or by another path")
		}
		path.Send([]byte("five!"))
		if got, want := u.hear(), channelData(0x4000, "five!"); len(got) != 1 || !bytes.Equal(got[0], want) {
			t.Errorf("%x, want %x", got, want)
		}
		if path.RemoteAddr() != w.socket.clients.get(u.addr).name.AddrPort() {
			t.Errorf("path from %s", path.RemoteAddr())
		}
	})
}

// TestTimes: what is not refreshed ends.
func TestTimes(t *testing.T) {
	inWorld(t, allPeers, func(w *world) {
		u := w.allocated("198.51.100.9:4000", "alice")
		begun := time.Now()
		u.ask(stun.MethodChannelBind, channel(0x4000), peer(public))
		relays := func(want string) {
			t.Helper()
			synctest.Wait()
			u.say(channelData(0x4000, "channel"), sends(public, "indication"))
			if got := w.media.news(); got != want {
				t.Errorf("after %s relayed %q, want %q", time.Since(begun), got, want)
			}
		}
		const byChannel, byIndication = "203.0.113.7:3478 < channel", "203.0.113.7:3478 < indication"
		relays(byChannel + ", " + byIndication)
		time.Sleep(5*time.Minute - time.Second)
		relays(byChannel + ", " + byIndication)
		time.Sleep(2 * time.Second)
		relays(byChannel) // the permission has ended
		u.ask(stun.MethodCreatePermission, peer(public))
		u.ask(stun.MethodRefresh)
		time.Sleep(5*time.Minute - 3*time.Second)
		relays(byChannel + ", " + byIndication)
		time.Sleep(2 * time.Second)
		relays(byIndication) // the channel has ended
		w.media.path.Send([]byte("answer"))
		if got := u.hear(); len(got) != 1 || IsChannelData(got[0]) {
			t.Errorf("by a channel that has ended: %x", got)
		}
		if _, code := u.ask(stun.MethodRefresh, seconds(0)); code != success || w.server.Stats().Allocations != 0 {
			t.Errorf("end: %d", code)
		}
		relays("203.0.113.7:3478 gone")
		w.media.path.Send([]byte("late"))
		if got := u.hear(); len(got) != 0 || w.socket.Has(u.addr) {
			t.Errorf("relayed by an allocation that has ended: %x", got)
		}
		w.allocated("198.51.100.9:4000", "alice")
		time.Sleep(10*time.Minute + time.Second)
		if synctest.Wait(); w.server.Stats().Allocations != 0 || w.socket.Has(u.addr) {
			t.Error("an allocation that nobody refreshes")
		}
	})
}

// TestExpiredCredentialKeepsWhatItHas: a long meeting is not cut, but begins nothing new, and
// nothing lasts for ever.
func TestExpiredCredentialKeepsWhatItHas(t *testing.T) {
	inWorld(t, allPeers, func(w *world) {
		u := w.allocated("198.51.100.9:4000", "alice", seconds(59*time.Minute))
		begun := time.Now()
		for w.server.Stats().Allocations == 1 {
			time.Sleep(50 * time.Minute)
			if u.nonce = ""; w.server.Stats().Allocations == 1 {
				u.ask(stun.MethodRefresh, seconds(59*time.Minute))
			}
			if age := time.Since(begun); age > credentialLife && age < credentialLife+time.Hour {
				again := &user{w: w, addr: netip.MustParseAddrPort("198.51.100.9:4001"), credential: u.credential}
				if _, code := again.ask(stun.MethodAllocate, udp); code != int(stun.CodeBadRequest) {
					t.Errorf("allocate: %d", code)
				}
			}
		}
		if age := time.Since(begun); age < credentialLife+keepLife || age > credentialLife+keepLife+2*time.Hour {
			t.Errorf("an allocation was refreshed for %s", age)
		}
	})
}

// TestLastMoments: an allocation about to end gets no permission, see [lastMoments].
func TestLastMoments(t *testing.T) {
	inWorld(t, allPeers, func(w *world) {
		u := w.user("198.51.100.9:4000", "alice")
		u.ask(stun.MethodAllocate) // for the nonce; refused
		allocate := stun.MustBuild(append([]stun.Setter{stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest), udp}, u.sign()...)...).Raw
		u.say(allocate)
		time.Sleep(10*time.Minute - lastMoments)
		u.say(allocate) // the old answer, and its lifetime
		for method, want := range map[stun.Method]stun.ErrorCode{stun.MethodCreatePermission: stun.CodeForbidden, stun.MethodChannelBind: stun.CodeUnauthorized} {
			if _, code := u.ask(method, peer(public), channel(0x4000)); code != int(want) {
				t.Errorf("%s: %d", method, code)
			}
		}
		u.ask(stun.MethodRefresh)
		if _, code := u.ask(stun.MethodCreatePermission, peer(public)); code != success {
			t.Errorf("after a refresh: %d", code)
		}
		if _, code := w.allocated("198.51.100.9:4001", "alice", seconds(lastMoments)).ask(stun.MethodCreatePermission, peer(public)); code != int(stun.CodeForbidden) {
			t.Errorf("in an allocation for %s: %d", lastMoments, code)
		}
	})
}

// TestOnlyOwnersRule: another's credential is of no use with somebody's allocation.
func TestOnlyOwnersRule(t *testing.T) {
	inWorld(t, allPeers, func(w *world) {
		u := w.allocated("198.51.100.9:4000", "alice")
		thief := &user{w: w, addr: u.addr, credential: w.server.cfg.Credentials.For("mallory", time.Now())}
		for _, method := range []stun.Method{stun.MethodRefresh, stun.MethodCreatePermission, stun.MethodChannelBind} {
			if _, code := thief.ask(method, peer(public), channel(0x4000), seconds(0)); code != noAnswer {
				t.Errorf("%s: %d", method, code)
			}
		}
		if _, code := thief.ask(stun.MethodAllocate, udp); code != int(stun.CodeAllocMismatch) || w.server.Stats().Allocations != 1 {
			t.Errorf("allocate: %d", code)
		}
		if u.say(sends(public, "x"), channelData(0x4000, "x")); w.media.news() != "" {
			t.Error("a thief has made a permission")
		}
	})
}

// TestRetransmission: an answer that was lost is given again (RFC 8656, Section 7.2).
func TestRetransmission(t *testing.T) {
	inWorld(t, allPeers, func(w *world) {
		u := w.user("198.51.100.9:4000", "alice")
		u.ask(stun.MethodAllocate) // for the nonce; refused
		m := stun.MustBuild(append([]stun.Setter{stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest), udp}, u.sign()...)...)
		answers := u.say(m.Raw, m.Raw)
		if len(answers) != 2 || !bytes.Equal(answers[0], answers[1]) || w.server.Stats().Allocations != 1 {
			t.Errorf("%x", answers)
		}
	})
}

func TestQuotas(t *testing.T) {
	inWorld(t, allPeers, func(w *world) {
		refused := func(why, addr, name string, want stun.ErrorCode) {
			t.Helper()
			if _, code := w.user(addr, name).ask(stun.MethodAllocate, udp); code != int(want) {
				t.Errorf("%s: %d, want %d", why, code, want)
			}
		}
		var users []*user
		for i := range 3 {
			users = append(users, w.allocated(fmt.Sprintf("198.51.100.%d:1", i), "alice"))
		}
		refused("a fourth of one credential", "198.51.100.9:1", "alice", stun.CodeAllocQuotaReached)
		users = append(users, w.allocated("[2001:db8:0:1::1]:1", "bob"), w.allocated("[2001:db8:0:1::2]:1", "carol"))
		refused("a sixth in all", "[2001:db8:0:2::1]:1", "dave", stun.CodeInsufficientCapacity)
		for _, u := range users {
			u.ask(stun.MethodRefresh, seconds(0))
		}
		for i := range 4 {
			w.allocated(fmt.Sprintf("[2001:db8:0:1::%d]:1", i), fmt.Sprint(i))
		}
		refused("a fifth of one network", "[2001:db8:0:1::9]:1", "eve", stun.CodeAllocQuotaReached)
		if w.server.Close(); len(w.server.credentials)+len(w.server.addresses)+len(w.server.relays)+len(w.socket.clients.relays) != 0 {
			t.Errorf("counted after the end: %v, %v", w.server.credentials, w.server.addresses)
		}
	})
}

// TestChannelsAreBounded: channels may be bound to any port of an address, but not to all.
func TestChannelsAreBounded(t *testing.T) {
	inWorld(t, allPeers, func(w *world) {
		u := w.allocated("198.51.100.9:4000", "alice", seconds(30*time.Minute))
		bind := func(i int) int {
			_, code := u.ask(stun.MethodChannelBind, channel(uint16(0x4000+i)), peer(netip.AddrPortFrom(public.Addr(), uint16(1+i))))
			return code
		}
		for i := range maxPaths {
			if code := bind(i); code != success {
				t.Fatalf("channel %d: %d", i, code)
			}
		}
		if code := bind(maxPaths); code != int(stun.CodeUnauthorized) {
			t.Errorf("one more: %d", code)
		}
		time.Sleep(11 * time.Minute)
		if code := bind(0); code != success {
			t.Errorf("when they have ended: %d", code)
		}
	})
}

// TestGoneIsLast: the forwarder keeps no path of an allocation that has ended, and what is
// under way does not bring one back.
func TestGoneIsLast(t *testing.T) {
	inWorld(t, allPeers, func(w *world) {
		u := w.permitted("198.51.100.9:4000", "alice")
		u.say(sends(public, "early"))
		r := w.socket.clients.get(u.addr)
		w.media.onReceive = func() { _ = r.Close() } // as a timer may
		u.say(sends(public, "late"))
		if got, want := w.media.news(), "203.0.113.7:3478 < early, 203.0.113.7:3478 gone, 203.0.113.7:3478 < late, 203.0.113.7:3478 gone"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
		if r.path(public) != nil {
			t.Error("an allocation that has ended makes a path")
		}
		if w.media.path.Send([]byte("x")); len(u.hear()) != 0 || len(r.queue) != 0 {
			t.Error("an allocation that has ended relays")
		}
	})
}

// TestQueueIsBounded: a forwarder that sends faster than a client takes loses packets, not memory.
func TestQueueIsBounded(t *testing.T) {
	s := New(Config{Credentials: NewCredentials(), Media: &fakeMedia{}, Limits: DefaultLimits, Peers: func() []netip.AddrPort { return allPeers }})
	r, err := s.open(newClients(s), "alice", false)
	if err != nil {
		t.Fatal(err)
	}
	path := r.path(public)
	for range 2 * maxQueued {
		path.Send(make([]byte, maxPacket))
		path.Send(make([]byte, maxPacket+1))
	}
	if n, sent := len(r.queue), s.Stats().PacketsDown; n != maxQueued || sent != maxQueued {
		t.Errorf("%d wait, %d are counted", n, sent)
	}
}

func TestBinding(t *testing.T) {
	inWorld(t, allPeers, func(w *world) {
		u := w.user("198.51.100.9:4000", "nobody")
		if m := u.raw(stun.MethodBinding); addressIn(m, stun.AttrXORMappedAddress) != u.addr {
			t.Errorf("%s", m)
		}
	})
}

// TestStrangersAreAnsweredSeldom: who writes under another's address makes no flood of it,
// and takes nothing from those who have a credential, nor from other addresses.
func TestStrangersAreAnsweredSeldom(t *testing.T) {
	for name, ask := range map[string]struct {
		method stun.Method
		with   []stun.Setter
	}{
		"Binding":          {stun.MethodBinding, nil},
		"no credential":    {stun.MethodAllocate, []stun.Setter{udp}},
		"half of one":      {stun.MethodRefresh, []stun.Setter{stun.NewShortTermIntegrity("x")}},
		"an unknown nonce": {stun.MethodAllocate, (&user{nonce: "x", credential: Credential{"1:a", "x"}}).sign()},
		"TCP's methods":    {stun.MethodConnect, nil},
		"odd attributes":   {stun.MethodAllocate, []stun.Setter{attribute{0x7777, nil}}},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, allPeers, func(w *world) {
				u := w.allocated("198.51.100.9:4000", "alice")
				m := stun.MustBuild(append([]stun.Setter{stun.TransactionID, stun.NewType(ask.method, stun.ClassRequest)}, ask.with...)...)
				flood := func(from string, n int) int {
					return len((&user{w: w, addr: netip.MustParseAddrPort(from)}).say(slices.Repeat([][]byte{m.Raw}, n)...))
				}
				const challenged = 1 // when the allocation was made
				if got := flood("198.51.100.9:53", 5000); got != strangerBurst-challenged {
					t.Errorf("%d answers to 5000 at once", got)
				}
				if got := w.server.Stats().Unanswered; got != 5000-strangerBurst+challenged {
					t.Errorf("%d are counted as unanswered", got)
				}
				time.Sleep(time.Second)
				if got := flood("198.51.100.9:53", 5000); got != int(time.Second/strangerInterval) {
					t.Errorf("%d answers a second later", got)
				}
				if _, code := u.ask(stun.MethodRefresh); code != success {
					t.Errorf("who has a credential: %d", code)
				}
				for _, other := range []string{"198.51.100.10:53", "10.0.0.7:53", "127.0.0.1:53"} {
					if flood(other, 1) != 1 {
						t.Errorf("%s has no answer", other)
					}
				}
				if got := flood("10.0.0.7:53", 5000); got != 5000 {
					t.Errorf("%d answers to a private address, which may be all participants'", got)
				}
			})
		})
	}
}

func TestSecretsDoNotPrint(t *testing.T) {
	c := NewCredentials()
	credential := c.For("alice", time.Unix(0, 0))
	if text := fmt.Sprintf("%s %v %s", c, c, credential); strings.Contains(text, credential.Password) || strings.Contains(text, string(c.secret[:])) {
		t.Error(text)
	}
}

// FuzzMessages: whatever somebody with an allocation says, the server lives and answers in STUN.
func FuzzMessages(f *testing.F) {
	u := &user{credential: Credential{"1:a", "x"}, nonce: "x"}
	f.Add(channelData(0x4000, "data"))
	f.Add(sends(public, "data"))
	for _, method := range []stun.Method{stun.MethodAllocate, stun.MethodRefresh, stun.MethodCreatePermission, stun.MethodChannelBind, stun.MethodSend, stun.MethodConnect, stun.MethodConnectionBind} {
		for _, class := range []stun.MessageClass{stun.ClassRequest, stun.ClassIndication, stun.ClassErrorResponse} {
			f.Add(stun.MustBuild(append([]stun.Setter{stun.TransactionID, stun.NewType(method, class), udp, peer(six), channel(0x4001), attribute{stun.AttrData, []byte("x")}}, u.sign()...)...).Raw)
		}
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		if len(message) > maxMessage {
			return
		}
		inWorld(t, allPeers, func(w *world) {
			u := w.permitted("198.51.100.9:4000", "alice")
			// The same with a credential that is right, as far as it is a message.
			signed := &stun.Message{Raw: slices.Clone(message)}
			messages := [][]byte{message}
			if signed.Decode() == nil {
				for _, a := range u.sign() {
					_ = a.AddTo(signed) // what has an integrity already takes no other
				}
				messages = append(messages, signed.Raw)
			}
			for _, answer := range u.say(messages...) {
				if m := (&stun.Message{Raw: answer}); m.Decode() != nil && !IsChannelData(answer) {
					t.Errorf("answered %x", answer)
				}
			}
		})
	})
}
