package bridge

import (
	"errors"

	"github.com/conclave-sfu/conclave/e2ee"
	"github.com/conclave-sfu/conclave/e2ee/framecrypt"
)

var (
	// ErrMessage says that a configuration or an input is not what this package reads.
	ErrMessage = errors.New("bridge: malformed message")
	// ErrPID says that a participant id is not 22 characters of base64url.
	ErrPID = errors.New("bridge: malformed participant id")
	// ErrStopped says that the bridge has failed before and does nothing any more.
	ErrStopped = errors.New("bridge: stopped after a failure")

	// errOutput says that a session gave what has no message: a fault of this program.
	errOutput = errors.New("bridge: no message for an output of this type")
)

// CodeOf is the stable code of an error of this package, of a session or of a ring:
// "internal" for those that have none.
func CodeOf(err error) string {
	if code := framecrypt.CodeOf(err); code != "" {
		return code
	}
	for _, c := range codes {
		if errors.Is(err, c.err) {
			return c.code
		}
	}
	return "internal"
}

var codes = []struct {
	err  error
	code string
}{
	{ErrStopped, "stopped"},
	{ErrMessage, "bad_message"},
	{ErrPID, "bad_pid"},
	{e2ee.ErrLink, "bad_link"},
	{e2ee.ErrName, "bad_name"},
	{e2ee.ErrConfig, "bad_config"},
	{e2ee.ErrInput, "bad_input"},
}
