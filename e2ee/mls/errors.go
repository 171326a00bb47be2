package mls

import "errors"

// What can be wrong with input. Errors wrap exactly one of these; their texts
// hold no secrets and no bytes of the input.
//
// All members of an epoch judge a commit alike: for one commit, all get the same
// of these errors or none. The exceptions are [ErrUnusable], which only some may
// get, and [ErrOwnCommit], which only its author gets; both come with the report of what
// the commit did.
var (
	// ErrMalformed: the bytes are not the only encoding of anything.
	ErrMalformed = errors.New("mls: malformed")
	// ErrProfile: MLS has it, this profile does not.
	ErrProfile = errors.New("mls: outside the profile")
	// ErrInvalid: a rule of RFC 9420 or of the profile is broken, a signature or
	// a tag does not verify.
	ErrInvalid = errors.New("mls: invalid")
	// ErrUnusable: the commit passed every check that all members can make, but
	// the path secret for this member does not decrypt, or does not fit the
	// public keys. Its confirmation tag cannot be checked without, so that those who can
	// may find it ErrInvalid. This member must be added anew; others may go on.
	ErrUnusable = errors.New("mls: the commit's path is unusable for this member")
	// ErrOwnCommit: the commit is this member's own, and passed every check that all
	// members can make: merge it, if it is staged still.
	ErrOwnCommit = errors.New("mls: own commit")
	// ErrWrongEpoch: the message belongs to another group or epoch.
	ErrWrongEpoch = errors.New("mls: another group or epoch")
	// ErrNotAddressed: the Welcome has no secrets for this KeyPackage.
	ErrNotAddressed = errors.New("mls: welcome is not for this key package")
	// ErrUnknownPSK: a PSK is named that the caller does not hold.
	ErrUnknownPSK = errors.New("mls: unknown PSK")
	// ErrDecrypt: a message does not decrypt in this epoch.
	ErrDecrypt = errors.New("mls: message does not decrypt")
	// ErrGeneration: a generation was used before, or lies more than 1,000 ahead.
	ErrGeneration = errors.New("mls: generation used or too far ahead")
)
