// Package mls is a strict profile of the Messaging Layer Security protocol (RFC 9420)
// for meetings whose delivery service is the adversary.
//
// # The profile
//
// Our commits travel as PrivateMessage; those of others may be PublicMessages as well. A commit
// holds any number of Adds and Removes and
// exactly one external PSK, all by value, and always a path. A Welcome holds the tree.
// Credentials are basic, identities opaque. A path renews encryption keys and never a
// member's signature key or credential. A group has at most [MaxMembers] members. There
// are no Updates, external commits, proposals by reference, reinitialisation, branches
// or changes of the GroupContext. All else is refused, not ignored, except unknown
// capabilities and GroupInfo extensions, which mean nothing (RFC 9420, Section 13.5).
//
// # States
//
// A [Group] is an immutable value: one member's view of one epoch. What changes when it
// is used lives outside it, once for each epoch: the [Sender], which hands out every
// generation of its ratchets once, and the [Receiver] of application messages.
//
//	group, sender, err := mls.Create(rand, params)
//	staged, err := group.Commit(rand, sender, mls.CommitParams{Adds: adds, PSK: psk})
//	// send staged.Commit and staged.Welcome; when the commit comes back as the one that counts:
//	group, sender = staged.Merge()
//	// when another's comes instead:
//	out, err := group.Process(commit, params)
//	group, sender = out.Group, out.Sender
//
// Nothing here reads a clock or does I/O, and all randomness comes from the io.Reader that
// the caller passes. What an epoch alone holds is overwritten by [Group.Erase] and
// [Sender.Erase].
//
// # Judging alike
//
// Members must agree on which commits are valid, whatever their clocks and history. So
// [Group.Process] depends on the epoch's state and its arguments alone, makes all checks that
// every member can make first, and says [ErrUnusable] for what only this member cannot
// decrypt. The report of what the commit did comes with it: a caller with rules of its own
// applies them first, and gives up its place only for a commit that the others follow.
//
// # Layers
//
//	codec.go                                      bytes: the TLS presentation language
//	hpke                                          public-key encryption, a package of its own
//	suite.go                                      cipher suites and labelled primitives
//	treemath.go, tree.go, treehash.go, treekem.go the ratchet tree
//	schedule.go, secrettree.go                    the key schedule and the ratchets
//	message.go, protect.go, public.go             framing, PrivateMessage and PublicMessage
//	extension.go, leaf.go, keypackage.go          what members say of themselves
//	group.go, proposals.go, commit.go, process.go, welcome.go, sender.go
//	                                              the state machine
package mls
