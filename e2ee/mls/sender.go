package mls

import (
	"io"
	"slices"
	"strconv"

	"github.com/conclave-sfu/conclave/e2ee/internal/fail"
)

// applicationPadding is what application messages are padded to a multiple of, in bytes,
// so that their length says less (RFC 9420, Section 15.1).
const applicationPadding = 64

// Sender holds one member's send ratchets of one epoch. It hands out every generation
// once, also for a commit that is dropped later, so that no key is used twice: never make
// a Sender from a Group a second time, and use one for all that is sent in the epoch. It
// is not safe for concurrent use.
type Sender struct {
	group       *Group
	handshake   ratchet
	application ratchet
}

// String keeps the secrets out of logs.
func (s *Sender) String() string { return "[secret]" }

// GoString keeps the secrets out of logs.
func (s *Sender) GoString() string { return "[secret]" }

// Seal encrypts an application message for the members of the epoch. aad is
// authenticated and sent in clear. rand gives the reuse guard. Errors: [ErrInvalid] for
// more than receivers read, [ErrGeneration].
func (s *Sender) Seal(rand io.Reader, aad, plaintext []byte) ([]byte, error) {
	if len(aad)+len(plaintext) > maxInput/2 {
		return nil, fail.At("seal", fail.With(ErrInvalid, strconv.Itoa(len(aad)+len(plaintext))+" bytes"))
	}
	if s.erased() {
		return nil, fail.At("seal", errErased)
	}
	if s.application.next == ^uint32(0) {
		return nil, fail.With(ErrGeneration, "no generation left")
	}
	a := s.group.frame(contentApplication, aad, appendVec(nil, plaintext))
	if err := a.sign(s.group.signer, s.group.encoded); err != nil {
		return nil, err
	}
	return s.group.suite.sealPrivate(rand, s.group.secrets.senderData, &s.application, a, applicationPadding)
}

// sealCommit encrypts a signed and confirmed commit for a Sender that is not erased. Receivers look for its key from the
// ratchet's beginning on, so that an epoch has maxAhead + 1 of them.
func (s *Sender) sealCommit(rand io.Reader, a *authenticatedContent) ([]byte, error) {
	if s.handshake.next > maxAhead {
		return nil, fail.With(ErrGeneration, "too many commits from one epoch")
	}
	return s.group.suite.sealPrivate(rand, s.group.secrets.senderData, &s.handshake, a, 1)
}

// Erase overwrites the ratchets. The Sender sends nothing afterwards.
func (s *Sender) Erase() {
	s.handshake.erase()
	s.application.erase()
}

// erased also says that its Group is: nothing is sealed under secrets that are gone.
func (s *Sender) erased() bool { return s.handshake.secret == nil || s.group.erased() }

// frame begins a message of this member in this epoch.
func (g *Group) frame(typ contentType, aad, body []byte) *authenticatedContent {
	return &authenticatedContent{
		wire: wirePrivateMessage,
		content: framedContent{
			groupID: g.context.groupID, epoch: g.context.epoch, sender: g.own,
			aad: slices.Clone(aad), typ: typ, body: body,
		},
	}
}

// Opened is an application message. Its slices are the caller's.
type Opened struct {
	Sender    LeafIndex
	AAD       []byte
	Plaintext []byte
}

// Receiver holds the receive ratchets of one epoch's application messages. It accepts
// every message once, in any order within 1,000 generations of its sender, and deletes
// secrets as they are used. It is not safe for concurrent use.
type Receiver struct {
	group    *Group
	ratchets []receiveRatchet // by leaf
}

// receiveRatchet is a ratchet and the keys of generations that it skipped.
type receiveRatchet struct {
	ratchet
	skipped map[uint32]messageKey
}

// erase overwrites the ratchets and what they skipped.
func (r *Receiver) erase() {
	for i := range r.ratchets {
		from := &r.ratchets[i]
		from.ratchet.erase()
		for generation := range from.skipped {
			from.forget(generation)
		}
	}
}

// String keeps the secrets out of logs.
func (r *Receiver) String() string { return "[secret]" }

// GoString keeps the secrets out of logs.
func (r *Receiver) GoString() string { return "[secret]" }

// Open decrypts an application message of another member. msg is not retained. A message
// that fails changes nothing. Errors: [ErrMalformed], [ErrProfile], [ErrWrongEpoch],
// [ErrDecrypt], [ErrGeneration], [ErrInvalid].
func (r *Receiver) Open(msg []byte) (Opened, error) {
	g := r.group
	if g.erased() {
		return Opened{}, fail.At("open", errErased)
	}
	m, d, err := g.openHeader(msg, contentApplication)
	if err != nil {
		return Opened{}, err
	}
	if d.leaf == g.own {
		return Opened{}, fail.With(ErrInvalid, "message is our own")
	}
	from := &r.ratchets[d.leaf]
	key, err := from.keyFor(d.generation)
	if err != nil {
		return Opened{}, err
	}
	c, err := g.suite.openPrivate(m, d, key)
	if err != nil {
		return Opened{}, err
	}
	if err := c.verify(g.suite, g.tree.leaf(d.leaf).signatureKey, g.encoded); err != nil {
		return Opened{}, err
	}
	from.used(d.generation)
	return Opened{d.leaf, slices.Clone(m.aad), slices.Clone(c.application)}, nil
}

// keyFor returns a copy of the key of a generation, which stays unused for now.
func (r *receiveRatchet) keyFor(generation uint32) (messageKey, error) {
	if generation >= r.next {
		return r.keyAt(generation)
	}
	if key, ok := r.skipped[generation]; ok {
		return key.clone(), nil
	}
	return messageKey{}, fail.With(ErrGeneration, strconv.Itoa(int(generation)))
}

// used deletes the key of a generation, keeps those that were skipped, and forgets what
// lies too far behind.
func (r *receiveRatchet) used(generation uint32) {
	if generation < r.next {
		r.forget(generation)
		return
	}
	if r.skipped == nil {
		r.skipped = make(map[uint32]messageKey)
	}
	for at := r.next; at < generation; at++ {
		r.skipped[at] = r.step()
	}
	r.skip()
	for old := range r.skipped {
		if generation-old > maxAhead {
			r.forget(old)
		}
	}
}

// forget erases the key of a generation that was skipped.
func (r *receiveRatchet) forget(generation uint32) {
	r.skipped[generation].erase()
	delete(r.skipped, generation)
}

// openHeader parses a PrivateMessage of this epoch and decrypts its sender data. The
// sender is a member.
func (g *Group) openHeader(msg []byte, want contentType) (*privateMessage, senderData, error) {
	m, err := parsePrivateMessage(msg)
	if err != nil {
		return nil, senderData{}, err
	}
	if m.typ != want {
		return nil, senderData{}, fail.With(ErrProfile, "content type "+strconv.Itoa(int(m.typ))+" instead of "+strconv.Itoa(int(want)))
	}
	if err := g.checkEpoch(m.groupID, m.epoch); err != nil {
		return nil, senderData{}, err
	}
	d, err := g.suite.openSenderData(g.secrets.senderData, &m)
	if err != nil {
		return nil, senderData{}, err
	}
	if g.tree.leaf(d.leaf) == nil {
		return nil, senderData{}, fail.With(ErrInvalid, "sender is not a member")
	}
	return &m, d, nil
}
