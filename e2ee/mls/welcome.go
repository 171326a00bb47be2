package mls

import (
	"bytes"
	"io"
	"slices"
	"strconv"

	"github.com/conclave-sfu/conclave/e2ee/internal/fail"
)

// welcome is Welcome (RFC 9420, Section 12.4.3.1).
type welcome struct {
	suite     Suite
	secrets   []encryptedGroupSecrets
	groupInfo []byte // encrypted
}

// encryptedGroupSecrets is EncryptedGroupSecrets: GroupSecrets for one KeyPackage.
type encryptedGroupSecrets struct {
	newMember []byte // KeyPackageRef
	secrets   hpkeCiphertext
}

func parseWelcome(b []byte) (w welcome, err error) {
	err = decode("welcome", b, func(r *reader) {
		r.messageHeader(wireWelcome)
		w.suite = Suite(r.u16())
		r.list(MaxMembers, func(r *reader) {
			w.secrets = append(w.secrets, encryptedGroupSecrets{r.vec(), r.hpkeCiphertext()})
		})
		w.groupInfo = r.vec()
	})
	return w, err
}

func (w *welcome) encode() []byte {
	b := appendU16(appendMessageHeader(nil, wireWelcome), uint16(w.suite))
	b = appendList(b, func(b []byte) []byte {
		for _, e := range w.secrets {
			b = e.secrets.append(appendVec(b, e.newMember))
		}
		return b
	})
	return appendVec(b, w.groupInfo)
}

// groupInfo is GroupInfo (RFC 9420, Section 12.4.3).
type groupInfo struct {
	context    groupContext
	extensions []Extension
	tag        []byte
	signer     LeafIndex
	signature  []byte

	signed []byte // the encoding up to the signature
}

func parseGroupInfo(b []byte) (info groupInfo, err error) {
	err = decode("group info", b, func(r *reader) {
		start := r.b
		info.context = r.groupContext()
		info.extensions = r.extensions()
		info.tag = r.vec()
		info.signer = LeafIndex(r.u32())
		info.signed = r.since(start)
		info.signature = r.vec()
	})
	return info, err
}

// seal signs and encodes.
func (i *groupInfo) seal(s signer) ([]byte, error) {
	b := appendExtensions(i.context.encode(), i.extensions)
	b = appendU32(appendVec(b, i.tag), uint32(i.signer))
	signature, err := signWithLabel(s, "GroupInfoTBS", b)
	if err != nil {
		return nil, err
	}
	return appendVec(b, signature), nil
}

// groupSecrets is GroupSecrets (RFC 9420, Section 12.4.3.1).
type groupSecrets struct {
	joiner []byte
	path   []byte // nil if there is none
	psks   []pskID
}

// erase overwrites the secrets.
func (s groupSecrets) erase() {
	clear(s.joiner)
	clear(s.path)
}

// maxPSKs bounds the PSKs that a Welcome names. The profile has one.
const maxPSKs = 16

func parseGroupSecrets(b []byte) (s groupSecrets, err error) {
	err = decode("group secrets", b, func(r *reader) {
		s.joiner = r.vec()
		if r.optional() {
			s.path = r.vec()
		}
		r.list(maxPSKs, func(r *reader) { s.psks = append(s.psks, r.pskID()) })
	})
	return s, err
}

func (s groupSecrets) encode() []byte {
	b := appendVec(nil, s.joiner)
	if s.path == nil {
		b = append(b, 0)
	} else {
		b = appendVec(append(b, 1), s.path)
	}
	return appendList(b, func(b []byte) []byte {
		for _, id := range s.psks {
			b = id.append(b)
		}
		return b
	})
}

// welcome makes the Welcome of the commit that began the epoch g, for all that it added.
func (g *Group) welcome(rand io.Reader, tr transition, c *changes, path *newPath, extensions []Extension) ([]byte, error) {
	tree := Extension{extensionRatchetTree, g.tree.encode()}
	info := groupInfo{
		context: g.context, extensions: append([]Extension{tree}, extensions...),
		tag: g.tag, signer: g.own,
	}
	if err := checkExtensionList(info.extensions); err != nil {
		return nil, err
	}
	plain, err := info.seal(g.signer)
	if err != nil {
		return nil, err
	}
	key, nonce := g.suite.welcomeKey(tr.member)
	defer clear(key)
	w := welcome{suite: g.suite.id, groupInfo: g.suite.seal(key, nonce, nil, plain)}
	to := g.suite.encryption("Welcome", w.groupInfo)
	for i, kp := range c.adds {
		secrets := groupSecrets{tr.joiner, path.secretFor(g.own, c.added[i]), c.psks}
		plain := secrets.encode()
		e, err := to.encrypt(rand, kp.initKey, plain)
		clear(plain)
		if err != nil {
			return nil, fail.At("welcome", err)
		}
		w.secrets = append(w.secrets, encryptedGroupSecrets{kp.Ref(), e})
	}
	return w.encode(), nil
}

// JoinParams is what a joiner brings to a Welcome.
type JoinParams struct {
	// PSKs returns the secret of an external PSK.
	PSKs func(id []byte) ([]byte, bool)
	// RequiredPSKs are the ids of the PSKs that the Welcome must use, in order: exactly
	// these. A Welcome without exactly one is always refused.
	RequiredPSKs [][]byte
}

// JoinedInfo is what the GroupInfo says beside the group itself.
type JoinedInfo struct {
	Extensions []Extension // of the GroupInfo, without the tree
	Signer     LeafIndex   // the committer who made the Welcome
}

// Join enters a group by a Welcome that holds the tree (RFC 9420, Section 12.4.3.1). kp
// stays usable; neither slice is retained. Errors: [ErrMalformed], [ErrProfile],
// [ErrInvalid], [ErrNotAddressed], [ErrUnknownPSK], [ErrDecrypt].
func Join(welcome []byte, kp *KeyPackageSecrets, p JoinParams) (*Group, *Sender, *JoinedInfo, error) {
	j, err := join(welcome, kp, joinParams{psks: p.PSKs, check: p.check})
	if err != nil {
		return nil, nil, nil, fail.At("join", err)
	}
	return j.group, j.sender, j.info, nil
}

// check holds a Welcome's secrets against the profile: a path and one PSK in every commit.
func (p JoinParams) check(s groupSecrets) error {
	if s.path == nil {
		return fail.With(ErrProfile, "welcome without a path secret")
	}
	if len(s.psks) != 1 {
		return fail.With(ErrProfile, "welcome with "+strconv.Itoa(len(s.psks))+" PSKs")
	}
	same := func(id pskID, want []byte) bool { return bytes.Equal(id.id, want) }
	if p.RequiredPSKs != nil && !slices.EqualFunc(s.psks, p.RequiredPSKs, same) {
		return fail.With(ErrInvalid, "welcome with another PSK")
	}
	return nil
}

// joinParams is JoinParams without the profile's rules.
type joinParams struct {
	psks  func(id []byte) ([]byte, bool)
	check func(groupSecrets) error
	tree  []byte // a tree that is not in the Welcome; nil in the profile
}

type joined struct {
	group  *Group
	sender *Sender
	info   *JoinedInfo
}

func join(msg []byte, kp *KeyPackageSecrets, p joinParams) (*joined, error) {
	s, secrets, w, err := openWelcome(msg, kp)
	if err != nil {
		return nil, err
	}
	defer secrets.erase()
	if err := p.check(secrets); err != nil {
		return nil, err
	}
	psks, err := lookUp(secrets.psks, p.psks)
	if err != nil {
		return nil, err
	}
	psk := s.pskSecret(secrets.psks, psks)
	member := s.memberSecret(secrets.joiner, psk)
	defer eraseAll([][]byte{psk, member})
	info, err := s.openGroupInfo(member, w.groupInfo)
	if err != nil {
		return nil, err
	}
	t, err := info.openTree(s, p.tree)
	if err != nil {
		return nil, err
	}
	own, err := t.find(kp.kp.leaf)
	if err != nil {
		return nil, err
	}
	keys, err := t.joinerKeys(own, kp, info.signer, secrets.path)
	if err != nil {
		return nil, err
	}
	epoch := s.deriveEpoch(s.epochSecretOf(member, info.context.encode()))
	if !equalMAC(info.tag, s.mac(epoch.confirmationKey, info.context.confirmedTranscriptHash)) {
		keys.erase()
		epoch.erase()
		return nil, fail.With(ErrInvalid, "confirmation tag")
	}
	j := &joined{info: info.public()}
	j.group, j.sender = newGroup(epochParams{
		suite: s, context: info.context, tree: t, own: own, keys: keys,
		signer: kp.signer, secrets: epoch, tag: info.tag,
	})
	return j, nil
}

// openWelcome finds and decrypts the secrets for kp.
func openWelcome(msg []byte, kp *KeyPackageSecrets) (s *suite, secrets groupSecrets, w welcome, err error) {
	if kp.erased() {
		return nil, secrets, w, fail.With(ErrInvalid, "key package is erased")
	}
	if msg, err = cloneInput(msg); err != nil {
		return nil, secrets, w, err
	}
	if w, err = parseWelcome(msg); err != nil {
		return nil, secrets, w, err
	}
	if w.suite != kp.kp.suite {
		return nil, secrets, w, fail.With(ErrInvalid, "welcome for suite "+strconv.Itoa(int(w.suite)))
	}
	if s, err = suiteOf(w.suite); err != nil {
		return nil, secrets, w, err
	}
	ref := kp.kp.Ref()
	at := slices.IndexFunc(w.secrets, func(e encryptedGroupSecrets) bool { return bytes.Equal(e.newMember, ref) })
	if at < 0 {
		return nil, secrets, w, ErrNotAddressed
	}
	plain, err := s.encryption("Welcome", w.groupInfo).decrypt(kp.initKey, w.secrets[at].secrets)
	if err != nil {
		return nil, secrets, w, fail.With(ErrDecrypt, "group secrets")
	}
	secrets, err = parseGroupSecrets(plain)
	return s, secrets, w, err
}

func (s *suite) openGroupInfo(member, encrypted []byte) (info groupInfo, err error) {
	key, nonce := s.welcomeKey(member)
	defer clear(key)
	plain, err := s.open(key, nonce, nil, encrypted)
	if err != nil {
		return info, fail.With(ErrDecrypt, "group info")
	}
	if info, err = parseGroupInfo(plain); err != nil {
		return info, err
	}
	if info.context.suite != s.id {
		return info, fail.With(ErrInvalid, "group of suite "+strconv.Itoa(int(info.context.suite)))
	}
	return info, nil
}

// openTree takes the tree from the extensions, or the one given, and checks it and the
// GroupInfo's signature.
func (i *groupInfo) openTree(s *suite, given []byte) (*tree, error) {
	data, ok := findExtension(i.extensions, extensionRatchetTree)
	switch {
	case ok == (given != nil):
		return nil, fail.With(ErrInvalid, "welcome without a tree, or with two")
	case !ok:
		data = given
	}
	t, err := parseTree(s, data)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(t.rootHash(), i.context.treeHash) {
		return nil, fail.With(ErrInvalid, "tree hash")
	}
	signer := t.leaf(i.signer)
	if signer == nil || !s.verifyWithLabel(signer.signatureKey, "GroupInfoTBS", i.signed, i.signature) {
		return nil, fail.With(ErrInvalid, "signature of a group info")
	}
	return t, t.validate(i.context.groupID, i.context.extensions)
}

func (i *groupInfo) public() *JoinedInfo {
	list := slices.DeleteFunc(cloneExtensions(i.extensions), func(e Extension) bool {
		return e.Type == extensionRatchetTree
	})
	return &JoinedInfo{list, i.signer}
}

// find returns the place of exactly this leaf.
func (t *tree) find(n *leafNode) (LeafIndex, error) {
	for i := range t.width() {
		if l := t.leaf(i); l != nil && bytes.Equal(l.raw, n.raw) {
			return i, nil
		}
	}
	return 0, fail.With(ErrInvalid, "our leaf is not in the tree")
}

// joinerKeys are a joiner's private keys: its leaf's, and those that follow from the path
// secret of the lowest node that it shares with the committer.
func (t *tree) joinerKeys(own LeafIndex, kp *KeyPackageSecrets, signer LeafIndex, secret []byte) (privateKeys, error) {
	keys := privateKeys{own.node(): kp.leafKey}
	if secret == nil {
		return keys.in(t), nil
	}
	if own == signer {
		return nil, fail.With(ErrInvalid, "welcome signed by our own leaf")
	}
	steps := t.filteredPath(signer)
	at := slices.IndexFunc(steps, func(s pathStep) bool { return s.copath.covers(own) })
	for _, step := range steps[at:] {
		if t.nodes[step.node].blank() {
			return nil, fail.With(ErrInvalid, "welcome with a path secret for a blank node")
		}
	}
	keys, commitSecret, err := t.adoptPath(keys, steps[at:], secret)
	clear(commitSecret)
	if err != nil {
		return nil, fail.With(ErrInvalid, "path secret of a welcome")
	}
	return keys, nil
}
