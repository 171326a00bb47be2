package framecrypt

import "errors"

// The reasons why a frame is not sealed or not opened. [CodeOf] gives their stable
// codes.
var (
	// ErrMissingKey says that no live epoch has a key of this KID: the epoch is not yet
	// or no longer known, or the leaf is not another member's.
	ErrMissingKey = errors.New("framecrypt: no key for this frame")
	// ErrDecrypt says that a frame is not authentic.
	ErrDecrypt = errors.New("framecrypt: frame is not authentic")
	// ErrUnencrypted says that what follows the clear bytes cannot have been sealed by
	// a member: its SFrame header is not one that Seal writes.
	ErrUnencrypted = errors.New("framecrypt: frame is not encrypted")
	// ErrReplay says that a frame was opened before or is older than the replay window.
	ErrReplay = errors.New("framecrypt: frame was replayed")
	// ErrRemoved says that the sender has been removed from the group.
	ErrRemoved = errors.New("framecrypt: sender was removed")
	// ErrShortFrame says that a frame is shorter than its codec's clear bytes, or than
	// any sealed frame.
	ErrShortFrame = errors.New("framecrypt: frame is too short")
	// ErrNoSendKey says that no epoch to send with is set, or that it has ended, or that
	// its counter is used up.
	ErrNoSendKey = errors.New("framecrypt: no key to send with")
	// ErrCodec says that no rule is known for a codec, or that it is not one for this
	// context.
	ErrCodec = errors.New("framecrypt: unsupported codec")
	// ErrEpoch says that an epoch cannot be started or sent with.
	ErrEpoch = errors.New("framecrypt: epoch refused")
)

// CodeOf is the stable code of one of the errors above, "" for any other.
func CodeOf(err error) string {
	for _, c := range codes {
		if errors.Is(err, c.err) {
			return c.code
		}
	}
	return ""
}

var codes = []struct {
	err  error
	code string
}{
	{ErrMissingKey, "missing_key"},
	{ErrDecrypt, "decrypt_failed"},
	{ErrUnencrypted, "unencrypted_frame"},
	{ErrReplay, "replayed"},
	{ErrRemoved, "removed"},
	{ErrShortFrame, "short_frame"},
	{ErrNoSendKey, "no_send_key"},
	{ErrCodec, "codec_unsupported"},
	{ErrEpoch, "epoch_refused"},
}
