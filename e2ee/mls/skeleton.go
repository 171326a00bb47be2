// Package mls is a strict profile of MLS (RFC 9420) for Conclave.
package mls

import (
	"crypto/ed25519"
	"errors"
	"io"
	"time"
)

var errSkeleton = errors.New("mls: not available in this build")

// Errors.
var (
	ErrMalformed    = errors.New("mls: malformed")
	ErrProfile      = errors.New("mls: outside the profile")
	ErrInvalid      = errors.New("mls: invalid")
	ErrUnusable     = errors.New("mls: this member cannot decrypt the commit's path")
	ErrOwnCommit    = errors.New("mls: own commit")
	ErrWrongEpoch   = errors.New("mls: another group or epoch")
	ErrNotAddressed = errors.New("mls: welcome names another key package")
	ErrUnknownPSK   = errors.New("mls: unknown PSK")
	ErrDecrypt      = errors.New("mls: message does not decrypt")
	ErrGeneration   = errors.New("mls: generation used or too far ahead")
)

// Extension types of Conclave, from the private range.
const (
	ExtensionConclaveGroup    uint16 = 0xF0C0 // GroupContext
	ExtensionConclaveIdentity uint16 = 0xF0C1 // LeafNode
	ExtensionConclaveJoin     uint16 = 0xF0C2 // KeyPackage
	ExtensionConclaveCommit   uint16 = 0xF0C3 // GroupInfo
)

type Suite uint16

const (
	Suite1 Suite = 0x0001
	Suite3 Suite = 0x0003
)

type LeafIndex uint32

type Extension struct {
	Type uint16
	Data []byte
}

type PSK struct{ ID, Secret []byte }

type KeyPackage struct{}

func ParseKeyPackage(raw []byte) (*KeyPackage, error)         { return nil, errSkeleton }
func (k *KeyPackage) Raw() []byte                             { return nil }
func (k *KeyPackage) Ref() []byte                             { return nil }
func (k *KeyPackage) Suite() Suite                            { return 0 }
func (k *KeyPackage) Identity() []byte                        { return nil }
func (k *KeyPackage) SignatureKey() ed25519.PublicKey         { return nil }
func (k *KeyPackage) Extensions() []Extension                 { return nil }
func (k *KeyPackage) LeafExtensions() []Extension             { return nil }
func (k *KeyPackage) Lifetime() (notBefore, notAfter uint64)  { return 0, 0 }
func (k *KeyPackage) Verify(suite Suite, now time.Time) error { return errSkeleton }

type KeyPackageParams struct {
	Suite                      Suite
	Signer                     ed25519.PrivateKey
	Identity                   []byte
	LeafExtensions, Extensions []Extension
	NotBefore, NotAfter        uint64 // seconds
}

type KeyPackageSecrets struct{}

func NewKeyPackage(rand io.Reader, p KeyPackageParams) (*KeyPackageSecrets, error) {
	return nil, errSkeleton
}
func (s *KeyPackageSecrets) KeyPackage() *KeyPackage { return nil }
func (s *KeyPackageSecrets) String() string          { return "[secret]" }
func (s *KeyPackageSecrets) Erase()                  {}

type Group struct{}
type Sender struct{}
type Receiver struct{}

type CreateParams struct {
	Suite                           Suite
	GroupID                         []byte
	Signer                          ed25519.PrivateKey
	Identity                        []byte
	LeafExtensions, GroupExtensions []Extension
	NotBefore, NotAfter             uint64
}

func Create(rand io.Reader, p CreateParams) (*Group, *Sender, error) { return nil, nil, errSkeleton }

// CreateFrom creates a group whose only leaf is the one of kp.
func CreateFrom(rand io.Reader, kp *KeyPackageSecrets, groupID []byte, groupExtensions []Extension) (*Group, *Sender, error) {
	return nil, nil, errSkeleton
}

type CommitParams struct {
	Adds                []*KeyPackage
	Removes             []LeafIndex
	PSK                 PSK
	AAD                 []byte
	GroupInfoExtensions func(commit []byte) []Extension
}

func (g *Group) Commit(rand io.Reader, s *Sender, p CommitParams) (*Staged, error) {
	return nil, errSkeleton
}

type Staged struct{ Commit, Welcome []byte }

func (s *Staged) Merge() (*Group, *Sender) { return nil, nil }

type Preview struct {
	GroupID     []byte
	Epoch       uint64
	ContentType uint8
	AAD         []byte
}

func PeekPrivateMessage(msg []byte) (Preview, error) { return Preview{}, errSkeleton }

type ProcessParams struct {
	PSKs func(id []byte) ([]byte, bool)
	Now  time.Time
}

func (g *Group) Process(msg []byte, p ProcessParams) (*Processed, error) { return nil, errSkeleton }

type Processed struct {
	Committer   LeafIndex
	AAD         []byte
	Added       []Member
	AddedRefs   [][]byte // KeyPackageRef, in order
	AddedRaw    [][]byte // KeyPackage bytes, in order
	Removed     []Member
	PSKIDs      [][]byte
	SelfRemoved bool
	Group       *Group
	Sender      *Sender // nil if SelfRemoved
}

type JoinParams struct {
	PSKs         func(id []byte) ([]byte, bool)
	RequiredPSKs [][]byte
}

type JoinedInfo struct {
	Extensions []Extension // of the GroupInfo
	Signer     LeafIndex
}

func Join(welcome []byte, kp *KeyPackageSecrets, p JoinParams) (*Group, *Sender, *JoinedInfo, error) {
	return nil, nil, nil, errSkeleton
}

type Member struct {
	Leaf         LeafIndex
	Identity     []byte
	SignatureKey ed25519.PublicKey
	Extensions   []Extension // of the leaf
}

func (g *Group) Suite() Suite                         { return 0 }
func (g *Group) GroupID() []byte                      { return nil }
func (g *Group) Epoch() uint64                        { return 0 }
func (g *Group) Own() LeafIndex                       { return 0 }
func (g *Group) Extensions() []Extension              { return nil }
func (g *Group) Members() []Member                    { return nil }
func (g *Group) Member(leaf LeafIndex) (Member, bool) { return Member{}, false }
func (g *Group) Export(label string, context []byte, length int) ([]byte, error) {
	return nil, errSkeleton
}
func (g *Group) EpochAuthenticator() []byte      { return nil }
func (g *Group) ConfirmedTranscriptHash() []byte { return nil }
func (g *Group) NewReceiver() *Receiver          { return nil }

// Opened is an application message.
type Opened struct {
	Sender    LeafIndex
	AAD       []byte
	Plaintext []byte
}

func (s *Sender) Seal(rand io.Reader, aad, plaintext []byte) ([]byte, error) { return nil, errSkeleton }
func (r *Receiver) Open(msg []byte) (Opened, error)                          { return Opened{}, errSkeleton }
