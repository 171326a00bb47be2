package interop

import (
	"bytes"
	"crypto/hpke"
	"crypto/rand"
	"crypto/sha3"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/conclave-sfu/conclave/e2ee/mls"
)

// DeriveKeyPair of suite 0xF00E, by the words of docs/protocol.md, is that behind ts-mls.
// That the core's is the same, the meetings in this suite show: keys of either side's paths
// are used by the other.
func TestXWingDeriveKeyPair(t *testing.T) {
	n := startNode(t)
	for i := range 20 {
		ikm := make([]byte, 64)
		rand.Read(ikm) // never fails
		ours, err := hpke.MLKEM768X25519().NewPrivateKey(sha3.SumSHAKE256(ikm, 32))
		must(t, "ours", err)
		var theirs bytesAsHex
		must(t, "theirs", n.call("derive", "", map[string]any{"suite": mls.SuiteXWing, "ikm": bytesAsHex(ikm)}, &theirs))
		if !bytes.Equal(theirs, ours.PublicKey().Bytes()) {
			t.Fatalf("key pair %d differs", i)
		}
	}
}

// Messages of an epoch are heard in any order, each once.
func TestOutOfOrder(t *testing.T) {
	eachPeer(t, func(t *testing.T, p peer, us, them maker) {
		m := begin(t, us("a"), p.extensions())
		m.commit(m.members[0], []member{them("b")}, nil)
		for _, pair := range [][2]member{{m.members[0], m.members[1]}, {m.members[1], m.members[0]}} {
			from, to := pair[0], pair[1]
			var sealed [][]byte
			for i := range 6 {
				msg, err := from.seal([]byte{byte(i)}, []byte{byte(i)})
				must(t, "seal", err)
				sealed = append(sealed, msg)
			}
			for _, i := range []int{4, 0, 2, 1, 5, 3} {
				aad, text, err := to.open(sealed[i])
				must(t, fmt.Sprintf("%s opens message %d", to.name(), i), err)
				if !slices.Equal(aad, []byte{byte(i)}) || !slices.Equal(text, []byte{byte(i)}) {
					t.Errorf("%s: message %d is %x with %x", to.name(), i, text, aad)
				}
				if _, _, err := to.open(sealed[i]); err == nil {
					t.Errorf("%s opens message %d twice", to.name(), i)
				}
			}
			// What is not what was authenticated is not opened.
			msg, err := from.seal([]byte("aad"), []byte("text"))
			must(t, "seal", err)
			at := bytes.Index(msg, []byte("aad"))
			msg[at] ^= 1
			if _, _, err := to.open(msg); err == nil {
				t.Errorf("%s opens a message with other authenticated data", to.name())
			}
		}
		m.talk()
	})
}

// A commit that another follows is dropped, and both implementations go on with the winner.
func TestLostRace(t *testing.T) {
	eachPeer(t, func(t *testing.T, p peer, us, them maker) {
		m := begin(t, us("a"), p.extensions())
		m.commit(m.members[0], []member{them("b"), us("c")}, nil)
		if _, _, err := m.members[0].commit(nil, []uint32{2}, nil); err != nil {
			t.Fatal(err)
		}
		m.commit(m.members[1], nil, nil)
		m.commit(m.members[0], []member{us("d")}, nil)
		m.talk()
	})
}

// What the RFC allows and our profile does not is refused as such, and harms nothing.
func TestOutsideProfile(t *testing.T) {
	t.Run("commit as PublicMessage", func(t *testing.T) {
		us, them := oursIn(t, mls.Suite3), startTSMLS(t, mls.Suite3)
		m := begin(t, us("a"), nil)
		b := them("b").(*tsmls)
		m.commit(m.members[0], []member{b}, nil)
		public, _, err := b.commitAs(nil, nil, nil, true)
		must(t, "commit", err)
		if got := binary.BigEndian.Uint16(public[2:]); got != 1 {
			t.Fatalf("wire format %d", got)
		}
		if _, err := m.members[0].process(public); !errors.Is(err, mls.ErrProfile) {
			t.Errorf("%v", err)
		}
		m.commit(b, nil, nil)
		m.talk()
	})
	t.Run("commit without a path", func(t *testing.T) {
		alone, err := newMLSGo(mls.Suite3, "alone")
		must(t, "alone", err)
		must(t, "create", alone.createAlone([]byte("group")))
		b := oursIn(t, mls.Suite3)("b")
		_, welcome, err := alone.commit([][]byte{b.keyPackage()}, nil, nil)
		must(t, "commit", err)
		if err := b.join(welcome); !errors.Is(err, mls.ErrProfile) {
			t.Errorf("%v", err)
		}
	})
	t.Run("KeyPackage of 90 days", func(t *testing.T) {
		a := oursIn(t, mls.Suite3)("a")
		must(t, "create", a.create([]byte("group"), nil))
		b, err := newMLSGo(mls.Suite3, "b", 90)
		must(t, "b", err)
		if _, _, err := a.commit([][]byte{b.keyPackage()}, nil, nil); !errors.Is(err, mls.ErrInvalid) {
			t.Errorf("%v", err)
		}
	})
	t.Run("member that lacks our extensions", func(t *testing.T) {
		a := oursIn(t, mls.Suite3)("a")
		must(t, "create", a.create([]byte("group"), peers[1].extensions()))
		b, err := newMLSGo(mls.Suite3, "b")
		must(t, "b", err)
		if _, _, err := a.commit([][]byte{b.keyPackage()}, nil, nil); !errors.Is(err, mls.ErrInvalid) {
			t.Errorf("%v", err)
		}
	})
}
