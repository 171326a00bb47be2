// Package fail says what was tried and why it failed, in the words that fmt.Errorf would
// use. fmt brings reflection along, and both a quarter of a megabyte, into a WebAssembly
// module that a browser loads before a meeting; nothing else of e2ee needs them.
//
//	fail.With(ErrInvalid, "parent hash")   fmt.Errorf("%w: %s", ErrInvalid, "parent hash")
//	fail.At("commit", err)                 fmt.Errorf("%s: %w", "commit", err)
//	fail.Both(ErrConfig, err)              fmt.Errorf("%w: %w", ErrConfig, err)
//
// Numbers go into the text by package strconv and by [Hex]. The functions are kept out of
// line because they are called in hundreds of places, each of which would hold a copy.
package fail

// With returns an error that is err, for the reason that text gives: "err: text".
//
//go:noinline
func With(err error, text string) error {
	return &failure{err.Error() + ": " + text, err}
}

// At returns an error that is err, met while what was done: "what: err".
//
//go:noinline
func At(what string, err error) error {
	return &failure{what + ": " + err.Error(), err}
}

// Both returns an error that is err and also cause: "err: cause".
//
//go:noinline
func Both(err, cause error) error {
	return &both{err.Error() + ": " + cause.Error(), [2]error{err, cause}}
}

// failure is one error in other words.
type failure struct {
	text string
	err  error
}

func (f *failure) Error() string { return f.text }
func (f *failure) Unwrap() error { return f.err }

// both is two errors in one.
type both struct {
	text string
	errs [2]error
}

func (b *both) Error() string   { return b.text }
func (b *both) Unwrap() []error { return b.errs[:] }

// Hex writes a code point of a registry as the RFCs do: 0x0A0B.
func Hex(n uint16) string {
	const digits = "0123456789ABCDEF"
	return "0x" + string([]byte{digits[n>>12], digits[n>>8&15], digits[n>>4&15], digits[n&15]})
}
