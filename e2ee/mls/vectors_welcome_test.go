package mls

import (
	"bytes"
	"errors"
	"testing"
)

func vectorKeyPackage(t testing.TB, raw []byte) *KeyPackage {
	t.Helper()
	kp, err := ParseKeyPackage(raw)
	requireNoError(t, "key package", err)
	requireEqual(t, "key package", kp.Raw(), raw)
	return kp
}

func TestVectorsWelcome(t *testing.T) {
	type vector struct {
		Suite      Suite `json:"cipher_suite"`
		InitPriv   hexed `json:"init_priv"`
		SignerPub  hexed `json:"signer_pub"`
		KeyPackage hexed `json:"key_package"`
		Welcome    hexed
	}
	runVectors(t, "mls/welcome.json", func(v vector) Suite { return v.Suite }, func(t *testing.T, s *suite, v vector) {
		key := vectorKey(t, s, v.InitPriv)
		kp := &KeyPackageSecrets{kp: vectorKeyPackage(t, v.KeyPackage), initKey: key, leafKey: key}
		_, secrets, w, err := openWelcome(v.Welcome, kp)
		requireNoError(t, "open welcome", err)
		requireEqual(t, "welcome", w.encode(), v.Welcome)
		member := s.memberSecret(secrets.joiner, s.pskSecret(nil, nil))
		info, err := s.openGroupInfo(member, w.groupInfo)
		requireNoError(t, "group info", err)
		if !s.verifyWithLabel(v.SignerPub, "GroupInfoTBS", info.signed, info.signature) {
			t.Error("signature of the group info")
		}
		epoch := s.deriveEpoch(s.epochSecretOf(member, info.context.encode()))
		requireEqual(t, "confirmation tag", s.mac(epoch.confirmationKey, info.context.confirmedTranscriptHash), info.tag)
	})
}

type passiveVector struct {
	Suite        Suite `json:"cipher_suite"`
	ExternalPSKs []struct {
		ID  hexed `json:"psk_id"`
		PSK hexed
	} `json:"external_psks"`
	KeyPackage         hexed `json:"key_package"`
	SignaturePriv      hexed `json:"signature_priv"`
	EncryptionPriv     hexed `json:"encryption_priv"`
	InitPriv           hexed `json:"init_priv"`
	Welcome            hexed
	RatchetTree        hexed `json:"ratchet_tree"`
	EpochAuthenticator hexed `json:"initial_epoch_authenticator"`
}

func (v passiveVector) psks(id []byte) ([]byte, bool) {
	for _, p := range v.ExternalPSKs {
		if bytes.Equal(p.ID, id) {
			return p.PSK, true
		}
	}
	return nil, false
}

// The Welcomes of these vectors come with or without PSK and path, and with the tree
// beside them: more than the profile allows, so join is tried below Join.
func TestVectorsPassiveClientWelcome(t *testing.T) {
	for _, file := range []string{"mls/passive-client-welcome.json", "mls-passive/welcome_join.json"} {
		inProfile := 0
		choose := func(v passiveVector) Suite {
			if file == "mls-passive/welcome_join.json" && v.Suite == 7 {
				return 0 // leaves that do not list their own suite
			}
			return v.Suite
		}
		runVectors(t, file, choose, func(t *testing.T, s *suite, v passiveVector) {
			kp := &KeyPackageSecrets{
				kp: vectorKeyPackage(t, v.KeyPackage), initKey: vectorKey(t, s, v.InitPriv),
				leafKey: vectorKey(t, s, v.EncryptionPriv), signer: vectorSigner(t, s.id, v.SignaturePriv),
			}
			strict := false
			j, err := join(v.Welcome, kp, joinParams{psks: v.psks, tree: v.RatchetTree, check: func(g groupSecrets) error {
				strict = JoinParams{}.check(g) == nil && v.RatchetTree == nil
				return nil
			}})
			requireNoError(t, "join", err)
			requireEqual(t, "epoch authenticator", j.group.EpochAuthenticator(), v.EpochAuthenticator)
			_, _, _, err = Join(v.Welcome, kp, JoinParams{PSKs: v.psks})
			if (err == nil) != strict {
				t.Errorf("Join: %v, expected in the profile: %t", err, strict)
			}
			if strict {
				inProfile++
			}
		})
		t.Logf("%s: %d within the profile", file, inProfile)
	}
}

// Commits recorded from other implementations, as far as they are PrivateMessages with
// proposals by value. They may lack the PSK that the profile wants.
func TestVectorsPassiveClientCommits(t *testing.T) {
	const file = "mls-passive/commit.json"
	type vector struct {
		passiveVector
		Epochs []struct {
			Commit             hexed
			Proposals          []hexed
			EpochAuthenticator hexed `json:"epoch_authenticator"`
		}
	}
	processed, outside := 0, 0
	choose := func(v vector) Suite {
		if v.Suite == 7 || len(v.Epochs) == 0 { // leaves that do not list their own suite
			return 0
		}
		return v.Suite
	}
	runVectors(t, file, choose, func(t *testing.T, s *suite, v vector) {
		kp := &KeyPackageSecrets{
			kp: vectorKeyPackage(t, v.KeyPackage), initKey: vectorKey(t, s, v.InitPriv),
			leafKey: vectorKey(t, s, v.EncryptionPriv), signer: vectorSigner(t, s.id, v.SignaturePriv),
		}
		any := func(groupSecrets) error { return nil }
		j, err := join(v.Welcome, kp, joinParams{psks: v.psks, tree: v.RatchetTree, check: any})
		if err != nil {
			outside++
			t.Logf("join: %v", err)
			return
		}
		g := j.group
		for _, e := range v.Epochs {
			withPath := func(c *commit) error {
				if c.path == nil {
					return ErrProfile
				}
				return nil
			}
			out, err := g.process(e.Commit, ProcessParams{PSKs: v.psks}, withPath)
			if err != nil {
				if !errors.Is(err, ErrProfile) {
					t.Errorf("commit: %v", err)
				}
				outside++
				return
			}
			processed++
			if g = out.Group; g == nil {
				return
			}
			requireEqual(t, "epoch authenticator", g.EpochAuthenticator(), e.EpochAuthenticator)
		}
	})
	t.Logf("%s: %d commits processed, %d outside the profile", file, processed, outside)
}
