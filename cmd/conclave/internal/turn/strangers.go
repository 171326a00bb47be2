package turn

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/source"
)

// What one source is answered that has not shown that it is there: Binding responses and
// errors without a credential. They are up to three times as long as what asks for them, and
// the sender of a datagram is anybody's word, so they must not make a flood.
const (
	// strangerBurst lets an office behind one IPv4 address join at once.
	strangerBurst = 500
	// strangerInterval is one answer's, once the burst is used up: 5 kB/s at most.
	strangerInterval = 20 * time.Millisecond
	// strangerBuckets of 8 bytes are all that is kept. Sources that share one share its rate;
	// who wants to empty them all has to send 800,000 packets a second.
	strangerBuckets = 1 << 14
)

// strangers bounds answers by source. Its methods may be called from any goroutine.
type strangers struct {
	seed maphash.Seed // immutable: nobody knows who shares a bucket

	// Guarded by mu.
	mu sync.Mutex
	// full is when each bucket has its whole burst again, in nanoseconds since 1970.
	full [strangerBuckets]int64
}

func newStrangers() *strangers { return &strangers{seed: maphash.MakeSeed()} }

// allow takes one answer from an address's bucket, or says that there is none left. Loopback
// and private addresses have no bucket, see [source.Of].
func (l *strangers) allow(addr netip.Addr, now time.Time) bool {
	from := source.Of(addr)
	if !from.IsValid() {
		return true
	}
	bucket := maphash.Comparable(l.seed, from) % strangerBuckets
	at := now.UnixNano()
	l.mu.Lock()
	defer l.mu.Unlock()
	full := max(l.full[bucket], at) + int64(strangerInterval)
	if full-at > int64(strangerBurst*strangerInterval) {
		return false
	}
	l.full[bucket] = full
	return true
}
