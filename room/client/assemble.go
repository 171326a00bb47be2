package client

import "errors"

// maxFrame bounds a frame that is put together from packets, in bytes: a key frame of
// a 4K screen at a high rate.
const maxFrame = 4 << 20

// assembler makes frames of packets that come in order.
type assembler interface {
	// push takes the next packet; gap says that packets before it are lost. A frame
	// is valid until the next push. Zero-length frames are not reported.
	push(p *packet, gap bool) (frame []byte, ok bool)
	// broken counts frames that were begun and never completed.
	broken() uint64
}

// opusAssembler takes a packet for a frame (RFC 7587, Section 4.2).
type opusAssembler struct{}

func (opusAssembler) push(p *packet, _ bool) ([]byte, bool) {
	return p.Payload, len(p.Payload) > 0
}

func (opusAssembler) broken() uint64 { return 0 }

// vp8Assembler joins the payloads of the packets from the one that starts a frame to
// the one with the marker bit (RFC 7741, Section 4). It uses nothing else of the
// payload descriptor, of which the forwarder leaves the first byte only.
type vp8Assembler struct {
	frame     []byte
	open      bool
	timestamp uint32
	count     uint64 // broken
}

func (a *vp8Assembler) broken() uint64 { return a.count }

func (a *vp8Assembler) push(p *packet, gap bool) ([]byte, bool) {
	if gap {
		a.abandon()
	}
	if len(p.Payload) == 0 {
		return nil, false // padding only
	}
	start, part, err := splitVP8(p.Payload)
	if err != nil {
		a.abandon()
		return nil, false
	}
	if start {
		a.abandon()
		a.open, a.timestamp, a.frame = true, p.Timestamp, a.frame[:0]
	}
	if !a.open {
		return nil, false
	}
	if p.Timestamp != a.timestamp || len(a.frame)+len(part) > maxFrame {
		a.abandon()
		return nil, false
	}
	a.frame = append(a.frame, part...)
	if !p.Marker {
		return nil, false
	}
	a.open = false
	return a.frame, len(a.frame) > 0
}

// abandon gives up the frame that is open, if there is one.
func (a *vp8Assembler) abandon() {
	if a.open {
		a.open = false
		a.count++
	}
}

var errVP8Descriptor = errors.New("truncated VP8 payload descriptor")

// Bits of the VP8 payload descriptor (RFC 7741, Section 4.2).
const (
	vp8X      = 0x80 // first byte: an extension byte follows
	vp8S      = 0x10 // first byte: start of a partition
	vp8PID    = 0x07 // first byte: partition index
	vp8I      = 0x80 // extension byte: a picture id follows
	vp8L      = 0x40 // extension byte: TL0PICIDX follows
	vp8TK     = 0x30 // extension byte: TID or KEYIDX, which share a byte, follow
	vp8LongID = 0x80 // picture id: 15 bits in two bytes
)

// splitVP8 cuts the VP8 payload descriptor (RFC 7741, Section 4.2) off a packet's
// payload. start says that a frame begins here. The frame bytes alias payload.
func splitVP8(payload []byte) (start bool, frame []byte, err error) {
	if len(payload) == 0 {
		return false, nil, errVP8Descriptor
	}
	n, err := vp8DescriptorSize(payload)
	if err != nil {
		return false, nil, err
	}
	first := payload[0]
	return first&vp8S != 0 && first&vp8PID == 0, payload[n:], nil
}

func vp8DescriptorSize(p []byte) (int, error) {
	if p[0]&vp8X == 0 {
		return 1, nil
	}
	if len(p) < 2 {
		return 0, errVP8Descriptor
	}
	n := 2
	if p[1]&vp8I != 0 {
		if len(p) < 3 {
			return 0, errVP8Descriptor
		}
		n++
		if p[2]&vp8LongID != 0 {
			n++
		}
	}
	if p[1]&vp8L != 0 {
		n++
	}
	if p[1]&vp8TK != 0 {
		n++
	}
	if len(p) < n {
		return 0, errVP8Descriptor
	}
	return n, nil
}
