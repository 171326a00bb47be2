package client

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/rtcp"
)

// What a publisher makes of transport-wide feedback
// (draft-holmer-rmcat-transport-wide-cc-extensions-01).
const (
	sentSize = 1 << 12 // packets that feedback may still speak of: seconds of a fast video
	// A queue that stands, or a line that takes next to nothing, shows after fastInterval,
	// two reports of the forwarder; loss that may be chance is looked at over slowInterval.
	fastInterval = 100 * time.Millisecond
	slowInterval = time.Second
	// Beyond these an uplink is congested. Random loss of a tenth is what GCC takes for
	// congestion too (draft-ietf-rmcat-gcc-02, Section 6).
	congestedLoss  = 0.1
	congestedDelay = 150 * time.Millisecond
	// Where so much is lost of at least chokedPackets, nobody waits for slowInterval.
	chokedLoss    = 0.5
	chokedPackets = 10
	// Where packets wait for so long, nothing but the lowest layer is sent again.
	crowdedDelay = 75 * time.Millisecond
	// baseInterval is how long, up to twice, the least transit time is remembered: a way
	// that has become longer is no queue.
	baseInterval = 10 * time.Second
)

// congestion follows the uplink of one PeerConnection, and says how many layers of a
// simulcast it bears. Its methods may be called from any goroutine; nil bears all.
type congestion struct {
	count *counters
	now   atomic.Int32 // layers that the path bears
	// crowded says that the packets of the latest feedback had to wait.
	crowded atomic.Bool

	mu     sync.Mutex
	meter  uplinkMeter // Guarded by mu.
	policy layerPolicy // Guarded by mu.
}

// newCongestion begins with all layers.
func newCongestion(layers int, count *counters) *congestion {
	c := &congestion{count: count, policy: newLayerPolicy(layers)}
	c.now.Store(int32(layers))
	return c
}

// allowed is how many layers of a simulcast the path bears, lowest first.
func (c *congestion) allowed() int {
	if c == nil {
		return maxLayers
	}
	return int(c.now.Load())
}

// repeats says whether to send packets of a layer again: those that do not fit would take
// the room of others.
func (c *congestion) repeats(layer int) bool {
	return layer < c.allowed() && (layer == 0 || !c.crowded.Load())
}

// send numbers a packet of size bytes.
func (c *congestion) send(size int, probe bool, now time.Time) uint16 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.meter.send(size, probe, now)
}

// wrote notes that a layer has sent a frame, of size bytes in packets.
func (c *congestion) wrote(layer, size int) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.policy.bytes[min(layer, maxLayers-1)] += size
}

// padding is how many packets of padding, of size bytes each, to send now to find out
// whether the path bears one more layer.
func (c *congestion) padding(size int, now time.Time) int {
	if c == nil {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	bits := c.policy.probe(now)
	if bits == 0 {
		return 0
	}
	packets := max(int(bits)/8/size, leastTrain)
	c.meter.probe = train{live: true, sent: packets}
	return packets
}

// feedback takes what the forwarder says of the packets.
func (c *congestion) feedback(f *rtcp.TransportLayerCC, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.crowded.Store(c.meter.feedback(f) > crowdedDelay)
	c.policy.settle(&c.meter.probe, now)
	if s, ok := c.meter.fast.summary(now, fastInterval, c.meter.base()); ok {
		c.policy.decide(s, s.delay > congestedDelay || s.chokes(), now)
	}
	if s, ok := c.meter.slow.summary(now, slowInterval, c.meter.base()); ok {
		c.policy.measure(s.took)
		c.policy.decide(s, s.loses(congestedLoss), now)
		c.report(s)
	}
	c.now.Store(int32(c.policy.allowed))
}

func (c *congestion) report(s uplinkSummary) {
	c.count.acknowledged.Add(s.received)
	c.count.uplinkLost.Add(s.lost)
	c.count.uplinkRate.Store(s.rate)
	c.count.uplinkDelay.Store(int64(s.delay))
}

// uplinkSummary is what was found out over an interval.
type uplinkSummary struct {
	took           time.Duration
	received, lost uint64
	rate           uint64        // of what arrived, in bits a second
	delay          time.Duration // the least beyond the least ever: the queue that did not drain
}

func (s uplinkSummary) loses(share float64) bool {
	return float64(s.lost) > share*float64(s.received+s.lost)
}

func (s uplinkSummary) chokes() bool {
	return s.received+s.lost >= chokedPackets && s.loses(chokedLoss)
}

// uplinkMeter matches feedback with what was sent. It knows no clock.
type uplinkMeter struct {
	next       uint16
	sent       [sentSize]sentPacket
	began      time.Time
	fast, slow window
	probe      train
	// bases are the least transit times, of this baseInterval and the one before, by two
	// clocks that are not the same: only differences mean anything.
	bases   [2]least
	baseEnd time.Duration // since the first packet
	round   least         // of the latest feedback
}

// least is the least of some durations.
type least struct {
	known bool
	of    time.Duration
}

func (l *least) take(d time.Duration) {
	if !l.known || d < l.of {
		*l = least{true, d}
	}
}

// sentPacket is a packet that was sent; settled once feedback has spoken of it.
type sentPacket struct {
	number               uint16
	size                 int
	at                   time.Duration // since the first
	live, settled, probe bool
}

func (m *uplinkMeter) send(size int, probe bool, now time.Time) uint16 {
	if m.began.IsZero() {
		m.began, m.fast.since, m.slow.since = now, now, now
	}
	number := m.next
	m.sent[number%sentSize] = sentPacket{number: number, size: size, at: now.Sub(m.began), live: true, probe: probe}
	m.next++
	return number
}

// feedback settles the packets that f speaks of, and gives how long these had to wait at
// least. What it calls lost may be late, and counts as lost all the same.
func (m *uplinkMeter) feedback(f *rtcp.TransportLayerCC) time.Duration {
	m.round = least{}
	arrival := time.Duration(f.ReferenceTime) * 64 * time.Millisecond
	deltas := f.RecvDeltas
	for i, received := range statusesOf(f) {
		if received && len(deltas) > 0 {
			arrival += time.Duration(deltas[0].Delta) * time.Microsecond
			deltas = deltas[1:]
		}
		m.settle(f.BaseSequenceNumber+uint16(i), received, arrival)
	}
	if !m.round.known {
		return 0
	}
	return m.round.of - m.base()
}

func (m *uplinkMeter) settle(number uint16, received bool, arrival time.Duration) {
	p := &m.sent[number%sentSize]
	if !p.live || p.settled || p.number != number {
		return
	}
	p.settled = true
	if p.probe {
		m.probe.settle(p.size, received, arrival)
		return
	}
	if received {
		m.notice(p.at, arrival-p.at)
	}
	m.fast.settle(p.size, received, arrival-p.at)
	m.slow.settle(p.size, received, arrival-p.at)
}

// notice takes the transit time of a packet sent at a time.
func (m *uplinkMeter) notice(at, transit time.Duration) {
	if at >= m.baseEnd {
		m.bases, m.baseEnd = [2]least{{}, m.bases[0]}, at+baseInterval
	}
	m.bases[0].take(transit)
	m.round.take(transit)
}

// base is the least transit time of late.
func (m *uplinkMeter) base() time.Duration {
	both := m.bases[0]
	if m.bases[1].known {
		both.take(m.bases[1].of)
	}
	return both.of
}

// window sums what is settled in an interval.
type window struct {
	since    time.Time
	received uint64
	lost     uint64
	bytes    uint64
	least    least // transit time
}

func (w *window) settle(size int, received bool, transit time.Duration) {
	if !received {
		w.lost++
		return
	}
	w.received++
	w.bytes += uint64(size)
	w.least.take(transit)
}

// summary is that of an interval that has ended; base is the least transit time of late.
func (w *window) summary(now time.Time, interval, base time.Duration) (uplinkSummary, bool) {
	took := now.Sub(w.since)
	if w.since.IsZero() || took < interval {
		return uplinkSummary{}, false
	}
	s := uplinkSummary{took: took, received: w.received, lost: w.lost, rate: uint64(float64(w.bytes*8) / took.Seconds())}
	if w.least.known {
		s.delay = w.least.of - base
	}
	*w = window{since: now}
	return s, true
}

// statusesOf says for each packet that f speaks of whether it arrived (Section 3.1).
func statusesOf(f *rtcp.TransportLayerCC) []bool {
	statuses := make([]bool, 0, f.PacketStatusCount)
	add := func(symbol uint16) {
		if len(statuses) < int(f.PacketStatusCount) {
			statuses = append(statuses, symbol == rtcp.TypeTCCPacketReceivedSmallDelta || symbol == rtcp.TypeTCCPacketReceivedLargeDelta)
		}
	}
	for _, chunk := range f.PacketChunks {
		switch c := chunk.(type) {
		case *rtcp.RunLengthChunk:
			for range c.RunLength {
				add(c.PacketStatusSymbol)
			}
		case *rtcp.StatusVectorChunk:
			for _, symbol := range c.SymbolList {
				add(symbol)
			}
		}
	}
	return statuses
}
