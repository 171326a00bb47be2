package loadtest

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
)

// Synthetic video: 30 frames a second, and a key frame only when somebody asks for
// one, as a camera's encoder does. Its frames are noise behind the bit that tells a key
// frame; no decoder takes them, and none of ours has to.
const (
	syntheticTicks  = 3000
	syntheticFrames = 90 // that differ
	keyFrameFactor  = 4  // a key frame's size to another's
	leastFrame      = 40 // bytes
)

// MaxLayers is how many layers a simulcast has at most.
const MaxLayers = 3

// synthetic makes a recording of about a rate in bits a second.
func synthetic(layer int, rate Bits) *recording {
	r := &recording{known: make(map[digest]bool), ticks: syntheticTicks, layer: layer, again: 1}
	size := max(leastFrame, int(rate)/8*syntheticTicks/90000)
	random := rand.NewChaCha8(sha256.Sum256(fmt.Appendf(nil, "layer %d", layer)))
	for i := range syntheticFrames {
		n := size
		if i == 0 {
			n *= keyFrameFactor
		}
		data := make([]byte, n)
		_, _ = random.Read(data) // never fails
		data[0] |= 1             // not a key frame (RFC 6386, Section 9.1)
		if i == 0 {
			data[0] &^= 1
		}
		binary.BigEndian.PutUint16(data[len(data)-2:], uint16(i))
		r.add(data, i == 0)
	}
	return r
}

// ridOf names the layers as browsers' applications do: quarter, half, full.
func ridOf(layer, layers int) string { return "qhf"[MaxLayers-layers+layer:][:1] }
