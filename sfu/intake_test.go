package sfu

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/stun/v4"

	"github.com/conclave-sfu/conclave/sfu/batchconn"
	"github.com/conclave-sfu/conclave/sfu/dd/recorded"
	"github.com/conclave-sfu/conclave/sfu/packetcache"
	"github.com/conclave-sfu/conclave/sfu/srtp"
)

// rig is a connection without its peer: packets are made here, and given to it as from
// the socket.
type rig struct {
	*connection
	t      testing.TB
	egress *egress
	out    map[uint32]*srtp.Stream
	cipher *srtp.Cipher
}

var rigMaster = srtp.Master{Key: make([]byte, 16), Salt: make([]byte, 12)}

// The header extensions of a rig's offer.
const (
	rigMID, rigRID, rigRRID, rigCC, rigDD = 4, 5, 6, 3, 9
)

func rigSection(kind, mid, direction string, more ...string) string {
	extensions := fmt.Sprintf("a=extmap:%d %s\r\na=extmap:%d %s\r\na=extmap:%d %s\r\na=extmap:%d %s\r\na=extmap:%d %s\r\n",
		rigMID, uriMID, rigRID, uriRID, rigRRID, uriRepairedRID, rigCC, uriTransportCC, rigDD, uriDependency)
	text := testSection(kind, mid, direction, append(more, extensions)...)
	if kind == "video" {
		text = strings.Replace(text, "SAVPF 96\r\n", "SAVPF 96 97\r\n", 1) + "a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n"
	}
	return text
}

// newRig joins a participant and gives it a connection with keys. Its timers are the test's, which
// looks into what they change without a lock: its loop is one that nobody runs.
func newRig(t testing.TB, n *Node, name string, sources map[string]Source, sections ...string) *rig {
	t.Helper()
	transport, err := n.Join("r", name, Events{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.Close)
	n.loops = []*loop{newLoop(n, n.sockets[0])}
	if _, err := transport.Answer(t.Context(), Offer{1, testSDP(sections...), sources}); err != nil {
		t.Fatal(err)
	}
	cipher, err := srtp.NewCipher(srtp.AEADAES128GCM, rigMaster)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{
		connection: transport.connection, t: t, out: map[uint32]*srtp.Stream{}, cipher: cipher,
		egress: &egress{batch: batchconn.NewBatch(n.sockets[0], asideBatch)},
	}
	r.in, r.control = cipher, cipher.Opener()
	r.keys.Store(cipher)
	r.sealer = cipher.Sealer()
	return r
}

// acknowledged is how many packets the next feedback tells of: all that came, after keepFeedback.
func (r *rig) acknowledged() int {
	r.intake.Lock()
	defer r.intake.Unlock()
	return r.arrivals.PacketsHeld()
}

// keepFeedback has the loop's timer send none.
func (r *rig) keepFeedback() {
	r.intake.Lock()
	defer r.intake.Unlock()
	r.reports.feedbackAt = math.MaxInt64 / 2
}

// send gives the connection an RTP packet.
func (r *rig) send(p *rtp.Packet) {
	r.t.Helper()
	sealed := r.seal(p)
	in := packetcache.New()
	if !r.takeProtected(r.egress, in, copy(in.Buffer[:], sealed), nil) {
		in.Release()
	}
}

// seal makes of a packet what the peer sends.
func (r *rig) seal(p *rtp.Packet) []byte {
	r.t.Helper()
	raw, err := p.Marshal()
	if err != nil {
		r.t.Fatal(err)
	}
	header, _ := srtp.HeaderSize(raw)
	if r.out[p.SSRC] == nil {
		s := r.cipher.Stream()
		r.out[p.SSRC] = &s
	}
	sealed, err := r.out[p.SSRC].Seal(append(make([]byte, 0, 1500), raw[:header]...), raw[header:])
	if err != nil {
		r.t.Fatal(err)
	}
	return sealed
}

// packet makes one; extensions are pairs of id and value.
func (r *rig) packet(ssrc uint32, payloadType uint8, seq uint16, payload string, extensions ...string) *rtp.Packet {
	p := &rtp.Packet{
		Header:  rtp.Header{Version: 2, SSRC: ssrc, PayloadType: payloadType, SequenceNumber: seq, Timestamp: uint32(seq) * 3000},
		Payload: []byte(payload),
	}
	for i := 1; i < len(extensions); i += 2 {
		if len(extensions[i]) > oneByteSize {
			p.Extension, p.ExtensionProfile = true, rtp.ExtensionProfileTwoByte
		}
	}
	for i := 0; i < len(extensions); i += 2 {
		if err := p.SetExtension(extensions[i][0], []byte(extensions[i+1])); err != nil {
			r.t.Fatal(err)
		}
	}
	return p
}

func id(n byte) string { return string([]byte{n}) }

const keyFrame = "\x10\x00frame" // of VP8

// TestStreamsAreFound: by what the offer or their packets say.
func TestStreamsAreFound(t *testing.T) {
	n := startNode(t, nil)
	r := newRig(t, n, "alice", map[string]Source{"a": Mic, "v": Camera, "s": Screen},
		rigSection("audio", "a", "sendonly"),
		rigSection("video", "v", "sendonly", "a=rid:lo send\r\na=rid:hi send\r\na=simulcast:send lo;hi\r\n"),
		rigSection("video", "s", "sendonly", "a=ssrc-group:FID 70 71\r\na=ssrc:70 cname:x\r\na=ssrc:71 cname:x\r\n"))
	for _, test := range []struct {
		name   string
		packet *rtp.Packet
		want   string // mid, rid and role; empty for none
	}{
		{"a payload type that one section has", r.packet(10, 111, 1, "x"), "a  media"},
		{"the SSRC of the offer", r.packet(70, 96, 1, keyFrame), "s  media"},
		{"its retransmissions", r.packet(71, 97, 1, "\x00\x02"+keyFrame), "s  repair"},
		{"mid alone, but there are layers", r.packet(30, 96, 1, keyFrame, id(rigMID), "v"), ""},
		{"a layer that was not offered", r.packet(31, 96, 1, keyFrame, id(rigMID), "v", id(rigRID), "xx"), ""},
		{"mid and rid", r.packet(32, 96, 1, keyFrame, id(rigMID), "v", id(rigRID), "lo"), "v lo media"},
		{"the other one", r.packet(33, 96, 1, keyFrame, id(rigMID), "v", id(rigRID), "hi"), "v hi media"},
		{"a repaired rid", r.packet(34, 97, 1, "\x00\x02"+keyFrame, id(rigMID), "v", id(rigRRID), "hi"), "v hi repair"},
		{"nothing said, two sections", r.packet(35, 96, 1, keyFrame), ""},
		{"the same, later with mid and rid", r.packet(30, 96, 2, keyFrame, id(rigMID), "v", id(rigRID), "lo"), "v lo media"},
		{"a payload type of none", r.packet(36, 100, 1, "x", id(rigMID), "v", id(rigRID), "lo"), ""},
	} {
		r.send(test.packet)
		got := ""
		if u := r.uplinks[test.packet.SSRC]; u != nil && u.section != nil {
			got = fmt.Sprintf("%s %s media", u.section.mid, u.rid)
			if u.repair {
				got = fmt.Sprintf("%s %s repair", u.section.mid, u.rid)
			}
		}
		if got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
	if media := r.uplinks[34].media; media != r.uplinks[33] {
		t.Error("a repaired rid repairs something else")
	}
	if got := r.uplinks[70].up.newest.Load() - 1<<16; got != 2 {
		t.Errorf("the retransmitted packet is number %d, want 2", got)
	}
	r.send(r.packet(33, 96, 3, "later, without extensions"))
	if got := r.uplinks[33].up.counters.packetsIn.Load(); got != 3 {
		t.Errorf("%d packets of a known SSRC and its retransmissions, want 3", got)
	}
}

// TestProbesAreSeen: what is sent to probe the path is acknowledged, and forwarded to
// nobody.
func TestProbesAreSeen(t *testing.T) {
	n := startNode(t, nil)
	r := newRig(t, n, "alice", map[string]Source{"v": Camera}, rigSection("video", "v", "sendonly", "a=ssrc-group:FID 70 71\r\n"))
	r.keepFeedback()
	r.send(r.packet(70, 96, 1, keyFrame, id(rigCC), "\x00\x01"))
	r.send(r.packet(71, 97, 1, "\x00\x01"+keyFrame, id(rigCC), "\x00\x02"))
	padding := r.packet(71, 97, 2, "", id(rigCC), "\x00\x03")
	padding.Padding, padding.PaddingSize = true, 200
	r.send(padding)
	if got := r.acknowledged(); got != 3 {
		t.Errorf("%d packets are acknowledged, want 3", got)
	}
	if got := r.uplinks[70].up.counters.dropped[dropDuplicate].Load(); got != 1 {
		t.Errorf("%d duplicates, want 1", got)
	}
}

// TestStreamsAreBounded: as many SSRCs as there may be, in place of those that are
// silent.
func TestStreamsAreBounded(t *testing.T) {
	n := startNode(t, nil)
	r := newRig(t, n, "alice", map[string]Source{"a": Mic}, rigSection("audio", "a", "sendonly"))
	for ssrc := range uint32(10 * maxUplinks) {
		r.send(r.packet(ssrc+1, 111, 1, "x"))
	}
	if len(r.uplinks) != maxUplinks || r.uplinks[1] == nil {
		t.Fatalf("%d streams", len(r.uplinks))
	}
	r.egress.now = int64(uplinkIdle)
	for ssrc := range uint32(maxUplinks - 1) {
		r.send(r.packet(ssrc+1, 111, 2, "x"))
	}
	r.egress.now += int64(time.Second)
	r.send(r.packet(5000, 111, 1, "x"))
	if len(r.uplinks) != maxUplinks || r.uplinks[5000] == nil || r.uplinks[maxUplinks] != nil {
		t.Errorf("%d streams; the newcomer is there: %t", len(r.uplinks), r.uplinks[5000] != nil)
	}
}

// TestHostileSender: what a peer sends that is malformed, sealed or not, is dropped.
func TestHostileSender(t *testing.T) {
	n := startNode(t, nil)
	r := newRig(t, n, "alice", map[string]Source{"v": Camera}, rigSection("video", "v", "sendonly"))
	for _, raw := range []string{"", "\x80", "\x80\x60\x00\x01", "\x9f\x60" + strings.Repeat("\xff", 40), "\x80\xc9\x00\x01", "\x81\xcd" + strings.Repeat("\x01", 60)} {
		in := packetcache.New()
		if r.takeProtected(r.egress, in, copy(in.Buffer[:], raw), nil) {
			t.Errorf("%x is kept", raw)
		}
		in.Release()
	}
	if len(r.uplinks) != 0 {
		t.Errorf("%d streams", len(r.uplinks))
	}
}

func FuzzReports(f *testing.F) {
	n := startNode(f, nil)
	r := newRig(f, n, "alice", map[string]Source{"v": Camera}, rigSection("video", "v", "sendonly", "a=ssrc:70 cname:x\r\n"), rigSection("video", "w", "recvonly"))
	r.send(r.packet(70, 96, 1, keyFrame))
	for _, packets := range [][]rtcp.Packet{
		{&rtcp.SenderReport{SSRC: 70, Reports: []rtcp.ReceptionReport{{SSRC: 1}}}, &rtcp.SourceDescription{}},
		{&rtcp.TransportLayerNack{MediaSSRC: 1, Nacks: []rtcp.NackPair{{PacketID: 7, LostPackets: 0xffff}}}},
		{&rtcp.PictureLossIndication{MediaSSRC: 1}, &rtcp.ReceiverEstimatedMaximumBitrate{Bitrate: 1e6, SSRCs: []uint32{1}}},
	} {
		raw, err := rtcp.Marshal(packets)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	var slot *downTrack
	for _, d := range r.slots.list {
		slot = d
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		// The slot's SSRC is random: 1 stands for it.
		r.slots = listed[uint32, *downTrack]{}
		r.slots.put(1, slot)
		r.slots.put(slot.ssrc, slot)
		r.intake.Lock()
		defer r.intake.Unlock()
		r.takeReports(r.egress, raw)
	})
}

// TestForwardingAllocatesNothing: from the received packet to what 50 subscribers are
// sent, opened and sealed, within the budget of a path, with transport-wide sequence
// numbers, and Dependency Descriptors or none.
func TestForwardingAllocatesNothing(t *testing.T) {
	for _, described := range []bool{false, true} {
		t.Run(fmt.Sprintf("described=%t", described), func(t *testing.T) { testForwarding(t, described) })
	}
}

func testForwarding(t *testing.T, described bool) {
	forward, sent := fanOut(t, 50, described)
	for range 2 * cacheSize {
		forward()
	}
	before := sent()
	if got := testing.AllocsPerRun(1000, forward); got != 0 {
		t.Errorf("%v allocations a packet", got)
	}
	if got := sent() - before; got < 50*1000 {
		t.Errorf("%d packets sent", got)
	}
}

// fanOut gives a function that has one packet forwarded to n subscribers, and their
// messages sent.
func fanOut(t testing.TB, subscribers int, described bool) (forward func(), sent func() uint64) {
	n := startNode(t, nil)
	from := newRig(t, n, "alice", map[string]Source{"v": Camera}, rigSection("video", "v", "sendonly", "a=ssrc:70 cname:x\r\n"))
	first, next, descriptor := []string{id(rigCC), "\x00\x01"}, []string{id(rigCC), "\x00\x01"}, []byte(nil)
	if described {
		list := recorded.Descriptors(t, "vp8_simulcast_q")
		descriptor = list[1][:3]
		first, next = append(first, id(rigDD), string(list[0])), append(next, id(rigDD), string(descriptor))
	}
	from.send(from.packet(70, 96, 1, keyFrame+strings.Repeat("x", 1000), first...))
	up := from.uplinks[70].up
	sink, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sink.Close() })
	for i := range subscribers {
		to := newRig(t, n, fmt.Sprint("bob", i), nil, rigSection("video", "v", "recvonly"))
		to.way.Store(&way{conn: to.connection, target: n.sockets[0].Target(sink.LocalAddr().(*net.UDPAddr).AddrPort())})
		for _, d := range to.slots.list {
			d.connect(up, n.now())
			d.bucket.SetRate(5_000_000)
		}
	}
	raw, err := from.packet(70, 96, 2, keyFrame+strings.Repeat("x", 1000), next...).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	header, _ := srtp.HeaderSize(raw)
	in, seq, sealed := packetcache.New(), uint16(1), make([]byte, 1500)
	frame := raw[bytes.Index(raw[:header], descriptor):][1:3] // its number, if there is a descriptor
	number := binary.BigEndian.Uint16(frame)
	return func() {
		seq++
		if described {
			number++
			binary.BigEndian.PutUint16(frame, number)
		}
		from.egress.now += int64(20 * time.Millisecond) // pacing lets it through
		binary.BigEndian.PutUint16(raw[2:], seq)
		packet, err := from.out[70].Seal(append(sealed[:0], raw[:header]...), raw[header:])
		if err != nil {
			t.Fatal(err)
		}
		if from.takeProtected(from.egress, in, copy(in.Buffer[:], packet), nil) {
			in = packetcache.New()
		}
		from.egress.settle()
		from.egress.batch.Flush()
	}, up.counters.packetsOut.Load
}

// BenchmarkFanOut is a packet to all its subscribers, opened, sealed and sent.
func BenchmarkFanOut(b *testing.B) {
	for _, subscribers := range []int{1, 10, 100} {
		b.Run(fmt.Sprintf("subscribers=%d", subscribers), func(b *testing.B) {
			forward, _ := fanOut(b, subscribers, false)
			b.ReportAllocs()
			for b.Loop() {
				forward()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*subscribers), "ns/subscriber")
		})
	}
}

// fakePath keeps what is sent by it; checks of ours are asked.
type fakePath struct{ sent, asked [][]byte }

func (p *fakePath) Send(b []byte) {
	if len(b) >= 2 && binary.BigEndian.Uint16(b) == 1 { // a Binding request
		p.asked = append(p.asked, bytes.Clone(b))
		return
	}
	p.sent = append(p.sent, bytes.Clone(b))
}

// checks has the peer check a path, and answer what it is asked there.
func (r *rig) checks(p *fakePath, more ...stun.Setter) {
	r.t.Helper()
	before := len(p.asked)
	r.node().Receive(p, r.checkFrom(r.t, more...))
	for _, question := range p.asked[before:] {
		reply, err := stun.Build(stun.NewTransactionIDSetter([12]byte(question[8:20])), stun.BindingSuccess,
			&stun.XORMappedAddress{IP: net.IPv4(127, 0, 0, 1), Port: 9}, stun.NewShortTermIntegrity(r.remote.password))
		if err != nil {
			r.t.Fatal(err)
		}
		r.node().Receive(p, reply.Raw)
	}
}

func (p *fakePath) RemoteAddr() netip.AddrPort { return netip.MustParseAddrPort("192.0.2.9:443") }

func (c *connection) checkFrom(t testing.TB, more ...stun.Setter) []byte {
	t.Helper()
	local := c.agent.Local()
	setters := append([]stun.Setter{stun.TransactionID, stun.BindingRequest, stun.NewUsername(local.Ufrag + ":" + c.remote.ufrag)}, more...)
	m, err := stun.Build(append(setters, stun.NewShortTermIntegrity(string(local.Password)), stun.Fingerprint)...)
	if err != nil {
		t.Fatal(err)
	}
	return m.Raw
}

// TestPaths: a connection is checked, sends and receives by a way that is no socket, and
// stops when it is gone.
func TestPaths(t *testing.T) {
	n := startNode(t, nil)
	r := newRig(t, n, "alice", map[string]Source{"a": Mic}, rigSection("audio", "a", "sendonly"))
	path := &fakePath{}
	n.Receive(path, []byte("\x80\x60nobody's"))
	r.checks(path, stun.RawAttribute{Type: stun.AttrUseCandidate})
	if len(path.sent) != 1 || !stun.IsMessage(path.sent[0]) {
		t.Fatalf("%d answers", len(path.sent))
	}
	r.askKeyFrame(5)
	if len(path.sent) != 2 || !isControl(path.sent[1]) {
		t.Errorf("%d packets sent", len(path.sent))
	}
	n.Gone(path)
	r.askKeyFrame(5)
	if len(path.sent) != 2 {
		t.Error("something is sent by a way that is gone")
	}
}

// TestChecksFromManyAddresses: of many ways a connection knows some, and that by which media
// goes is one of them.
func TestChecksFromManyAddresses(t *testing.T) {
	n := startNode(t, nil)
	r := newRig(t, n, "alice", nil, rigSection("audio", "a", "recvonly"))
	var paths []*fakePath
	for range maxPeerAddresses + 4 {
		p := &fakePath{sent: [][]byte{}}
		paths = append(paths, p)
		r.checks(p)
	}
	r.checks(paths[0])
	for i, p := range paths {
		want := 1
		if i == 0 {
			want = 2
		}
		if len(p.sent) != want {
			t.Errorf("way %d: %d answers, want %d", i, len(p.sent), want)
		}
	}
	if known := len(r.known); known != maxPeerAddresses {
		t.Errorf("%d ways are known", known)
	}
	for _, p := range paths {
		if isKnown := slices.ContainsFunc(r.known, func(w *way) bool { return w.path == p }); isKnown != (n.ways.find(netip.AddrPort{}, p) != nil) {
			t.Error("what a connection knows is not what the node does")
		}
	}
	if r.way.Load().path != paths[0] {
		t.Error("media goes elsewhere than by the first way")
	}
	r.checks(paths[3], stun.RawAttribute{Type: stun.AttrUseCandidate})
	if r.way.Load().path != paths[3] {
		t.Error("media does not go where it was nominated")
	}
}

// TestWaysThatEnd: a peer whose streams end one after another is reached by the next.
func TestWaysThatEnd(t *testing.T) {
	n := startNode(t, nil)
	r := newRig(t, n, "alice", nil, rigSection("audio", "a", "recvonly"))
	for range 2 * maxPeerAddresses {
		p := &fakePath{sent: [][]byte{}}
		r.checks(p, stun.RawAttribute{Type: stun.AttrUseCandidate})
		if w := r.way.Load(); w == nil || w.path != p || len(r.known) != 1 {
			t.Fatalf("%d ways are known", len(r.known))
		}
		if n.Gone(p); len(r.known) != 0 || r.way.Load() != nil {
			t.Fatal("a way that has ended is known")
		}
	}
}

// TestOldNomination: a nomination does not move the media of a peer that is heard and checks its
// present way: it may be an old one, from whoever has overheard it.
func TestOldNomination(t *testing.T) {
	n := startNode(t, nil)
	r := newRig(t, n, "alice", nil, rigSection("audio", "a", "recvonly"))
	nominate := func(p *fakePath) *way {
		r.checks(p, stun.RawAttribute{Type: stun.AttrUseCandidate})
		return n.ways.find(netip.AddrPort{}, p)
	}
	var home, elsewhere, roaming fakePath
	was, other := nominate(&home), nominate(&elsewhere)
	if r.way.Load() != other {
		t.Error("before anything is heard, the latest nomination does not count")
	}
	nominate(&home)
	r.proved.Store(true)
	if other = nominate(&elsewhere); r.way.Load() != was {
		t.Error("a nomination alone moves media")
	}
	if r.follow(other); r.way.Load() != other {
		t.Error("a packet from there does not")
	}
	r.learn(other, false, true)
	if r.learn(was, true, false); r.way.Load() != was {
		t.Error("the first nomination after a restart does not count")
	}
	if r.learn(other, true, false); r.way.Load() != was {
		t.Error("nor does it count alone")
	}
	was.checkedAt.Add(-int64(heldFor) - 1)
	if w := nominate(&roaming); r.way.Load() != w {
		t.Error("a way that is checked no longer is kept")
	}
}

// TestHeaders: what goes out is what the receiver negotiated, in one- or two-byte
// elements.
func TestHeaders(t *testing.T) {
	n := startNode(t, nil)
	for _, test := range []struct {
		mid        string
		descriptor int
		payload    int
		padding    uint8
		front      int
	}{
		{"0", 0, 100, 0, 0}, {"0", 3, 100, 0, 0}, {"0", 16, 100, 5, 0}, {"0", 40, 100, 0, 0}, {strings.Repeat("m", 20), 3, 9, 16, 0},
		{"x", 255, 700, 0, 0}, {"0", 0, 0, 0, 0}, {"0", 0, 100, 0, 9}, {"0", 0, 100, 5, 30},
	} {
		r := newRig(t, n, fmt.Sprint(test), nil, rigSection("video", test.mid, "recvonly"))
		path := &fakePath{}
		r.way.Store(&way{conn: r.connection, path: path})
		for _, d := range r.slots.list {
			o := &outgoing{
				via: &egress{padding: test.padding}, seq: 7, stamp: 9, marker: true, payloadType: 96,
				payload: bytes.Repeat([]byte("p"), test.payload), descriptor: bytes.Repeat([]byte("d"), test.descriptor),
				front: bytes.Repeat([]byte("f"), test.front),
			}
			if !d.writer.writeMedia(o) || !d.writer.writeRTX(o, 1234) {
				t.Fatal("not sent")
			}
			for i, raw := range path.sent {
				in := r.cipher.Stream()
				header, _ := srtp.HeaderSize(raw)
				plain, err := in.Open(raw, header)
				if err != nil {
					t.Fatal(err)
				}
				var p rtp.Packet
				if err := p.Unmarshal(plain); err != nil {
					t.Fatal(err)
				}
				want := string(o.front) + string(o.payload)
				if i == 1 && test.payload > 0 {
					want = "\x04\xd2" + want
				}
				if string(p.Payload) != want || !p.Marker || p.Timestamp != 9 || p.PayloadType != 96 {
					t.Errorf("%+v: packet %d: %+v", test, i, p.Header)
				}
				if got := p.GetExtension(rigDD); len(got) != test.descriptor {
					t.Errorf("%+v: descriptor of %d bytes", test, len(got))
				}
				if got := string(p.GetExtension(rigMID)); i == 0 && got != test.mid {
					t.Errorf("%+v: mid %q", test, got)
				}
				if got := p.GetExtension(rigCC); len(got) != 2 || int(got[1]) != i {
					t.Errorf("%+v: transport-wide number %v of packet %d", test, got, i)
				}
			}
		}
	}
}

func TestForesee(t *testing.T) {
	l := &loop{}
	frame := func(ssrc byte, stamp byte, size int) []byte {
		p := make([]byte, size)
		p[0], p[1], p[7], p[11] = 0x80, 96, stamp, ssrc
		return p
	}
	packets := [][]byte{
		frame(1, 1, 1000), frame(1, 1, 1000), frame(1, 1, 1001), frame(1, 1, 900), // a smaller one ends it
		frame(1, 2, 500), frame(2, 2, 501), frame(1, 3, 400), frame(1, 3, 480), {22, 1}, frame(1, 3, 481),
	}
	var got []uint8
	l.level(len(packets), func(i int) []byte { return packets[i] })
	for i := range packets {
		got = append(got, l.padding[i])
	}
	if want := "[1 1 0 0 0 0 0 0 0 0]"; fmt.Sprint(got) != want {
		t.Errorf("%v, want %s", got, want)
	}
}

// feedbackLoop gives a function that has a receiver say that seven packets have arrived.
func feedbackLoop(t testing.TB) (feedback func(), n *Node) {
	n = startNode(t, nil)
	to := newRig(t, n, "bob", nil, rigSection("video", "v", "recvonly"))
	const packets = 7
	raw := []byte{2<<6 | 15, 205, 0, 7, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, packets, 0, 0, 0, 0}
	raw = append(raw, 0xd5, 0x55, 10, 10, 10, 10, 10, 10, 10, 0, 0, 0) // all came, 2.5 ms apart
	in, number, count := packetcache.New(), uint16(0), uint32(0)
	return func() {
		to.egress.now += int64(feedbackInterval)
		for range packets {
			to.sent.Add(to.egress.now, 1100)
		}
		binary.BigEndian.PutUint16(raw[12:], number)
		binary.BigEndian.PutUint32(raw[16:], count<<8|count&0xff)
		number, count = number+packets, count+1
		sealed, err := to.sealer.Seal(in.Buffer[:0], raw)
		if err != nil {
			t.Fatal(err)
		}
		to.takeProtected(to.egress, in, len(sealed), nil)
	}, n
}

// TestFeedbackAllocatesNothing: some twenty come from each receiver each second.
func TestFeedbackAllocatesNothing(t *testing.T) {
	feedback, n := feedbackLoop(t)
	for range 100 {
		feedback()
	}
	if got := n.Stats().Feedbacks; got != 100 {
		t.Fatalf("%d of 100 are taken", got)
	}
	if got := testing.AllocsPerRun(1000, feedback); got != 0 {
		t.Errorf("%v allocations", got)
	}
}

// BenchmarkFeedback is a receiver's feedback on seven packets.
func BenchmarkFeedback(b *testing.B) {
	feedback, _ := feedbackLoop(b)
	b.ReportAllocs()
	for b.Loop() {
		feedback()
	}
}
