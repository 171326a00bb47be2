package sfu

import (
	"strings"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/stun/v4"

	"github.com/conclave-sfu/conclave/sfu/packetcache"
)

// TestSentOnce: a packet that a slot got from the cache, while its source was about to
// forward it, is not sealed again: its header would differ, under the same nonce.
func TestSentOnce(t *testing.T) {
	n := startNode(t, nil)
	from := newRig(t, n, "alice", map[string]Source{"v": Camera}, rigSection("video", "v", "sendonly", "a=ssrc:70 cname:x\r\n"))
	from.send(from.packet(70, 96, 1, keyFrame))
	up := from.uplinks[70].up
	to := newRig(t, n, "bob", nil, rigSection("video", "v", "recvonly"))
	path := &fakePath{}
	to.way.Store(&way{conn: to.connection, path: path})
	p, ok := up.cache.Get(up.newest.Load()) // as receive has it, between Put and forward
	if !ok {
		t.Fatal("nothing in the cache")
	}
	defer p.Release()
	for _, d := range to.slots {
		d.connect(up, n.now())
		if d.forward(p, n.now()); len(path.sent) != 1 {
			t.Errorf("%d packets were sent, want 1", len(path.sent))
		}
	}
}

// TestForgedSSRC: what does not open takes no stream's place, however long that is silent.
func TestForgedSSRC(t *testing.T) {
	n := startNode(t, nil)
	r := newRig(t, n, "alice", map[string]Source{"a": Mic}, rigSection("audio", "a", "sendonly"))
	for ssrc := range uint32(maxUplinks) {
		r.send(r.packet(ssrc+1, 111, 1, "x"))
	}
	r.egress.now += 2 * int64(uplinkIdle)
	in := packetcache.New()
	defer in.Release()
	if r.takeProtected(r.egress, in, copy(in.Buffer[:], "\x80\x6f\x00\x01\x00\x00\x00\x00\xff\xff\xff\xff"+strings.Repeat("f", 40)), nil) {
		t.Error("a forged packet is kept")
	}
	for ssrc := range uint32(maxUplinks) {
		if r.uplinks[ssrc+1] == nil {
			t.Errorf("stream %d is gone", ssrc+1)
		}
	}
}

// TestReportsCountLoss: a packet that was sent again was lost all the same.
func TestReportsCountLoss(t *testing.T) {
	n := startNode(t, nil)
	r := newRig(t, n, "alice", map[string]Source{"v": Camera}, rigSection("video", "v", "sendonly", "a=ssrc-group:FID 70 71\r\n"))
	r.send(r.packet(70, 96, 1, keyFrame))
	r.send(r.packet(70, 96, 3, "\x10x"))
	r.send(r.packet(71, 97, 1, "\x00\x02\x10x"))
	u := r.uplinks[70]
	if report, ok := u.reception.Report(0); !ok || report.TotalLost != 1 {
		t.Errorf("%+v, want one packet lost", report)
	}
	if u.missing.Waiting() || u.up.newest.Load()-1<<16 != 3 {
		t.Error("the packet was not repaired")
	}
}

// TestConsentWithoutWay: a connection whose only way is gone, and that nobody checks any
// more, ends.
func TestConsentWithoutWay(t *testing.T) {
	n := startNode(t, nil)
	r := newRig(t, n, "alice", map[string]Source{"a": Mic}, rigSection("audio", "a", "sendonly"))
	path := &fakePath{}
	n.Receive(path, r.checkFrom(t, stun.RawAttribute{Type: stun.AttrUseCandidate}))
	n.Gone(path)
	if r.way.Load() != nil {
		t.Fatal("the way is there")
	}
	r.tick(r.egress, r.checkedAt.Load()+int64(consentTimeout)+1)
	for deadline := time.Now().Add(patience); r.transport.current() != nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the connection goes on")
		}
	}
}

// TestEstimatesOfThoseHeard: who has said nothing of what arrives is not counted.
func TestEstimatesOfThoseHeard(t *testing.T) {
	n := startNode(t, nil)
	r := newRig(t, n, "alice", map[string]Source{"v": Camera}, rigSection("video", "v", "sendonly"), rigSection("video", "w", "recvonly"))
	if s := n.Stats(); r.budget.Load() == nil || len(s.Estimates) != 0 {
		t.Errorf("estimates %v before any feedback", s.Estimates)
	}
	raw, err := rtcp.Marshal([]rtcp.Packet{&rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: 1e6, SSRCs: []uint32{1}}})
	if err != nil {
		t.Fatal(err)
	}
	r.intake.Lock()
	r.takeReports(r.egress, raw)
	r.intake.Unlock()
	if s := n.Stats(); len(s.Estimates) != 1 {
		t.Errorf("estimates %v after feedback", s.Estimates)
	}
}
