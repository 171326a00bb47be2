// Package turn makes of pion/turn a TURN server (RFC 8656) that relays to one place only: the
// media port of the server that it is part of. It is for participants whose network lets no UDP
// through, or lets it through only to a few ports.
//
// Nothing is sent to anybody else, so there is no socket for an allocation and no range of
// ports. What pion/turn takes for the relay's socket is a [relay]: what a client sends by it
// is given to the forwarder in the same process, as coming by a [Path], and what the forwarder
// sends by that path is what the "socket" reads.
//
//	client --UDP------> Socket -+            +- relay.WriteTo -> Media.Receive(path, packet)
//	client --TCP, TLS-> stream -+- pion/turn -+
//	          (framing, limits)               +- relay.ReadFrom <- path.Send(packet)
//
// A peer is one of the transport addresses that answers name as the server's candidates. Permissions for
// another address are refused, packets to another port of it are dropped, and relayed transport
// addresses are names alone: a host address of the server with a number that no socket has.
//
// # Around pion/turn
//
// What strangers are answered is counted on the way out (see [strangers]): an answer without
// MESSAGE-INTEGRITY proves nothing of who asked. Streams are cut into messages before pion/turn
// sees them. Quotas are those of [Limits], and TCP allocations (RFC 6062) and port reservations
// are refused as without capacity.
//
// # Credentials
//
// Long-term credentials (RFC 8489, Section 9.2) that live for some hours: the username is
// "expiry:participant", the password an HMAC over it under a secret that the process draws
// when it starts. Nothing is kept for them. An allocation is made with one that is not
// expired, and may be kept with the same one for as long again.
package turn
