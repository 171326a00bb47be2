// Package sfu forwards encrypted media between the participants of a room. It
// holds no key, and reads no byte of a frame but those that a codec leaves in
// clear to mark a key frame.
package sfu
