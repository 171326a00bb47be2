package mls

import (
	"io"
	"slices"
	"strconv"

	"github.com/conclave-sfu/conclave/e2ee/internal/fail"
)

// privateMessage is PrivateMessage (RFC 9420, Section 6.3).
type privateMessage struct {
	groupID    []byte
	epoch      uint64
	typ        contentType
	aad        []byte
	senderData []byte // encrypted
	ciphertext []byte
}

// parsePrivateMessage reads an MLSMessage that is a PrivateMessage. It aliases b.
func parsePrivateMessage(b []byte) (m privateMessage, err error) {
	err = decode("private message", b, func(r *reader) {
		r.messageHeader(wirePrivateMessage)
		m = privateMessage{
			groupID: r.vec(), epoch: r.u64(), typ: contentType(r.u8()),
			aad: r.vec(), senderData: r.vec(), ciphertext: r.vec(),
		}
		if m.typ < contentApplication || m.typ > contentCommit {
			r.malformed("content type " + strconv.Itoa(int(m.typ)))
		}
	})
	return m, err
}

func (m *privateMessage) encode() []byte {
	b := appendMessageHeader(nil, wirePrivateMessage)
	b = append(m.appendContentAAD(b, false), appendVec(nil, m.aad)...)
	return appendVec(appendVec(b, m.senderData), m.ciphertext)
}

// appendContentAAD appends SenderDataAAD or, with the authenticated data,
// PrivateContentAAD.
func (m *privateMessage) appendContentAAD(b []byte, withAAD bool) []byte {
	b = append(appendU64(appendVec(b, m.groupID), m.epoch), byte(m.typ))
	if withAAD {
		b = appendVec(b, m.aad)
	}
	return b
}

// senderData is SenderData (RFC 9420, Section 6.3.2).
type senderData struct {
	leaf       LeafIndex
	generation uint32
	guard      [4]byte
}

// senderDataKey derives the key of a message's sender data from a sample of its
// ciphertext.
func (s *suite) senderDataKey(secret, ciphertext []byte) messageKey {
	sample := ciphertext[:min(len(ciphertext), s.nh)]
	return messageKey{
		key:   s.expandWithLabel(secret, "key", sample, s.hpke.AEAD.KeySize),
		nonce: s.expandWithLabel(secret, "nonce", sample, nn),
	}
}

func (s *suite) openSenderData(secret []byte, m *privateMessage) (d senderData, err error) {
	k := s.senderDataKey(secret, m.ciphertext)
	defer k.erase()
	plain, err := s.open(k.key, k.nonce, m.appendContentAAD(nil, false), m.senderData)
	if err != nil {
		return d, fail.With(ErrDecrypt, "sender data")
	}
	err = decode("sender data", plain, func(r *reader) { d = r.senderData() })
	return d, err
}

func (r *reader) senderData() senderData {
	d := senderData{leaf: LeafIndex(r.u32()), generation: r.u32()}
	copy(d.guard[:], r.take(4))
	return d
}

// sealPrivate encrypts signed content under the next key of a ratchet, which it moves on.
// The plaintext is padded with zeros to a multiple of pad bytes (RFC 9420, Section 15.1).
func (s *suite) sealPrivate(rand io.Reader, senderDataSecret []byte, ratchet *ratchet, a *authenticatedContent, pad int) ([]byte, error) {
	guard, err := readRandom(rand, 4)
	if err != nil {
		return nil, err
	}
	d := senderData{a.content.sender, ratchet.next, [4]byte(guard)}
	key := ratchet.step()
	defer key.erase()
	m := privateMessage{
		groupID: a.content.groupID, epoch: a.content.epoch, typ: a.content.typ, aad: a.content.aad,
	}
	plain := slices.Concat(a.content.body, a.authData())
	plain = append(plain, make([]byte, (pad-len(plain)%pad)%pad)...)
	defer clear(plain)
	m.ciphertext = s.seal(key.key, key.guarded(d.guard), m.appendContentAAD(nil, true), plain)
	k := s.senderDataKey(senderDataSecret, m.ciphertext)
	defer k.erase()
	m.senderData = s.seal(k.key, k.nonce, m.appendContentAAD(nil, false), d.encode())
	return m.encode(), nil
}

func (d senderData) encode() []byte {
	b := appendU32(appendU32(nil, uint32(d.leaf)), d.generation)
	return append(b, d.guard[:]...)
}

// memberContent is what a member sent, with what its body was parsed to.
type memberContent struct {
	authenticatedContent
	application []byte
	commit      *commit
	proposal    proposal
}

// openPrivate decrypts a message's content under its key, which it erases, and parses it.
// The signature is not checked here.
func (s *suite) openPrivate(m *privateMessage, d senderData, key messageKey) (*memberContent, error) {
	defer key.erase()
	plain, err := s.open(key.key, key.guarded(d.guard), m.appendContentAAD(nil, true), m.ciphertext)
	if err != nil {
		return nil, fail.With(ErrDecrypt, "content")
	}
	c := &memberContent{}
	c.wire = wirePrivateMessage
	c.content = framedContent{groupID: m.groupID, epoch: m.epoch, sender: d.leaf, aad: m.aad, typ: m.typ}
	return c, decode("content", plain, c.readPrivate)
}

// readPrivate reads PrivateMessageContent (RFC 9420, Section 6.3.1): the content and
// FramedContentAuthData, and padding of zeros.
func (c *memberContent) readPrivate(r *reader) {
	c.read(r)
	for _, b := range r.take(len(r.b)) {
		if b != 0 {
			r.malformed("padding is not zero")
		}
	}
}

// read reads a content and FramedContentAuthData.
func (c *memberContent) read(r *reader) {
	start := r.b
	switch c.content.typ {
	case contentApplication:
		c.application = r.vec()
	case contentProposal:
		c.proposal = r.proposal()
	case contentCommit:
		c.commit = r.commit()
	}
	c.content.body = r.since(start)
	c.signature = r.vec()
	if c.content.typ == contentCommit {
		c.tag = r.vec()
	}
}
