package signal

// Limits of the protocol. The server enforces each of them.
const (
	MaxRoomName     = 64        // characters
	MaxParticipants = 1000      // in a room; also MLS's largest group
	MaxWaiting      = 128       // KeyPackages that wait for a commit
	MaxKeyPackage   = 8 << 10   // bytes
	MaxSDP          = 256 << 10 // bytes; 100 video and 16 audio slots take 151 kB
	MaxTracks       = 8         // sendonly media sections in an offer
	MaxWants        = 100       // videos in a view
	MaxGroupMessage = 16 << 10  // bytes of a [Message]
	MACSize         = 32        // bytes
	DigestSize      = 32        // bytes
	LogIDSize       = 16        // bytes
	GroupIDSize     = 16        // bytes
	MaxLogEntries   = 1 << 16   // entries, then the room begins a new log
)

// MaxMessage is the size in bytes of the largest message that a room with n
// participants takes: a commit and its Welcome grow with the group.
func MaxMessage(n int) int64 { return 512<<10 + int64(min(n, MaxParticipants))*24<<10 }
