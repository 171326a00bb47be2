package turn

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v4"
)

var (
	public  = netip.MustParseAddrPort("203.0.113.7:3478")
	private = netip.MustParseAddrPort("10.0.0.7:3478")
	six     = netip.MustParseAddrPort("[2001:db8::7]:3478")
)

// fakeClient keeps what it is sent.
type fakeClient struct {
	addr netip.AddrPort
	got  [][]byte
}

func (c *fakeClient) Send(message []byte)        { c.got = append(c.got, slices.Clone(message)) }
func (c *fakeClient) RemoteAddr() netip.AddrPort { return c.addr }

// last takes the last message.
func (c *fakeClient) last(t *testing.T) *stun.Message {
	t.Helper()
	if len(c.got) == 0 {
		t.Fatal("no answer")
	}
	m := &stun.Message{Raw: c.got[len(c.got)-1]}
	c.got = nil
	if err := m.Decode(); err != nil {
		t.Fatal(err)
	}
	return m
}

// fakeMedia writes down what comes.
type fakeMedia struct {
	lines []string
	path  *Path // the last
}

func (m *fakeMedia) Receive(p *Path, packet []byte) {
	m.path = p
	m.lines = append(m.lines, fmt.Sprintf("%s < %s", p.peer, packet))
}
func (m *fakeMedia) Gone(p *Path) { m.lines = append(m.lines, fmt.Sprintf("%s gone", p.peer)) }

func (m *fakeMedia) news() string {
	s := strings.Join(m.lines, ", ")
	m.lines = nil
	return s
}

// world is a server under a clock of the test's.
type world struct {
	t      *testing.T
	server *Server
	media  *fakeMedia
	now    time.Time
	peers  []netip.AddrPort
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, media: &fakeMedia{}, now: time.Unix(1_760_000_000, 0), peers: []netip.AddrPort{public, private, six}}
	w.server = New(Config{
		Credentials: NewCredentials(), Media: w.media, Limits: Limits{Allocations: 5, PerCredential: 3, PerAddress: 4},
		Peers: func() []netip.AddrPort { return w.peers }, Now: func() time.Time { return w.now },
	})
	return w
}

// user is a client with a credential and a nonce.
type user struct {
	w *world
	*fakeClient
	credential Credential
	nonce      string
}

func (w *world) user(addr, name string) *user {
	return &user{w: w, fakeClient: &fakeClient{addr: netip.MustParseAddrPort(addr)}, credential: w.server.cfg.Credentials.For(name, w.now)}
}

// raw sends a request without a credential.
func (u *user) raw(method stun.Method, what ...stun.Setter) *stun.Message {
	u.w.t.Helper()
	m, err := stun.Build(append([]stun.Setter{stun.TransactionID, stun.NewType(method, stun.ClassRequest)}, what...)...)
	if err != nil {
		u.w.t.Fatal(err)
	}
	u.w.server.Handle(u.fakeClient, m.Raw)
	return u.last(u.w.t)
}

func (u *user) sign() []stun.Setter {
	return []stun.Setter{stun.NewUsername(u.credential.Username), stun.NewRealm(Realm), stun.NewNonce(u.nonce),
		stun.NewLongTermIntegrity(u.credential.Username, Realm, u.credential.Password)}
}

// ask sends a request with the credential and gives the error code, 0 for success.
func (u *user) ask(method stun.Method, what ...stun.Setter) (*stun.Message, int) {
	u.w.t.Helper()
	if u.nonce == "" {
		u.nonce = string(must(u.raw(method, what...).Get(stun.AttrNonce)))
	}
	m := u.raw(method, append(what, u.sign()...)...)
	var code stun.ErrorCodeAttribute
	if m.Type.Class == stun.ClassErrorResponse {
		if err := code.GetFrom(m); err != nil {
			u.w.t.Fatal(err)
		}
	} else if err := stun.NewLongTermIntegrity(u.credential.Username, Realm, u.credential.Password).Check(m); err != nil {
		u.w.t.Errorf("%s: the answer's integrity: %v", method, err)
	}
	return m, int(code.Code)
}

func must(value []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return value
}

type attribute struct {
	t     stun.AttrType
	value []byte
}

func (a attribute) AddTo(m *stun.Message) error {
	m.Add(a.t, a.value)
	return nil
}

var udp = attribute{stun.AttrRequestedTransport, []byte{17, 0, 0, 0}}

func family(f byte) stun.Setter {
	return attribute{stun.AttrRequestedAddressFamily, []byte{f, 0, 0, 0}}
}
func peer(a netip.AddrPort) stun.Setter { return xored{stun.AttrXORPeerAddress, a} }
func channel(n uint16) stun.Setter {
	return attribute{stun.AttrChannelNumber, binary.BigEndian.AppendUint32(nil, uint32(n)<<16)}
}

// allocated is a user with an allocation.
func (w *world) allocated(addr, name string, what ...stun.Setter) *user {
	w.t.Helper()
	u := w.user(addr, name)
	if _, code := u.ask(stun.MethodAllocate, append(what, udp)...); code != 0 {
		w.t.Fatalf("allocate: %d", code)
	}
	return u
}

func TestAllocate(t *testing.T) {
	for _, tt := range []struct {
		name    string
		what    []stun.Setter
		code    int
		relayed netip.Addr
		life    uint32
	}{
		{"as browsers do", []stun.Setter{udp}, 0, public.Addr(), 600},
		{"IPv4", []stun.Setter{udp, family(1)}, 0, public.Addr(), 600},
		{"IPv6", []stun.Setter{udp, family(2)}, 0, six.Addr(), 600},
		{"IPX", []stun.Setter{udp, family(3)}, wrongFamily, netip.Addr{}, 0},
		{"for a second", []stun.Setter{udp, seconds(time.Second)}, 0, public.Addr(), 600},
		{"for half an hour", []stun.Setter{udp, seconds(30 * time.Minute)}, 0, public.Addr(), 1800},
		{"for ever", []stun.Setter{udp, seconds(1000 * time.Hour)}, 0, public.Addr(), 3600},
		{"whole packets", []stun.Setter{udp, attribute{stun.AttrDontFragment, nil}}, 0, public.Addr(), 600},
		{"of nothing", nil, badRequest, netip.Addr{}, 0},
		{"TCP (RFC 6062)", []stun.Setter{attribute{stun.AttrRequestedTransport, []byte{6, 0, 0, 0}}}, wrongTransport, netip.Addr{}, 0},
		{"an even port", []stun.Setter{udp, attribute{stun.AttrEvenPort, []byte{0x80}}}, noCapacity, netip.Addr{}, 0},
		{"a reservation", []stun.Setter{udp, attribute{stun.AttrReservationToken, make([]byte, 8)}}, noCapacity, netip.Addr{}, 0},
		{"who knows what", []stun.Setter{udp, attribute{0x7777, nil}}, unknownAttribute, netip.Addr{}, 0},
	} {
		w := newWorld(t)
		u := w.user("198.51.100.9:4000", "alice")
		m, code := u.ask(stun.MethodAllocate, tt.what...)
		if code != tt.code || (w.server.Stats().Allocations == 1) != (tt.code == 0) {
			t.Errorf("%s: %d, want %d; %d allocations", tt.name, code, tt.code, w.server.Stats().Allocations)
		}
		if code != 0 {
			continue
		}
		relayed, _ := peerOf(m, must(m.Get(stun.AttrXORRelayedAddress)))
		mapped, _ := peerOf(m, must(m.Get(stun.AttrXORMappedAddress)))
		life := binary.BigEndian.Uint32(must(m.Get(stun.AttrLifetime)))
		if relayed.Addr() != tt.relayed || relayed.Port() == 0 || mapped != u.addr || life != tt.life {
			t.Errorf("%s: relayed %s, mapped %s, for %d s", tt.name, relayed, mapped, life)
		}
	}
}

// TestFamilyThatIsThere: a server with IPv6 alone serves those who do not ask.
func TestFamilyThatIsThere(t *testing.T) {
	w := newWorld(t)
	w.peers = []netip.AddrPort{six}
	u := w.allocated("[2001:db8::9]:4000", "alice")
	if got := w.server.allocation(u.fakeClient).relayed.Addr(); got != six.Addr() {
		t.Errorf("relayed %s", got)
	}
	if _, code := w.user("[2001:db8::9]:4001", "bob").ask(stun.MethodAllocate, udp, family(1)); code != wrongFamily {
		t.Errorf("IPv4: %d", code)
	}
}

// TestAuthentication walks through what can be wrong with a credential.
func TestAuthentication(t *testing.T) {
	w := newWorld(t)
	u := w.user("198.51.100.9:4000", "alice")
	code := func(m *stun.Message) (c stun.ErrorCodeAttribute) {
		_ = c.GetFrom(m)
		return c
	}
	m := u.raw(stun.MethodAllocate, udp)
	if code(m).Code != unauthenticated || !m.Contains(stun.AttrNonce) || !m.Contains(stun.AttrRealm) {
		t.Fatalf("without a credential: %s", m)
	}
	if size := len(m.Raw); size > 3*28 {
		t.Errorf("a challenge of %d bytes to a request of 28: others can be flooded by it", size)
	}
	u.nonce = string(must(m.Get(stun.AttrNonce)))
	good := u.sign()
	other := w.server.cfg.Credentials.For("bob", w.now)
	late := Credential{Username: fmt.Sprint(w.now.Unix(), ":alice")}
	late.Password = w.server.cfg.Credentials.password(late.Username)
	odd := Credential{Username: "alice"}
	odd.Password = w.server.cfg.Credentials.password(odd.Username)
	theirs := NewCredentials().For("alice", w.now)
	signed := func(c Credential, nonce string) []stun.Setter {
		return (&user{credential: c, nonce: nonce}).sign()
	}
	for _, tt := range []struct {
		name string
		with []stun.Setter
		code stun.ErrorCode
	}{
		{"no username", []stun.Setter{good[1], good[2], good[3]}, badRequest},
		{"no realm", []stun.Setter{good[0], good[2], good[3]}, badRequest},
		{"no nonce", []stun.Setter{good[0], good[1], good[3]}, badRequest},
		{"another password", []stun.Setter{good[0], good[1], good[2], stun.NewLongTermIntegrity(u.credential.Username, Realm, "x")}, unauthenticated},
		{"another's password", []stun.Setter{good[0], good[1], good[2], stun.NewLongTermIntegrity(u.credential.Username, Realm, other.Password)}, unauthenticated},
		{"another realm", []stun.Setter{good[0], stun.NewRealm("x"), good[2], stun.NewLongTermIntegrity(u.credential.Username, "x", u.credential.Password)}, unauthenticated},
		{"of another process", signed(theirs, u.nonce), unauthenticated},
		{"expired", signed(late, u.nonce), unauthenticated},
		{"without an expiry", signed(odd, u.nonce), unauthenticated},
		{"a nonce of nobody's", signed(u.credential, "x"), staleNonce},
		{"another address's nonce", signed(u.credential, w.server.cfg.Credentials.nonce(netip.MustParseAddr("198.51.100.10"), w.now)), staleNonce},
		{"an old nonce", signed(u.credential, w.server.cfg.Credentials.nonce(u.addr.Addr(), w.now.Add(-nonceLife))), staleNonce},
		{"a nonce from the future", signed(u.credential, w.server.cfg.Credentials.nonce(u.addr.Addr(), w.now.Add(2*nonceLife))), staleNonce},
		{"right", good, 0},
	} {
		m := u.raw(stun.MethodAllocate, append([]stun.Setter{udp}, tt.with...)...)
		if got := code(m).Code; got != tt.code {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.code)
		}
		if wants := tt.code == staleNonce || tt.code == unauthenticated; m.Contains(stun.AttrNonce) != wants {
			t.Errorf("%s: a new nonce: %t", tt.name, !wants)
		}
	}
	if n := w.server.Stats().Allocations; n != 1 {
		t.Errorf("%d allocations", n)
	}
}

// TestNothingElseIsRelayedTo is what keeps the relay from being one for everybody.
func TestNothingElseIsRelayedTo(t *testing.T) {
	w := newWorld(t)
	u := w.allocated("198.51.100.9:4000", "alice")
	for _, elsewhere := range []string{"198.51.100.1:3478", "203.0.113.8:3478", "127.0.0.1:3478", "10.0.0.1:53", "[::ffff:203.0.113.8]:3478", "[2001:db8::8]:3478", "0.0.0.0:3478"} {
		if _, code := u.ask(stun.MethodCreatePermission, peer(netip.MustParseAddrPort(elsewhere))); code != forbidden {
			t.Errorf("permission for %s: %d", elsewhere, code)
		}
		if _, code := u.ask(stun.MethodChannelBind, channel(0x4000), peer(netip.MustParseAddrPort(elsewhere))); code != forbidden {
			t.Errorf("channel to %s: %d", elsewhere, code)
		}
	}
	port := netip.AddrPortFrom(public.Addr(), 22)
	if _, code := u.ask(stun.MethodChannelBind, channel(0x4000), peer(port)); code != forbidden {
		t.Errorf("channel to another port of ours: %d", code)
	}
	if _, code := u.ask(stun.MethodCreatePermission, peer(public), peer(netip.MustParseAddrPort("198.51.100.1:1"))); code != forbidden {
		t.Errorf("one of ours and one of another's: %d", code)
	}
	w.send(u, public, "too early")
	if _, code := u.ask(stun.MethodCreatePermission, peer(port)); code != 0 {
		t.Errorf("permissions have no port, but: %d", code)
	}
	w.send(u, port, "ssh?")
	if news := w.media.news(); news != "" {
		t.Errorf("relayed %s", news)
	}
}

// send sends a Send indication.
func (w *world) send(u *user, to netip.AddrPort, data string) {
	w.t.Helper()
	m, err := stun.Build(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication), peer(to), attribute{stun.AttrData, []byte(data)})
	if err != nil {
		w.t.Fatal(err)
	}
	w.server.Handle(u.fakeClient, m.Raw)
}

func TestRelay(t *testing.T) {
	w := newWorld(t)
	u := w.allocated("198.51.100.9:4000", "alice")
	if _, code := u.ask(stun.MethodCreatePermission, peer(public), peer(private)); code != 0 {
		t.Fatalf("permission: %d", code)
	}
	w.send(u, public, "one")
	w.send(u, private, "two")
	if news := w.media.news(); news != "203.0.113.7:3478 < one, 10.0.0.7:3478 < two" {
		t.Error(news)
	}
	path := w.media.path
	path.Send([]byte("three"))
	m := u.last(t)
	from, _ := peerOf(m, must(m.Get(stun.AttrXORPeerAddress)))
	if data := must(m.Get(stun.AttrData)); m.Type != stun.NewType(stun.MethodData, stun.ClassIndication) || from != private || string(data) != "three" {
		t.Errorf("%s from %s: %q", m.Type, from, data)
	}
	for _, tt := range []struct {
		number uint16
		to     netip.AddrPort
		code   int
	}{
		{0x3fff, private, badRequest},
		{0x5000, private, badRequest},
		{0x4000, private, 0},
		{0x4000, private, 0},
		{0x4000, public, badRequest},
		{0x4001, private, badRequest},
		{0x4fff, public, 0},
		{0x4002, six, familyMismatch},
	} {
		if _, code := u.ask(stun.MethodChannelBind, channel(tt.number), peer(tt.to)); code != tt.code {
			t.Errorf("channel %x to %s: %d, want %d", tt.number, tt.to, code, tt.code)
		}
	}
	w.server.Handle(u.fakeClient, appendChannelData(nil, 0x4000, []byte("four!")))
	w.server.Handle(u.fakeClient, appendChannelData(nil, 0x4123, []byte("lost")))
	w.server.Handle(u.fakeClient, []byte{0x40, 0, 0, 5, 'l', 'o'})
	if news := w.media.news(); news != "10.0.0.7:3478 < four!" || w.media.path != path {
		t.Error(news, "or by another path")
	}
	path.Send([]byte("five!"))
	if want := []byte{0x40, 0, 0, 5, 'f', 'i', 'v', 'e', '!', 0, 0, 0}; len(u.got) != 1 || !bytes.Equal(u.got[0], want) {
		t.Errorf("%x, want %x", u.got, want)
	}
	if relayed := w.server.allocation(u.fakeClient).relayed; path.RemoteAddr() != relayed {
		t.Errorf("path from %s, relayed %s", path.RemoteAddr(), relayed)
	}
}

// TestTimes: what is not refreshed ends, and nothing lasts for ever.
func TestTimes(t *testing.T) {
	w := newWorld(t)
	u := w.allocated("198.51.100.9:4000", "alice")
	u.ask(stun.MethodChannelBind, channel(0x4000), peer(public))
	relays := func(want bool) {
		t.Helper()
		w.server.Sweep()
		w.server.Handle(u.fakeClient, appendChannelData(nil, 0x4000, []byte("x")))
		if got := w.media.news() == "203.0.113.7:3478 < x"; got != want {
			t.Errorf("after %s relayed: %t", w.now.Sub(time.Unix(1_760_000_000, 0)), got)
		}
		u.got = nil
		if w.media.path.Send([]byte("y")); (len(u.got) == 1) != want {
			t.Errorf("after %s relayed to the client: %t", w.now.Sub(time.Unix(1_760_000_000, 0)), !want)
		}
	}
	relays(true)
	w.now = w.now.Add(permissionLifetime - time.Second)
	relays(true)
	w.now = w.now.Add(time.Second)
	relays(false) // the permission has ended
	u.ask(stun.MethodCreatePermission, peer(public))
	relays(true)
	w.now = w.now.Add(4 * time.Minute)
	u.ask(stun.MethodRefresh)
	u.ask(stun.MethodCreatePermission, peer(public))
	w.now = w.now.Add(time.Minute)
	w.server.Handle(u.fakeClient, appendChannelData(nil, 0x4000, []byte("x")))
	if news := w.media.news(); news != "" {
		t.Errorf("by a channel of 10 minutes: %s", news)
	}
	if _, code := u.ask(stun.MethodRefresh, seconds(0)); code != 0 || w.server.Stats().Allocations != 0 {
		t.Errorf("end: %d", code)
	}
	if news := w.media.news(); news != "203.0.113.7:3478 gone" {
		t.Error(news)
	}
	if _, code := u.ask(stun.MethodRefresh); code != allocationMismatch {
		t.Errorf("refresh of nothing: %d", code)
	}

	u = w.allocated("198.51.100.9:4000", "alice")
	begun := w.now
	for w.server.Stats().Allocations == 1 {
		w.now = w.now.Add(9 * time.Minute)
		u.nonce = ""
		u.ask(stun.MethodRefresh)
		w.server.Sweep()
	}
	if age := w.now.Sub(begun); age < maxAge || age > maxAge+10*time.Minute {
		t.Errorf("an allocation that was refreshed for %s", age)
	}
}

// TestExpiredCredentialKeepsWhatItHas: a long meeting is not cut, but begins nothing new.
func TestExpiredCredentialKeepsWhatItHas(t *testing.T) {
	w := newWorld(t)
	u := w.allocated("198.51.100.9:4000", "alice", seconds(time.Hour))
	for range 13 {
		w.now = w.now.Add(59 * time.Minute)
		u.nonce = ""
		if _, code := u.ask(stun.MethodRefresh, seconds(time.Hour)); code != 0 {
			t.Fatalf("refresh: %d", code)
		}
	}
	again := &user{w: w, fakeClient: &fakeClient{addr: netip.MustParseAddrPort("198.51.100.9:4001")}, credential: u.credential}
	if _, code := again.ask(stun.MethodAllocate, udp); code != unauthenticated {
		t.Errorf("allocate: %d", code)
	}
}

func TestOnlyOwnersRule(t *testing.T) {
	w := newWorld(t)
	u := w.allocated("198.51.100.9:4000", "alice")
	thief := &user{w: w, fakeClient: u.fakeClient, credential: w.server.cfg.Credentials.For("mallory", w.now)}
	for _, method := range []stun.Method{stun.MethodRefresh, stun.MethodCreatePermission, stun.MethodChannelBind} {
		if _, code := thief.ask(method, peer(public), channel(0x4000)); code != wrongCredentials {
			t.Errorf("%s: %d", method, code)
		}
	}
	if _, code := thief.ask(stun.MethodAllocate, udp); code != allocationMismatch {
		t.Errorf("allocate: %d", code)
	}
}

// TestRetransmission: an answer that was lost is given again (RFC 8656, Section 7.2).
func TestRetransmission(t *testing.T) {
	w := newWorld(t)
	u := w.user("198.51.100.9:4000", "alice")
	u.ask(stun.MethodAllocate) // for the nonce; refused
	m, err := stun.Build(append([]stun.Setter{stun.TransactionID, stun.NewType(stun.MethodAllocate, stun.ClassRequest), udp}, u.sign()...)...)
	if err != nil {
		t.Fatal(err)
	}
	var answers [][]byte
	for range 2 {
		w.server.Handle(u.fakeClient, slices.Clone(m.Raw))
		answers = append(answers, u.last(t).Raw)
	}
	if !bytes.Equal(answers[0], answers[1]) || w.server.Stats().Allocations != 1 {
		t.Errorf("%x and %x", answers[0], answers[1])
	}
}

func TestQuotas(t *testing.T) {
	w := newWorld(t)
	ask := func(addr, name string) int {
		_, code := w.user(addr, name).ask(stun.MethodAllocate, udp)
		return code
	}
	for i := range 3 {
		w.allocated(fmt.Sprintf("198.51.100.%d:1", i), "alice")
	}
	if code := ask("198.51.100.9:1", "alice"); code != quotaReached {
		t.Errorf("a fourth of one credential: %d", code)
	}
	w.allocated("[2001:db8:0:1::1]:1", "bob")
	w.allocated("[2001:db8:0:1::2]:1", "carol")
	if code := ask("[2001:db8:0:2::1]:1", "dave"); code != noCapacity {
		t.Errorf("a sixth in all: %d", code)
	}
	w.server.Close()
	for i := range 4 {
		w.allocated(fmt.Sprintf("[2001:db8:0:1::%d]:1", i), fmt.Sprint(i))
	}
	if code := ask("[2001:db8:0:1::9]:1", "eve"); code != quotaReached {
		t.Errorf("a fifth of one network: %d", code)
	}
	if w.server.Close(); len(w.server.credentials) != 0 || len(w.server.addresses) != 0 {
		t.Errorf("counted after the end: %v, %v", w.server.credentials, w.server.addresses)
	}
}

// TestExpiredChannelIsNotSentBy: what still comes for a client that keeps the permission alone
// is a Data indication (RFC 8656, Section 12.7).
func TestExpiredChannelIsNotSentBy(t *testing.T) {
	w := newWorld(t)
	u := w.allocated("198.51.100.9:4000", "alice", seconds(time.Hour))
	if _, code := u.ask(stun.MethodChannelBind, channel(0x4000), peer(public)); code != 0 {
		t.Fatal(code)
	}
	w.server.Handle(u.fakeClient, appendChannelData(nil, 0x4000, []byte("x")))
	for _, channel := range []bool{true, true, true, false, false} {
		u.got = nil
		if w.media.path.Send([]byte("answer")); len(u.got) != 1 || IsChannelData(u.got[0]) != channel {
			t.Errorf("%s: %x, by channel: want %t", w.now, u.got, channel)
		}
		w.now = w.now.Add(4 * time.Minute)
		if _, code := u.ask(stun.MethodCreatePermission, peer(public)); code != 0 {
			t.Fatal(code)
		}
		w.server.Sweep()
	}
}

// endsOnReceive ends the allocation while a packet is on its way to the forwarder, as the sweep
// may.
type endsOnReceive struct {
	*fakeMedia
	end func()
}

func (m endsOnReceive) Receive(p *Path, packet []byte) {
	m.end()
	m.fakeMedia.Receive(p, packet)
}

// TestGoneIsLast: the forwarder keeps no path of an allocation that has ended, and what is
// under way does not bring one back.
func TestGoneIsLast(t *testing.T) {
	w := newWorld(t)
	u := w.allocated("198.51.100.9:4000", "alice")
	if _, code := u.ask(stun.MethodChannelBind, channel(0x4000), peer(public)); code != 0 {
		t.Fatal(code)
	}
	a := w.server.allocation(u.fakeClient)
	w.server.cfg.Media = endsOnReceive{w.media, func() { w.server.Gone(u.fakeClient) }}
	w.server.Handle(u.fakeClient, appendChannelData(nil, 0x4000, []byte("late")))
	if got, want := w.media.news(), "203.0.113.7:3478 gone, 203.0.113.7:3478 < late, 203.0.113.7:3478 gone"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if a.permit(public.Addr(), w.now) || a.bind(w.server, 0x4000, public, w.now) {
		t.Error("an allocation that has ended gives a permission")
	}
	u.got = nil
	if w.media.path.Send([]byte("x")); len(u.got) != 0 {
		t.Error("an allocation that has ended relays")
	}
}

func TestBinding(t *testing.T) {
	w := newWorld(t)
	u := w.user("198.51.100.9:4000", "nobody")
	m := u.raw(stun.MethodBinding)
	if mapped, _ := peerOf(m, must(m.Get(stun.AttrXORMappedAddress))); mapped != u.addr {
		t.Errorf("mapped %s", mapped)
	}
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
		"no such method":   {stun.MethodConnect, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			u := w.allocated("198.51.100.9:4000", "alice")
			spoofed := &fakeClient{addr: netip.MustParseAddrPort("198.51.100.9:53")}
			m := stun.MustBuild(append([]stun.Setter{stun.TransactionID, stun.NewType(ask.method, stun.ClassRequest)}, ask.with...)...)
			flood := func(c *fakeClient, n int) int {
				c.got = nil
				for range n {
					w.server.Handle(c, m.Raw)
				}
				return len(c.got)
			}
			const challenged = 1 // when the allocation was made
			if got := flood(spoofed, 5000); got != strangerBurst-challenged {
				t.Errorf("%d answers to 5000 at once", got)
			}
			if got := w.server.Stats().Unanswered; got != 5000-strangerBurst+challenged {
				t.Errorf("%d are counted as unanswered", got)
			}
			w.now = w.now.Add(time.Second)
			if got := flood(spoofed, 5000); got != int(time.Second/strangerInterval) {
				t.Errorf("%d answers a second later", got)
			}
			if _, code := u.ask(stun.MethodRefresh); code != 0 {
				t.Errorf("who has a credential: %d", code)
			}
			for _, other := range []string{"198.51.100.10:53", "10.0.0.7:53", "127.0.0.1:53"} {
				if flood(&fakeClient{addr: netip.MustParseAddrPort(other)}, 1) != 1 {
					t.Errorf("%s has no answer", other)
				}
			}
			if got := flood(&fakeClient{addr: netip.MustParseAddrPort("10.0.0.7:53")}, 5000); got != 5000 {
				t.Errorf("%d answers to a private address, which may be all participants'", got)
			}
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

// TestRelayingIsCheap: no allocation of ours a packet.
func TestRelayingIsCheap(t *testing.T) {
	w := newWorld(t)
	u := w.allocated("198.51.100.9:4000", "alice")
	u.ask(stun.MethodChannelBind, channel(0x4000), peer(public))
	w.server.Handle(u.fakeClient, appendChannelData(nil, 0x4000, []byte("x")))
	path, message := w.media.path, appendChannelData(nil, 0x4000, make([]byte, 1100))
	s := w.server
	s.cfg.Media = deaf{}
	quiet := &quietClient{u.addr}
	s.allocations[quiet], s.allocations[u.fakeClient].client = s.allocations[u.fakeClient], quiet
	if n := testing.AllocsPerRun(1000, func() {
		s.Handle(quiet, message)
		path.Send(message[4:])
	}); n != 0 {
		t.Errorf("%v allocations for a packet up and one down", n)
	}
}

type deaf struct{}

func (deaf) Receive(*Path, []byte) {}
func (deaf) Gone(*Path)            {}

type quietClient struct{ addr netip.AddrPort }

func (*quietClient) Send([]byte)                  {}
func (c *quietClient) RemoteAddr() netip.AddrPort { return c.addr }

func FuzzHandle(f *testing.F) {
	t := &testing.T{}
	w := newWorld(t)
	u := w.allocated("198.51.100.9:4000", "alice")
	u.ask(stun.MethodChannelBind, channel(0x4000), peer(public))
	f.Add(appendChannelData(nil, 0x4000, []byte("data")))
	f.Add(appendDataIndication(nil, public, []byte("data")))
	for _, method := range []stun.Method{stun.MethodAllocate, stun.MethodRefresh, stun.MethodCreatePermission, stun.MethodChannelBind, stun.MethodSend, stun.MethodConnect} {
		for _, class := range []stun.MessageClass{stun.ClassRequest, stun.ClassIndication, stun.ClassErrorResponse} {
			m, err := stun.Build(append([]stun.Setter{stun.TransactionID, stun.NewType(method, class), udp, peer(six), channel(0x4001), attribute{stun.AttrData, []byte("x")}}, u.sign()...)...)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(m.Raw)
		}
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		w.media.lines, u.got = nil, nil
		w.server.Handle(u.fakeClient, slices.Clone(message))
		for _, answer := range u.got {
			if m := (&stun.Message{Raw: answer}); m.Decode() != nil {
				t.Errorf("answered %x", answer)
			}
		}
	})
}
