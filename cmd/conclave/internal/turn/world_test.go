package turn

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/stun/v4"
)

var (
	public  = netip.MustParseAddrPort("203.0.113.7:3478")
	private = netip.MustParseAddrPort("10.0.0.7:3478")
	six     = netip.MustParseAddrPort("[2001:db8::7]:3478")
)

// memory is a UDP socket whose network is the test.
type memory struct {
	in    chan datagram
	ended chan struct{}
	once  sync.Once

	mu  sync.Mutex
	got map[netip.AddrPort][][]byte
}

type datagram struct {
	message []byte
	from    netip.AddrPort
}

func newMemory() *memory {
	return &memory{in: make(chan datagram), ended: make(chan struct{}), got: map[netip.AddrPort][][]byte{}}
}

func (m *memory) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case d := <-m.in:
		return copy(b, d.message), net.UDPAddrFromAddrPort(d.from), nil
	case <-m.ended:
		return 0, nil, net.ErrClosed
	}
}

func (m *memory) WriteTo(b []byte, to net.Addr) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := addrPort(to)
	m.got[a] = append(m.got[a], slices.Clone(b))
	return len(b), nil
}

func (m *memory) Close() error {
	m.once.Do(func() { close(m.ended) })
	return nil
}

func (m *memory) LocalAddr() net.Addr              { return &net.UDPAddr{} }
func (m *memory) SetDeadline(time.Time) error      { return nil }
func (m *memory) SetReadDeadline(time.Time) error  { return nil }
func (m *memory) SetWriteDeadline(time.Time) error { return nil }

// fakeMedia writes down what comes.
type fakeMedia struct {
	mu        sync.Mutex
	lines     []string
	path      *Path  // the last
	onReceive func() // before a packet is taken
}

func (m *fakeMedia) Receive(p *Path, packet []byte) {
	if m.onReceive != nil {
		m.onReceive()
	}
	m.note(p, fmt.Sprintf("%s < %s", p.peer, packet))
}

func (m *fakeMedia) Gone(p *Path) { m.note(p, fmt.Sprintf("%s gone", p.peer)) }

func (m *fakeMedia) note(p *Path, line string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.path = p
	m.lines = append(m.lines, line)
}

func (m *fakeMedia) news() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := strings.Join(m.lines, ", ")
	m.lines = nil
	return s
}

// world is a server in a bubble of its own, whose clock is the test's.
type world struct {
	t      *testing.T
	server *Server
	media  *fakeMedia
	net    *memory
	socket *Socket
}

// inWorld runs a test in a world whose server has some peers.
func inWorld(t *testing.T, peers []netip.AddrPort, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, peers)
		test(w)
		w.server.Close()
	})
}

var allPeers = []netip.AddrPort{public, private, six}

func newWorld(t *testing.T, peers []netip.AddrPort) *world {
	w := &world{t: t, media: &fakeMedia{}, net: newMemory()}
	w.socket = NewSocket(w.net)
	w.server = New(Config{
		Credentials: NewCredentials(), Media: w.media, Limits: Limits{Allocations: 5, PerCredential: 3, PerAddress: 4},
		Peers: func() []netip.AddrPort { return peers },
	})
	if err := w.server.Start(w.socket); err != nil {
		t.Fatal(err)
	}
	return w
}

// user is a client with a credential and a nonce.
type user struct {
	w          *world
	addr       netip.AddrPort
	credential Credential
	nonce      string
}

func (w *world) user(addr, name string) *user {
	return &user{w: w, addr: netip.MustParseAddrPort(addr), credential: w.server.cfg.Credentials.For(name, time.Now())}
}

// say sends messages and gives what comes back.
func (u *user) say(messages ...[]byte) [][]byte {
	for _, m := range messages {
		u.w.net.in <- datagram{m, u.addr}
	}
	return u.hear()
}

// hear gives what has come since the last time.
func (u *user) hear() [][]byte {
	synctest.Wait()
	u.w.net.mu.Lock()
	defer u.w.net.mu.Unlock()
	got := u.w.net.got[u.addr]
	delete(u.w.net.got, u.addr)
	return got
}

// raw sends a request without a credential and gives the one answer; nil if there is none.
func (u *user) raw(method stun.Method, what ...stun.Setter) *stun.Message {
	u.w.t.Helper()
	got := u.say(stun.MustBuild(append([]stun.Setter{stun.TransactionID, stun.NewType(method, stun.ClassRequest)}, what...)...).Raw)
	if len(got) == 0 {
		return nil
	}
	m := &stun.Message{Raw: got[len(got)-1]}
	if err := m.Decode(); err != nil || len(got) != 1 {
		u.w.t.Fatalf("%d answers, %v", len(got), err)
	}
	return m
}

func (u *user) sign() []stun.Setter {
	return []stun.Setter{stun.NewUsername(u.credential.Username), stun.NewRealm(Realm), stun.NewNonce(u.nonce),
		stun.NewLongTermIntegrity(u.credential.Username, Realm, u.credential.Password)}
}

const (
	success  = 0
	noAnswer = -1
)

// ask sends a request with the credential and gives the error code.
func (u *user) ask(method stun.Method, what ...stun.Setter) (*stun.Message, int) {
	u.w.t.Helper()
	if u.nonce == "" {
		u.nonce = string(must(u.raw(stun.MethodAllocate).Get(stun.AttrNonce)))
	}
	m := u.raw(method, append(what, u.sign()...)...)
	if code := codeOf(m); code != success {
		return m, code
	}
	if err := stun.NewLongTermIntegrity(u.credential.Username, Realm, u.credential.Password).Check(m); err != nil {
		u.w.t.Errorf("%s: the answer's integrity: %v", method, err)
	}
	return m, success
}

func codeOf(m *stun.Message) int {
	if m == nil {
		return noAnswer
	}
	var code stun.ErrorCodeAttribute // stays 0 without one
	_ = code.GetFrom(m)
	return int(code.Code)
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

// xored is a transport address as an attribute (RFC 8489, Section 14.2).
type xored struct {
	t    stun.AttrType
	addr netip.AddrPort
}

func (x xored) AddTo(m *stun.Message) error {
	a := stun.XORMappedAddress{IP: x.addr.Addr().AsSlice(), Port: int(x.addr.Port())}
	return a.AddToAs(m, x.t)
}

func peer(a netip.AddrPort) stun.Setter { return xored{stun.AttrXORPeerAddress, a} }

func addressIn(m *stun.Message, t stun.AttrType) netip.AddrPort {
	var a stun.XORMappedAddress
	if err := a.GetFromAs(m, t); err != nil {
		panic(err)
	}
	return addrPort(&net.UDPAddr{IP: a.IP, Port: a.Port})
}

func channel(n uint16) stun.Setter {
	return attribute{stun.AttrChannelNumber, binary.BigEndian.AppendUint32(nil, uint32(n)<<16)}
}

func seconds(d time.Duration) stun.Setter {
	return attribute{stun.AttrLifetime, binary.BigEndian.AppendUint32(nil, uint32(d/time.Second))}
}

func channelData(n uint16, data string) []byte {
	b := binary.BigEndian.AppendUint16(nil, n)
	b = append(binary.BigEndian.AppendUint16(b, uint16(len(data))), data...)
	return append(b, make([]byte, (4-len(data)%4)%4)...)
}

// sends is a Send indication.
func sends(to netip.AddrPort, data string) []byte {
	return stun.MustBuild(stun.TransactionID, stun.NewType(stun.MethodSend, stun.ClassIndication), peer(to), attribute{stun.AttrData, []byte(data)}).Raw
}

// allocated is a user with an allocation.
func (w *world) allocated(addr, name string, what ...stun.Setter) *user {
	w.t.Helper()
	u := w.user(addr, name)
	if _, code := u.ask(stun.MethodAllocate, append(what, udp)...); code != success {
		w.t.Fatalf("allocate: %d", code)
	}
	return u
}

// permitted has a permission for the public address too.
func (w *world) permitted(addr, name string, what ...stun.Setter) *user {
	w.t.Helper()
	u := w.allocated(addr, name, what...)
	if _, code := u.ask(stun.MethodCreatePermission, peer(public)); code != success {
		w.t.Fatalf("permission: %d", code)
	}
	return u
}
