package mls

import (
	"strconv"

	"github.com/conclave-sfu/conclave/e2ee/internal/fail"
)

// epochSecrets are the secrets of an epoch that are needed after it began
// (RFC 9420, Section 8).
type epochSecrets struct {
	initSecret         []byte // for the next epoch
	senderData         []byte
	encryption         []byte // root of the secret tree; erased once that is derived
	membership         []byte // key of the membership tag
	exporter           []byte
	epochAuthenticator []byte
	confirmationKey    []byte // erased once the confirmation tag is made or checked
}

// erase overwrites the secrets.
func (e *epochSecrets) erase() {
	eraseAll([][]byte{e.initSecret, e.senderData, e.encryption, e.membership, e.exporter, e.epochAuthenticator, e.confirmationKey})
	*e = epochSecrets{}
}

// String keeps the secrets out of logs.
func (epochSecrets) String() string { return "[secret]" }

// GoString keeps the secrets out of logs.
func (epochSecrets) GoString() string { return "[secret]" }

// joinerSecret is derived by the members from the last epoch; joiners get it in the Welcome.
func (s *suite) joinerSecret(initSecret, commitSecret, context []byte) []byte {
	prk := s.extract(initSecret, commitSecret)
	defer clear(prk)
	return s.expandWithLabel(prk, "joiner", context, s.nh)
}

// memberSecret joins the PSKs to the joiner secret. Welcome and epoch secret follow from it.
func (s *suite) memberSecret(joiner, psk []byte) []byte { return s.extract(joiner, psk) }

func (s *suite) welcomeKey(member []byte) (key, nonce []byte) {
	welcome := s.deriveSecret(member, "welcome")
	defer clear(welcome)
	return s.expandWithLabel(welcome, "key", nil, s.hpke.AEAD.KeySize), s.expandWithLabel(welcome, "nonce", nil, nn)
}

// epochSecretOf is the epoch secret of the epoch with this GroupContext.
func (s *suite) epochSecretOf(member, context []byte) []byte {
	return s.expandWithLabel(member, "epoch", context, s.nh)
}

// deriveEpoch derives the secrets of an epoch and erases the one that they come from.
func (s *suite) deriveEpoch(epochSecret []byte) epochSecrets {
	defer clear(epochSecret)
	return epochSecrets{
		initSecret:         s.deriveSecret(epochSecret, "init"),
		senderData:         s.deriveSecret(epochSecret, "sender data"),
		encryption:         s.deriveSecret(epochSecret, "encryption"),
		membership:         s.deriveSecret(epochSecret, "membership"),
		exporter:           s.deriveSecret(epochSecret, "exporter"),
		epochAuthenticator: s.deriveSecret(epochSecret, "authentication"),
		confirmationKey:    s.deriveSecret(epochSecret, "confirm"),
	}
}

// export is MLS-Exporter (RFC 9420, Section 8.5).
func (s *suite) export(exporter []byte, label string, context []byte, length int) ([]byte, error) {
	if length < 0 || length > 255*s.nh {
		return nil, fail.With(ErrInvalid, "export of "+strconv.Itoa(int(length))+" bytes")
	}
	secret := s.deriveSecret(exporter, label)
	defer clear(secret)
	return s.expandWithLabel(secret, "exported", s.sum(context), length), nil
}

// confirmedHash extends the transcript by a commit up to its signature
// (RFC 9420, Section 8.2).
func (s *suite) confirmedHash(interim []byte, c *authenticatedContent) []byte {
	b := append(appendU16(nil, uint16(c.wire)), c.content.encode()...)
	return s.sum(interim, appendVec(b, c.signature))
}

// interimHash extends it by the confirmation tag.
func (s *suite) interimHash(confirmed, tag []byte) []byte {
	return s.sum(confirmed, appendVec(nil, tag))
}

// pskID is PreSharedKeyID (RFC 9420, Section 8.4) of an external PSK, the only type of the
// profile.
type pskID struct{ id, nonce []byte }

const pskExternal = 1

func (r *reader) pskID() pskID {
	if typ := r.u8(); typ != pskExternal && r.err == nil {
		r.fail(fail.With(ErrProfile, "PSK type "+strconv.Itoa(int(typ))))
	}
	return pskID{r.vec(), r.vec()}
}

func (p pskID) append(b []byte) []byte {
	return appendVec(appendVec(append(b, pskExternal), p.id), p.nonce)
}

// pskSecret joins PSKs in order (RFC 9420, Section 8.4); none give zeros.
func (s *suite) pskSecret(ids []pskID, psks [][]byte) []byte {
	secret := s.zero()
	for i, psk := range psks {
		label := appendU16(appendU16(ids[i].append(nil), uint16(i)), uint16(len(psks)))
		prk := s.extract(s.zero(), psk)
		input := s.expandWithLabel(prk, "derived psk", label, s.nh)
		before := secret
		secret = s.extract(input, before)
		eraseAll([][]byte{prk, input, before})
	}
	return secret
}

// lookUp asks the caller for the PSKs.
func lookUp(ids []pskID, psks func(id []byte) ([]byte, bool)) ([][]byte, error) {
	var out [][]byte
	for _, id := range ids {
		if psks == nil {
			return nil, ErrUnknownPSK
		}
		psk, ok := psks(id.id)
		if !ok {
			return nil, ErrUnknownPSK
		}
		out = append(out, psk)
	}
	return out, nil
}
