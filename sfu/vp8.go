package sfu

import "github.com/conclave-sfu/conclave/sfu/layer"

// The bits of the VP8 payload descriptor (RFC 7741, Section 4.2):
//
//	     0 1 2 3 4 5 6 7
//	    +-+-+-+-+-+-+-+-+
//	    |X|R|N|S|R| PID |  required
//	    +-+-+-+-+-+-+-+-+
//	X:  |I|L|T|K| RSV   |  if X
//	    +-+-+-+-+-+-+-+-+
//	I:  |M| PictureID   |  if I; two bytes if M
//	L:  |   TL0PICIDX   |  if L
//	T/K:|TID|Y| KEYIDX  |  if T or K
const (
	vp8Extended   = 0x80
	vp8Begins     = 0x10
	vp8Partition  = 0x07
	vp8Keep       = 0x37 // all of the first byte but X and the reserved bits
	vp8PictureID  = 0x80
	vp8TL0        = 0x40
	vp8TID        = 0x20
	vp8TIDKey     = 0x30
	vp8LongID     = 0x80
	vp8Sync       = 0x20 // Y: the layer can be switched to here
	vp8InterFrame = 0x01 // in the frame's first byte (RFC 7741, Section 4.3)
)

// readVP8 reads the payload descriptor and, where a frame begins, the frame's first
// byte: senders leave it in clear. It reads nothing behind that.
func readVP8(payload []byte) (unit, bool) {
	size := vp8DescriptorSize(payload)
	if size == 0 || size >= len(payload) {
		return unit{}, false
	}
	u := unit{starts: payload[0]&vp8Begins != 0 && payload[0]&vp8Partition == 0}
	u.begins = u.starts && payload[size]&vp8InterFrame == 0
	u.independent = u.begins
	if payload[0]&vp8Extended != 0 && payload[1]&vp8TID != 0 {
		last := payload[size-1]
		u.layered, u.layer.Temporal, u.switches = true, last>>6, last&vp8Sync != 0 || u.begins
	}
	u.payload = cutDescriptor(payload, size, payload[0]&vp8Keep)
	return u, true
}

// vp8DescriptorSize is 0 if the payload ends before the descriptor's lengths do.
func vp8DescriptorSize(payload []byte) int {
	if len(payload) == 0 {
		return 0
	}
	if payload[0]&vp8Extended == 0 {
		return 1
	}
	if len(payload) < 2 {
		return 0
	}
	size, flags := 2, payload[1]
	if flags&vp8PictureID != 0 {
		if len(payload) < 3 {
			return 0
		}
		size++
		if payload[2]&vp8LongID != 0 {
			size++
		}
	}
	if flags&vp8TL0 != 0 {
		size++
	}
	if flags&vp8TIDKey != 0 {
		size++
	}
	return size
}

// cutDescriptor shortens a payload descriptor to its first, mandatory byte and gives the
// payload that is forwarded, in place. Picture ids of one source seem to go backward
// after those of another, and receivers wait for them; without them they go by sequence
// numbers, or by the Dependency Descriptor. No byte of the frame moves.
func cutDescriptor(payload []byte, size int, first byte) []byte {
	payload[size-1] = first
	return payload[size-1:]
}

// temporalLayers is how many temporal layers a payload descriptor can name that is
// followed; VP8 has two bits for them.
const temporalLayers = 4

// vp8Grid are the targets of a stream whose temporal layers its descriptor names.
var vp8Grid = layer.Grid(1, temporalLayers)
