package signal

import "encoding/base64"

// PIDSize is the length of a participant id in bytes.
const PIDSize = 16

// pidEncoding is strict: one pid has one spelling.
var pidEncoding = base64.RawURLEncoding.Strict()

// NewPID returns the text form of a participant id.
func NewPID(id [PIDSize]byte) PID { return PID(pidEncoding.EncodeToString(id[:])) }

// Bytes returns the participant id's 16 bytes, or an [*Error] with [CodeBadMessage].
func (p PID) Bytes() (id [PIDSize]byte, err error) {
	if len(p) != pidEncoding.EncodedLen(PIDSize) {
		return id, badField("pid", "must be 22 characters of base64url")
	}
	if _, err := pidEncoding.Decode(id[:], []byte(p)); err != nil {
		return [PIDSize]byte{}, badField("pid", "must be 22 characters of base64url")
	}
	return id, nil
}

// ValidRoomName reports whether name is 1 to [MaxRoomName] letters, digits, "-" and
// "_" of ASCII.
func ValidRoomName(name string) bool {
	if name == "" || len(name) > MaxRoomName {
		return false
	}
	for _, c := range []byte(name) {
		if !isNameByte(c) {
			return false
		}
	}
	return true
}

func isNameByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}
