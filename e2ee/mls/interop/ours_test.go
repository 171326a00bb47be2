package interop

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"time"

	"github.com/conclave-sfu/conclave/e2ee/mls"
)

// ours is a member that Conclave's core plays.
type ours struct {
	id     string
	kp     *mls.KeyPackageSecrets
	group  *mls.Group
	sender *mls.Sender
	staged *mls.Staged
}

func newOurs(suite mls.Suite, id string) (*ours, error) {
	_, signer, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	from, to := lifetime()
	kp, err := mls.NewKeyPackage(rand.Reader, mls.KeyPackageParams{
		Suite: suite, Signer: signer, Identity: []byte(id), NotBefore: from, NotAfter: to,
		LeafExtensions: []mls.Extension{{Type: mls.ExtensionConclaveIdentity, Data: []byte("sealed")}},
		Extensions:     []mls.Extension{{Type: mls.ExtensionConclaveJoin, Data: []byte("join")}},
	})
	return &ours{id: id, kp: kp}, err
}

func (m *ours) name() string       { return m.id + " (conclave)" }
func (m *ours) identity() string   { return m.id }
func (m *ours) keyPackage() []byte { return m.kp.KeyPackage().Raw() }

func (m *ours) create(group []byte, extensions []extension) (err error) {
	var list []mls.Extension
	for _, e := range extensions {
		list = append(list, mls.Extension(e))
	}
	m.group, m.sender, err = mls.CreateFrom(rand.Reader, m.kp, group, list)
	return err
}

func psks(id []byte) ([]byte, bool) { return pskSecret, bytes.Equal(id, pskID) }

func (m *ours) join(welcome []byte) (err error) {
	m.group, m.sender, _, err = mls.Join(welcome, m.kp, mls.JoinParams{PSKs: psks, RequiredPSKs: [][]byte{pskID}})
	return err
}

func (m *ours) commit(adds [][]byte, removes []uint32, aad []byte) (commit, welcome []byte, err error) {
	p := mls.CommitParams{PSK: mls.PSK{ID: pskID, Secret: pskSecret}, AAD: aad, Now: time.Now()}
	for _, raw := range adds {
		kp, err := mls.ParseKeyPackage(raw)
		if err != nil {
			return nil, nil, err
		}
		p.Adds = append(p.Adds, kp)
	}
	for _, leaf := range removes {
		p.Removes = append(p.Removes, mls.LeafIndex(leaf))
	}
	if m.staged, err = m.group.Commit(rand.Reader, m.sender, p); err != nil {
		return nil, nil, err
	}
	return m.staged.Commit, m.staged.Welcome, nil
}

func (m *ours) merge() error {
	m.group, m.sender = m.staged.Merge()
	return nil
}

func (m *ours) process(commit []byte) (removed bool, err error) {
	out, err := m.group.Process(commit, mls.ProcessParams{PSKs: psks, Now: time.Now()})
	if err != nil {
		return false, err
	}
	if !out.SelfRemoved {
		m.group, m.sender = out.Group, out.Sender
	}
	return out.SelfRemoved, nil
}

func (m *ours) learnsRemoval(bool) bool { return true }

func (m *ours) seal(aad, plaintext []byte) ([]byte, error) {
	return m.sender.Seal(rand.Reader, aad, plaintext)
}

func (m *ours) open(message []byte) (aad, plaintext []byte, err error) {
	out, err := m.group.NewReceiver().Open(message)
	return out.AAD, out.Plaintext, err
}

func (m *ours) state() (state, error) {
	exported, err := m.group.Export(exportLabel, exportContext, exportLength)
	return state{
		epoch: m.group.Epoch(), leaf: uint32(m.group.Own()),
		authenticator: m.group.EpochAuthenticator(), exported: exported,
	}, err
}
