package icelite

import (
	"bytes"
	"strings"
	"testing"

	"github.com/pion/stun/v4"
)

// question is that which an agent asks where a check came from, as the peer reads it.
func question(t testing.TB, a *Agent, packet []byte, transaction Transaction) *stun.Message {
	t.Helper()
	check, ok := Parse(packet)
	if !ok {
		t.Fatal("no check")
	}
	if response, verdict, _ := a.Answer(&check, four); response == nil || verdict != Checked {
		t.Fatalf("verdict %d", verdict)
	}
	m := stun.New()
	if err := stun.Decode(a.Ask(&check, transaction), m); err != nil {
		t.Fatal(err)
	}
	return m
}

// replyTo is what an agent with a password answers.
func replyTo(t testing.TB, m *stun.Message, password Password, more ...stun.Setter) []byte {
	t.Helper()
	setters := append([]stun.Setter{stun.NewTransactionIDSetter(m.TransactionID), stun.BindingSuccess},
		&stun.XORMappedAddress{IP: six.Addr().AsSlice(), Port: 9}, stun.NewShortTermIntegrity(string(password)))
	reply, err := stun.Build(append(setters, more...)...)
	if err != nil {
		t.Fatal(err)
	}
	return reply.Raw
}

func isAnswered(a *Agent, packet []byte, transaction Transaction) bool {
	reply, ok := ParseReply(packet)
	return ok && a.IsAnswered(&reply, transaction)
}

// TestQuestion: an independent reader finds in a check of ours what a full agent wants to see in
// it (RFC 8445, Section 7.1), and its answer, with FINGERPRINT or without, is one.
func TestQuestion(t *testing.T) {
	a, transaction := newAgent(), Transaction{1, 2, 3}
	m := question(t, a, checkOf(t, ours, "peer", controlling()), transaction)
	var username stun.Username
	if err := username.GetFrom(m); err != nil || username.String() != "peer:ourfrag" || m.Type != stun.BindingRequest {
		t.Errorf("user name %q of %s", username, m.Type)
	}
	if err := stun.NewShortTermIntegrity(string(peer.Password)).Check(m); err != nil {
		t.Errorf("integrity: %v", err)
	}
	if err := stun.Fingerprint.Check(m); err != nil {
		t.Errorf("fingerprint: %v", err)
	}
	for _, kind := range []stun.AttrType{stun.AttrPriority, stun.AttrICEControlled} {
		if !m.Contains(kind) {
			t.Errorf("no %s", kind)
		}
	}
	if m.Contains(stun.AttrUseCandidate) || m.TransactionID != transaction {
		t.Error("it nominates, or is of another transaction")
	}
	for _, more := range [][]stun.Setter{{stun.Fingerprint}, nil} {
		if !isAnswered(a, replyTo(t, m, peer.Password, more...), transaction) {
			t.Error("its answer is none")
		}
	}
}

// TestNoAnswer: what is not from the peer, not to what was asked, or not whole is none.
func TestNoAnswer(t *testing.T) {
	a, transaction := newAgent(), Transaction{1}
	m := question(t, a, checkOf(t, ours, "peer"), transaction)
	good := replyTo(t, m, peer.Password, stun.Fingerprint)
	if isAnswered(a, good, Transaction{2}) {
		t.Error("an answer to something else")
	}
	failure := bytes.Clone(good)
	failure[0], failure[1] = 1, 0x11
	for name, packet := range map[string][]byte{
		"of our own password": replyTo(t, m, ours.Password, stun.Fingerprint), "of none": replyTo(t, m, "", stun.Fingerprint),
		"an error": failure, "the question itself": m.Raw, "nothing": nil,
	} {
		if isAnswered(a, packet, transaction) {
			t.Errorf("%s: is an answer", name)
		}
	}
	for n := range len(good) {
		changed := bytes.Clone(good)
		changed[n] ^= 0x10
		if isAnswered(a, good[:n], transaction) || n < len(good)-8 && isAnswered(a, changed, transaction) {
			t.Errorf("%d of %d bytes, or byte %d changed, are an answer", n, len(good), n)
		}
	}
	if (&Agent{}).IsAnswered(&Reply{request{transaction: transaction[:], integrity: make([]byte, 20), covered: good[:20]}}, transaction) {
		t.Error("an agent without session is answered")
	}
}

// TestQuestionOfRestart: what was asked before a restart is answered under the password of then,
// until that is retired.
func TestQuestionOfRestart(t *testing.T) {
	a, transaction := newAgent(), Transaction{1}
	before := replyTo(t, question(t, a, checkOf(t, ours, "peer"), transaction), peer.Password)
	again := Credentials{"peer2", "theirsecond0123456789012"}
	a.Restart(next, again)
	if !isAnswered(a, before, transaction) {
		t.Error("the answer to what was asked before")
	}
	if m := question(t, a, checkOf(t, ours, "peer"), transaction); stun.NewShortTermIntegrity(string(peer.Password)).Check(m) != nil {
		t.Error("a way of before is asked by the new password")
	}
	m := question(t, a, checkOf(t, next, "peer2"), transaction)
	if isAnswered(a, before, transaction) || !isAnswered(a, replyTo(t, m, again.Password), transaction) {
		t.Error("the former password stays, or the new one is not taken")
	}
}

// FuzzReply: no packet is an answer but one with the password, and none is changed.
func FuzzReply(f *testing.F) {
	a, transaction := newAgent(), Transaction{7}
	m := question(f, a, checkOf(f, ours, "peer"), transaction)
	f.Add(replyTo(f, m, ours.Password, stun.Fingerprint))
	f.Add(replyTo(f, m, "", stun.Fingerprint))
	f.Add(m.Raw)
	f.Fuzz(func(t *testing.T, packet []byte) {
		before := bytes.Clone(packet)
		if isAnswered(a, packet, transaction) {
			if m := (&stun.Message{Raw: packet}); m.Decode() != nil || stun.NewShortTermIntegrity(string(peer.Password)).Check(m) != nil {
				t.Fatal("an answer of somebody else")
			}
		}
		if !bytes.Equal(before, packet) {
			t.Fatal("the packet has changed")
		}
	})
}

// TestNotAmplified: where a check says that it is from less than three times as much goes, whatever
// the names are, before somebody there has answered.
func TestNotAmplified(t *testing.T) {
	for _, size := range []int{4, 5, 255, 256} {
		for _, more := range [][]stun.Setter{nil, {stun.RawAttribute{Type: 0x7f01}}, {nominating()}} {
			remote := strings.Repeat("r", size)
			var a Agent
			a.Restart(ours, Credentials{remote, peer.Password})
			setters := append([]stun.Setter{stun.TransactionID, stun.BindingRequest, stun.NewUsername(ours.Ufrag + ":" + remote)}, more...)
			m, err := stun.Build(append(setters, stun.NewShortTermIntegrity(string(ours.Password)), stun.Fingerprint)...)
			if err != nil {
				t.Fatal(err)
			}
			check, _ := Parse(m.Raw)
			response, _, _ := a.Answer(&check, six)
			if sent := len(response) + len(a.Ask(&check, Transaction{})); len(response) == 0 || sent >= 3*len(m.Raw) {
				t.Errorf("%d bytes for %d", sent, len(m.Raw))
			}
		}
	}
}
