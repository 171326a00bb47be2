package client

import (
	"sync"
	"time"

	"github.com/pion/rtcp"
)

// What a publisher makes of transport-wide feedback
// (draft-holmer-rmcat-transport-wide-cc-extensions-01).
const (
	sentSize = 1 << 12 // packets that feedback may still speak of: seconds of a fast video
	// meterInterval is the time over which loss and delay are looked at.
	meterInterval = time.Second
	// Beyond these an uplink is congested. Random loss of a tenth is what GCC takes for
	// congestion too (draft-ietf-rmcat-gcc-02, Section 6).
	congestedLoss  = 0.1
	congestedDelay = 150 * time.Millisecond
	// Where so much is lost, all layers but the lowest stop at once.
	chokedLoss = 0.5
	// A layer that was stopped is tried again after minHold; twice as long each time that
	// this was too early.
	minHold = 5 * time.Second
	maxHold = 40 * time.Second
)

// congestion follows the uplink of one PeerConnection, and says how many layers of a
// simulcast it bears. Its methods may be called from any goroutine.
type congestion struct {
	count *counters

	mu     sync.Mutex
	meter  uplinkMeter // Guarded by mu.
	policy layerPolicy // Guarded by mu.
}

// newCongestion begins with all layers.
func newCongestion(layers int, count *counters) *congestion {
	return &congestion{count: count, policy: layerPolicy{layers: layers, allowed: layers, hold: minHold}}
}

// send numbers a packet of size bytes.
func (c *congestion) send(size int, now time.Time) uint16 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.meter.send(size, now)
}

// feedback takes what the forwarder says of the packets.
func (c *congestion) feedback(f *rtcp.TransportLayerCC, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.meter.feedback(f)
	s, ok := c.meter.summary(now)
	if !ok {
		return
	}
	c.policy.decide(s, now)
	c.count.acknowledged.Add(s.received)
	c.count.uplinkLost.Add(s.lost)
	c.count.uplinkRate.Store(s.rate)
	c.count.uplinkDelay.Store(int64(s.delay))
}

// allowed is how many layers of a simulcast the path bears, lowest first.
func (c *congestion) allowed() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.policy.allowed
}

// uplinkSummary is what was found out over an interval.
type uplinkSummary struct {
	received, lost uint64
	rate           uint64        // of what arrived, in bits a second
	delay          time.Duration // the least beyond the least ever: the queue that did not drain
}

func (s uplinkSummary) congested() bool {
	return s.loses(congestedLoss) || s.delay > congestedDelay
}

func (s uplinkSummary) loses(share float64) bool {
	return float64(s.lost) > share*float64(s.received+s.lost)
}

// uplinkMeter matches feedback with what was sent. It knows no clock.
type uplinkMeter struct {
	next  uint16
	sent  [sentSize]sentPacket
	began time.Time
	since time.Time // of the interval
	sum   uplinkSummary
	bytes uint64
	// Transit times, by two clocks that are not the same: only differences mean anything.
	measured         bool
	base, least      time.Duration
	leastInThisRound bool
}

// sentPacket is a packet that was sent; settled once feedback has spoken of it.
type sentPacket struct {
	number        uint16
	size          int
	at            time.Duration // since the first
	live, settled bool
}

func (m *uplinkMeter) send(size int, now time.Time) uint16 {
	if m.began.IsZero() {
		m.began, m.since = now, now
	}
	number := m.next
	m.sent[number%sentSize] = sentPacket{number: number, size: size, at: now.Sub(m.began), live: true}
	m.next++
	return number
}

// feedback settles the packets that f speaks of. What it calls lost may be late, and
// counts as lost all the same.
func (m *uplinkMeter) feedback(f *rtcp.TransportLayerCC) {
	arrival := time.Duration(f.ReferenceTime) * 64 * time.Millisecond
	deltas := f.RecvDeltas
	for i, received := range statusesOf(f) {
		if received && len(deltas) > 0 {
			arrival += time.Duration(deltas[0].Delta) * time.Microsecond
			deltas = deltas[1:]
		}
		m.settle(f.BaseSequenceNumber+uint16(i), received, arrival)
	}
}

func (m *uplinkMeter) settle(number uint16, received bool, arrival time.Duration) {
	p := &m.sent[number%sentSize]
	if !p.live || p.settled || p.number != number {
		return
	}
	p.settled = true
	if !received {
		m.sum.lost++
		return
	}
	m.sum.received++
	m.bytes += uint64(p.size)
	transit := arrival - p.at
	if !m.measured || transit < m.base {
		m.measured, m.base = true, transit
	}
	if !m.leastInThisRound || transit < m.least {
		m.leastInThisRound, m.least = true, transit
	}
}

// summary is that of an interval that has ended.
func (m *uplinkMeter) summary(now time.Time) (uplinkSummary, bool) {
	took := now.Sub(m.since)
	if m.began.IsZero() || took < meterInterval {
		return uplinkSummary{}, false
	}
	s := m.sum
	s.rate = uint64(float64(m.bytes*8) / took.Seconds())
	if m.leastInThisRound {
		s.delay = m.least - m.base
	}
	m.sum, m.bytes, m.leastInThisRound, m.since = uplinkSummary{}, 0, false, now
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

// layerPolicy is how many layers to send: one fewer after each congested interval, one
// more when the path has been well for as long as hold.
type layerPolicy struct {
	layers, allowed int
	hold            time.Duration
	changed         time.Time
	raised          bool // the last change was upwards
}

func (p *layerPolicy) decide(s uplinkSummary, now time.Time) {
	switch {
	case s.congested() && p.allowed > 1:
		if p.raised && now.Sub(p.changed) < p.hold {
			p.hold = min(2*p.hold, maxHold)
		}
		p.allowed--
		if s.loses(chokedLoss) {
			p.allowed = 1
		}
		p.changed, p.raised = now, false
	case s.congested():
		p.changed = now
	case p.allowed < p.layers && now.Sub(p.changed) >= p.hold:
		p.allowed++
		p.changed, p.raised = now, true
	case p.raised && now.Sub(p.changed) >= p.hold:
		p.hold = minHold
	}
}
