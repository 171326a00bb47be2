package framecrypt

import (
	"crypto/subtle"
	"strconv"

	"github.com/conclave-sfu/conclave/e2ee/sframe"
)

// Leaf is a member's leaf index in the ratchet tree of an epoch.
type Leaf uint32

// MaxLeaf is the highest leaf index that a KID has room for.
const MaxLeaf Leaf = 1<<leafBits - 1

// Epoch names an epoch of a group: of a new group the generation is higher.
type Epoch struct {
	Generation uint32
	Number     uint64
}

// Less says whether e comes before o.
func (e Epoch) Less(o Epoch) bool {
	if e.Generation != o.Generation {
		return e.Generation < o.Generation
	}
	return e.Number < o.Number
}

// String is "generation.number".
func (e Epoch) String() string {
	return strconv.FormatUint(uint64(e.Generation), 10) + "." + strconv.FormatUint(e.Number, 10)
}

// BaseKey is an epoch's SFrame base_key (RFC 9605, Section 5.2). Copies share the
// secret: erasing one erases all. The zero BaseKey has none.
type BaseKey struct{ secret *secret }

// secret holds its bytes behind a second pointer, which fmt prints as an address even
// from within other structs and under wrong verbs.
type secret struct{ bytes *[]byte }

// NewBaseKey makes a BaseKey of a copy of b.
func NewBaseKey(b []byte) BaseKey {
	own := append([]byte(nil), b...)
	return BaseKey{secret: &secret{bytes: &own}}
}

// String keeps a key out of logs.
func (BaseKey) String() string { return "[secret]" }

// GoString keeps a key out of logs.
func (BaseKey) GoString() string { return "[secret]" }

// Erase overwrites the secret.
func (k BaseKey) Erase() {
	if k.secret != nil {
		clear(*k.secret.bytes)
		*k.secret.bytes = nil
	}
}

// Equal compares in constant time. An erased or zero key equals nothing.
func (k BaseKey) Equal(o BaseKey) bool {
	a, b := k.bytes(), o.bytes()
	return len(a) > 0 && subtle.ConstantTimeCompare(a, b) == 1
}

func (k BaseKey) bytes() []byte {
	if k.secret == nil {
		return nil
	}
	return *k.secret.bytes
}

// Context is the part of a KID that gives each source of a sender a key and a
// counter of its own.
type Context uint8

// The contexts, one for each source of a participant.
const (
	Mic Context = iota
	Camera
	Screen
	ScreenAudio
	contexts
)

// Audio says whether the context carries audio.
func (c Context) Audio() bool { return c == Mic || c == ScreenAudio }

// String is the name of the source that the context stands for, as in room/signal.
func (c Context) String() string {
	switch c {
	case Mic:
		return "mic"
	case Camera:
		return "camera"
	case Screen:
		return "screen"
	case ScreenAudio:
		return "screen-audio"
	}
	return "context " + strconv.Itoa(int(c))
}

// The layout of a KID: context, leaf index, epoch mod 64 (RFC 9605, Section 5.2).
const (
	epochBits = 6
	leafBits  = 10
	epochMask = 1<<epochBits - 1
)

// MakeKID is context << 16 | leaf << 6 | epoch mod 64. The leaf is at most
// [MaxLeaf]: higher bits are cut off.
func MakeKID(ctx Context, leaf Leaf, epoch uint64) sframe.KID {
	return sframe.KID(ctx)<<(leafBits+epochBits) | sframe.KID(leaf&MaxLeaf)<<epochBits | sframe.KID(epoch&epochMask)
}

// SplitKID is the reverse of [MakeKID], as far as there is one: of the epoch it
// gives the number mod 64. It says false if a KID is not of this layout.
func SplitKID(kid sframe.KID) (ctx Context, leaf Leaf, epochMod64 uint8, ok bool) {
	if kid>>(leafBits+epochBits) >= sframe.KID(contexts) {
		return 0, 0, 0, false
	}
	return Context(kid >> (leafBits + epochBits)), Leaf(kid>>epochBits) & MaxLeaf, uint8(kid & epochMask), true
}
