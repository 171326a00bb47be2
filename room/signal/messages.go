package signal

import "fmt"

// PID is a participant id: 16 random bytes of the client's choice, as 22
// characters of base64url without padding (RFC 4648, Section 5).
type PID string

// Source names what a publication shows. Its number in a frame's KID is the
// SFrame context.
type Source string

// The four sources of a participant, in the order of their SFrame contexts 0 to 3.
const (
	SourceMic         Source = "mic"
	SourceCamera      Source = "camera"
	SourceScreen      Source = "screen"
	SourceScreenAudio Source = "screen-audio"
)

// Hello opens a connection. It must be the first message.
type Hello struct {
	PID PID `json:"pid"`
	// Resume takes up a connection that was lost. The pid keeps its place in the
	// log and its media; without Resume a pid that is already here is refused.
	Resume *Resume `json:"resume,omitempty"`
	// Lists says that the client takes [Participants]; who does not say so is sent a
	// [Participant] for each.
	Lists bool `json:"lists,omitempty"`
}

// Resume proves that a connection continues an earlier one.
type Resume struct {
	Token string `json:"token"`
	LogID []byte `json:"logId"`
	// After is the position of the last log entry that the client has.
	After uint64 `json:"after"`
}

// Ready answers [Hello].
type Ready struct {
	// Token resumes this connection after a loss. It is a secret.
	Token string `json:"token"`
	// LogID is the random id, 16 bytes, of the room's log. A new one means that
	// the room began anew and all that a client knew of its log is void.
	LogID []byte `json:"logId"`
	// Head is the position of the last entry; 0 is an empty log.
	Head uint64 `json:"head"`
	// HeadHash is H(Head), 32 bytes: what a client that has the whole log computes too.
	HeadHash []byte `json:"headHash"`
	// Now is the server's time.
	Now int64 `json:"now"`
	// Resumed says that the log goes on after Resume.After. Otherwise it starts at 1.
	Resumed bool `json:"resumed"`
	// Here are the participants who are here, without the client itself; who is not
	// among them is gone. A [Participant] for each of them follows, or [Participants].
	Here []PID `json:"here"`
	// MaxMessage is the size in bytes of the largest message taken now.
	MaxMessage int64 `json:"maxMessage"`
	// ICEServers relay media to the server for clients whose network lets no UDP through.
	ICEServers []ICEServer `json:"iceServers,omitempty"`
}

// ICEServer is an RTCIceServer of WebRTC 1.0 (Section 4.2.4).
type ICEServer struct {
	// URLs are of the schemes of RFC 7064 and RFC 7065.
	URLs     []string `json:"urls"`
	Username string   `json:"username"`
	// Credential goes with Username for some hours. It is a secret.
	Credential string `json:"credential"`
}

// String keeps the credential out of logs.
func (s ICEServer) String() string { return fmt.Sprint(s.URLs) }

// Join asks for a `joined` entry: add me by this KeyPackage.
type Join struct {
	KeyPackage []byte `json:"keyPackage"`
	// MAC is HMAC-SHA256 over the KeyPackage under the link.
	MAC []byte `json:"mac"`
}

// Create asks for a `create` entry: a new group. It is appended if and only if
// Last is the position of the last create or commit entry (0 if there is none).
type Create struct {
	Last       uint64 `json:"last"`
	Generation uint32 `json:"generation"`
	GroupID    []byte `json:"groupId"`
	MAC        []byte `json:"mac"`
}

// Commit asks for a `commit` entry: an MLS commit and the Welcome for those whom
// it adds. It is appended under the same condition as a [Create].
type Commit struct {
	Last       uint64 `json:"last"`
	Generation uint32 `json:"generation"`
	// Adds names the added KeyPackages by their SHA-256 digests, in the order of the
	// commit's Add proposals.
	Adds   [][]byte `json:"adds,omitempty" tstype:"string[]"`
	Commit []byte   `json:"commit"`
	// Welcome is empty if nobody is added.
	Welcome []byte `json:"welcome,omitempty"`
	// MAC is HMAC-SHA256 over all of this, with digests for the commit and the Welcome,
	// over the room, the log and the pid, under the link.
	MAC []byte `json:"mac"`
}

// Appended says that an entry was appended.
type Appended struct {
	Position uint64 `json:"position"`
}

//tygo:emit
var _ = `/** EntryKind is the kind of a log entry. */
export type EntryKind = "joined" | "left" | "create" | "commit";
`

// Entry is one entry of the room's log. The field named as its kind is set; a
// `left` entry has none.
type Entry struct {
	Position uint64    `json:"position"`
	Time     int64     `json:"time"`
	Kind     EntryKind `json:"kind"`
	// PID is who joined, left, created or committed.
	PID    PID          `json:"pid"`
	Joined *Join        `json:"joined,omitempty"`
	Create *Create      `json:"create,omitempty"`
	Commit *CommitEntry `json:"commit,omitempty"`
}

// CommitEntry is a [Commit] in the log. Digests are SHA-256.
type CommitEntry struct {
	Last       uint64   `json:"last"`
	Generation uint32   `json:"generation"`
	Adds       [][]byte `json:"adds,omitempty" tstype:"string[]"`
	// Commit is left out for those who joined after it.
	Commit       []byte `json:"commit,omitempty"`
	CommitDigest []byte `json:"commitDigest"`
	// Welcome is sent only to those whose KeyPackage is in Adds.
	Welcome       []byte `json:"welcome,omitempty"`
	WelcomeDigest []byte `json:"welcomeDigest,omitempty"`
	MAC           []byte `json:"mac"`
}

// Log carries entries of the log, in order and without a gap.
type Log struct {
	Entries []Entry `json:"entries"`
}

// Participant says who is connected and what it publishes; it replaces what was
// said of that pid before. It is the server's word: the roster that counts is MLS's.
type Participant struct {
	PID          PID           `json:"pid"`
	Publications []Publication `json:"publications"`
	// Away says that its connection is lost and may be resumed.
	Away bool `json:"away,omitempty"`
}

// Participants are some of whom there is something to say, each as a [Participant] would say it. The
// client itself may be among them, which it ignores.
type Participants struct {
	Participants []Participant `json:"participants"`
}

// Publication is a track that a participant offers.
type Publication struct {
	Source Source `json:"source"`
	Muted  bool   `json:"muted"`
}

// Gone says that a participant is no longer here.
type Gone struct {
	PID PID `json:"pid"`
}

// Message is an MLS message of a member for all others: relayed in order, not
// logged, not stored.
type Message struct {
	// PID is the sender. The server sets it.
	PID  PID    `json:"pid,omitempty"`
	Data []byte `json:"data"`
}

// Offer is an SDP offer (RFC 8829) of the client's one PeerConnection. Only the
// client offers.
type Offer struct {
	// Connection numbers the PeerConnection, from 1. A higher one replaces the one
	// before; the same one renegotiates.
	Connection uint32 `json:"connection"`
	SDP        string `json:"sdp"`
	// Tracks says what each sendonly media section (by mid) carries. The
	// recvonly sections are slots.
	Tracks []OfferTrack `json:"tracks"`
}

// OfferTrack says what a media section carries.
type OfferTrack struct {
	MID    string `json:"mid"`
	Source Source `json:"source"`
}

// Answer is the SDP answer to an [Offer]. It holds the server's candidates: none
// trickle.
type Answer struct {
	Connection uint32 `json:"connection"`
	SDP        string `json:"sdp"`
}

// View is all that the client wants to see, as a whole; it replaces the view
// before. What is not in it is not sent. Audio needs no view: everyone is heard
// while slots last, then the loudest.
type View struct {
	Wants []Want `json:"wants"`
}

// Want is one video that the client shows.
type Want struct {
	PID    PID    `json:"pid"`
	Source Source `json:"source"`
	// Width and Height are the shown size in device pixels.
	Width  int `json:"width"`
	Height int `json:"height"`
	// Priority orders the wants when there are too few slots or bits: higher first.
	Priority int `json:"priority,omitempty"`
}

// Slots says what each slot carries now, as a whole. It is a hint: a frame's KID
// tells whom it shows.
type Slots struct {
	Connection uint32 `json:"connection"`
	Slots      []Slot `json:"slots"`
}

// Slot is a recvonly media section and what it carries. A slot that carries
// nothing is not listed.
type Slot struct {
	MID    string `json:"mid"`
	PID    PID    `json:"pid"`
	Source Source `json:"source"`
}

// Demand says what of the client's videos somebody watches, as a whole. The rest need
// not be sent: each change of it costs less than what nobody sees. A new PeerConnection
// begins with all of it; a client that takes no notice only wastes its line.
type Demand struct {
	Connection uint32         `json:"connection"`
	Sources    []SourceDemand `json:"sources"`
}

// SourceDemand says what of one video is watched.
type SourceDemand struct {
	Source Source `json:"source"`
	// Watched says that anybody watches at all.
	Watched bool `json:"watched"`
	// RIDs are the encodings of a simulcast that are wanted (RFC 8852).
	RIDs []string `json:"rids"`
	// Height is that of the largest picture, in pixels, in which one stream with several
	// spatial layers is shown: layers that are not needed for it need not be made. 0 is any.
	Height int `json:"height,omitempty"`
}

// MediaDown says that the forwarder has given up a PeerConnection; the client
// should offer a new one.
type MediaDown struct {
	Connection uint32 `json:"connection"`
	Code       Code   `json:"code"`
}

// Mute says that a source sends nothing for now, or sends again.
type Mute struct {
	Source Source `json:"source"`
	Muted  bool   `json:"muted"`
}

// Leave ends the participation: a `left` entry follows and the connection closes.
type Leave struct{}
