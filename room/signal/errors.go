package signal

// Code is a stable name of an error. Programs read the code, people the text.
type Code string

// Error answers a message that was refused, or, with Re 0, says why the
// connection is about to close.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
}

// The codes of [Error]. Fatal ones are followed by a close of the connection.
const (
	CodeBadMessage     Code = "bad_message"      // not JSON, or a field is missing, malformed or too large
	CodeUnknownType    Code = "unknown_type"     // no such message type
	CodeTooLarge       Code = "too_large"        // over the size limit; fatal
	CodeNotReady       Code = "not_ready"        // a message before hello; fatal
	CodeAlreadyHere    Code = "already_here"     // a second hello, or the pid is in the room already; fatal
	CodeResumeRefused  Code = "resume_refused"   // token or log unknown: join anew with a fresh pid; fatal
	CodeReplaced       Code = "replaced"         // another connection resumed this one; fatal
	CodeRoomFull       Code = "room_full"        // no place left; fatal
	CodeLogFull        Code = "log_full"         // the room's log is at its end; reconnect to a new one; fatal
	CodeTooManyWaiting Code = "too_many_waiting" // 128 KeyPackages wait already; try again
	CodeNotJoined      Code = "not_joined"       // create, commit or message before join
	CodeStale          Code = "stale"            // another create or commit came first
	CodeRateLimited    Code = "rate_limited"     // too many messages; fatal when it goes on
	CodeSlow           Code = "slow"             // the connection reads too slowly; fatal
	CodeBadOffer       Code = "bad_offer"        // the SDP was refused
	CodeMediaFailed    Code = "media_failed"     // ICE or DTLS failed or timed out
	CodeShutdown       Code = "shutdown"         // the server stops; come back; fatal
	CodeInternal       Code = "internal"         // our fault
)
