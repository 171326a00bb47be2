// Package room keeps meetings: who is in them, their logs, and what participants tell
// each other. It reads nothing that is end-to-end encrypted and knows no sockets, no
// HTTP and no PeerConnections.
//
//	ws --Connect--> Registry --> room (one goroutine, one inbox) --> state.apply --> effects
//	   <--Next----- Connection <-- frames --------------------------------------------'  |
//	                                                     Media <-------------------------'
//
// state (state.go, entries.go, roster.go, quota.go, log.go) is pure: a command and the time go
// in, effects come out. room (room.go) runs them. A [Registry] opens a room at its first
// hello and removes it when nobody is left and every [Connection] is closed.
//
// The caller's loop, once a first message was decoded:
//
//	c, err := registry.Connect(ctx, name, id, hello)
//	defer c.Close(ended)
//	go func() {
//		for {
//			frame, err := c.Next(ctx) // *Ended after the last one
//			...
//		}
//	}()
//	for {
//		... c.Receive(ctx, message)
//	}
//
// Queues and what is lost when they are full:
//
//   - a room's inbox, 64 commands: nothing; whoever reads a socket waits.
//   - a connection's outbox, 4096 messages or 4 MiB and two of the largest messages: the
//     connection ends with code slow, and its client may resume.
//   - what there is to say of participants, each once, in a large room: older news, which newer
//     replace.
//   - media events, the last of each kind for each participant: older ones, which the
//     newer replace.
//   - offers, one in work and one waiting for each participant: the older waiting one,
//     answered with bad_offer.
//   - a log, 65,536 entries or 32 MiB of KeyPackages: the room begins a new log (log_full).
//     The bytes of commits are kept for the last 256 commits or 8 MiB; a resume from before
//     is refused.
//
// What one participation may have the room do is bounded in quota.go: the room cannot tell
// who has the link.
package room
