package framecrypt

import (
	"strconv"

	"github.com/conclave-sfu/conclave/e2ee/internal/fail"
)

// Codec says how a frame is encoded. Its number is authenticated with each frame
// and not sent.
type Codec uint8

// The codecs that have a number. AV1 and H264 have no rule for clear bytes yet:
// their frames are refused.
const (
	Opus Codec = 1
	VP8  Codec = 2
	VP9  Codec = 3
	AV1  Codec = 4
	H264 Codec = 5
)

// The clear bytes of VP8: what a forwarder and a decoder's front look at (RFC 6386,
// Section 9.1): frame tag, and for a key frame start code and size too.
const (
	vp8KeyFrameClear = 10
	vp8DeltaClear    = 3
)

// Audio says whether the codec is for audio.
func (c Codec) Audio() bool { return c == Opus }

// ClearPrefix is how many bytes at the start of a frame stay in clear. It depends on
// these bytes alone, so it is the same before sealing and after. It fails with
// [ErrCodec], and with [ErrShortFrame] if the frame has fewer bytes than that.
func ClearPrefix(c Codec, frame []byte) (int, error) {
	n := 0
	switch c {
	case Opus, VP9:
	case VP8:
		n = vp8Clear(frame)
	default:
		return 0, fail.With(ErrCodec, strconv.Itoa(int(c)))
	}
	if len(frame) < n {
		return 0, ErrShortFrame
	}
	return n, nil
}

func vp8Clear(frame []byte) int {
	if len(frame) > 0 && frame[0]&1 == 0 { // inverse key frame flag
		return vp8KeyFrameClear
	}
	return vp8DeltaClear
}
