package e2ee

import (
	"crypto/ed25519"
	"crypto/sha256"
	"time"

	"github.com/conclave-sfu/conclave/e2ee/internal/fail"
	"github.com/conclave-sfu/conclave/e2ee/mls"
)

// Announcing, in this session's own time.
const (
	unnamedFor    = 30 * time.Second // then a participant announces itself anew
	keepInitKey   = 30 * time.Second // after a Welcome was taken
	announcePause = 2 * time.Second  // between an announcement that failed and the next
	doubtPause    = 30 * time.Second // between two doubts of our place in the group
	postTimeout   = 10 * time.Second // a post without an answer or an entry counts as lost
	maxOffers     = 4                // KeyPackages whose secrets are kept

	// A KeyPackage's lifetime around the log's time, in seconds.
	lifetimeBefore = 60 * 60
	lifetimeAfter  = 24 * 60 * 60
)

// offer is a KeyPackage of ours that somebody may still add.
type offer struct {
	digest  Hash
	secrets *mls.KeyPackageSecrets
}

// joiner is what a session needs to get into a group.
type joiner struct {
	signer   ed25519.PrivateKey
	identity []byte // the sealed extension; nil until the device has signed
	signing  int    // SignDevice requests without an answer

	seq    uint64
	offers []offer // oldest first

	// again says why to announce anew although the log has an announcement of ours.
	again Code
	// notBefore is when to announce next at the earliest.
	notBefore time.Time
	// byLogTime says that the local clock has proved wrong.
	byLogTime bool

	// used is the digest of the KeyPackage by which we are in the group. Its init key is
	// kept until keepUntil, so that the Welcome of a later epoch can replace the one taken.
	used      Hash
	keepUntil time.Time
	confirmed bool      // another member's commit has been applied since
	sure      time.Time // no doubt of our place in the group before
}

// newSigner makes the leaf's signature key.
func (s *Session) newSigner() (ed25519.PrivateKey, error) {
	seed := make([]byte, ed25519.SeedSize)
	if _, err := readFull(s.cfg.Rand, seed); err != nil {
		return nil, err
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// openLog makes what a new log needs and asks for the device's signature.
func (s *Session) openLog(in LogOpened, signer ed25519.PrivateKey) {
	s.joiner.eraseOffers()
	s.joiner = joiner{signer: signer, signing: s.joiner.signing}
	s.ledger, s.target = newLedger(s.cfg.Link, s.keys, in.ID), in.Head
	s.askDevice()
}

// askDevice asks for the signature that binds the leaf's key to the device.
func (s *Session) askDevice() {
	s.joiner.signing++
	s.emit(SignDevice{Message: s.leafBinding().message()})
}

func (s *Session) leafBinding() leafBinding {
	return s.ledger.binding(s.cfg.PID, [32]byte(s.joiner.signer.Public().(ed25519.PublicKey)))
}

// deviceSigned seals our identity. An answer to a request for an earlier log is
// passed over.
func (s *Session) deviceSigned(in DeviceSigned) error {
	if s.joiner.signing == 0 {
		return fail.With(ErrInput, "a device signature that was not asked for")
	}
	if s.joiner.signing--; s.joiner.signing > 0 {
		return nil
	}
	b := s.leafBinding()
	if !ed25519.Verify(in.Public[:], b.message(), in.Signature[:]) {
		s.joiner.signing++
		return fail.With(ErrInput, "the device signature is wrong")
	}
	sealed, err := sealIdentity(s.cfg.Rand, s.keys, b, leafIdentity{Name: s.cfg.Name, Device: in.Public}, in.Signature)
	if err != nil {
		s.askDevice()
		return err
	}
	s.joiner.identity = sealed
	return nil
}

// announceDue is when to announce ourselves, and why; zero for not.
func (s *Session) announceDue() (time.Time, Code) {
	own := s.ledger.present[s.cfg.PID]
	switch {
	case s.joiner.identity == nil || !s.caughtUp() || s.ended != "":
		return time.Time{}, ""
	case s.joinPost.open():
		return s.joinPost.until, s.joiner.again
	case own == nil || s.joiner.again != "":
		return later(s.joiner.notBefore, s.now), s.joiner.again
	case s.member == nil:
		return later(s.joiner.notBefore, own.seen.Add(unnamedFor)), CodeUnnamed
	}
	return time.Time{}, ""
}

// announce posts a joined entry if it is time to.
func (s *Session) announce() error {
	s.joinPost.expire(s.now)
	due, why := s.announceDue()
	if due.IsZero() || s.now.Before(due) {
		return nil
	}
	s.joiner.seq++
	secrets, err := mls.NewKeyPackage(s.cfg.Rand, s.keyPackageParams())
	if err != nil {
		return fail.At("make a KeyPackage", err)
	}
	raw := secrets.KeyPackage().Raw()
	s.joiner.offer(offer{digest: sha256.Sum256(raw), secrets: secrets})
	s.joiner.notBefore = s.now.Add(announcePause)
	s.why = why
	s.joinPost = s.post(PostJoin{KeyPackage: raw, MAC: s.keys.joinMAC(raw)})
	return nil
}

func (s *Session) keyPackageParams() mls.KeyPackageParams {
	now := s.serverTime().Unix()
	join := joinExtension{s.cfg.Link.Room, s.ledger.id, s.ledger.generation, s.joiner.seq}
	return mls.KeyPackageParams{
		Suite:          s.cfg.Link.suite(),
		Signer:         append(ed25519.PrivateKey(nil), s.joiner.signer...),
		Identity:       append([]byte(nil), s.cfg.PID[:]...),
		LeafExtensions: []mls.Extension{{Type: mls.ExtensionConclaveIdentity, Data: s.joiner.identity}},
		Extensions:     []mls.Extension{{Type: mls.ExtensionConclaveJoin, Data: join.encode()}},
		NotBefore:      uint64(max(now-lifetimeBefore, 0)),
		NotAfter:       uint64(max(now-lifetimeBefore, 0)) + lifetimeBefore + lifetimeAfter,
	}
}

// serverTime estimates the server's clock. Ours is taken as long as it does not
// contradict the log; others judge by the entry's time alone.
func (s *Session) serverTime() time.Time {
	if s.ledger.chain.head() == 0 {
		return s.now
	}
	byLog := s.logTime()
	if s.joiner.byLogTime || s.now.Before(byLog) {
		return byLog
	}
	return s.now
}

// logTime is the time that the log's entries tell, and what has passed since the last.
func (s *Session) logTime() time.Time {
	return time.UnixMilli(s.ledger.time).Add(s.now.Sub(s.heard))
}

// ownJoined deals with a joined entry of our pid.
func (s *Session) ownJoined(body Joined, code Code) {
	if s.joiner.find(sha256.Sum256(body.KeyPackage)) == nil {
		return // not the KeyPackage that we posted, or one given up
	}
	s.joinPost = inflight{}
	switch code {
	case "":
		s.joiner.again = ""
	case CodeBadGeneration: // a create came in between
		s.joiner.notBefore = s.now
	case CodeBadLifetime:
		s.joiner.byLogTime = true
		s.joiner.notBefore = s.now.Add(announcePause)
	case CodeKeyReused:
		if b := s.ledger.bound[s.cfg.PID]; b != nil && b.key != [32]byte(s.joiner.signer.Public().(ed25519.PublicKey)) {
			s.end(code) // our pid belongs to another key here
			return
		}
		s.joiner.notBefore = s.now.Add(announcePause) // somebody was shown our KeyPackage before the log was
	default:
		s.joiner.notBefore = s.now.Add(announcePause)
	}
}

// rejoin says that we have to be added again.
func (s *Session) rejoin(why Code) {
	s.joiner.again, s.why = why, why
}

// tryWelcome takes the Welcome of a commit entry that names a KeyPackage of ours. It
// says whether we are in the group now.
func (s *Session) tryWelcome(e Entry, c Committed) bool {
	own := s.joiner.named(c.Adds)
	if own == nil {
		return false
	}
	if err := s.welcome(e, c, own); err != nil {
		if s.member == nil && s.joiner.again == "" {
			s.rejoin(CodeWelcomeRefused)
			s.joiner.notBefore = later(s.joiner.notBefore, s.now.Add(announcePause))
		}
		return false
	}
	return true
}

func (s *Session) welcome(e Entry, c Committed, own *offer) error {
	if sha256.Sum256(c.Welcome) != c.WelcomeDigest {
		return fail.With(errWelcome, "its digest is another")
	}
	g, sender, info, err := mls.Join(c.Welcome, own.secrets, mls.JoinParams{
		PSKs: s.lookupPSK, RequiredPSKs: [][]byte{pskID(s.cfg.Link.Version)},
	})
	if err != nil {
		return fail.Both(errWelcome, err)
	}
	if next := s.epochOf(g); !s.newest.Less(next) {
		erase(g, sender)
		return fail.With(errWelcome, "epoch "+next.String()+" after "+s.newest.String())
	}
	x, roster, err := s.judgeWelcome(e, c, g, info, own.digest)
	if err != nil {
		erase(g, sender)
		return err
	}
	s.joiner.taken(own.digest, s.now)
	s.joiner.again = ""
	s.ledger.rebase(x)
	s.enter(newMembership(g, sender, e.Position, s.ledger.time, roster), 0)
	return nil
}

// offer keeps the secrets of a KeyPackage, and erases those of the oldest.
func (j *joiner) offer(o offer) {
	j.offers = append(j.offers, o)
	for len(j.offers) > maxOffers {
		j.forget(j.offers[0].digest)
	}
}

func (j *joiner) find(digest Hash) *offer {
	for i := range j.offers {
		if j.offers[i].digest == digest {
			return &j.offers[i]
		}
	}
	return nil
}

// named is the newest of our KeyPackages among those that a commit adds.
func (j *joiner) named(adds []Hash) *offer {
	for i := len(j.offers) - 1; i >= 0; i-- {
		for _, digest := range adds {
			if j.offers[i].digest == digest {
				return &j.offers[i]
			}
		}
	}
	return nil
}

// taken says that we are in the group by a KeyPackage. Older ones are of no use any
// more; this one's init key stays for a while.
func (j *joiner) taken(digest Hash, now time.Time) {
	for len(j.offers) > 0 && j.offers[0].digest != digest {
		j.forget(j.offers[0].digest)
	}
	j.used, j.keepUntil, j.confirmed = digest, now.Add(keepInitKey), false
}

// settle erases the init key by which we joined: another member's commit opened, or it
// was kept long enough.
func (j *joiner) settle() {
	if !j.keepUntil.IsZero() {
		j.forget(j.used)
		j.keepUntil = time.Time{}
	}
}

func (j *joiner) forget(digest Hash) {
	for i := range j.offers {
		if j.offers[i].digest == digest {
			j.offers[i].secrets.Erase()
			j.offers = append(j.offers[:i], j.offers[i+1:]...)
			return
		}
	}
}

func (j *joiner) eraseOffers() {
	for len(j.offers) > 0 {
		j.forget(j.offers[0].digest)
	}
	j.keepUntil = time.Time{}
}
