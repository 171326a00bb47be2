package mls

import (
	"errors"
	"slices"
	"testing"
)

func TestVectorsCryptoBasics(t *testing.T) {
	type vector struct {
		Suite        Suite `json:"cipher_suite"`
		DeriveSecret struct {
			Label       string
			Out, Secret hexed
		} `json:"derive_secret"`
		DeriveTreeSecret struct {
			Label       string
			Generation  uint32
			Length      int
			Out, Secret hexed
		} `json:"derive_tree_secret"`
		EncryptWithLabel struct {
			Label                                     string
			Ciphertext, Context, Plaintext, Priv, Pub hexed
			KEMOutput                                 hexed `json:"kem_output"`
		} `json:"encrypt_with_label"`
		ExpandWithLabel struct {
			Label                string
			Length               int
			Context, Out, Secret hexed
		} `json:"expand_with_label"`
		RefHash struct {
			Label      string
			Out, Value hexed
		} `json:"ref_hash"`
		SignWithLabel struct {
			Label                         string
			Content, Priv, Pub, Signature hexed
		} `json:"sign_with_label"`
	}
	runVectors(t, "mls/crypto-basics.json", func(v vector) Suite { return v.Suite }, func(t *testing.T, s *suite, v vector) {
		requireEqual(t, "ref_hash", s.refHash(v.RefHash.Label, v.RefHash.Value), v.RefHash.Out)

		x := v.ExpandWithLabel
		requireEqual(t, "expand_with_label", s.expandWithLabel(x.Secret, x.Label, x.Context, x.Length), x.Out)
		requireEqual(t, "derive_secret", s.deriveSecret(v.DeriveSecret.Secret, v.DeriveSecret.Label), v.DeriveSecret.Out)
		d := v.DeriveTreeSecret
		requireEqual(t, "derive_tree_secret", s.deriveTreeSecret(d.Secret, d.Label, d.Generation, d.Length), d.Out)

		g := v.SignWithLabel
		if !s.verifyWithLabel(g.Pub, g.Label, g.Content, g.Signature) {
			t.Error("sign_with_label: signature does not verify")
		}
		sig, err := signWithLabel(vectorSigner(t, s.id, g.Priv), g.Label, g.Content)
		requireNoError(t, "sign_with_label", err)
		if !s.verifyWithLabel(g.Pub, g.Label, g.Content, sig) {
			t.Error("sign_with_label: our signature does not verify")
		}

		e := v.EncryptWithLabel
		key := vectorKey(t, s, e.Priv)
		requireEqual(t, "public key", key.PublicKey(), e.Pub)
		plain, err := s.encryption(e.Label, e.Context).decrypt(key, hpkeCiphertext{e.KEMOutput, e.Ciphertext})
		requireNoError(t, "encrypt_with_label", err)
		requireEqual(t, "encrypt_with_label", plain, e.Plaintext)
		ct, err := s.encryption(e.Label, e.Context).encrypt(testRandom(20), e.Pub, e.Plaintext)
		requireNoError(t, "encrypt_with_label", err)
		plain, err = s.encryption(e.Label, e.Context).decrypt(key, ct)
		requireNoError(t, "encrypt_with_label", err)
		requireEqual(t, "encrypt_with_label", plain, e.Plaintext)
	})
}

func TestVectorsKeySchedule(t *testing.T) {
	type epoch struct {
		CommitSecret       hexed `json:"commit_secret"`
		ConfirmationKey    hexed `json:"confirmation_key"`
		ConfirmedHash      hexed `json:"confirmed_transcript_hash"`
		EncryptionSecret   hexed `json:"encryption_secret"`
		EpochAuthenticator hexed `json:"epoch_authenticator"`
		Exporter           struct {
			Label           string
			Context, Secret hexed
			Length          int
		}
		ExporterSecret   hexed `json:"exporter_secret"`
		GroupContext     hexed `json:"group_context"`
		InitSecret       hexed `json:"init_secret"`
		JoinerSecret     hexed `json:"joiner_secret"`
		PSKSecret        hexed `json:"psk_secret"`
		SenderDataSecret hexed `json:"sender_data_secret"`
		TreeHash         hexed `json:"tree_hash"`
		WelcomeSecret    hexed `json:"welcome_secret"`

		ExternalSecret hexed `json:"external_secret"`
		ExternalPub    hexed `json:"external_pub"`
		MembershipKey  hexed `json:"membership_key"`
		ResumptionPSK  hexed `json:"resumption_psk"`
	}
	type vector struct {
		Suite             Suite `json:"cipher_suite"`
		Epochs            []epoch
		GroupID           hexed `json:"group_id"`
		InitialInitSecret hexed `json:"initial_init_secret"`
	}
	runVectors(t, "mls/key-schedule.json", func(v vector) Suite { return v.Suite }, func(t *testing.T, s *suite, v vector) {
		initSecret := []byte(v.InitialInitSecret)
		for i, e := range v.Epochs {
			context := groupContext{
				suite: s.id, groupID: v.GroupID, epoch: uint64(i), treeHash: e.TreeHash,
				confirmedTranscriptHash: e.ConfirmedHash,
			}.encode()
			requireEqual(t, "group_context", context, e.GroupContext)
			joiner := s.joinerSecret(initSecret, e.CommitSecret, context)
			requireEqual(t, "joiner_secret", joiner, e.JoinerSecret)
			member := s.memberSecret(joiner, e.PSKSecret)
			key, nonce := s.welcomeKey(member)
			requireEqual(t, "welcome key", key, s.expandWithLabel(e.WelcomeSecret, "key", nil, s.hpke.AEAD.KeySize))
			requireEqual(t, "welcome nonce", nonce, s.expandWithLabel(e.WelcomeSecret, "nonce", nil, nn))
			secret := s.epochSecretOf(member, context)
			got := s.deriveEpoch(slices.Clone(secret))
			requireEqual(t, "init_secret", got.initSecret, e.InitSecret)
			requireEqual(t, "sender_data_secret", got.senderData, e.SenderDataSecret)
			requireEqual(t, "encryption_secret", got.encryption, e.EncryptionSecret)
			requireEqual(t, "exporter_secret", got.exporter, e.ExporterSecret)
			requireEqual(t, "epoch_authenticator", got.epochAuthenticator, e.EpochAuthenticator)
			requireEqual(t, "confirmation_key", got.confirmationKey, e.ConfirmationKey)

			// The profile has no use for these; the derivation is the same.
			requireEqual(t, "membership_key", s.deriveSecret(secret, "membership"), e.MembershipKey)
			requireEqual(t, "resumption_psk", s.deriveSecret(secret, "resumption"), e.ResumptionPSK)
			external := s.deriveSecret(secret, "external")
			requireEqual(t, "external_secret", external, e.ExternalSecret)
			pair, err := s.hpke.KEM.DeriveKeyPair(external)
			requireNoError(t, "external_pub", err)
			requireEqual(t, "external_pub", pair.PublicKey(), e.ExternalPub)

			out, err := s.export(got.exporter, e.Exporter.Label, e.Exporter.Context, e.Exporter.Length)
			requireNoError(t, "exporter", err)
			requireEqual(t, "exporter", out, e.Exporter.Secret)
			initSecret = got.initSecret
		}
	})
}

func TestVectorsPSKSecret(t *testing.T) {
	type vector struct {
		Suite Suite `json:"cipher_suite"`
		PSKs  []struct {
			ID    hexed `json:"psk_id"`
			PSK   hexed
			Nonce hexed `json:"psk_nonce"`
		}
		Secret hexed `json:"psk_secret"`
	}
	runVectors(t, "mls/psk_secret.json", func(v vector) Suite { return v.Suite }, func(t *testing.T, s *suite, v vector) {
		var ids []pskID
		var psks [][]byte
		for _, p := range v.PSKs {
			ids, psks = append(ids, pskID{p.ID, p.Nonce}), append(psks, p.PSK)
		}
		requireEqual(t, "psk_secret", s.pskSecret(ids, psks), v.Secret)
	})
}

func TestVectorsTranscriptHashes(t *testing.T) {
	type vector struct {
		Suite           Suite `json:"cipher_suite"`
		ConfirmationKey hexed `json:"confirmation_key"`
		Content         hexed `json:"authenticated_content"`
		InterimBefore   hexed `json:"interim_transcript_hash_before"`
		ConfirmedAfter  hexed `json:"confirmed_transcript_hash_after"`
		InterimAfter    hexed `json:"interim_transcript_hash_after"`
	}
	runVectors(t, "mls/transcript-hashes.json", func(v vector) Suite { return v.Suite }, func(t *testing.T, s *suite, v vector) {
		a := &authenticatedContent{}
		err := decode("authenticated content", v.Content, func(r *reader) {
			a.wire = wireFormat(r.u16())
			a.content.groupID, a.content.epoch = r.vec(), r.u64()
			if typ := r.u8(); typ != senderMember {
				t.Errorf("sender type %d", typ)
			}
			a.content.sender, a.content.aad = LeafIndex(r.u32()), r.vec()
			a.content.typ = contentType(r.u8())
			start := r.b
			r.vec() // proposals, some of them by reference
			if r.optional() {
				r.updatePath()
			}
			a.content.body = r.since(start)
			a.signature, a.tag = r.vec(), r.vec()
		})
		requireNoError(t, "authenticated content", err)
		confirmed := s.confirmedHash(v.InterimBefore, a)
		requireEqual(t, "confirmed transcript hash", confirmed, v.ConfirmedAfter)
		requireEqual(t, "confirmation tag", s.mac(v.ConfirmationKey, confirmed), a.tag)
		requireEqual(t, "interim transcript hash", s.interimHash(confirmed, a.tag), v.InterimAfter)
	})
}

// blankTree is a tree whose members are of no importance.
func blankTree(s *suite, n int) *tree {
	t := newTree(s, &leafNode{})
	for range n - 1 {
		t.add(&leafNode{})
	}
	return t
}

func TestVectorsSecretTree(t *testing.T) {
	type vector struct {
		Suite      Suite `json:"cipher_suite"`
		Encryption hexed `json:"encryption_secret"`
		SenderData struct {
			Secret     hexed `json:"sender_data_secret"`
			Ciphertext hexed
			Key, Nonce hexed
		} `json:"sender_data"`
		Leaves [][]struct {
			Generation       uint32
			ApplicationKey   hexed `json:"application_key"`
			ApplicationNonce hexed `json:"application_nonce"`
			HandshakeKey     hexed `json:"handshake_key"`
			HandshakeNonce   hexed `json:"handshake_nonce"`
		}
	}
	runVectors(t, "mls/secret-tree.json", func(v vector) Suite { return v.Suite }, func(t *testing.T, s *suite, v vector) {
		key := s.senderDataKey(v.SenderData.Secret, v.SenderData.Ciphertext)
		requireEqual(t, "sender data key", key.key, v.SenderData.Key)
		requireEqual(t, "sender data nonce", key.nonce, v.SenderData.Nonce)
		leaves := blankTree(s, len(v.Leaves)).secretTree(v.Encryption)
		for i, generations := range v.Leaves {
			handshake := ratchet{suite: s, secret: leaves[i].handshake}
			application := ratchet{suite: s, secret: leaves[i].application}
			for _, g := range generations {
				key, err := handshake.keyAt(g.Generation)
				requireNoError(t, "handshake", err)
				requireEqual(t, "handshake key", key.key, g.HandshakeKey)
				requireEqual(t, "handshake nonce", key.nonce, g.HandshakeNonce)
				key, err = application.keyAt(g.Generation)
				requireNoError(t, "application", err)
				requireEqual(t, "application key", key.key, g.ApplicationKey)
				requireEqual(t, "application nonce", key.nonce, g.ApplicationNonce)
			}
		}
	})
}

func TestVectorsMessageProtection(t *testing.T) {
	type vector struct {
		Suite           Suite `json:"cipher_suite"`
		GroupID         hexed `json:"group_id"`
		Epoch           uint64
		TreeHash        hexed `json:"tree_hash"`
		ConfirmedHash   hexed `json:"confirmed_transcript_hash"`
		SignaturePriv   hexed `json:"signature_priv"`
		SignaturePub    hexed `json:"signature_pub"`
		Encryption      hexed `json:"encryption_secret"`
		SenderData      hexed `json:"sender_data_secret"`
		Proposal        hexed
		ProposalPriv    hexed `json:"proposal_priv"`
		Commit          hexed
		CommitPriv      hexed `json:"commit_priv"`
		CommitPub       hexed `json:"commit_pub"`
		ProposalPub     hexed `json:"proposal_pub"`
		Membership      hexed `json:"membership_key"`
		Application     hexed
		ApplicationPriv hexed `json:"application_priv"`
	}
	t.Log("of the public messages commit_pub is read; proposal_pub is outside the profile, and refused as that")
	runVectors(t, "mls/message-protection.json", func(v vector) Suite { return v.Suite }, func(t *testing.T, s *suite, v vector) {
		context := groupContext{
			suite: s.id, groupID: v.GroupID, epoch: v.Epoch, treeHash: v.TreeHash,
			confirmedTranscriptHash: v.ConfirmedHash,
		}.encode()
		leaf := blankTree(s, 2).secretTree(v.Encryption)[1]
		open := func(msg []byte, handshake bool) *memberContent {
			m, err := parsePrivateMessage(msg)
			requireNoError(t, "message", err)
			d, err := s.openSenderData(v.SenderData, &m)
			requireNoError(t, "sender data", err)
			if d.leaf != 1 {
				t.Errorf("sender %d", d.leaf)
			}
			root := leaf.application
			if handshake {
				root = leaf.handshake
			}
			key, err := ratchet{suite: s, secret: root}.keyAt(d.generation)
			requireNoError(t, "generation", err)
			c, err := s.openPrivate(&m, d, key)
			requireNoError(t, "content", err)
			requireNoError(t, "signature", c.verify(s, v.SignaturePub, context))
			return c
		}
		both := func(msg []byte, handshake bool, want []byte, body func(c *memberContent) []byte) {
			c := open(msg, handshake)
			requireEqual(t, "content", body(c), want)
			again := c.authenticatedContent
			requireNoError(t, "sign", again.sign(vectorSigner(t, s.id, v.SignaturePriv), context))
			root := leaf.application
			if handshake {
				root = leaf.handshake
			}
			sealed, err := s.sealPrivate(testRandom(1), v.SenderData, &ratchet{suite: s, secret: append([]byte(nil), root...)}, &again, 32)
			requireNoError(t, "seal", err)
			requireEqual(t, "content sealed by us", body(open(sealed, handshake)), want)
		}
		m, err := parsePublicMessage(v.CommitPub)
		requireNoError(t, "public commit", err)
		requireEqual(t, "public commit", m.encode(), v.CommitPub)
		requireEqual(t, "body of the public commit", m.content.content.body, v.Commit)
		requireEqual(t, "membership tag", s.membershipTag(v.Membership, context, &m.content.authenticatedContent), m.membershipTag)
		requireNoError(t, "signature of the public commit", m.content.verify(s, v.SignaturePub, context))
		if _, err := parsePublicMessage(v.ProposalPub); !errors.Is(err, ErrProfile) {
			t.Errorf("public proposal: %v", err)
		}

		body := func(c *memberContent) []byte { return c.content.body }
		both(v.ProposalPriv, true, v.Proposal, body)
		both(v.CommitPriv, true, v.Commit, body)
		both(v.CommitPriv, true, v.Commit, func(c *memberContent) []byte { return c.commit.encode() })
		both(v.ApplicationPriv, false, v.Application, func(c *memberContent) []byte { return c.application })
	})
}
