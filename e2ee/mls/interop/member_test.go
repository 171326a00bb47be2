package interop

import (
	"bytes"
	"testing"
	"time"
)

// member is a participant that some implementation plays. KeyPackages, commits, Welcomes
// and messages are MLSMessages.
type member interface {
	// name says who it is and what plays it.
	name() string
	// identity is its credential's.
	identity() string
	// keyPackage is what the member can be added by.
	keyPackage() []byte
	// create begins a group of one.
	create(group []byte, extensions []extension) error
	join(welcome []byte) error
	// commit stages a commit; merge takes it as the one that counts.
	commit(adds [][]byte, removes []uint32, aad []byte) (commit, welcome []byte, err error)
	merge() error
	// process takes another's commit, and says whether it removes this member.
	process(commit []byte) (removed bool, err error)
	// learnsRemoval says whether it is asked to process a commit that removes it, alone or
	// with others who are added.
	learnsRemoval(adds bool) bool
	seal(aad, plaintext []byte) ([]byte, error)
	open(message []byte) (aad, plaintext []byte, err error)
	state() (state, error)
}

// extension is an extension of a GroupContext.
type extension struct {
	Type uint16
	Data []byte
}

// state is what members of one epoch must agree on, but for the leaf.
type state struct {
	epoch         uint64
	leaf          uint32
	authenticator []byte
	exported      []byte // exportLabel, exportContext, exportLength
	treeHash      []byte // nil where the implementation does not tell
}

const exportLabel = "conclave interop"

var exportContext = []byte("context")

const exportLength = 80 // more than a hash

// The PSK of every commit.
var pskID, pskSecret = []byte("conclave/1 link\x00\x01"), bytes.Repeat([]byte{0x5a}, 32)

// lifetime is that of every KeyPackage: 25 h around now, which peers take from the clock.
func lifetime() (notBefore, notAfter uint64) {
	now := uint64(time.Now().Unix())
	return now - 60*60, now + 24*60*60
}

func must(t testing.TB, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}
