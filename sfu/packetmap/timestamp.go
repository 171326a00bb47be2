package packetmap

import "time"

// Clock rates of RTP timestamps in Hz (RFC 7587, Section 4.1; RFC 7741, Section 4.1).
const (
	AudioRate = 48000
	VideoRate = 90000
)

// audioFrame is 20 ms: what a packet of Opus nearly always holds. A jitter buffer
// that sees whole frames missing conceals and goes on; a part of one makes it
// stretch or throw away what it has.
const audioFrame = 20 * AudioRate / 1000

// maxStep bounds how far a change of source moves timestamps: a receiver takes no
// more from a long pause than from a minute.
const maxStep = time.Minute

// VideoStep is how far a video timestamp moves at a change of source, elapsed
// after the last picture. Pictures may not share a timestamp: it is 1 at least.
func VideoStep(elapsed time.Duration) uint32 {
	return uint32(max(Ticks(min(elapsed, maxStep), VideoRate), 1))
}

// AudioStep is the same for audio: whole frames, one at least.
func AudioStep(elapsed time.Duration) uint32 {
	frames := (Ticks(min(elapsed, maxStep), AudioRate) + audioFrame/2) / audioFrame
	return uint32(max(frames, 1) * audioFrame)
}

// Ticks is d in units of a clock of rate Hz, rounded toward zero.
func Ticks(d time.Duration, rate int64) int64 {
	seconds, rest := int64(d/time.Second), int64(d%time.Second)
	return seconds*rate + rest*rate/int64(time.Second)
}

// Duration is the time that n ticks of a clock of rate Hz take.
func Duration(n int64, rate int64) time.Duration {
	return time.Duration(n/rate)*time.Second + time.Duration(n%rate*int64(time.Second)/rate)
}
