package bwe

import (
	"sync/atomic"
	"unsafe"
)

// DefaultLogSize is how many packets a log remembers, in 16 kB: those of a second at 20
// Mbit/s. Feedback that comes later than that proves nothing.
const DefaultLogSize = 2048

// maxLogSize keeps what the log holds well below a wrap of the sequence numbers.
const maxLogSize = 1 << 14

// SentLog numbers the packets of a connection for the whole transport and remembers each
// one's size, time and probe until as many others have been sent as the log holds. It is
// safe for concurrent use, without locks: an entry is one word, so nobody sees half of
// one.
type SentLog struct {
	next    atomic.Uint64 // packets so far
	probe   atomic.Uint32 // cluster that packets belong to now
	turn    uint          // log2 of the size: numbers that share an entry differ from there on
	entries []atomic.Uint64
}

// An entry, from the lowest bit.
const (
	timeBits    = 32 // sent at, in microseconds, modulo 71 minutes
	sizeBits    = 11 // bytes
	clusterBits = 5
	turnBits    = 16 // how often the entry was used, this time included; 0 for never

	sizeShift    = timeBits
	clusterShift = sizeShift + sizeBits
	turnShift    = clusterShift + clusterBits

	maxSize = 1<<sizeBits - 1
)

// Cluster names the packets of one probe, 1 to [MaxCluster]; 0 is no probe. Numbers are
// used again, long after.
type Cluster uint8

// MaxCluster is the highest number of a probe.
const MaxCluster Cluster = 1<<clusterBits - 1

// NewSentLog gives a log of so many packets, rounded up to a power of two.
func NewSentLog(packets int) *SentLog {
	l := new(SentLog)
	l.Begin(packets)
	return l
}

// Begin makes a log that is part of something else one of so many packets, as [NewSentLog] does. It
// is called once, before any other method but [SentLog.Begun].
func (l *SentLog) Begin(packets int) {
	l.turn = 6
	for 1<<l.turn < min(packets, maxLogSize) {
		l.turn++
	}
	l.entries = make([]atomic.Uint64, 1<<l.turn)
}

// Begun says whether Begin was called.
func (l *SentLog) Begun() bool { return l.entries != nil }

// Add records a packet of size bytes, as it goes on the path without the headers of IP and
// UDP, and gives its transport-wide sequence number.
func (l *SentLog) Add(now int64, size int) uint16 {
	n := l.next.Add(1) - 1
	l.entry(n).Store((n>>l.turn+1)<<turnShift |
		uint64(l.probe.Load()&uint32(MaxCluster))<<clusterShift |
		uint64(min(max(size, 0), maxSize))<<sizeShift |
		uint64(uint32(now/1000)))
	return uint16(n)
}

// Place is where the next packet will be recorded, for those who have the processor fetch it; nil
// before Begin.
func (l *SentLog) Place() unsafe.Pointer {
	if !l.Begun() {
		return nil
	}
	return unsafe.Pointer(l.entry(l.next.Load()))
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

func (l *SentLog) entry(n uint64) *atomic.Uint64 { return &l.entries[n&uint64(len(l.entries)-1)] }

// oldest is the number of the oldest packet that the log may hold.
func (l *SentLog) oldest() uint64 {
	count, size := l.Count(), uint64(len(l.entries))
	return max(count, size) - size
}

// Get gives packet n, if the log holds it: it may be gone, or on its way in. The packet
// must have been sent within the half hour before now.
func (l *SentLog) Get(n uint64, now int64) (Sent, bool) {
	entry := l.entry(n).Load()
	if entry == 0 || entry>>turnShift != (n>>l.turn+1)&(1<<turnBits-1) {
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
