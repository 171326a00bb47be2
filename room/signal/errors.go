package signal

// Code is a stable name of an error. Programs read the code, people the text.
type Code string

// Error refuses a message, whose id, if it had one, is the envelope's re; or it
// says why the connection ends, and a close with [Code.CloseCode] follows.
type Error struct {
	Code    Code   `json:"code"`
	Message string `json:"message"`
}

// Error returns the code and the text, for use as a Go error.
func (e *Error) Error() string { return string(e.Code) + ": " + e.Message }

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
	CodeServerFull     Code = "server_full"      // the server has no place for another participant, or room; fatal
	CodeLogFull        Code = "log_full"         // the room's log is at its end; reconnect to a new one; fatal
	CodeTooManyWaiting Code = "too_many_waiting" // reserved: participants alone judge how many may wait
	CodeNotJoined      Code = "not_joined"       // create, commit or message before join
	CodeStale          Code = "stale"            // another create or commit came first
	CodeRateLimited    Code = "rate_limited"     // too many messages; fatal when it goes on
	CodeSlow           Code = "slow"             // the connection reads too slowly; fatal
	CodeBadOffer       Code = "bad_offer"        // the SDP was refused
	CodeMediaFailed    Code = "media_failed"     // ICE or DTLS failed or timed out
	CodeShutdown       Code = "shutdown"         // the server stops; come back; fatal
	CodeInternal       Code = "internal"         // our fault
)

// CloseLeft is the WebSocket close code (RFC 6455, Section 7.4) after a [Leave].
const CloseLeft = 1000

// CloseCode returns the WebSocket close code that follows an [Error] with a fatal
// code. A client may resume after slow, rate_limited, too_large, bad_message and
// internal; it joins anew, with a fresh pid, after the others, if at all.
func (c Code) CloseCode() int {
	switch c {
	case CodeBadMessage, CodeUnknownType:
		return 4001 // a binary frame, or a first message that is none
	case CodeTooLarge:
		return 4002
	case CodeNotReady:
		return 4003
	case CodeAlreadyHere:
		return 4004
	case CodeResumeRefused:
		return 4005
	case CodeReplaced:
		return 4006
	case CodeRoomFull:
		return 4007
	case CodeLogFull:
		return 4008
	case CodeRateLimited:
		return 4009
	case CodeServerFull:
		return 4012
	case CodeSlow:
		return 4010
	case CodeShutdown:
		return 4011
	}
	return 4000 // internal
}
