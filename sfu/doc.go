// Package sfu forwards encrypted media between the participants of a room. It
// holds no key. It works on RTP headers, header extensions and the packetiser's
// payload descriptor, and reads no byte of a frame but the one that senders leave
// in clear to tell a key frame from others.
//
// A [Node] has one UDP port. A participant joins a room by [Node.Join] and offers
// one PeerConnection: sendonly sections for what it publishes, recvonly sections,
// the slots, for what it receives. Who is in which slot changes without
// negotiation:
//
//	node, err := sfu.New(sfu.Config{Listen: netip.MustParseAddrPort("0.0.0.0:7882")})
//	...
//	alice, err := node.Join("standup", "alice", sfu.Events{Slots: showSlots})
//	...
//	answer, err := alice.Answer(ctx, sfu.Offer{Connection: 1, SDP: offer, Sources: sources})
//	...
//	alice.View([]sfu.Want{{Participant: "bob", Source: sfu.Camera, Height: 720}})
//
// # The way of a packet
//
//	socket -> loop -> connection: SRTP, NACK, transport-wide feedback -> upTrack.receive
//	upTrack.receive -> downTrack.forward -> slotWriter: SRTP -> batchconn -> subscribers
//	        |                  |
//	   packetcache         packetmap
//
// All of that is one goroutine, the media loop of a socket: it receives what has come,
// forwards it, and sends it (docs/adr/0008). Where a stream has more than 128 subscribers,
// shards of them are served by writers beside the loop (docs/adr/0014).
//
// An upTrack is a received stream; one goroutine reads it. It drops what is seen
// twice or empty, closes the gaps, finds out what frame of which layer the packet
// is part of, cuts the payload descriptor, keeps the packet in the stream's cache, and
// writes it to the downTracks in its fan-out, an immutable list that is replaced as a
// whole. That path takes no lock, allocates nothing, and logs nothing. A downTrack is a
// slot. It belongs to the goroutine in whose fan-out, or shard, it is; upTrack.detach,
// under the room's lock, waits until that goroutine has left it. So a slot has one writer
// at any time, though sources change.
//
// What is written gathers in a batchconn.Batch of the goroutine. It is sent when it is full
// or the goroutine has taken what had come: what came together goes out together, and nothing
// waits for a timer, but for what the path to a receiver has no room for yet: that stays in
// the source's cache, and goes on with its next packet or the publisher's tick (docs/adr/0009).
//
// What a receiver asks for again is found without that goroutine: packetmap.Map
// and packetcache.Cache are made for one writer and many readers.
//
// # Who decides
//
// The room decides what is in which slot, with pure functions (assignVideo,
// assignAudio, publication.options), for those whom a change of a participant,
// publication, view or mute concerns, and five times a second for the loudest. Which
// frames of a source with layers go is decided by the slot, packet by packet
// (layer.Selector), within the limit that the room has set; what the receiver's path takes
// bounds what the room may give out (budget, allocate.Allocate). Lock order: Node.mu, room.mu,
// then the leaves connection.mu and notifier.mu. Nothing that a participant supplies
// is called under a lock.
//
// # What comes later plugs in here
//
// A relay to another node is one more entry of an upTrack's fan-out.
package sfu
