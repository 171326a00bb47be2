package sfu

import (
	"time"

	"github.com/conclave-sfu/conclave/sfu/batchconn"
	"github.com/conclave-sfu/conclave/sfu/packetcache"
)

// lingering is how long a loop waits for the rest of a frame. What it has received
// goes out later by so much.
const lingering = 100 * time.Microsecond

const (
	// partSize is from where on a packet counts as part of a frame, in bytes: smaller ones
	// are audio, or frames of one packet.
	partSize = 500
	// worthFanOut is how many packets must go out for one that came in: waiting costs two
	// system calls, and saves one message for each packet that comes and each receiver.
	worthFanOut = 4
	// retryWaits is how many times waiting is left out when it gained nothing.
	retryWaits = 64
	// expectedGain is what waiting is believed to bring at first, in packets.
	expectedGain = 2
)

// waits decides whether a loop waits a moment for the rest of a frame: its packets go to
// a receiver as one message if they were received together. Some senders send a frame
// at once, others pace it; which ones there are is found out by trying.
type waits struct {
	gain    float64 // packets that came meanwhile, on average; begins at expectedGain
	fanOut  float64 // packets sent for one received, on average
	skipped int
}

// worth says whether to wait, when count packets have come.
func (w *waits) worth(packets []*packetcache.Packet, in *batchconn.Inbox, count int) bool {
	if count == 0 || count == len(packets) || w.fanOut < worthFanOut {
		return false
	}
	size, whole := in.Size(count - 1)
	if !whole || size < partSize {
		return false
	}
	raw := packets[count-1].Buffer[:size]
	if !isMedia(raw) || raw[1]&0x80 != 0 { // the frame's last
		return false
	}
	if w.gain < 0.5 && w.skipped < retryWaits {
		w.skipped++
		return false
	}
	w.skipped = 0
	return true
}

// took notes how many packets came while waiting.
func (w *waits) took(packets int) { w.gain += (float64(packets) - w.gain) / 4 }

// sent notes how many packets went out for those received.
func (w *waits) sent(received, packets int) {
	if received > 0 {
		w.fanOut += (float64(packets)/float64(received) - w.fanOut) / 32
	}
}
