package srtp

import (
	"encoding/binary"
	"maps"
)

const (
	// indexSize is that of E flag and index (RFC 3711, Section 3.4), in bytes.
	indexSize     = 4
	encryptedFlag = 1 << 31
	controlHeader = 8 // bytes of RTCP that stay in clear
)

// maxControlSources is of how many SSRCs indices are remembered; a sender has one.
const maxControlSources = 64

// Sealer seals RTCP packets. It is not safe for concurrent use.
type Sealer struct {
	cipher *Cipher
	// next is the index, one for all SSRCs (RFC 3711, Section 3.2.1).
	next    uint32
	scratch controlScratch
}

// Sealer makes one for a direction; there may be one only.
func (c *Cipher) Sealer() *Sealer { return &Sealer{cipher: c} }

// Seal appends a sealed copy of an RTCP packet, compound or not, to dst.
func (s *Sealer) Seal(dst, packet []byte) ([]byte, error) {
	if len(packet) < controlHeader {
		return nil, ErrShort
	}
	if s.next >= encryptedFlag {
		return nil, ErrExhausted
	}
	s.next++
	return s.cipher.sealControl(dst, packet, s.next-1, &s.scratch), nil
}

// Opener opens RTCP packets. It is not safe for concurrent use.
type Opener struct {
	cipher  *Cipher
	sources map[uint32]*controlWindow
	scratch controlScratch
}

// controlWindow knows the latest indices of one SSRC (RFC 3711, Section 3.3.2).
type controlWindow struct {
	high uint32
	seen uint64 // high and the 63 below it
}

// Opener makes one for a direction.
func (c *Cipher) Opener() *Opener { return &Opener{cipher: c, sources: map[uint32]*controlWindow{}} }

// Open opens an RTCP packet in place, and gives it without tag and index.
func (o *Opener) Open(packet []byte) ([]byte, error) {
	tag, behind := o.cipher.controlOverhead()
	if len(packet) < controlHeader+tag+indexSize {
		return nil, ErrShort
	}
	word := binary.BigEndian.Uint32(packet[len(packet)-behind-indexSize:])
	index, ssrc := word&^encryptedFlag, binary.BigEndian.Uint32(packet[4:])
	w := o.sources[ssrc]
	if w != nil && w.isReplayed(index) {
		return nil, ErrReplayed
	}
	plain, err := o.cipher.openControl(packet, index, word&encryptedFlag != 0, &o.scratch)
	if err != nil {
		return nil, err
	}
	if w == nil {
		w = o.add(ssrc, index)
	}
	w.mark(index)
	return plain, nil
}

// add makes place for one more SSRC. Who uses too many of them is forgotten as a
// whole: it can only replay its own packets.
func (o *Opener) add(ssrc, index uint32) *controlWindow {
	if len(o.sources) >= maxControlSources {
		maps.DeleteFunc(o.sources, func(uint32, *controlWindow) bool { return true })
	}
	w := &controlWindow{high: index}
	o.sources[ssrc] = w
	return w
}

func (w *controlWindow) isReplayed(index uint32) bool {
	return index <= w.high && (w.high-index >= 64 || w.seen&(1<<(w.high-index)) != 0)
}

func (w *controlWindow) mark(index uint32) {
	if index > w.high {
		w.seen <<= index - w.high // 0 from 64 on
		w.high = index
	}
	w.seen |= 1 << (w.high - index)
}
