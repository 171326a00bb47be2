// Package dd reads and rewrites the Dependency Descriptor, the RTP header extension
// that says how the frames of a scalable video stream depend on each other (RTP
// Payload Format For AV1, Appendix A). With it a forwarder chooses layers of a stream
// whose payload it cannot read, whatever the codec.
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|S|E| template  |         frame number          |T|A|I|F|C| ...
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//
// S and E: a frame starts or ends in this packet. Three bytes are all there is in most
// packets; the rest follows if the descriptor is longer: T the template dependency
// structure, A the mask of active decode targets, I, F and C the frame's own decode
// target indications, frame differences and chains in place of its template's.
//
// A key frame brings the structure that later frames refer to, so a stream has one
// [Reader], which remembers it:
//
//	var r dd.Reader
//	var d dd.Descriptor
//	if err := r.Read(extension, &d); err != nil {
//		...
//	}
//	if d.DecodeTargets.At(target) != dd.NotPresent {
//		...
//	}
//
// What goes out may differ from what came in by a constant offset of the frame numbers,
// and by the mask of active decode targets: [Shift] and [Rewrite].
package dd
