package mls

import (
	"slices"
	"strconv"

	"github.com/conclave-sfu/conclave/e2ee/internal/fail"
)

// wireFormat is WireFormat (RFC 9420, Section 17.2).
type wireFormat uint16

const (
	wirePublicMessage  wireFormat = 1
	wirePrivateMessage wireFormat = 2
	wireWelcome        wireFormat = 3
	wireKeyPackage     wireFormat = 5
)

// messageHeader reads what stands before the body of an MLSMessage (RFC 9420, Section 6).
func (r *reader) messageHeader(want wireFormat) {
	if v := r.u16(); v != versionMLS10 && r.err == nil {
		r.fail(fail.With(ErrProfile, "version "+strconv.Itoa(int(v))))
	}
	if w := wireFormat(r.u16()); w != want && r.err == nil {
		r.fail(fail.With(ErrProfile, "wire format "+strconv.Itoa(int(w))+" instead of "+strconv.Itoa(int(want))))
	}
}

func appendMessageHeader(b []byte, w wireFormat) []byte {
	return appendU16(appendU16(b, versionMLS10), uint16(w))
}

// cloneInput copies a message, so that what is parsed may keep parts of it.
func cloneInput(b []byte) ([]byte, error) {
	if len(b) > maxInput {
		return nil, fail.With(ErrMalformed, strconv.Itoa(len(b))+" bytes")
	}
	return slices.Clone(b), nil
}

// contentType is ContentType (RFC 9420, Section 6).
type contentType uint8

const (
	contentApplication contentType = 1
	contentProposal    contentType = 2
	contentCommit      contentType = 3
)

// framedContent is FramedContent of a member (RFC 9420, Section 6).
type framedContent struct {
	groupID []byte
	epoch   uint64
	sender  LeafIndex
	aad     []byte
	typ     contentType
	body    []byte // encoding of what the content type selects
}

const senderMember = 1

func (c *framedContent) encode() []byte {
	b := appendU64(appendVec(nil, c.groupID), c.epoch)
	b = appendU32(append(b, senderMember), uint32(c.sender))
	b = append(appendVec(b, c.aad), byte(c.typ))
	return append(b, c.body...)
}

// authenticatedContent is AuthenticatedContent (RFC 9420, Section 6.1).
type authenticatedContent struct {
	wire      wireFormat
	content   framedContent
	signature []byte
	tag       []byte // confirmation_tag, of a commit
}

// tbs is FramedContentTBS with the GroupContext of the epoch the content is sent in.
func (a *authenticatedContent) tbs(context []byte) []byte {
	b := append(appendMessageHeader(nil, a.wire), a.content.encode()...)
	return append(b, context...)
}

func (a *authenticatedContent) sign(s signer, context []byte) (err error) {
	a.signature, err = signWithLabel(s, "FramedContentTBS", a.tbs(context))
	return err
}

func (a *authenticatedContent) verify(s *suite, public, context []byte) error {
	if !s.verifyWithLabel(public, "FramedContentTBS", a.tbs(context), a.signature) {
		return fail.With(ErrInvalid, "signature of a message")
	}
	return nil
}

// authData is FramedContentAuthData.
func (a *authenticatedContent) authData() []byte {
	b := appendVec(nil, a.signature)
	if a.content.typ == contentCommit {
		b = appendVec(b, a.tag)
	}
	return b
}

// proposalType is ProposalType (RFC 9420, Section 17.4).
type proposalType uint16

const (
	proposalAdd    proposalType = 1
	proposalUpdate proposalType = 2
	proposalRemove proposalType = 3
	proposalPSK    proposalType = 4
)

// proposal is Proposal (RFC 9420, Section 12.1). Of the types that the profile lacks only
// Update can be read; no commit may hold it.
type proposal struct {
	typ     proposalType
	add     *KeyPackage
	update  *leafNode
	removed LeafIndex
	psk     pskID
}

func (r *reader) proposal() (p proposal) {
	switch p.typ = proposalType(r.u16()); p.typ {
	case proposalAdd:
		p.add = r.keyPackage()
	case proposalUpdate:
		p.update = r.leafNode()
	case proposalRemove:
		p.removed = LeafIndex(r.u32())
	case proposalPSK:
		p.psk = r.pskID()
	default:
		if r.err == nil {
			r.fail(fail.With(ErrProfile, "proposal type "+strconv.Itoa(int(p.typ))))
		}
	}
	return p
}

func (p proposal) append(b []byte) []byte {
	b = appendU16(b, uint16(p.typ))
	switch p.typ {
	case proposalAdd:
		return append(b, p.add.raw...)
	case proposalUpdate:
		return append(b, p.update.raw...)
	case proposalRemove:
		return appendU32(b, uint32(p.removed))
	}
	return p.psk.append(b)
}

// commit is Commit (RFC 9420, Section 12.4) with proposals by value only.
type commit struct {
	proposals []proposal
	path      *updatePath
}

// maxProposals is more than the longest commit of the profile has: all but the committer
// removed, as many added, and the PSK.
const maxProposals = 2*MaxMembers + 1

const (
	proposalByValue     = 1
	proposalByReference = 2
)

func (r *reader) commit() *commit {
	c := &commit{}
	r.list(maxProposals, func(r *reader) {
		switch typ := r.u8(); typ {
		case proposalByValue:
			c.proposals = append(c.proposals, r.proposal())
		case proposalByReference:
			r.fail(fail.With(ErrProfile, "proposal by reference"))
		default:
			r.malformed("ProposalOrRef of type " + strconv.Itoa(int(typ)))
		}
	})
	if r.optional() {
		c.path = r.updatePath()
	}
	return c
}

func (c *commit) encode() []byte {
	b := appendList(nil, func(b []byte) []byte {
		for _, p := range c.proposals {
			b = p.append(append(b, proposalByValue))
		}
		return b
	})
	if c.path == nil {
		return append(b, 0)
	}
	return c.path.append(append(b, 1))
}
