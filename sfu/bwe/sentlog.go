package bwe

import "sync/atomic"

// DefaultLogSize is how many packets a log remembers: those of 1.3 s at 3,000 packets a
// second, in 32 kB. Feedback that comes later than that proves nothing.
const DefaultLogSize = 4096

// maxLogSize keeps what the log holds well below a wrap of the sequence numbers.
const maxLogSize = 1 << 14

// SentLog numbers the packets of a connection for the whole transport and remembers each
// one's size, time and probe until as many others have been sent as the log holds. It is
// safe for concurrent use, without locks: an entry is one word, so nobody sees half of
// one.
type SentLog struct {
	next    atomic.Uint64 // packets so far
	probe   atomic.Uint32 // cluster that packets belong to now
	mask    uint64
	entries []atomic.Uint64
}

// An entry, from the lowest bit. All of it together is never 0 for a packet: the number's
// bits above the wrap start at 1.
const (
	timeBits    = 32 // sent at, in microseconds, modulo 71 minutes
	sizeBits    = 11 // bytes
	clusterBits = 5
	epochBits   = 16 // of number / 2^16 + 1

	sizeShift    = timeBits
	clusterShift = sizeShift + sizeBits
	epochShift   = clusterShift + clusterBits

	maxSize = 1<<sizeBits - 1
)

// Cluster names the packets of one probe, 1 to [MaxCluster]; 0 is no probe. Numbers are
// used again, long after.
type Cluster uint8

// MaxCluster is the highest number of a probe.
const MaxCluster Cluster = 1<<clusterBits - 1

// NewSentLog gives a log of so many packets, rounded up to a power of two.
func NewSentLog(packets int) *SentLog {
	size := 64
	for size < min(packets, maxLogSize) {
		size *= 2
	}
	return &SentLog{mask: uint64(size - 1), entries: make([]atomic.Uint64, size)}
}

// Add records a packet of size bytes, as it goes on the path without the headers of IP and
// UDP, and gives its transport-wide sequence number.
func (l *SentLog) Add(now int64, size int) uint16 {
	n := l.next.Add(1) - 1
	l.entries[n&l.mask].Store((n>>16+1)<<epochShift |
		uint64(l.probe.Load()&uint32(MaxCluster))<<clusterShift |
		uint64(min(max(size, 0), maxSize))<<sizeShift |
		uint64(uint32(now/1000)))
	return uint16(n)
}

// SetCluster says which probe the packets from now on belong to; 0 for none.
func (l *SentLog) SetCluster(c Cluster) { l.probe.Store(uint32(c)) }

// Count is how many packets were recorded; the next one gets this number modulo 2^16.
func (l *SentLog) Count() uint64 { return l.next.Load() }

// Sent is what the log knows of a packet.
type Sent struct {
	Number  uint64 // sequence number without wraps
	At      int64  // when it was sent; to the microsecond
	Size    int    // bytes
	Cluster Cluster
}

// Get gives packet n, if the log still holds it. The packet must have been sent within
// the last half hour before now.
func (l *SentLog) Get(n uint64, now int64) (Sent, bool) {
	entry := l.entries[n&l.mask].Load()
	if entry>>epochShift != (n>>16+1)&(1<<epochBits-1) || entry == 0 {
		return Sent{}, false
	}
	micros := now / 1000
	micros += int64(int32(uint32(entry) - uint32(micros)))
	return Sent{
		Number: n, At: micros * 1000,
		Size:    int(entry >> sizeShift & maxSize),
		Cluster: Cluster(entry >> clusterShift & uint64(MaxCluster)),
	}, true
}
