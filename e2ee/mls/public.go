package mls

import (
	"slices"
	"strconv"

	"github.com/conclave-sfu/conclave/e2ee/internal/fail"
)

// publicMessage is PublicMessage of a member (RFC 9420, Section 6.2): signed, and under a tag
// that proves membership, but not encrypted. We make none. Other implementations send
// commits so; [Group.Process] reads them.
type publicMessage struct {
	content       memberContent
	membershipTag []byte
}

// parsePublicMessage reads an MLSMessage that is a PublicMessage. It aliases b. Senders who are
// no members are outside the profile, and so are other contents than commits: proposals
// come by value, application data is never sent in clear (RFC 9420, Section 6.1).
func parsePublicMessage(b []byte) (m publicMessage, err error) {
	err = decode("public message", b, func(r *reader) {
		r.messageHeader(wirePublicMessage)
		c := &m.content
		c.wire = wirePublicMessage
		c.content.groupID, c.content.epoch = r.vec(), r.u64()
		c.content.sender = r.memberSender()
		c.content.aad, c.content.typ = r.vec(), contentType(r.u8())
		if c.content.typ != contentCommit && r.err == nil {
			r.fail(fail.With(ErrProfile, "public message with content type "+strconv.Itoa(int(c.content.typ))))
		}
		c.read(r)
		m.membershipTag = r.vec()
	})
	return m, err
}

// memberSender reads Sender of a member (RFC 9420, Section 6).
func (r *reader) memberSender() LeafIndex {
	if typ := r.u8(); typ != senderMember && r.err == nil {
		r.fail(fail.With(ErrProfile, "sender of type "+strconv.Itoa(int(typ))))
	}
	return LeafIndex(r.u32())
}

// encode is the whole MLSMessage.
func (m *publicMessage) encode() []byte {
	b := append(appendMessageHeader(nil, wirePublicMessage), m.content.content.encode()...)
	return appendVec(append(b, m.content.authData()...), m.membershipTag)
}

// membershipTag is the MAC over AuthenticatedContentTBM (RFC 9420, Section 6.2).
func (s *suite) membershipTag(key, context []byte, a *authenticatedContent) []byte {
	return s.mac(key, append(a.tbs(context), a.authData()...))
}

// openPublicCommit checks a commit that came as PublicMessage: that a member of this epoch
// sent it, by the tag, and which, by the signature.
func (g *Group) openPublicCommit(msg []byte) (*memberContent, error) {
	m, err := parsePublicMessage(slices.Clone(msg))
	if err != nil {
		return nil, err
	}
	c := &m.content
	if err := g.checkEpoch(c.content.groupID, c.content.epoch); err != nil {
		return nil, err
	}
	sender := g.tree.leaf(c.content.sender)
	if sender == nil {
		return nil, fail.With(ErrInvalid, "sender is not a member")
	}
	if !equalMAC(m.membershipTag, g.suite.membershipTag(g.secrets.membership, g.encoded, &c.authenticatedContent)) {
		return nil, fail.With(ErrInvalid, "membership tag")
	}
	return c, c.verify(g.suite, sender.signatureKey, g.encoded)
}

// Preview is what of a message can be read without keys. Nothing of it is authenticated
// before [Group.Process] or [Receiver.Open] accepts the message.
type Preview struct {
	// Public: the message is a PublicMessage, not a PrivateMessage.
	Public  bool
	GroupID []byte
	Epoch   uint64
	// ContentType is 1 for an application message, 2 for a proposal, 3 for a commit.
	ContentType uint8
	AAD         []byte
}

// Peek reads the clear part of a PrivateMessage, or of a PublicMessage with a member's commit.
// The result does not alias msg. Errors: [ErrMalformed], [ErrProfile].
func Peek(msg []byte) (Preview, error) {
	if isPublicMessage(msg) {
		m, err := parsePublicMessage(msg)
		if err != nil {
			return Preview{}, err
		}
		c := &m.content.content
		return Preview{true, slices.Clone(c.groupID), c.epoch, uint8(c.typ), slices.Clone(c.aad)}, nil
	}
	m, err := parsePrivateMessage(msg)
	if err != nil {
		return Preview{}, err
	}
	return Preview{false, slices.Clone(m.groupID), m.epoch, uint8(m.typ), slices.Clone(m.aad)}, nil
}

// isPublicMessage looks at an MLSMessage's wire format.
func isPublicMessage(msg []byte) bool {
	r := &reader{b: msg}
	return r.u16() == versionMLS10 && wireFormat(r.u16()) == wirePublicMessage && r.err == nil
}
