// Package turn is a TURN server (RFC 8656) that relays to one place only: the media port of
// the server that it is part of. It is for participants whose network lets no UDP through,
// or lets it through only to a few ports.
//
// Nothing is sent to anybody else, so there is no socket for an allocation and no range of
// ports: what a client sends to its relay is given to the forwarder in the same process, as
// coming by a [Path], and the forwarder answers by that path.
//
//	client --UDP, TCP, TLS--> Server.Handle ... Media.Receive(path, packet)
//	client <-Client.Send----- ChannelData or Data indication <- path.Send(packet)
//
// A peer is one of the transport addresses that answers name as the server's candidates.
// Permissions and channels for any other are refused with 403 (Forbidden), and relayed
// transport addresses are names alone: a host address of the server with a number that no
// socket has.
//
// # Credentials
//
// Long-term credentials (RFC 8489, Section 9.2) that live for some hours: the username is
// "expiry:participant", the password an HMAC over it under a secret that the process draws
// when it starts. Nothing is kept for them. An allocation is made with one that is not
// expired, and may be refreshed with the same one for as long as [maxAge].
//
// # What is left out
//
// TCP allocations (RFC 6062), port reservations and ICMP, which mean nothing here: a client
// that asks for them is told so as RFC 8656 says. Address families are names too: an allocation
// of one reaches candidates of the same.
package turn
