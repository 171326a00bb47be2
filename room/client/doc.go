// Package client is a native participant of a meeting: signalling over a WebSocket,
// media over Pion, and the same end-to-end encryption as the web client.
//
//	c, err := client.Join(ctx, client.Config{
//		Link:    link,
//		Name:    "Maya",
//		Publish: []client.Track{{Source: signal.SourceCamera, Codec: framecrypt.CodecVP8, Next: clip.Next}},
//		OnFrame: func(f client.Frame) { ... },
//	})
//	if err != nil { ... }
//	defer c.Close()
//
// The parts and who owns them:
//
//	loop        one goroutine, one inbox: the e2ee.Session, the connection, the log,
//	            who is here, the PeerConnection and its offers
//	connection  a WebSocket with a reader and a writer goroutine; resumed when lost
//	uplink      a goroutine a published track: sample, seal, packetise, write
//	downlink    a goroutine a slot: read, reorder, assemble, open, OnFrame
//	keyring     the framecrypt.Ring behind a lock; the loop changes its epochs, the
//	            uplinks seal and the downlinks open
//
// Nothing is sent unsealed: a sample that comes before the keyring has a key to send
// with is dropped and counted. Who a frame is from is the leaf of its KID in the MLS
// roster of its epoch, never the word of the server.
//
// Each participant has a UDP socket of its own. Many participants of one process
// cannot share one: towards a server whose media is on a single port they would all
// have the same pair of addresses, by which both ends tell transports apart.
package client
