package mls

import (
	"io"
	"slices"
	"time"

	"github.com/conclave-sfu/conclave/e2ee/internal/fail"
)

// PSK is an external pre-shared key. Its nonce is fresh for each commit.
type PSK struct{ ID, Secret []byte }

// String keeps the secret out of logs.
func (PSK) String() string { return "[secret]" }

// GoString keeps the secret out of logs.
func (PSK) GoString() string { return "[secret]" }

// CommitParams says what a commit changes. Slices are not retained.
type CommitParams struct {
	Adds    []*KeyPackage
	Removes []LeafIndex // not our own
	PSK     PSK         // goes into every commit
	AAD     []byte      // authenticated data, sent in clear

	// Now is the time that the Adds' lifetimes are compared with. Zero leaves them
	// unchecked: the caller has called [KeyPackage.Verify].
	Now time.Time
	// GroupInfoExtensions returns what the Welcome's GroupInfo carries beside the tree.
	// It is called once, with the bytes of the finished commit, and only if anybody is
	// added. May be nil.
	GroupInfoExtensions func(commit []byte) []Extension
}

// Staged is a commit that waits to be accepted. Dropping it costs a generation of the
// Sender and nothing else.
type Staged struct {
	Commit  []byte // MLSMessage with a PrivateMessage
	Welcome []byte // MLSMessage with a Welcome; nil if nobody is added

	group  *Group
	sender *Sender
}

// String keeps the secrets out of logs.
func (s *Staged) String() string { return "[secret]" }

// GoString keeps the secrets out of logs.
func (s *Staged) GoString() string { return "[secret]" }

// Erase overwrites the secrets of the epoch that the commit would have begun. The caller
// calls it when another's commit came instead.
func (s *Staged) Erase() {
	s.group.Erase()
	s.sender.Erase()
}

// Merge returns the epoch that the commit begins. The caller calls it when the commit came
// back as the one that counts.
func (s *Staged) Merge() (*Group, *Sender) { return s.group, s.sender }

// Commit makes a commit with a new path, and the Welcome for those it adds
// (RFC 9420, Section 12.4.1). g stays as it is; s, which must be g's, moves on by one
// handshake generation. Errors: [ErrInvalid], [ErrProfile], [ErrGeneration].
func (g *Group) Commit(rand io.Reader, s *Sender, p CommitParams) (*Staged, error) {
	if s == nil || s.group != g {
		return nil, fail.At("commit", fail.With(ErrInvalid, "sender of another epoch"))
	}
	if s.erased() {
		return nil, fail.At("commit", errErased)
	}
	staged, err := g.commit(rand, s, p)
	if err != nil {
		return nil, fail.At("commit", err)
	}
	return staged, nil
}

func (g *Group) commit(rand io.Reader, s *Sender, p CommitParams) (_ *Staged, err error) {
	proposals, err := g.proposals(rand, p)
	if err != nil {
		return nil, err
	}
	c, err := g.apply(proposals, g.own, p.Now)
	if err != nil {
		return nil, err
	}
	path, err := newUpdatePath(rand, pathParams{
		t: c.tree, sender: g.own, signer: g.signer, groupID: g.context.groupID, added: c.added,
		context: func(treeHash []byte) []byte { return g.provisional(treeHash).encode() },
	})
	if err != nil {
		return nil, err
	}
	defer func() {
		path.erase()
		if err != nil {
			path.keys.erase()
		}
	}()
	if err := c.tree.uniqueKeys(); err != nil {
		return nil, err
	}
	a := g.frame(contentCommit, p.AAD, (&commit{proposals, path.path}).encode())
	if err := a.sign(g.signer, g.encoded); err != nil {
		return nil, err
	}
	psk := g.suite.pskSecret(c.psks, [][]byte{p.PSK.Secret})
	tr := g.transit(c.tree, a, path.commitSecret, psk)
	defer tr.erase()
	a.tag = tr.tag
	out := &Staged{}
	if out.Commit, err = s.sealCommit(rand, a); err != nil {
		tr.secrets.erase()
		return nil, err
	}
	keys := g.keys.in(c.tree)
	for x, key := range path.keys {
		keys[x] = key
	}
	out.group, out.sender = g.enter(tr, c.tree, keys)
	if len(c.adds) > 0 {
		out.Welcome, err = out.group.welcome(rand, tr, c, path, groupInfoExtensions(p, out.Commit))
	}
	if err != nil {
		out.Erase()
		return nil, err
	}
	return out, nil
}

func groupInfoExtensions(p CommitParams, commit []byte) []Extension {
	if p.GroupInfoExtensions == nil {
		return nil
	}
	return p.GroupInfoExtensions(slices.Clone(commit))
}

// proposals lists a commit's proposals: Removes, Adds, the PSK.
func (g *Group) proposals(rand io.Reader, p CommitParams) ([]proposal, error) {
	if len(p.PSK.ID) == 0 || len(p.PSK.Secret) == 0 {
		return nil, fail.With(ErrProfile, "commit without PSK")
	}
	nonce, err := readRandom(rand, g.suite.nh)
	if err != nil {
		return nil, err
	}
	var out []proposal
	for _, leaf := range p.Removes {
		out = append(out, proposal{typ: proposalRemove, removed: leaf})
	}
	for _, kp := range p.Adds {
		out = append(out, proposal{typ: proposalAdd, add: kp})
	}
	return append(out, proposal{typ: proposalPSK, psk: pskID{slices.Clone(p.PSK.ID), nonce}}), nil
}
