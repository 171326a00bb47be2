package sfu

import (
	"testing"
	"time"

	"github.com/pion/rtcp"

	"github.com/conclave-sfu/conclave/sfu/bwe"
	"github.com/conclave-sfu/conclave/sfu/pace"
)

// debtor is a slot that owes packets, its source, and what its receiver says.
type debtor struct {
	*source
	t        *testing.T
	slot     *downTrack
	log      *bwe.SentLog
	path     *bwe.Estimator
	again    []uint16 // numbers of packets that were sent again
	numbered []uint16 // their transport-wide ones
}

func newDebtor(t *testing.T) *debtor {
	u, _ := newTestUp(true)
	d := &debtor{source: &source{u: u, now: int64(time.Minute), seq: 100}, t: t, log: bwe.NewSentLog(64)}
	d.path = bwe.New(bwe.Config{Start: 1e6, Min: 1e5, Max: 1e7}, d.log)
	d.slot = newTestSlot(t, true, d)
	d.slot.connect(u, d.now)
	d.source.send(t, true, true, []byte("key"))
	return d
}

func (d *debtor) writeMedia(*outgoing) bool { return true }

func (d *debtor) writeRTX(o *outgoing, osn uint16) bool {
	o.number = d.log.Add(d.now, 1000)
	d.again = append(d.again, osn)
	d.numbered = append(d.numbered, o.number)
	return true
}

// ask has the receiver ask for a packet some times.
func (d *debtor) ask(seq uint16, times int) {
	for range times {
		d.slot.feedback([]rtcp.Packet{&rtcp.TransportLayerNack{MediaSSRC: d.slot.ssrc, Nacks: []rtcp.NackPair{{PacketID: seq}}}}, d.now)
	}
}

// report says that what was sent again last has come, or not.
func (d *debtor) report(came bool) {
	number := d.numbered[len(d.numbered)-1]
	r := bwe.Report{Base: number, Span: 1}
	if came {
		r.Received = []bwe.Arrival{{Seq: number, At: d.now}}
	}
	d.path.OnReport(d.now, &r)
}

// pays lets time pass, and gives how many packets are sent without a request.
func (d *debtor) pays(after time.Duration) int {
	d.now += int64(after)
	before := len(d.again)
	d.slot.payOwed(d.path, d.now)
	return len(d.again) - before
}

// expect wants so many packets to be sent without a request.
func (d *debtor) expect(what string, after time.Duration, want int) {
	d.t.Helper()
	if got := d.pays(after); got != want {
		d.t.Errorf("%s: %d packets were sent, want %d", what, got, want)
	}
}

// TestOwed: what was asked for often is sent again until it has come, as often and as long as is
// of use.
func TestOwed(t *testing.T) {
	const ms = time.Millisecond
	d := newDebtor(t)
	d.ask(100, owedAsks-1)
	d.report(false)
	d.expect("asked for less often", ms, 0)
	d.ask(100, 1)
	d.expect("before a report", ms, 0)
	d.report(false)
	d.expect("lost", ms, 1)
	d.expect("until the next report", owedPatience-ms, 0)
	d.expect("no report comes", ms, 1)
	d.report(true)
	d.expect("has come", time.Second, 0)
	if len(d.slot.owed) != 0 || len(d.again) != owedAsks+2 {
		t.Errorf("%v are remembered, %v were sent again", d.slot.owed, d.again)
	}

	d = newDebtor(t)
	d.ask(100, owedAsks)
	for d.report(false); d.pays(ms) > 0; d.report(false) {
	}
	if len(d.again) != owedTries {
		t.Errorf("what is always lost is sent again %d times, want %d", len(d.again), owedTries)
	}
	d.ask(100, 1)
	if len(d.again) != owedTries+1 {
		t.Error("a request is not answered any more")
	}
	d.expect("nor does it begin anew", ms, 0)

	d = newDebtor(t)
	d.ask(100, owedAsks)
	d.report(false)
	d.expect("too old", owedAge, 0)
	if len(d.slot.owed) != 0 {
		t.Errorf("%v are remembered", d.slot.owed)
	}
}

// TestOwedLater: a packet that the publisher repeats after all requests for it is sent once more,
// and so is one for which there was no room, when there is.
func TestOwedLater(t *testing.T) {
	const ms = time.Millisecond
	d := newDebtor(t)
	late := d.packet(t, 101, true, false, []byte("late"))
	d.seq++
	d.source.send(t, true, false, []byte("next"))
	d.ask(101, owedAsks)
	d.expect("not there", ms, 0)
	d.receive(t, 101, late)
	d.expect("it has come", ms, 1)
	if d.again[0] != 101 {
		t.Errorf("%v were sent again", d.again)
	}

	d = newDebtor(t)
	d.slot.repairs = &pace.Bucket{}
	d.slot.repairs.SetRate(100_000)
	for d.slot.repairs.Take(d.now, repairSize) {
	}
	d.ask(100, owedAsks)
	if len(d.again) != 0 {
		t.Fatal("there was room")
	}
	d.expect("no room", 0, 0)
	d.expect("room", time.Second, 1)

	d = newDebtor(t)
	d.ask(100, owedAsks)
	other, _ := newTestUp(true)
	d.slot.connect(other, d.now)
	d.report(false)
	d.expect("of the source before", ms, 0)
}

// TestOwedIsBounded: no more packets are remembered than have a place, the oldest first, and
// whoever gives no feedback has new ones remembered in time.
func TestOwedIsBounded(t *testing.T) {
	d := newDebtor(t)
	for seq := range uint16(200) {
		d.ask(seq, 1)
	}
	if n := len(d.slot.owed); n != maxOwed || d.slot.owed[0].seq != 0 {
		t.Errorf("%d are remembered, from %d on", n, d.slot.owed[0].seq)
	}
	d.now += int64(owedAge)
	d.ask(300, 1)
	if n := len(d.slot.owed); n != 1 || d.slot.owed[0].seq != 300 {
		t.Errorf("%d are remembered, from %d on", n, d.slot.owed[0].seq)
	}
}
