package layer

// MaxDiffs is how many frames a frame may refer to.
const MaxDiffs = 8

// Frame is what is known of the frame that a packet is part of.
type Frame struct {
	// Picture is the RTP timestamp: the frames of all spatial layers share it.
	Picture uint32
	// Number counts frames in decoding order, and wraps. It is used if Numbered says
	// so; references are known then.
	Number   uint16
	Numbered bool
	// Start and End say that the frame starts or ends in this packet.
	Start, End bool
	// Begin says that the frame starts a sequence: neither it nor a later frame refers
	// to one before.
	Begin bool
	// Layer is the frame's own.
	Spatial, Temporal uint8
	// Targets are the masks of the decode targets that the frame belongs to, of those
	// that a switch to is possible at it, and of those that are active.
	Present, Switch, Active uint32
	// Diffs are the distances to the frames referred to, the first DiffCount of them.
	Diffs     [MaxDiffs]uint16
	DiffCount uint8
}

// windowSize is how many frames a window remembers: 2 s of three spatial layers at 30
// pictures a second. Encoders refer to the last dozen.
const windowSize = 256

// window remembers which frames were sent.
type window struct {
	started bool
	high    uint16
	sent    [windowSize / 64]uint64
}

// add marks a frame as sent.
func (w *window) add(n uint16) {
	ahead := int16(n - w.high)
	if !w.started || ahead >= windowSize || ahead <= -windowSize { // or the source has begun anew
		*w = window{started: true, high: n}
	}
	for ; ahead > 0 && w.high != n; w.high++ {
		*w.word(w.high + 1) &^= bit(w.high + 1)
	}
	*w.word(n) |= bit(n)
}

// has says whether a frame was sent, as far as is remembered.
func (w *window) has(n uint16) bool {
	behind := int16(w.high - n)
	return w.started && behind >= 0 && int(behind) < windowSize && *w.word(n)&bit(n) != 0
}

func (w *window) word(n uint16) *uint64 { return &w.sent[n/64%uint16(len(w.sent))] }

func bit(n uint16) uint64 { return 1 << (n % 64) }
