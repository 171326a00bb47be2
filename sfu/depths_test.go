package sfu

import (
	"net"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/conclave-sfu/conclave/sfu/pace"
)

// TestQueuedPackets: what a slot without room waits with is known, and nothing once it is
// sent, given up, or of another source.
func TestQueuedPackets(t *testing.T) {
	u, _ := newTestUp(true)
	w, budget := &fakeWriter{}, new(pace.Bucket)
	d := newTestSlot(t, true, w)
	d.bucket = budget
	d.connect(u, 0)
	s := &source{u: u}
	s.send(t, true, true, make([]byte, 1000))
	if got := d.queued.Load(); got != 0 || len(w.packets) != 1 {
		t.Fatalf("%d packets wait, %d were sent", got, len(w.packets))
	}
	budget.SetRate(100_000)
	for range 40 {
		s.send(t, false, false, make([]byte, 1000))
	}
	if got, sent := d.queued.Load(), int64(len(w.packets)); got == 0 || got+sent != 41 {
		t.Fatalf("%d packets wait, %d were sent, of 41", got, sent)
	}
	u.drain(s.now + int64(time.Second))
	if got, sent := d.queued.Load(), int64(len(w.packets)); got+sent != 41 {
		t.Errorf("%d packets wait later, %d were sent, of 41", got, sent)
	}
	budget.SetRate(0)
	u.drain(s.now + int64(time.Second))
	if got := d.queued.Load(); got != 0 || len(w.packets) != 41 {
		t.Errorf("%d packets wait in the end, %d were sent", got, len(w.packets))
	}
	budget.SetRate(100_000)
	for range 40 {
		s.send(t, false, false, make([]byte, 1000))
	}
	if d.queued.Load() == 0 {
		t.Error("no packets wait")
	}
	d.disconnect()
	if got := d.queued.Load(); got != 0 {
		t.Errorf("%d packets wait for a slot without source", got)
	}
}

// TestSocketsAreCounted: what comes to the port shows in the node's numbers.
func TestSocketsAreCounted(t *testing.T) {
	n := startNode(t, nil)
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), n.Addr().Port())))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 5 {
		if _, err := conn.Write([]byte("\x80\x60nobody's")); err != nil {
			t.Fatal(err)
		}
	}
	s := n.Stats()
	for deadline := time.Now().Add(patience); s.Datagrams < 5 && time.Now().Before(deadline); s = n.Stats() {
		runtime.Gosched()
	}
	if s.Datagrams != 5 || s.ReceiveCalls == 0 || s.ReceiveCalls > 5 || s.FullReceives != 0 || s.SocketDropped != 0 {
		t.Errorf("%+v", s)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if s := n.Stats(); s.SocketQueue != 0 || s.Datagrams != 5 {
		t.Errorf("after the end: %+v", s)
	}
}

// TestSentBytes: what goes out by UDP and by other ways counts, each packet once, and by UDP with
// what that adds.
func TestSentBytes(t *testing.T) {
	n := startNode(t, nil)
	r := newRig(t, n, "alice", nil, rigSection("audio", "a", "recvonly"))
	if got := n.SentBytes(); got != 0 {
		t.Errorf("%d bytes before anything is sent", got)
	}
	path := &fakePath{sent: [][]byte{}}
	r.checks(path, nominating)
	r.askKeyFrame(5)
	sum := uint64(0)
	for _, p := range slices.Concat(path.sent, path.asked) {
		sum += uint64(len(p))
	}
	if got := n.SentBytes(); got != sum || len(path.sent) != 2 || len(path.asked) != 1 {
		t.Errorf("%d bytes by a path, want %d, of %d packets", got, sum, len(path.sent))
	}
	if err := n.WriteForeign(make([]byte, 100), n.Addr(), netip.Addr{}); err != nil {
		t.Fatal(err)
	}
	if got := n.SentBytes() - sum; got != 100+udpOverhead {
		t.Errorf("%d bytes of a packet of 100", got)
	}
}
