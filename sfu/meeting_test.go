package sfu

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

func camera(name string) pubKey { return pubKey{name, Camera} }

func mic(name string) pubKey { return pubKey{name, Mic} }

// showsCamera has from send a key frame and waits for it in a slot of to.
func showsCamera(t *testing.T, from, to *client, mid string) {
	t.Helper()
	sent := from.sends[Camera].frame(t, true, 2)
	first := awaitFrame(t, to, mid, sent[0])
	second := awaitFrame(t, to, mid, sent[1])
	if second.SequenceNumber != first.SequenceNumber+1 || second.Timestamp != first.Timestamp {
		t.Errorf("%s's frame arrives as %+v, %+v", from.name, first.Header, second.Header)
	}
}

// TestSwitchingSlot: one slot shows bob, then carol, then bob, and is one stream.
func TestSwitchingSlot(t *testing.T) {
	n := startNode(t, nil)
	alice, bob, carol := join(t, n, "r", "alice"), join(t, n, "r", "bob"), join(t, n, "r", "carol")
	alice.connect(0, 1)
	for i, c := range []*client{bob, carol} {
		c.connect(0, 0, Camera)
		c.sends[Camera].stamp = uint32(i) * 3e9
		c.begin(Camera)
	}
	for _, from := range []*client{bob, carol, bob, carol, bob} {
		alice.watch(from.name)
		mid := alice.awaitSlots(camera(from.name))[camera(from.name)]
		showsCamera(t, from, alice, mid)
	}
}

// TestThreeParticipants: all hear all others and nobody themselves; who leaves is
// gone, and who stays keeps the slot.
func TestThreeParticipants(t *testing.T) {
	n := startNode(t, nil)
	names := []string{"alice", "bob", "carol"}
	var all []*client
	for _, name := range names {
		c := join(t, n, "r", name)
		c.connect(3, 3, Mic, Camera)
		all = append(all, c)
	}
	stranger := join(t, n, "elsewhere", "alice")
	stranger.connect(3, 3)
	for _, c := range all {
		c.begin(Mic)
		c.begin(Camera)
		c.watch(append(slices.Clone(names), "alice", "nobody")...)
	}
	mids := map[string]map[pubKey]string{}
	for i, c := range all {
		a, b := names[(i+1)%3], names[(i+2)%3]
		mids[c.name] = c.awaitSlots(mic(a), mic(b), camera(a), camera(b))
	}
	for _, from := range all {
		sent := from.sends[Mic].sound(t, 50)
		for _, to := range all {
			if to != from {
				awaitFrame(t, to, mids[to.name][mic(from.name)], sent)
			}
		}
	}
	all[1].transport.Close()
	if got := all[0].awaitSlots(mic("carol"), camera("carol")); got[mic("carol")] != mids["alice"][mic("carol")] ||
		got[camera("carol")] != mids["alice"][camera("carol")] {
		t.Errorf("carol moved from %v to %v", mids["alice"], got)
	}
	if got := <-stranger.slots; len(got) != 0 {
		t.Errorf("the other room sees %v", got)
	}
	if s := n.Stats(); s.Rooms != 2 || s.Transports != 3 || s.Publications != 4 || s.Slots != 4 {
		t.Errorf("%+v", s)
	}
}

// TestMute: a muted source holds no slot, whatever it sends, and comes back with a
// key frame.
func TestMute(t *testing.T) {
	tapped := make(chan []byte, 64)
	n := startNode(t, func(c *Config) { c.Tap = func(p Tapped) { tapped <- slices.Clone(p.Payload) } })
	alice, bob := join(t, n, "r", "alice"), join(t, n, "r", "bob")
	alice.connect(1, 1)
	bob.connect(0, 0, Camera, Mic)
	bob.begin(Camera)
	bob.begin(Mic)
	alice.watch("bob")
	mid := alice.awaitSlots(camera("bob"), mic("bob"))[camera("bob")]
	showsCamera(t, bob, alice, mid)
	bob.transport.Mute(Camera, true)
	alice.awaitSlots(mic("bob"))
	sent := bob.sends[Camera].frame(t, true, 5)
	for !slices.Equal(await(t, tapped, "the muted frame"), sent[4].Payload) {
	}
	bob.transport.Mute(Camera, false)
	if got := alice.awaitSlots(camera("bob"), mic("bob"))[camera("bob")]; got != mid {
		t.Errorf("bob came back in slot %s, was in %s", got, mid)
	}
	last := alice.last[mid].SequenceNumber
	showsCamera(t, bob, alice, mid)
	if got := alice.last[mid].SequenceNumber; got != last+2 {
		t.Errorf("%d packets since the mute, want 2: what was sent under it has come", got-last)
	}
	bob.transport.Mute(200, true)
}

// TestRenegotiation adds slots, then a source, to PeerConnections that stand.
func TestRenegotiation(t *testing.T) {
	n := startNode(t, nil)
	alice, bob, carol := join(t, n, "r", "alice"), join(t, n, "r", "bob"), join(t, n, "r", "carol")
	alice.connect(0, 1)
	bob.connect(0, 0, Camera)
	carol.connect(0, 0, Mic)
	bob.begin(Camera)
	carol.begin(Mic)
	alice.watch("bob", "carol")
	mids := alice.awaitSlots(camera("bob"))
	showsCamera(t, bob, alice, mids[camera("bob")])

	alice.addSlots(1, 1)
	alice.negotiate()
	mids = alice.awaitSlots(camera("bob"), mic("carol"))
	awaitFrame(t, alice, mids[mic("carol")], carol.sends[Mic].sound(t, 40))

	carol.publish(Camera)
	carol.negotiate()
	carol.begin(Camera)
	mids = alice.awaitSlots(camera("bob"), mic("carol"), camera("carol"))
	showsCamera(t, carol, alice, mids[camera("carol")])

	awaitFrame(t, alice, mids[camera("bob")], bob.sends[Camera].frame(t, false, 1)[0])
}

// TestInactiveAndBack: a slot and an uplink whose sections are inactive for a while are
// mapped again, on the same streams.
func TestInactiveAndBack(t *testing.T) {
	n := startNode(t, nil)
	alice, bob := join(t, n, "r", "alice"), join(t, n, "r", "bob")
	alice.connect(1, 1)
	bob.connect(0, 0, Camera, Mic)
	bob.begin(Camera)
	bob.begin(Mic)
	alice.watch("bob")
	keys := []pubKey{camera("bob"), mic("bob")}
	mids := alice.awaitSlots(keys...)
	first := bob.sends[Camera].frame(t, true, 1)[0]
	before := awaitFrame(t, alice, mids[camera("bob")], first)

	for round := range 2 {
		alice.offerAs("inactive")
		alice.awaitSlots()
		alice.offerAs("recvonly")
		if again := alice.awaitSlots(keys...); !maps.Equal(again, mids) {
			t.Fatalf("mids %v, were %v", again, mids)
		}
		sent := bob.sends[Camera].frame(t, true, 1)[0]
		after := awaitFrame(t, alice, mids[camera("bob")], sent)
		if after.SSRC != before.SSRC || after.SequenceNumber-before.SequenceNumber > 2 { // with the key frame before, from the cache
			t.Errorf("round %d: %+v after %+v", round, after.Header, before.Header)
		}
		before = after
	}

	bob.offerAs("inactive")
	alice.awaitSlots()
	bob.offerAs("sendonly")
	bob.begin(Camera)
	bob.begin(Mic)
	mids = alice.awaitSlots(keys...)
	showsCamera(t, bob, alice, mids[camera("bob")])
	awaitFrame(t, alice, mids[mic("bob")], bob.sends[Mic].sound(t, 40))
}

// offerAs offers all sections anew with another direction, which the PeerConnection is not
// told.
func (c *client) offerAs(direction string) {
	c.t.Helper()
	o := Offer{Connection: c.number, SDP: c.pc.LocalDescription().SDP, Sources: c.sources}
	for _, was := range []string{"sendonly", "recvonly"} {
		o.SDP = strings.ReplaceAll(o.SDP, "a="+was+"\r\n", "a="+direction+"\r\n")
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := c.transport.Answer(ctx, o); err != nil {
		c.t.Fatal(err)
	}
}

// TestRestart: a publisher comes back with a new PeerConnection, so with new SSRCs.
// Its publication stays, in the same slot, and the slot's stream goes on.
func TestRestart(t *testing.T) {
	n := startNode(t, nil)
	alice, bob := join(t, n, "r", "alice"), join(t, n, "r", "bob")
	alice.connect(0, 1)
	bob.connect(0, 0, Camera)
	bob.begin(Camera)
	alice.watch("bob")
	mid := alice.awaitSlots(camera("bob"))[camera("bob")]
	showsCamera(t, bob, alice, mid)
	bob.connect(0, 0, Camera)
	awaitFrame(t, alice, mid, bob.sends[Camera].frame(t, true, 1)[0])
	showsCamera(t, bob, alice, mid)
	select {
	case s := <-alice.slots:
		t.Errorf("slots changed to %v", s)
	case s := <-bob.published:
		t.Errorf("published changed to %v", s)
	case err := <-bob.down:
		t.Errorf("a connection that was replaced is reported down: %v", err)
	default:
	}
	if _, err := bob.transport.Answer(context.Background(), Offer{1, testSDP(testSection("video", "0", "recvonly")), nil}); !errors.Is(err, ErrStaleConnection) {
		t.Errorf("an offer for the connection before: %v", err)
	}
}

// TestLateJoin: who comes when the last key frame is long past gets one at once.
func TestLateJoin(t *testing.T) {
	tapped := make(chan []byte, 1024)
	n := startNode(t, func(c *Config) { c.Tap = func(p Tapped) { tapped <- slices.Clone(p.Payload) } })
	bob := join(t, n, "r", "bob")
	bob.connect(0, 0, Camera)
	bob.begin(Camera)
	for range maxBehind {
		sent := bob.sends[Camera].frame(t, false, 1)[0]
		for !slices.Equal(await(t, tapped, "bob's frame"), sent.Payload) {
		}
	}
	alice := join(t, n, "r", "alice")
	alice.watch("bob")
	alice.connect(0, 1)
	mid := alice.awaitSlots(camera("bob"))[camera("bob")]
	await(t, bob.sends[Camera].plis, "bob being asked for a key frame")
	showsCamera(t, bob, alice, mid)
}

// TestLoudest: with one slot for three voices, the loud one is heard.
func TestLoudest(t *testing.T) {
	n := startNode(t, nil)
	alice := join(t, n, "r", "alice")
	alice.connect(1, 0)
	var voices []*client
	for _, name := range []string{"bob", "carol", "dave"} {
		c := join(t, n, "r", name)
		c.connect(0, 0, Mic)
		c.begin(Mic)
		voices = append(voices, c)
	}
	alice.awaitSlots(mic("bob"))
	speak := func(who *client) {
		r := who.transport.room
		for range 10 {
			who.sends[Mic].sound(t, 80)
		}
		// The packets are on their way; each round hears what has come.
		for {
			select {
			case s := <-alice.slots:
				if len(s) == 1 && s[0].Participant == who.name {
					return
				}
			default:
				r.tick(n.now(), time.Now())
				who.sends[Mic].sound(t, 80)
				runtime.Gosched()
			}
		}
	}
	speak(voices[2])
	speak(voices[1])
}

// lossy drops what a client receives, by a seeded choice, before anything else
// sees it.
type lossy struct {
	interceptor.NoOp
	mu     sync.Mutex
	random *rand.Rand
	lost   int
}

func (l *lossy) NewInterceptor(string) (interceptor.Interceptor, error) { return l, nil }

func (l *lossy) BindRemoteStream(info *interceptor.StreamInfo, reader interceptor.RTPReader) interceptor.RTPReader {
	if info.MimeType == webrtc.MimeTypeRTX {
		return reader
	}
	return interceptor.RTPReaderFunc(func(b []byte, a interceptor.Attributes) (int, interceptor.Attributes, error) {
		for {
			n, attributes, err := reader.Read(b, a)
			if err != nil || !l.drops() {
				return n, attributes, err
			}
		}
	})
}

func (l *lossy) drops() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.random.IntN(10) > 0 {
		return false
	}
	l.lost++
	return true
}

// TestLossIsRepaired: of 300 packets a tenth is lost on the way to a subscriber, who
// asks again; in the end it has them all.
func TestLossIsRepaired(t *testing.T) {
	n := startNode(t, nil)
	bob := join(t, n, "r", "bob")
	bob.connect(0, 0, Camera)
	bob.begin(Camera)

	loss := &lossy{random: rand.New(rand.NewPCG(1, 2))}
	alice := join(t, n, "r", "alice")
	alice.open(clientAPI(t, loss))
	alice.addSlots(0, 1)
	alice.negotiate()
	await(t, alice.connected, "connected")
	alice.watch("bob")
	mid := alice.awaitSlots(camera("bob"))[camera("bob")]

	want := map[string]bool{}
	send := func(key bool) {
		for _, p := range bob.sends[Camera].frame(t, key, 3) {
			want[string(p.Payload[4:])] = true
		}
	}
	send(true)
	for range 99 {
		send(false)
	}
	// What the end has lost is only noticed when more comes; that need not arrive.
	tail := time.NewTicker(20 * time.Millisecond)
	defer tail.Stop()
	deadline := time.After(patience)
	for len(want) > 0 {
		select {
		case p := <-alice.packets(mid):
			delete(want, string(p.Payload[1:]))
		case <-tail.C:
			bob.sends[Camera].frame(t, false, 1)
		case <-deadline:
			t.Fatalf("%d packets are still missing; %+v", len(want), n.Stats())
		}
	}
	if s := n.Stats(); loss.lost == 0 || s.Retransmitted == 0 {
		t.Errorf("%d packets lost, %d sent again", loss.lost, s.Retransmitted)
	}
}

// TestSimulcast: three layers come in, the slot shows the one for its size, and
// changes at a key frame of the other, without a gap and without a pause.
func TestSimulcast(t *testing.T) {
	n := startNode(t, nil)
	alice, bob := join(t, n, "r", "alice"), join(t, n, "r", "bob")
	alice.connect(0, 1)
	bob.open(clientAPI(t))
	layers := bob.publishLayers("q", "h", "f")
	bob.negotiate()
	await(t, bob.connected, "connected")
	bytes := map[string]int{"q": 10, "h": 50, "f": 150} // 200 times a second: all fit what is held to fit at first
	up := func(rid string) *upTrack {
		r := bob.transport.room
		r.mu.Lock()
		defer r.mu.Unlock()
		if p := r.publications.get(camera("bob")); p != nil {
			for _, l := range p.layers {
				if l.up.rid == rid {
					return l.up
				}
			}
		}
		return nil
	}
	// Pion learns the layers from the first packets of each.
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	everyTick := func(key string, until func() bool) {
		t.Helper()
		deadline := time.After(patience)
		for !until() {
			select {
			case <-ticker.C:
			case <-deadline:
				t.Fatal("waited in vain")
			}
			for rid, l := range layers {
				l.frame(t, rid == key, bytes[rid])
			}
		}
	}
	everyTick("f", func() bool { return up("q") != nil && up("h") != nil && up("f") != nil })
	view := func(height int) {
		alice.transport.View([]Want{{Participant: "bob", Source: Camera, Height: height}})
	}
	view(720)
	mid := alice.awaitSlots(camera("bob"))[camera("bob")]
	var got []*rtp.Packet
	receive := func(rid string) func() bool {
		return func() bool {
			for {
				select {
				case p := <-alice.packets(mid):
					got = append(got, p)
				default:
					return len(got) > 0 && string(got[len(got)-1].Payload[2:3]) == rid && got[len(got)-1].Marker
				}
			}
		}
	}
	everyTick("f", receive("f"))
	for _, step := range []struct {
		height int
		rid    string
	}{{180, "q"}, {360, "h"}, {720, "f"}} {
		everyTick("", func() bool { return rateKnown(alice.transport.room) })
		view(step.height)
		everyTick("", func() bool { receive("")(); return up(step.rid).awaited.Load() })
		everyTick(step.rid, receive(step.rid))
	}
	for i := 1; i < len(got); i++ {
		before, p := got[i-1], got[i]
		if p.SequenceNumber != before.SequenceNumber+1 || int32(p.Timestamp-before.Timestamp) < 0 {
			t.Fatalf("packet %d: %d at %d after %d at %d", i,
				p.SequenceNumber, p.Timestamp, before.SequenceNumber, before.Timestamp)
		}
		if p.Payload[2] != before.Payload[2] && p.Payload[1]&1 != 0 {
			t.Errorf("packet %d: layer %c begins without a key frame", i, p.Payload[2])
		}
	}
}

func rateKnown(r *room) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.publications.list {
		for _, l := range p.layers {
			if !l.known {
				return false
			}
		}
	}
	return true
}

// TestTap sees what was received, as it was received.
func TestTap(t *testing.T) {
	tapped := make(chan Tapped, 16)
	n := startNode(t, func(c *Config) {
		c.Tap = func(p Tapped) {
			p.Payload = slices.Clone(p.Payload)
			tapped <- p
		}
	})
	bob := join(t, n, "r", "bob")
	bob.connect(0, 0, Camera)
	sent := bob.sends[Camera].frame(t, true, 1)[0]
	got := await(t, tapped, "a packet at the tap")
	if got.Room != "r" || got.Participant != "bob" || got.Source != Camera || !slices.Equal(got.Payload, sent.Payload) {
		t.Errorf("%+v, sent %x", got, sent.Payload)
	}
}
