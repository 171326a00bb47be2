package interop

import (
	"bytes"
	stdlib "crypto/hpke"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/conclave-sfu/conclave/e2ee/mls"
	"github.com/conclave-sfu/conclave/e2ee/mls/hpke"
)

// DeriveKeyPair of suite 0xF00E is that behind ts-mls, and not that of crypto/hpke.
func TestXWingDeriveKeyPair(t *testing.T) {
	n := startNode(t)
	for i := range 20 {
		ikm := make([]byte, 64)
		rand.Read(ikm) // never fails
		ours, err := hpke.XWing.DeriveKeyPair(ikm)
		must(t, "ours", err)
		other, err := stdlib.MLKEM768X25519().DeriveKeyPair(ikm)
		must(t, "crypto/hpke's", err)
		var theirs bytesAsHex
		must(t, "theirs", n.call("derive", "", map[string]any{"suite": mls.SuiteXWing, "ikm": bytesAsHex(ikm)}, &theirs))
		if !bytes.Equal(theirs, ours.PublicKey()) || bytes.Equal(theirs, other.PublicKey().Bytes()) {
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

// public is a member whose commits are PublicMessages.
type public struct{ *tsmls }

func (p public) commit(kps [][]byte, removes []uint32, aad []byte) (commit, welcome []byte, err error) {
	commit, welcome, err = p.commitAs(kps, removes, aad, true)
	if err == nil && binary.BigEndian.Uint16(commit[2:]) != 1 {
		err = errors.New("not a PublicMessage")
	}
	return commit, welcome, err
}

// Commits that come as PublicMessage lead into the same epochs as ours, which are
// PrivateMessages.
func TestPublicMessages(t *testing.T) {
	for _, p := range peers {
		if p.name != "ts-mls" {
			continue // mls-go has no choice
		}
		t.Run(p.suite.String(), func(t *testing.T) {
			t.Parallel()
			us, them := oursIn(t, p.suite), p.start(t, p.suite)
			a, b := us("a"), public{them("b").(*tsmls)}
			m := begin(t, a, p.extensions())
			m.commit(a, []member{b}, nil)
			c, d := us("c"), us("d")
			m.commit(b, []member{c, d}, nil)
			m.commit(c, nil, nil)
			m.commit(b, nil, []member{c})
			m.commit(b, []member{us("e")}, []member{a})
			m.commit(d, nil, nil)
			m.commit(b, nil, nil)
			m.talk()
		})
	}
}

// What the RFC allows and our profile does not is refused as such, and harms nothing.
func TestOutsideProfile(t *testing.T) {
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
