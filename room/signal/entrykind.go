package signal

// This file is left out of the generation of TypeScript, which gives a union only
// to constants that begin with their type's name; messages.go emits EntryKind.

// EntryKind is the kind of a log entry.
type EntryKind string

// The kinds of log entries.
const (
	EntryJoined EntryKind = "joined"
	EntryLeft   EntryKind = "left"
	EntryCreate EntryKind = "create"
	EntryCommit EntryKind = "commit"
)
