package signal

// Limits of the protocol. The server enforces each of them.
const (
	MaxRoomName     = 64        // characters
	MaxParticipants = 1000      // in a room; also MLS's largest group
	MaxWaiting      = 128       // KeyPackages that wait for a commit
	MaxKeyPackage   = 4 << 10   // bytes
	MaxSDP          = 256 << 10 // bytes; 100 video and 16 audio slots take 151 kB
	MaxTracks       = 8         // sendonly media sections in an offer
	MaxMID          = 16        // characters of a media section's id, as in RFC 9143's header extension
	MaxWants        = 100       // videos in a view
	MaxViewSize     = 16384     // device pixels of a view's side
	MaxPriority     = 1 << 20   // of a want, either way from 0
	MaxGroupMessage = 16 << 10  // bytes of a [Message]
	MACSize         = 32        // bytes
	DigestSize      = 32        // bytes
	LogIDSize       = 16        // bytes
	GroupIDSize     = 16        // bytes
	MaxHello        = 4 << 10   // bytes of the first message, all in all
	MaxToken        = 64        // characters of a resume token
	MaxLogEntries   = 1 << 16   // entries, then the room begins a new log
)

// MaxMessage is the size in bytes of the largest message that a room with n
// participants takes: a commit and its Welcome grow with the group.
func MaxMessage(n int) int64 { return 512<<10 + int64(min(n, MaxParticipants))*24<<10 }
