package sfu

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/stun/v4"

	"github.com/conclave-sfu/conclave/sfu/allocate"
	"github.com/conclave-sfu/conclave/sfu/icelite"
	"github.com/conclave-sfu/conclave/sfu/packetcache"
	"github.com/conclave-sfu/conclave/sfu/srtp"
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
	for _, d := range to.slots.list {
		d.connect(up, from.egress.now) // the key frame has just been
		if d.forward(up, p, from.egress.now); len(path.sent) != 1 {
			t.Errorf("%d packets were sent, want 1", len(path.sent))
		}
		if numbered := to.sent.Count(); numbered != 1 {
			t.Errorf("%d packets have a number of the transport's, want 1", numbered)
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

// TestHolesOfABeginning: what is missing of a stream that nobody is shown is not asked for,
// until a slot begins with a key frame that has just been: it may lack what came after.
func TestHolesOfABeginning(t *testing.T) {
	for _, age := range []time.Duration{0, maxKeyFrameAge, maxKeyFrameAge + 1} {
		n := startNode(t, nil)
		r := newRig(t, n, "alice", map[string]Source{"v": Camera}, rigSection("video", "v", "sendonly", "a=ssrc-group:FID 70 71\r\n"))
		r.send(r.packet(70, 96, 1, keyFrame))
		r.send(r.packet(70, 96, 3, "\x10x"))
		u := r.uplinks[70]
		now := r.egress.now + int64(age)
		if due := u.due(now); len(due) > 0 {
			t.Errorf("%v is asked for, and nobody is shown it", due)
		}
		slot := newTestSlot(t, true, &fakeWriter{})
		slot.connect(u.up, now)
		begins := slot.phase != waiting
		if due := u.due(now); begins != (age <= maxKeyFrameAge) || begins != slices.Equal(due, []uint16{2}) {
			t.Errorf("after %v a slot begins: %t; asked for is %v", age, begins, due)
		}
	}
}

// TestHunt: what is missing of what somebody is shown is asked for in a rush, not with the next
// tick, until it has come; a key frame is asked for if it does not.
func TestHunt(t *testing.T) {
	n := startNode(t, nil)
	r := newRig(t, n, "alice", map[string]Source{"v": Camera}, rigSection("video", "v", "sendonly", "a=ssrc-group:FID 70 71\r\n"))
	r.send(r.packet(70, 96, 1, keyFrame))
	r.send(r.packet(70, 96, 3, "\x10y"))
	if r.hunting {
		t.Error("it hunts for what nobody is shown")
	}
	u := r.uplinks[70]
	newTestSlot(t, true, &fakeWriter{}).connect(u.up, r.egress.now)
	r.send(r.packet(70, 96, 5, "\x10y"))
	if !r.hunting || !r.hasten(r.egress, r.egress.now) {
		t.Error("it does not hunt for what is missing")
	}
	for _, lost := range []string{"\x00\x02\x10y", "\x00\x04\x10y"} {
		r.send(r.packet(71, 97, uint16(lost[1]), lost))
	}
	if r.hasten(r.egress, r.egress.now) || r.hunting {
		t.Error("it hunts for what has come")
	}
	r.send(r.packet(70, 96, 7, "\x10y"))
	for end := r.egress.now + int64(3*time.Second); r.hunting && r.egress.now < end; r.egress.now += int64(rushInterval) {
		r.hasten(r.egress, r.egress.now)
	}
	if r.hunting || u.up.counters.plisOut.Load() != 1 {
		t.Errorf("hunting: %t, %d key frames are asked for, want one", r.hunting, u.up.counters.plisOut.Load())
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
	r.checks(path, stun.RawAttribute{Type: stun.AttrUseCandidate})
	n.Gone(path)
	if r.way.Load() != nil {
		t.Fatal("the way is there")
	}
	r.tick(r.egress, r.checkedAt.Load()+int64(consentTimeout)+1)
	for deadline := time.Now().Add(patience); r.transport.current() != nil; runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("the connection goes on")
		}
	}
}

// TestConsentOfAStoppedServer: who could not be heard, since the process did not run, has as much time
// to check as anybody; who does not check any more has no more.
func TestConsentOfAStoppedServer(t *testing.T) {
	n := startNode(t, nil)
	r := newRig(t, n, "alice", map[string]Source{"a": Mic}, rigSection("audio", "a", "sendonly"))
	if !r.takeCheckFrom("127.0.0.1:9", "127.0.0.1") {
		t.Fatal("a check was refused")
	}
	l := &loop{node: n, all: []*connection{r.connection}, patient: true}
	began := r.checkedAt.Load()
	ends := func(now int64) bool {
		l.tick(now)
		return r.checkedAt.Load() == now // it is said once
	}
	const step = int64(idleInterval)
	now := began + step
	if ends(now) {
		t.Fatal("it ends at once")
	}
	for range 3 {
		if now += 2 * int64(consentTimeout); ends(now) {
			t.Fatal("it ends since the server was stopped")
		}
	}
	heard := now - step
	for now += step; !ends(now); now += step {
		if now > heard+2*int64(consentTimeout) {
			t.Fatal("it goes on without consent")
		}
	}
	if silent := time.Duration(now - heard); silent <= consentTimeout || silent > consentTimeout+2*idleInterval {
		t.Errorf("it ends after %v", silent)
	}
}

// TestWayOfAStoppedServer: nor is the way left by which media goes, though another one was checked.
func TestWayOfAStoppedServer(t *testing.T) {
	n := startNode(t, nil)
	r := newRig(t, n, "alice", map[string]Source{"a": Mic}, rigSection("audio", "a", "sendonly"))
	home, other := &fakePath{}, &fakePath{}
	r.checks(home, nominating)
	l := &loop{node: n, all: []*connection{r.connection}, patient: true}
	now := r.checkedAt.Load()
	l.tick(now)
	r.checks(other)
	now += 2 * int64(consentTimeout)
	if l.tick(now); r.way.Load() == nil || r.way.Load().path != home {
		t.Error("media has left the way in use")
	}
}

// TestEstimatesOfThoseHeard: who has said nothing of what arrives is not counted, nor who is
// sent no video.
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
	if s := n.Stats(); len(s.Estimates) != 0 {
		t.Errorf("estimates %v of one who watches nobody", s.Estimates)
	}
	r.budget.Load().give(1e6, 0, allocate.Result{Want: 150_000})
	if s := n.Stats(); len(s.Estimates) != 1 {
		t.Errorf("estimates %v after feedback", s.Estimates)
	}
}

// TestSeveralAddresses: a node on all addresses answers from the one that was checked, and
// sends from the one that was nominated, whatever else the same peer checks.
func TestSeveralAddresses(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the address that was checked is not known")
	}
	n := startNode(t, func(c *Config) { c.Listen = netip.MustParseAddrPort("0.0.0.0:0") })
	r := newRig(t, n, "alice", map[string]Source{"a": Mic}, rigSection("audio", "a", "sendonly"))
	peer, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	if err := peer.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	from := func() netip.Addr {
		var b [1500]byte
		_, addr, err := peer.ReadFromUDPAddrPort(b[:])
		if err != nil {
			t.Fatal(err)
		}
		return addr.Addr()
	}
	for _, step := range []struct {
		asked    string
		nominate bool
		media    string
	}{{"127.0.0.2", true, "127.0.0.2"}, {"127.0.0.3", false, "127.0.0.2"}, {"127.0.0.3", true, "127.0.0.3"}, {"127.0.0.1", true, "127.0.0.1"}} {
		asked := netip.MustParseAddr(step.asked)
		check := r.checkFrom(t)
		if step.nominate {
			check = r.checkFrom(t, stun.RawAttribute{Type: stun.AttrUseCandidate})
		}
		if _, err := peer.WriteToUDPAddrPort(check, netip.AddrPortFrom(asked, n.Addr().Port())); err != nil {
			t.Skipf("no %s here: %v", asked, err)
		}
		if got := from(); got != asked {
			t.Errorf("the answer of %s is from %s", asked, got)
		}
		if r.way.Load() == nil {
			if got := from(); got != asked {
				t.Errorf("what is asked at %s is asked from %s", peer.LocalAddr(), got)
			}
			r.reply(peer.LocalAddr().(*net.UDPAddr).AddrPort())
		}
		r.follow(n.ways.find(peer.LocalAddr().(*net.UDPAddr).AddrPort(), nil))
		r.askKeyFrame(5)
		if got := from(); got.String() != step.media {
			t.Errorf("after a check of %s packets are from %s, want %s", asked, got, step.media)
		}
	}
}

// TestFirstNumbers: a slot's numbers begin where no wrap is near, whatever its source's are:
// who misses the first packets opens the next.
func TestFirstNumbers(t *testing.T) {
	n := startNode(t, nil)
	from := newRig(t, n, "alice", map[string]Source{"v": Camera}, rigSection("video", "v", "sendonly", "a=ssrc:70 cname:x\r\n"))
	from.send(from.packet(70, 96, 65534, keyFrame))
	to := newRig(t, n, "bob", nil, rigSection("video", "v", "recvonly"))
	path := &fakePath{}
	to.way.Store(&way{conn: to.connection, path: path})
	for _, d := range to.slots.list {
		d.connect(from.uplinks[70].up, from.egress.now)
	}
	for seq := range uint16(6) {
		from.send(from.packet(70, 96, 65535+seq, "\x10x"))
	}
	in := to.cipher.Stream()
	for i, raw := range path.sent[5:] {
		header, _ := srtp.HeaderSize(raw)
		if _, err := in.Open(raw, header); err != nil {
			t.Errorf("packet %d: %v", i+5, err)
		}
	}
}

// TestMIDsAreBounded: an endless row of offers, each with other mids, ends.
func TestMIDsAreBounded(t *testing.T) {
	n := startNode(t, nil)
	r := newRig(t, n, "alice", nil, rigSection("audio", "first", "recvonly"))
	var err error
	for i := 0; err == nil && i <= maxMIDs; i++ {
		_, err = r.transport.Answer(t.Context(), Offer{1, testSDP(rigSection("audio", fmt.Sprint(i), "recvonly")), nil})
	}
	if !errors.Is(err, ErrBadOffer) || len(r.slots.list) != maxMIDs {
		t.Errorf("%d slots, %v", len(r.slots.list), err)
	}
	if _, err := r.transport.Answer(t.Context(), Offer{1, testSDP(rigSection("audio", "0", "recvonly")), nil}); err != nil {
		t.Errorf("a mid that is known: %v", err)
	}
}

// TestForgedAddress: a participant who checks from another one's address gets neither an
// answer nor the address, until the other one is silent.
func TestForgedAddress(t *testing.T) {
	n := startNode(t, nil)
	owner := newRig(t, n, "alice", map[string]Source{"a": Mic}, rigSection("audio", "a", "sendonly"))
	thief := newRig(t, n, "mallory", map[string]Source{"a": Mic}, rigSection("audio", "a", "sendonly"))
	from := netip.MustParseAddrPort("127.0.0.1:9")
	check := func(r *rig, answered bool) {
		t.Helper()
		c, ok := icelite.Parse(r.checkFrom(t, stun.RawAttribute{Type: stun.AttrUseCandidate}))
		if !ok {
			t.Fatal("no check")
		}
		before := r.egress.batch.Len()
		if r.takeCheck(r.egress, &c, from, nil); r.egress.batch.Len() > before != answered {
			t.Errorf("answered: %t, want %t", !answered, answered)
		}
		if holds := n.ways.find(from, nil).conn == r.connection; holds != answered {
			t.Errorf("the address is its own: %t, want %t", holds, answered)
		}
	}
	check(owner, true)
	owner.reply(from)
	check(thief, false)
	if thief.way.Load() != nil {
		t.Error("the thief sends there")
	}
	check(owner, true)
	owner.way.Load().checkedAt.Add(-int64(heldFor) - 1)
	check(thief, true)
}

// TestRestoredCodec: a retransmission is of the codec that its payload type says, whatever
// that of the first one was.
func TestRestoredCodec(t *testing.T) {
	u := &uplink{section: &section{payloads: []payload{{payloadType: 96, rtx: 97}, {payloadType: 98, rtx: 99}}}}
	for sent, want := range map[byte]byte{97: 96, 0x80 | 99: 0x80 | 98, 96: 0, 100: 0} {
		plain := append(make([]byte, 12), "\x12\x34payload"...)
		plain[0], plain[1] = 0x80, sent
		size := u.restore(plain, 12)
		if want == 0 != (size == 0) || want != 0 && (plain[1] != want || string(plain[2:4]) != "\x12\x34" || string(plain[12:size]) != "payload") {
			t.Errorf("payload type %d becomes %d, %q", sent, plain[1], plain[:size])
		}
	}
}
