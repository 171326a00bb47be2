package mls

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
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

// welcomeFiles are the vectors with nothing but Welcomes.
var welcomeFiles = []string{
	"mls/passive-client-welcome.json", "mls-passive/welcome_join.json", "mls-passive/application.json",
	"mls-passive/branch.json", "mls-passive/reinit.json",
}

// The Welcomes of these vectors come with or without PSK and path, and with the tree
// beside them: more than the profile allows, so join is tried below Join.
func TestVectorsPassiveClientWelcome(t *testing.T) {
	for i, file := range welcomeFiles {
		inProfile := 0
		choose := func(v passiveVector) Suite {
			switch {
			case i > 0 && v.Suite == 7:
				return skipOwnSuite
			case i > 1 && v.Suite == 5:
				return skipSlow
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

// commitFiles are all vectors with commits: the working group's, and those recorded from
// other implementations. They have PublicMessages, proposals by reference, external
// commits and all else, and rarely a PSK.
var commitFiles = []string{
	"mls/passive-client-handling-commit.json", "mls/passive-client-random.json",
	"mls-passive/commit.json", "mls-passive/external_join.json", "mls-passive/external_proposals.json",
}

type passiveEpochs struct {
	passiveVector
	Epochs []struct {
		Commit             hexed
		Proposals          []hexed
		EpochAuthenticator hexed `json:"epoch_authenticator"`
	}
}

// Each Welcome is joined, and each commit processed, with the right result, as far as it is a PrivateMessage with a
// path and proposals of the profile by value, a PSK or not; and else refused as outside the
// profile.
func TestVectorsPassiveClientCommits(t *testing.T) {
	for _, file := range commitFiles {
		t.Run(file, func(t *testing.T) {
			processed, joined, outside := 0, 0, make(map[string]int)
			choose := func(v passiveEpochs) Suite {
				switch {
				case v.Suite == 7 && strings.HasPrefix(file, "mls-passive"):
					return skipOwnSuite
				case v.Suite == 5 && len(v.Epochs) == 0:
					return skipSlow
				}
				return v.Suite
			}
			runVectors(t, file, choose, func(t *testing.T, s *suite, v passiveEpochs) {
				n, err := v.follow(t, s)
				processed += n
				if err != nil {
					outside[lastOf(err)]++
				}
				if len(v.Epochs) == 0 {
					joined++
				}
			})
			t.Logf("%s: %d commits processed, %d vectors of a Welcome alone; the first commit that was not, by reason: %v", file, processed, joined, outside)
		})
	}
}

// lastOf is what an error says after its last colon.
func lastOf(err error) string {
	s := err.Error()
	return s[strings.LastIndex(s, ": ")+2:]
}

// follow joins and processes commits up to the first that is outside the profile.
func (v passiveEpochs) follow(t *testing.T, s *suite) (processed int, outside error) {
	t.Helper()
	kp := &KeyPackageSecrets{
		kp: vectorKeyPackage(t, v.KeyPackage), initKey: vectorKey(t, s, v.InitPriv),
		leafKey: vectorKey(t, s, v.EncryptionPriv), signer: vectorSigner(t, s.id, v.SignaturePriv),
	}
	any := func(groupSecrets) error { return nil }
	j, err := join(v.Welcome, kp, joinParams{psks: v.psks, tree: v.RatchetTree, check: any})
	if err != nil {
		if !errors.Is(err, ErrProfile) {
			t.Errorf("join: %v", err)
		}
		return 0, err
	}
	requireEqual(t, "epoch authenticator", j.group.EpochAuthenticator(), v.EpochAuthenticator)
	withPath := func(c *commit) error {
		if c.path == nil {
			return fmt.Errorf("%w: without a path", ErrProfile)
		}
		return nil
	}
	for g, i := j.group, 0; g != nil && i < len(v.Epochs); i++ {
		out, err := g.process(v.Epochs[i].Commit, ProcessParams{PSKs: v.psks}, withPath)
		if err != nil {
			if !errors.Is(err, ErrProfile) {
				t.Errorf("commit %d: %v", i, err)
			}
			return processed, err
		}
		processed++
		if g = out.Group; g != nil {
			requireEqual(t, "epoch authenticator", g.EpochAuthenticator(), v.Epochs[i].EpochAuthenticator)
		}
	}
	return processed, nil
}
