package icelite

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"

	"github.com/pion/stun/v4"
)

var (
	ours = Credentials{"ourfrag", "ourpassword0123456789012"}
	next = Credentials{"nextfrag", "nextpassword012345678901"}
	peer = Credentials{"peer", "theirpassword01234567890"}
	four = netip.MustParseAddrPort("192.0.2.7:4321")
	six  = netip.MustParseAddrPort("[2001:db8::7]:4321")
)

// checkOf is a check as others make it.
func checkOf(t testing.TB, local Credentials, remote string, more ...stun.Setter) []byte {
	t.Helper()
	setters := append([]stun.Setter{
		stun.TransactionID, stun.BindingRequest, stun.NewUsername(local.Ufrag + ":" + remote),
		stun.RawAttribute{Type: stun.AttrPriority, Value: []byte{0x6e, 0, 0x1e, 0xff}},
	}, more...)
	m, err := stun.Build(append(setters, stun.NewShortTermIntegrity(string(local.Password)), stun.Fingerprint)...)
	if err != nil {
		t.Fatal(err)
	}
	return m.Raw
}

func controlling() stun.Setter {
	return stun.RawAttribute{Type: stun.AttrICEControlling, Value: []byte{1, 2, 3, 4, 5, 6, 7, 8}}
}

func nominating() stun.Setter { return stun.RawAttribute{Type: stun.AttrUseCandidate} }

// answer gives what an agent says to a packet, and Pion's reading of it.
func answer(t testing.TB, a *Agent, packet []byte, from netip.AddrPort, password Password) (*stun.Message, Verdict, string) {
	t.Helper()
	check, ok := Parse(packet)
	if !ok {
		return nil, Ignored, ""
	}
	raw, verdict, retired := a.Answer(&check, from)
	if raw == nil {
		return nil, verdict, retired
	}
	m := stun.New()
	if err := stun.Decode(raw, m); err != nil {
		t.Fatal(err)
	}
	if err := stun.NewShortTermIntegrity(string(password)).Check(m); err != nil {
		t.Fatalf("integrity of the answer: %v", err)
	}
	if err := stun.Fingerprint.Check(m); err != nil {
		t.Fatalf("fingerprint of the answer: %v", err)
	}
	if !bytes.Equal(m.TransactionID[:], packet[8:20]) {
		t.Error("another transaction is answered")
	}
	return m, verdict, retired
}

func newAgent() *Agent {
	a := &Agent{}
	a.Restart(ours, peer)
	return a
}

func TestAnswer(t *testing.T) {
	for _, from := range []netip.AddrPort{four, six, netip.AddrPortFrom(netip.AddrFrom16(four.Addr().As16()), 9)} {
		for _, nominate := range []bool{false, true} {
			more, want := []stun.Setter{controlling()}, Checked
			if nominate {
				more, want = append(more, nominating()), Nominated
			}
			m, verdict, _ := answer(t, newAgent(), checkOf(t, ours, "peer", more...), from, ours.Password)
			if verdict != want || m.Type != stun.BindingSuccess {
				t.Fatalf("verdict %d, %v", verdict, m)
			}
			var mapped stun.XORMappedAddress
			if err := mapped.GetFrom(m); err != nil {
				t.Fatal(err)
			}
			if got := netip.MustParseAddrPort(mapped.String()); got != netip.AddrPortFrom(from.Addr().Unmap(), from.Port()) {
				t.Errorf("mapped address %s, want %s", got, from)
			}
		}
	}
}

// TestErrors: the role conflict and unknown attributes are told, to who knows the
// password.
func TestErrors(t *testing.T) {
	for _, test := range []struct {
		more stun.Setter
		code stun.ErrorCode
	}{
		{stun.RawAttribute{Type: stun.AttrICEControlled, Value: make([]byte, 8)}, stun.CodeRoleConflict},
		{stun.RawAttribute{Type: 0x7f01, Value: []byte("?")}, stun.CodeUnknownAttribute},
	} {
		m, verdict, _ := answer(t, newAgent(), checkOf(t, ours, "peer", test.more), four, ours.Password)
		var code stun.ErrorCodeAttribute
		if verdict != Refused || m.Type != stun.BindingError || code.GetFrom(m) != nil || code.Code != test.code {
			t.Errorf("verdict %d, %v, want %d", verdict, m, test.code)
		}
	}
	m, verdict, _ := answer(t, newAgent(), checkOf(t, ours, "peer", stun.RawAttribute{Type: 0xc057, Value: make([]byte, 4)}), four, ours.Password)
	if verdict != Checked || m == nil {
		t.Error("an optional attribute is refused")
	}
}

// TestUnauthentic: what proves nothing is not answered.
func TestUnauthentic(t *testing.T) {
	stranger := Credentials{"ourfrag", "somebodyelse's"}
	good := checkOf(t, ours, "peer", controlling())
	without, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername("ourfrag:peer"), stun.Fingerprint)
	if err != nil {
		t.Fatal(err)
	}
	for name, packet := range map[string][]byte{
		"wrong password": checkOf(t, stranger, "peer"), "wrong peer": checkOf(t, ours, "other"),
		"another agent": checkOf(t, next, "peer"), "no integrity": without.Raw, "empty": nil,
		"an indication": append([]byte{0, 0x11}, good[2:]...), "a response": append([]byte{1, 1}, good[2:]...),
	} {
		if m, verdict, _ := answer(t, newAgent(), packet, four, ours.Password); m != nil || verdict != Ignored {
			t.Errorf("%s: %v, verdict %d", name, m, verdict)
		}
	}
	for n := range len(good) {
		if _, ok := Parse(good[:n]); ok {
			t.Errorf("%d of %d bytes are a check", n, len(good))
		}
		changed := bytes.Clone(good)
		changed[n] ^= 0x10
		if m, verdict, _ := answer(t, newAgent(), changed, four, ours.Password); m != nil || verdict != Ignored {
			t.Errorf("byte %d changed: verdict %d", n, verdict)
		}
	}
	if m, _, _ := answer(t, &Agent{}, checkOf(t, Credentials{}, ""), four, ""); m != nil {
		t.Error("an agent without session answers")
	}
}

// TestRestart: the former credentials hold until the first check under the new ones.
func TestRestart(t *testing.T) {
	a := newAgent()
	a.Restart(next, Credentials{"peer2", "theirsecond0123456789012"})
	if got := fmt.Sprint(a.Ufrags()); got != "[nextfrag ourfrag]" || a.Local() != next {
		t.Error(got)
	}
	if _, verdict, retired := answer(t, a, checkOf(t, ours, "peer"), four, ours.Password); verdict != Checked || retired != "" {
		t.Errorf("before the restart is known: verdict %d", verdict)
	}
	if _, verdict, retired := answer(t, a, checkOf(t, next, "peer2"), four, next.Password); verdict != Checked || retired != "ourfrag" {
		t.Errorf("the first check: verdict %d, retired %q", verdict, retired)
	}
	if _, verdict, _ := answer(t, a, checkOf(t, ours, "peer"), four, ours.Password); verdict != Ignored {
		t.Errorf("the former credentials: verdict %d", verdict)
	}
	if got := fmt.Sprint(a.Ufrags()); got != "[nextfrag]" {
		t.Error(got)
	}
}

func TestPasswordsDoNotPrint(t *testing.T) {
	if got := fmt.Sprintf("%v %+v %#v %s", ours, ours, ours.Password, ours.Password); bytes.Contains([]byte(got), []byte("ourpassword")) {
		t.Error(got)
	}
}

// TestMemory: the latest checks are known, wherever they come from again, and as many as there may
// be; older ones give their place to newer ones.
func TestMemory(t *testing.T) {
	check := func(n int) *Check {
		transaction := make([]byte, 12)
		binary.BigEndian.PutUint32(transaction, uint32(n))
		return &Check{request{transaction: transaction}}
	}
	const all = 3*maxMarks + 17
	var m memory
	for n := range all {
		if known, elsewhere := m.meet(check(n), four); known || elsewhere {
			t.Fatalf("check %d is known: %t, from elsewhere: %t", n, known, elsewhere)
		}
	}
	if len(m.marks) != maxMarks {
		t.Fatalf("%d checks are remembered, want %d", len(m.marks), maxMarks)
	}
	for n := all - maxMarks; n < all; n++ {
		if known, elsewhere := m.meet(check(n), four); !known || elsewhere {
			t.Errorf("check %d again: known %t, from elsewhere %t", n, known, elsewhere)
		}
		if known, elsewhere := m.meet(check(n), six); !known || !elsewhere {
			t.Errorf("check %d from elsewhere: known %t, from elsewhere %t", n, known, elsewhere)
		}
	}
	if known, _ := m.meet(check(all-maxMarks-1), four); known {
		t.Error("one more is remembered")
	}
}

// TestUnknownAttributes: those that an agent does not know are named to who knows the password,
// up to a bound (RFC 8489, Section 14.9).
func TestUnknownAttributes(t *testing.T) {
	var more []stun.Setter
	for i := range maxUnknown + 3 {
		more = append(more, stun.RawAttribute{Type: stun.AttrType(0x7f01 + i)})
	}
	for _, n := range []int{1, 2, maxUnknown + 3} {
		m, _, _ := answer(t, newAgent(), checkOf(t, ours, "peer", more[:n]...), four, ours.Password)
		var unknown stun.UnknownAttributes
		if err := unknown.GetFrom(m); err != nil || len(unknown) != min(n, maxUnknown) {
			t.Fatalf("%d unknown attributes: %v, %v", n, unknown, err)
		}
		for i, kind := range unknown {
			if kind != stun.AttrType(0x7f01+i) {
				t.Errorf("%d unknown attributes: %v", n, unknown)
			}
		}
	}
}

// TestWithoutFingerprint: a check whose last attribute is cut short, or is no FINGERPRINT, is none,
// and so is one that names no peer.
func TestWithoutFingerprint(t *testing.T) {
	good := checkOf(t, ours, "peer")
	bare := good[:len(good)-8]
	for name, tail := range map[string]string{
		"nothing": "", "half a header": "\x80\x28", "a header cut short": "\x80\x28\x00", "no value": "\x80\x28\x00\x04",
		"half a value": "\x80\x28\x00\x04\x01\x02", "another attribute": "\x80\x22\x00\x04\x00\x00\x00\x00", "an empty one": "\x80\x28\x00\x00",
	} {
		packet := append(bytes.Clone(bare), tail...)
		binary.BigEndian.PutUint16(packet[2:], uint16(len(packet)-headerSize))
		if _, ok := Parse(packet); ok {
			t.Errorf("%s: is a check", name)
		}
	}
	for _, username := range []string{"", "ourfrag", "ourfragpeer"} {
		m, err := stun.Build(stun.TransactionID, stun.BindingRequest, stun.NewUsername(username),
			stun.NewShortTermIntegrity(string(ours.Password)), stun.Fingerprint)
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := Parse(m.Raw); ok {
			t.Errorf("a check for %q", username)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	good := checkOf(f, ours, "peer", controlling(), nominating())
	f.Add(good)
	for i := 0; i < len(good); i += 11 {
		f.Add(good[:i])
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		before := bytes.Clone(packet)
		m, verdict, _ := answer(t, newAgent(), packet, six, ours.Password)
		if (m == nil) != (verdict == Ignored) {
			t.Fatalf("verdict %d", verdict)
		}
		if !bytes.Equal(before, packet) {
			t.Fatal("the packet has changed")
		}
	})
}

func BenchmarkAnswer(b *testing.B) {
	packet, a := checkOf(b, ours, "peer", controlling(), nominating()), newAgent()
	b.ReportAllocs()
	for b.Loop() {
		check, _ := Parse(packet)
		a.Answer(&check, four)
	}
}

// TestReplay: a check that was here before moves nothing; its sender is answered again,
// nobody else is. Errors are answered as often as they come.
func TestReplay(t *testing.T) {
	a := newAgent()
	first := checkOf(t, ours, "peer", controlling(), nominating())
	for _, step := range []struct {
		from netip.AddrPort
		want Verdict
	}{{four, Nominated}, {four, Repeated}, {six, Ignored}, {netip.AddrPortFrom(four.Addr(), 5), Ignored}, {four, Repeated}} {
		m, verdict, _ := answer(t, a, first, step.from, ours.Password)
		if verdict != step.want || (m == nil) != (step.want == Ignored) {
			t.Errorf("from %s: verdict %d, want %d", step.from, verdict, step.want)
		}
	}
	conflict := checkOf(t, ours, "peer", stun.RawAttribute{Type: stun.AttrICEControlled, Value: make([]byte, 8)})
	for range 2 {
		if _, verdict, _ := answer(t, a, conflict, four, ours.Password); verdict != Refused {
			t.Errorf("a conflict: verdict %d", verdict)
		}
	}
	for range maxMarks - 2 {
		if _, verdict, _ := answer(t, a, checkOf(t, ours, "peer", controlling()), six, ours.Password); verdict != Checked {
			t.Fatalf("another check: verdict %d", verdict)
		}
	}
	if _, verdict, _ := answer(t, a, first, six, ours.Password); verdict != Ignored || len(a.memory.marks) != maxMarks {
		t.Errorf("verdict %d after %d other checks", verdict, maxMarks-1)
	}
}
