package e2ee

import "github.com/conclave-sfu/conclave/e2ee/framecrypt"

// PID is a participant id: 16 random bytes, the credential of the participant's leaf.
type PID [16]byte

// LogID is the random id of a room's log.
type LogID [16]byte

// Hash is SHA-256: of a log up to an entry, of a KeyPackage, a commit, a Welcome.
type Hash [32]byte

// Entry is one entry of the room's log. Body is one of [Joined], [Left], [Created],
// [Committed].
type Entry struct {
	Position uint64
	// Time is the server's, in milliseconds since the Unix epoch.
	Time int64
	PID  PID
	Body EntryBody
}

// EntryBody is what an entry says.
type EntryBody interface{ isEntryBody() }

// Joined says that a participant wants to be added by this KeyPackage.
type Joined struct {
	KeyPackage []byte
	MAC        Hash
}

// Left says that a participant is gone.
type Left struct{}

// Created begins a new group.
type Created struct {
	Last       uint64
	Generation uint32
	GroupID    [16]byte
	MAC        Hash
}

// Committed moves the group to its next epoch. Commit is empty where the room gave
// only the digest; Welcome is empty for all whom it does not name. The MAC covers all but
// these two, so that an entry fits one place in one log.
type Committed struct {
	Last          uint64
	Generation    uint32
	Adds          []Hash
	Commit        []byte
	CommitDigest  Hash
	Welcome       []byte
	WelcomeDigest Hash // zero if there is no Welcome
	MAC           Hash
}

func (Joined) isEntryBody()    {}
func (Left) isEntryBody()      {}
func (Created) isEntryBody()   {}
func (Committed) isEntryBody() {}

// Input is what happened: the argument of [Session.Step].
type Input interface{ isInput() }

// LogOpened says that the session is connected to a log that starts at position 1.
// Another id than before means that the room began anew: the session does too.
// The same id means that the log goes on where it stopped; what was posted and not
// answered before is then taken as lost, unless the log brings it.
type LogOpened struct {
	ID LogID
	// Head is the position of the log's last entry when the connection opened. The
	// session posts nothing before it has seen that far. It is a hint: 0 will do.
	Head uint64
}

// LogEntry is the next entry of the log.
type LogEntry struct{ Entry Entry }

// DeviceSigned answers [SignDevice].
type DeviceSigned struct {
	Public    [32]byte // Ed25519
	Signature [64]byte
}

// Posted answers a [Post]: the entry was appended, or was refused by the room with a code.
type Posted struct {
	Seq uint32
	// Code is empty if the entry was appended, else the room's error code.
	Code string
}

// Tick says that the time of [Session.Deadline] has come.
type Tick struct{}

func (LogOpened) isInput()    {}
func (LogEntry) isInput()     {}
func (DeviceSigned) isInput() {}
func (Posted) isInput()       {}
func (Tick) isInput()         {}

// Output is what the shell has to do: a result of [Session.Poll].
type Output interface{ isOutput() }

// SignDevice asks for an Ed25519 signature of Message by the device key.
type SignDevice struct{ Message []byte }

// Post asks the room to append an entry. The answer comes back as [Posted].
type Post struct {
	Seq  uint32
	Body PostBody
}

// PostBody is one of [PostJoin], [PostCreate], [PostCommit].
type PostBody interface{ isPostBody() }

// PostJoin is the body of a signal.Join.
type PostJoin struct {
	KeyPackage []byte
	MAC        Hash
}

// PostCreate is the body of a signal.Create.
type PostCreate struct {
	Last       uint64
	Generation uint32
	GroupID    [16]byte
	MAC        Hash
}

// PostCommit is the body of a signal.Commit.
type PostCommit struct {
	Last       uint64
	Generation uint32
	Adds       []Hash
	Commit     []byte
	Welcome    []byte
	MAC        Hash
}

func (PostJoin) isPostBody()   {}
func (PostCreate) isPostBody() {}
func (PostCommit) isPostBody() {}

// Member is one leaf of the group, as MLS has it.
type Member struct {
	Leaf framecrypt.Leaf
	PID  PID
	Name string
	// Device is the Ed25519 key that signed the leaf's identity.
	Device [32]byte
}

// EpochStarted says that the group is in a new epoch. Frames of it can be opened
// from now on; [SendEpoch] says from when on they are sealed under it.
type EpochStarted struct {
	// Epoch's generation rises for as long as the session lives, also when the room begins
	// anew. It need not be the same for all members; the number is.
	Epoch   framecrypt.Epoch
	Own     framecrypt.Leaf
	Members []Member // by leaf index
	// Removed are the leaves of earlier epochs that are members no more: their frames are
	// refused at once.
	Removed []framecrypt.Leaf
	// BaseKey is the SFrame base_key (RFC 9605, Section 5.2).
	BaseKey framecrypt.BaseKey
	// SafetyNumber is 30 digits in groups of five, separated by spaces.
	SafetyNumber string
}

// SendEpoch says that frames are sealed under this epoch from now on.
type SendEpoch struct{ Epoch framecrypt.Epoch }

// EpochEnded says that the keys of an epoch are to be erased.
type EpochEnded struct{ Epoch framecrypt.Epoch }

// Status is where the session stands.
type Status struct {
	State State
	// Code says why, where there is something to say: one of the Code constants.
	Code Code
}

// EntryRefused says that an entry is not valid and was skipped.
type EntryRefused struct {
	Position uint64
	PID      PID
	Code     Code
}

func (SignDevice) isOutput()   {}
func (Post) isOutput()         {}
func (EpochStarted) isOutput() {}
func (SendEpoch) isOutput()    {}
func (EpochEnded) isOutput()   {}
func (Status) isOutput()       {}
func (EntryRefused) isOutput() {}

// State is the state of a session.
type State string

// The states of a session.
const (
	StateConnecting State = "connecting" // no log yet
	StateWaiting    State = "waiting"    // announced, not yet in a group
	StateMember     State = "member"     // in the group
	StateRejoining  State = "rejoining"  // was a member, announced again
	StateEnded      State = "ended"      // left, or can never join; Code says why
)

// Code is the stable name of a reason.
type Code string
