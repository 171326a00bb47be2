package interop

import (
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/conclave-sfu/conclave/e2ee/mls"
	"github.com/thomas-vilte/mls-go/ciphersuite"
	"github.com/thomas-vilte/mls-go/credentials"
	"github.com/thomas-vilte/mls-go/framing"
	"github.com/thomas-vilte/mls-go/group"
	"github.com/thomas-vilte/mls-go/keypackages"
	"github.com/thomas-vilte/mls-go/schedule"
)

// mlsgo is a member that mls-go plays.
type mlsgo struct {
	id     string
	suite  ciphersuite.CipherSuite
	kp     *keypackages.KeyPackage
	secret *keypackages.KeyPackagePrivateKeys
	signer *ciphersuite.SignaturePrivateKey
	group  *group.Group
	staged *group.StagedCommit
}

func newMLSGo(suite mls.Suite, id string, moreDays ...uint64) (*mlsgo, error) {
	m := &mlsgo{id: id, suite: ciphersuite.CipherSuite(suite)}
	cred, signer, err := credentials.GenerateCredentialWithKeyForCS([]byte(id), m.suite)
	if err != nil {
		return nil, err
	}
	m.signer = signer
	from, to := lifetime()
	for _, d := range moreDays {
		to += d * 24 * 60 * 60
	}
	m.kp, m.secret, err = keypackages.Generate(cred, m.suite, keypackages.WithLifetime(from, to))
	return m, err
}

func (m *mlsgo) name() string { return m.id + " (mls-go)" }

func (m *mlsgo) identity() string { return m.id }
func (m *mlsgo) keyPackage() []byte {
	return (&framing.MLSMessage{KeyPackage: m.kp.Marshal()}).Marshal()
}

// create begins a group of two. mls-go's commits have no path in a group of one, and our
// profile wants one in every commit: so its first adds a companion, whom nobody plays, and
// our members come after.
func (m *mlsgo) create(id []byte, extensions []extension) error {
	if len(extensions) > 0 {
		return errors.New("mls-go knows no extension of ours")
	}
	if err := m.createAlone(id); err != nil {
		return err
	}
	companion, err := newMLSGo(mls.Suite(m.suite), m.id+"'s companion")
	if err != nil {
		return err
	}
	_, _, err = m.commit([][]byte{companion.keyPackage()}, nil, nil)
	return err
}

func (m *mlsgo) createAlone(id []byte) (err error) {
	if m.group, err = group.NewGroup(group.NewGroupID(id), m.suite, m.kp, m.secret); err != nil {
		return err
	}
	m.group.LoadPsk(pskID, pskSecret)
	return nil
}

// message reads an MLSMessage.
func message(raw []byte) (*framing.MLSMessage, error) { return framing.UnmarshalMLSMessage(raw) }

func (m *mlsgo) join(raw []byte) error {
	msg, err := message(raw)
	if err != nil {
		return err
	}
	welcome, err := group.UnmarshalWelcome(msg.Welcome)
	if err != nil {
		return err
	}
	m.group, err = group.JoinFromWelcome(welcome, m.kp, m.secret, map[string][]byte{string(pskID): pskSecret})
	return err
}

// commit stages a commit. mls-go gives commits no authenticated data.
func (m *mlsgo) commit(adds [][]byte, removes []uint32, _ []byte) (commit, welcome []byte, err error) {
	var kps []*keypackages.KeyPackage
	for _, raw := range adds {
		msg, err := message(raw)
		if err != nil {
			return nil, nil, err
		}
		kp, err := keypackages.UnmarshalKeyPackage(msg.KeyPackage)
		if err != nil {
			return nil, nil, err
		}
		kps = append(kps, kp)
		if _, err := m.group.AddMember(kp); err != nil {
			return nil, nil, err
		}
	}
	for _, leaf := range removes {
		if _, err := m.group.RemoveMember(group.NewLeafNodeIndex(leaf)); err != nil {
			return nil, nil, err
		}
	}
	psk := group.NewPreSharedKeyProposal(uint8(schedule.PskTypeExternal), pskID)
	psk.PreSharedKey.PskID.Nonce = make([]byte, m.suite.HashLength())
	rand.Read(psk.PreSharedKey.PskID.Nonce) // crypto/rand.Read never fails
	m.group.Proposals().AddProposal(psk, m.group.OwnLeafIndex())
	m.staged, err = m.group.CommitWithFormat(m.signer, m.signer.PublicKey(), nil, framing.WireFormatPrivateMessage)
	if err != nil {
		return nil, nil, err
	}
	private, err := framing.Encrypt(framing.EncryptParams{
		AuthContent: m.staged.AuthenticatedContent(), SenderLeafIndex: uint32(m.group.OwnLeafIndex()),
		CipherSuite: m.suite, SenderDataSecret: m.group.EpochSecrets().SenderDataSecret, SecretTree: m.group.SecretTree(),
	})
	if err != nil {
		return nil, nil, err
	}
	if welcome, err = m.welcome(kps); err != nil {
		return nil, nil, err
	}
	return framing.NewMLSMessagePrivate(private).Marshal(), welcome, nil
}

// welcome needs the merged group: mls-go makes a Welcome of the epoch that it is in.
func (m *mlsgo) welcome(kps []*keypackages.KeyPackage) ([]byte, error) {
	if err := m.group.MergeCommit(m.staged); err != nil {
		return nil, err
	}
	if len(kps) == 0 {
		return nil, nil
	}
	w, err := m.group.CreateWelcomeWithOpts(kps, m.signer,
		group.WithJoinerSecret(m.staged.JoinerSecret()), group.WithStagedCommit(m.staged),
		group.WithPSKIDs(m.staged.PskIDs()), group.WithPSKSecret(m.staged.RawPskSecret()),
	)
	if err != nil {
		return nil, err
	}
	return (&framing.MLSMessage{Welcome: w.Marshal()}).Marshal(), nil
}

// merge has been done by commit.
func (m *mlsgo) merge() error { return nil }

func (m *mlsgo) process(raw []byte) (removed bool, err error) {
	msg, err := message(raw)
	if err != nil {
		return false, err
	}
	private, ok := msg.AsPrivate()
	if !ok {
		return false, errors.New("not a PrivateMessage")
	}
	return false, m.group.ProcessPrivateMessage(private)
}

// mls-go processes a commit as one who stays.
func (m *mlsgo) learnsRemoval(bool) bool { return false }

func (m *mlsgo) seal(aad, plaintext []byte) ([]byte, error) {
	private, err := m.group.SendMessage(plaintext, m.signer, group.WithAAD(aad))
	if err != nil {
		return nil, err
	}
	return framing.NewMLSMessagePrivate(private).Marshal(), nil
}

func (m *mlsgo) open(raw []byte) (aad, plaintext []byte, err error) {
	msg, err := message(raw)
	if err != nil {
		return nil, nil, err
	}
	private, ok := msg.AsPrivate()
	if !ok {
		return nil, nil, errors.New("not a PrivateMessage")
	}
	plaintext, aad, _, err = m.group.ReceiveApplicationMessage(private)
	return aad, plaintext, err
}

func (m *mlsgo) state() (state, error) {
	exported, err := m.group.Export(exportLabel, exportContext, exportLength)
	if err != nil {
		return state{}, fmt.Errorf("export: %w", err)
	}
	return state{
		epoch: m.group.Epoch().AsUint64(), leaf: uint32(m.group.OwnLeafIndex()),
		authenticator: m.group.EpochAuthenticator(), exported: exported,
		treeHash: m.group.GroupContext().TreeHash,
	}, nil
}
