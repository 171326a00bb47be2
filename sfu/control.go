package sfu

import (
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"github.com/pion/rtcp"

	"github.com/conclave-sfu/conclave/sfu/bwe"
)

// Times of a connection's reports.
const (
	feedbackInterval = 50 * time.Millisecond // of transport-wide feedback
	receiverInterval = time.Second           // of receiver reports
	budgetInterval   = 200 * time.Millisecond
)

// maxNACKs is how many packets one message asks for at most.
const maxNACKs = 64

// takeControl takes a packet of RTCP, compound (RFC 3550, Section 6.1) or not (RFC
// 5506). The caller holds intake.
func (c *connection) takeControl(e *egress, raw []byte, w *way) {
	plain, err := c.control.Open(raw)
	if err != nil {
		c.node().ended.drop(reasonOf(err))
		return
	}
	c.prove(w)
	c.takeReports(e, plain)
}

// takeReports takes what the packet holds, up to where it is malformed.
func (c *connection) takeReports(e *egress, plain []byte) {
	for len(plain) >= 4 {
		size := 4 * (int(binary.BigEndian.Uint16(plain[2:])) + 1)
		if size > len(plain) || plain[0]>>6 != 2 {
			c.node().ended.drop(dropMalformed)
			return
		}
		c.takePart(e, plain[:size])
		plain = plain[size:]
	}
}

// Types of RTCP packets that are looked at before they are parsed.
const (
	typeTransportFeedback   = 205
	formatTransportFeedback = 15
)

// takePart takes one packet of a compound. What is malformed or not known is skipped.
func (c *connection) takePart(e *egress, raw []byte) {
	if raw[1] == typeTransportFeedback && raw[0]&0x1f == formatTransportFeedback {
		c.transportFeedback(e, raw)
		return
	}
	packets, err := rtcp.Unmarshal(raw)
	if err != nil {
		c.node().ended.drop(dropMalformed)
		return
	}
	for _, packet := range packets {
		switch packet := packet.(type) {
		case *rtcp.SenderReport:
			c.takeSenderReport(packet, e.now)
			received := &rtcp.ReceiverReport{SSRC: packet.SSRC, Reports: packet.Reports}
			c.toSlots(e, []rtcp.Packet{received}, reportedOn(packet.Reports))
		case *rtcp.ReceiverReport:
			c.toSlots(e, packets, reportedOn(packet.Reports))
		case *rtcp.ReceiverEstimatedMaximumBitrate:
			c.remb(uint64(packet.Bitrate), e.now)
		default:
			c.toSlots(e, packets, packet.DestinationSSRC())
		}
	}
}

func reportedOn(reports []rtcp.ReceptionReport) []uint32 {
	list := make([]uint32, len(reports))
	for i, r := range reports {
		list[i] = r.SSRC
	}
	return list
}

// toSlots gives feedback to the slots that it names.
func (c *connection) toSlots(e *egress, packets []rtcp.Packet, ssrcs []uint32) {
	for i, ssrc := range ssrcs {
		if d := c.slots.get(ssrc); d != nil && !slices.Contains(ssrcs[:i], ssrc) {
			d.againVia = e
			d.feedback(packets, e.now)
			c.owing = c.owing || len(d.owed) > 0
		}
	}
}

// takeSenderReport takes the report of a publisher.
func (c *connection) takeSenderReport(sr *rtcp.SenderReport, now int64) {
	u := c.uplinks[sr.SSRC]
	if u == nil || u.up == nil {
		return
	}
	u.reception.SenderReport(sr.NTPTime, now)
	u.up.senderReport(sr, c.clock.report(sr.NTPTime, now))
}

// transportFeedback takes feedback on what was sent, as it came (draft-holmer-rmcat-
// transport-wide-cc-extensions-01, Section 3.1). The caller holds intake.
func (c *connection) transportFeedback(e *egress, raw []byte) {
	b := c.budget.Load()
	if b == nil {
		return
	}
	off, ok := b.feedback(&e.report, raw, e.now)
	if !ok {
		c.node().ended.drop(dropReport)
		return
	}
	c.node().feedbacks.Add(1)
	c.payOwed(e, b)
	if off {
		c.transport.room.reshare(c)
	}
	if c.probe(e, e.now) {
		c.rush(e)
	}
}

// keepBudget is due some times a second. The caller holds intake.
func (c *connection) keepBudget(e *egress, now int64) {
	b := c.budget.Load()
	if b == nil {
		return
	}
	if b.tick(now) {
		c.transport.room.reshare(c)
	}
	if c.probe(e, now) {
		c.rush(e)
	}
}

// remb takes what the receiver believes its path to carry, in bits a second. The caller
// holds intake.
func (c *connection) remb(bits uint64, now int64) {
	b := c.budget.Load()
	if b == nil {
		b = newBudget(bwe.NewSentLog(0), &c.bucket, &c.repairs, c.transport.outgoing.room())
		c.budget.Store(b)
	}
	if b.remb(now, bits) {
		c.transport.room.reshare(c)
	}
}

var errNoConsent = errors.New("no connectivity checks any more")

// tick is what is due on a connection. It is called by the media loop that keeps its
// timers.
func (c *connection) tick(e *egress, now int64) {
	c.intake.Lock()
	defer c.intake.Unlock()
	if c.shut {
		return
	}
	// A way may be gone (Node.Gone) and no other be checked; until there are keys, the time
	// to connect is what ends.
	if now-c.checkedAt.Load() > int64(consentTimeout) && (c.way.Load() != nil || c.keys.Load() != nil) {
		c.checkedAt.Store(now) // once
		c.failLater(errNoConsent)
		return
	}
	c.leaveSilent(now)
	if now-c.reports.budgetAt >= int64(budgetInterval) {
		c.reports.budgetAt = now
		c.keepBudget(e, now)
	}
	if !c.busy.Load() {
		return
	}
	for _, u := range c.uplinks {
		if u.up != nil {
			u.up.via = e
			u.up.drain(now)
		}
	}
	if c.hunting = c.askMissing(e, now); c.hunting {
		c.rush(e)
	}
	c.writeREMB(e, now)
	if now-c.reports.feedbackAt >= int64(feedbackInterval) && c.arrivals.PacketsHeld() > 0 {
		c.reports.feedbackAt = now
		c.writeControl(e, c.arrivals.BuildFeedbackPacket())
	}
	if now-c.reports.reportAt >= int64(receiverInterval) {
		c.reports.reportAt = now
		c.writeReports(e, now)
	}
}

// hunt has what is missing asked for as soon as it is due, not with the next tick only. The
// caller holds intake.
func (c *connection) hunt(e *egress) {
	c.hunting = true
	c.rush(e)
}

// hasten does what is due in a rush, and is false when nothing is any more.
func (c *connection) hasten(e *egress, now int64) bool {
	c.intake.Lock()
	defer c.intake.Unlock()
	if c.shut {
		return false
	}
	c.hunting = c.hunting && c.askMissing(e, now)
	return c.probe(e, now) || c.hunting
}

// askMissing asks the publisher for what is missing (RFC 4585, Section 6.2.1). It is true while
// something is.
func (c *connection) askMissing(e *egress, now int64) (waiting bool) {
	for _, u := range c.uplinks {
		for some := range slices.Chunk(u.due(now), maxNACKs) {
			c.writeControl(e, []rtcp.Packet{&rtcp.TransportLayerNack{
				SenderSSRC: c.ssrc, MediaSSRC: u.ssrc, Nacks: rtcp.NackPairsFromSequenceNumbers(some),
			}})
		}
		waiting = waiting || u.asks()
	}
	return waiting
}

// writeReports tells publishers what has arrived of their streams.
func (c *connection) writeReports(e *egress, now int64) {
	var blocks []rtcp.ReceptionReport
	for _, u := range c.uplinks {
		if u.up == nil {
			continue
		}
		if r, ok := u.reception.Report(now); ok {
			blocks = append(blocks, rtcp.ReceptionReport{
				SSRC: u.ssrc, FractionLost: r.FractionLost, TotalLost: r.TotalLost, LastSequenceNumber: r.Highest,
				Jitter: r.Jitter, LastSenderReport: r.LastReport, Delay: r.Delay,
			})
		}
	}
	for some := range slices.Chunk(blocks, 31) {
		c.writeControl(e, []rtcp.Packet{&rtcp.ReceiverReport{SSRC: c.ssrc, Reports: some}})
	}
}
