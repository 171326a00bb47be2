package e2ee

// The codes of [EntryRefused] and [Status]. Programs may compare them: a code once
// published keeps its meaning.
const (
	// Of any entry.
	CodeLogOrder Code = "log_order" // not the next position: left out, repeated or out of order
	CodeLogFull  Code = "log_full"  // past the last position that a log has

	// Of joined entries.
	CodeBadKeyPackage  Code = "bad_key_package" // malformed, of another suite, wrongly signed, or lacks what the group requires
	CodeBadLifetime    Code = "bad_lifetime"    // not valid at the entry's time, or for too long
	CodeBadMAC         Code = "bad_mac"         // not made under this link; also of create and commit entries
	CodeBadJoin        Code = "bad_join"        // of another room or log, or its join extension is wrong
	CodeBadGeneration  Code = "bad_generation"  // of another generation; also of create and commit entries
	CodeBadIdentity    Code = "bad_identity"    // the sealed identity does not open or is not this leaf's
	CodePIDMismatch    Code = "pid_mismatch"    // the entry is not of the participant that made its body
	CodeKeyReused      Code = "key_reused"      // the pid has another signature key, or a key was announced before
	CodeReplayed       Code = "replayed"        // seq is not higher than before
	CodeTooManyWaiting Code = "too_many_waiting"
	CodeRoomFull       Code = "room_full"

	// Of create and commit entries.
	CodeStale         Code = "stale"          // last is not the last create or commit entry
	CodeNotAnnounced  Code = "not_announced"  // the creator does not wait
	CodeGroupExists   Code = "group_exists"   // somebody present is in the group, and nobody has waited long
	CodeBadGroupID    Code = "bad_group_id"   // the group id is the one before
	CodeBadCommit     Code = "bad_commit"     // MLS refuses it, or it is of another group or epoch
	CodePublicCommit  Code = "public_commit"  // it is a PublicMessage, which would show the server who joins and leaves
	CodeBadAAD        Code = "bad_aad"        // its authenticated data is malformed or does not fit the envelope
	CodeBadParent     Code = "bad_parent"     // it does not build on the last valid create or commit
	CodeLogFork       Code = "log_fork"       // its author was shown another log
	CodeBadPSK        Code = "bad_psk"        // it does not use exactly the link's PSK
	CodeNotMember     Code = "not_member"     // its author was not present at its position X
	CodeAddsWrong     Code = "adds_wrong"     // its envelope does not name the KeyPackages that it adds
	CodeRosterWrong   Code = "roster_wrong"   // it does not make the roster those present at X
	CodeEarlyRefresh  Code = "early_refresh"  // it changes nobody before the epoch is 10 minutes old
	CodeNotOldest     Code = "not_oldest"     // it changes nobody, and its author's leaf is not the oldest
	CodeIdentityMoved Code = "identity_moved" // it changes a leaf's identity

	// Why a session announced itself again or ended.
	CodeCommitUnusable Code = "commit_unusable" // a commit could not be applied here
	CodeWelcomeRefused Code = "welcome_refused" // a Welcome for us failed a check
	CodeSplit          Code = "split"           // we may be in an epoch in which nobody else is
	CodeUnnamed        Code = "unnamed"         // nobody added us within 30 s
	CodeNewGroup       Code = "new_group"       // somebody created a new group
	CodeNewLog         Code = "new_log"         // the room began anew
	CodeLeft           Code = "left"            // the room has said that this participant left
	CodeRemoved        Code = "removed"         // the group removed this leaf
)
