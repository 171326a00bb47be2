package sfu

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/rtcp"
	"go.uber.org/zap"

	"github.com/conclave-sfu/conclave/sfu/bwe"
	"github.com/conclave-sfu/conclave/sfu/icelite"
	"github.com/conclave-sfu/conclave/sfu/pace"
	"github.com/conclave-sfu/conclave/sfu/srtp"
)

// Times of a connection.
const (
	connectTimeout = 20 * time.Second // from the answer until DTLS is done
	// consentTimeout is how long a connection lives without a connectivity check: who
	// checks does it every few seconds (RFC 7675, Section 5.1).
	consentTimeout = 20 * time.Second
)

// connection is one PeerConnection of a transport, as an ICE-lite agent and DTLS server
// sees it.
//
//	check   -> takeCheck      -> way
//	DTLS    -> takeRecord     -> handshake -> keys
//	SRTP    -> takeProtected  -> uplink -> upTrack.receive
//	SRTCP   -> takeProtected  -> uplink, downTrack.feedback
type connection struct {
	// Immutable.
	transport *Transport
	number    uint32
	home      *loop  // keeps the timers
	ssrc      uint32 // of our RTCP

	// Guarded by the room's lock.
	ready        bool // DTLS is done: packets can be sent
	ended        bool
	reported     bool // the slots were reported once
	audio, video []*downTrack

	// For any goroutine.
	way  atomic.Pointer[way]         // where packets go; nil before the first check
	keys atomic.Pointer[sessionKeys] // nil before the handshake
	// greeted says that a handshake has begun.
	greeted atomic.Bool
	// proved says that the peer has sent a protected packet, listening that an alert is
	// being opened.
	proved, listening atomic.Bool
	busy              atomic.Bool // has timers for each tickInterval
	// checkedAt is when the peer was heard to be there, by a check.
	checkedAt atomic.Int64
	// sent numbers the packets that bear a transport-wide sequence number.
	sent *bwe.SentLog
	// bucket is what may be sent at once, without a limit until budget, which is nil until
	// the receiver is known to say what arrives, sets one.
	bucket, repairs pace.Bucket
	budget          atomic.Pointer[budget]
	// other says that something else fits than the slots were given.
	other atomic.Bool

	// intake is held for each packet that is taken in, and guards what follows. Packets
	// of a connection come by one loop, but for when its address changes.
	intake   sync.Mutex
	shut     bool // nothing is taken in any more
	in       *srtp.Cipher
	early    []early // came before the keys
	control  *srtp.Opener
	uplinks  map[uint32]*uplink // by SSRC
	slots    map[uint32]*downTrack
	arrivals *twcc.Recorder // of packets with a transport-wide sequence number
	from     *uplinkPath    // of those without; nil before the first one
	clock    senderClock
	reports  intervals

	// sealing guards what seals RTCP.
	sealing sync.Mutex
	sealer  *srtp.Sealer

	// Guarded by mu, a leaf.
	mu       sync.Mutex
	agent    icelite.Agent
	remote   remote // what the latest offer says of the peer
	known    []*way // that checks have proved
	settled  bool   // a way was nominated
	renewed  bool   // ICE was restarted, and nothing nominated since
	sections map[string]*section
	version  uint64      // of answers
	records  *recordConn // of a handshake
	parked   *dtls.State // of one that is over
	closing  bool
	stop     context.CancelFunc
	life     context.Context
	readers  sync.WaitGroup
	timer    *time.Timer // until the connection stands
	parking  *time.Timer // until the handshake is parked; nil before it is over
}

// sessionKeys are what a handshake gives: the direction that is sent. The other one is the
// intake's.
type sessionKeys struct{ out *srtp.Cipher }

// intervals are those of a connection's reports.
type intervals struct{ feedbackAt, reportAt, budgetAt int64 }

func newConnection(t *Transport, number uint32) *connection {
	n := t.room.node
	c := &connection{
		transport: t, number: number, ssrc: randomSSRC(), sections: map[string]*section{},
		uplinks: map[uint32]*uplink{}, slots: map[uint32]*downTrack{},
	}
	c.arrivals = twcc.NewRecorder(c.ssrc)
	c.life, c.stop = context.WithCancel(context.Background())
	c.home = n.loops[int(c.ssrc)%len(n.loops)]
	c.checkedAt.Store(n.now())
	c.home.add(c)
	return c
}

func (c *connection) node() *Node { return c.transport.room.node }

// randomSSRC is not 0, which stands for none.
func randomSSRC() uint32 {
	for {
		var raw [4]byte
		_, _ = rand.Read(raw[:]) // it never fails
		if ssrc := binary.BigEndian.Uint32(raw[:]); ssrc != 0 {
			return ssrc
		}
	}
}

// maxMIDs is how many sections a PeerConnection has in its life. A place in the offer that
// is used again has another mid, and what was there before is kept.
const maxMIDs = 4 * maxSections

// mayBecome says whether a renegotiation keeps what its sections were: a mid that
// carries another source, or turns around, is refused, and so is another certificate.
func (c *connection) mayBecome(p plan) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.remote.sameIdentity(p.remote) {
		return errors.New("the fingerprints have changed")
	}
	known := len(c.sections)
	for _, s := range p.sections {
		was, ok := c.sections[s.mid]
		if !ok {
			known++
		}
		if !ok || s.direction == inactive || was.direction == inactive {
			continue
		}
		if was.direction != s.direction || was.kind != s.kind || was.source != s.source {
			return fmt.Errorf("mid %q was something else", s.mid)
		}
	}
	if known > maxMIDs {
		return fmt.Errorf("%d mids since it began, at most %d", known, maxMIDs)
	}
	return nil
}

// negotiate answers an offer, and gives the slots that it adds.
func (c *connection) negotiate(p plan) (answer string, added []*downTrack, err error) {
	added = c.addSlots(p)
	c.remember(p)
	if err := c.restart(p.remote); err != nil {
		return "", nil, err
	}
	c.dropUplinks()
	return c.answer(p), added, nil
}

// restart gives the ICE agent a session for a new peer, or one that restarts.
func (c *connection) restart(r remote) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closing {
		return ErrClosed
	}
	again := c.remote.ufrag == r.ufrag && c.remote.password == r.password
	c.remote = r
	if again {
		return nil
	}
	local := icelite.Credentials{Ufrag: rand.Text()[:8], Password: icelite.Password(rand.Text())}
	before := c.agent.Ufrags()
	c.agent.Restart(local, r.ufrag)
	c.forgetWays()
	for _, old := range before {
		if !slices.Contains(c.agent.Ufrags(), old) {
			c.node().ways.unname(old)
		}
	}
	c.node().ways.name(local.Ufrag, c)
	return nil
}

// forgetWays leaves the one that is in use: a restart makes room for those of another
// network. Another one that lives is learnt again by its next check. The caller holds mu.
func (c *connection) forgetWays() {
	used := c.way.Load()
	c.known = slices.DeleteFunc(c.known, func(w *way) bool {
		if w != used {
			c.node().ways.remove(w)
		}
		return w != used
	})
	// Another way of the peer's address may have been in its place.
	if ways := c.node().ways; used != nil && ways.find(used.addr, used.path) == nil {
		ways.put(used)
	}
}

func (c *connection) remember(p plan) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.version++
	for i := range p.sections {
		s := p.sections[i]
		c.sections[s.mid] = &s
	}
}

// section finds one by its mid; nil for none.
func (c *connection) section(mid string) *section {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sections[mid]
}

// addSlots makes a slot for each recvonly section that has none and a codec that is
// forwarded. One that was given up comes back.
func (c *connection) addSlots(p plan) []*downTrack {
	c.intake.Lock()
	defer c.intake.Unlock()
	var added []*downTrack
	for _, d := range c.slots {
		switch offered := p.receives(d.mid); {
		case !offered:
			d.unused = true
		case d.unused:
			d.unused = false
			added = append(added, d) // with the codecs that it had
		}
	}
	for i := range p.sections {
		s := &p.sections[i]
		if s.direction != recvonly || len(s.payloads) == 0 || c.slotOf(s.mid) != nil {
			continue
		}
		if c.sent == nil && s.extensions.transportCC != 0 {
			c.sent = bwe.NewSentLog(bwe.DefaultLogSize)
			c.budget.Store(newBudget(c.sent, &c.bucket, &c.repairs))
		}
		d := c.newSlot(s)
		c.slots[d.ssrc] = d
		added = append(added, d)
	}
	return added
}

// slotOf finds the slot of a section. The caller holds intake.
func (c *connection) slotOf(mid string) *downTrack {
	for _, d := range c.slots {
		if d.mid == mid {
			return d
		}
	}
	return nil
}

// newSlot makes a slot with SSRCs that the connection does not have yet.
func (c *connection) newSlot(s *section) *downTrack {
	ssrc, rtxSSRC := c.freshSSRC(0), uint32(0)
	if slices.ContainsFunc(s.payloads, func(p payload) bool { return p.rtx != 0 }) {
		rtxSSRC = c.freshSSRC(ssrc)
	}
	d := &downTrack{mid: s.mid, video: s.kind == videoKind, ddExtension: s.extensions.dependency, bucket: &c.bucket, repairs: &c.repairs}
	d.numbers.Begin(firstNumber())
	d.bind(newSlotWriter(c, s, ssrc, rtxSSRC), ssrc, rtxSSRC, s.types())
	return d
}

// firstNumber is that of a slot's first packet, random, and far from where 16 bits wrap: a
// receiver that misses packets around the first wrap before it has had any takes the
// roll-over counter for 0, and opens nothing (RFC 3711, Section 3.3.1).
func firstNumber() int64 { return 1<<16 + 1<<10 + int64(randomSSRC()>>18) }

func (c *connection) freshSSRC(but uint32) uint32 {
	for {
		ssrc := randomSSRC()
		taken := ssrc == but
		for _, d := range c.slots {
			taken = taken || d.ssrc == ssrc || d.rtxSSRC == ssrc
		}
		if !taken {
			return ssrc
		}
	}
}

// expectConnected gives the PeerConnection its time to connect.
func (c *connection) expectConnected() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closing {
		patience := c.node().patience
		c.timer = time.AfterFunc(patience, func() {
			if !c.transport.room.isReady(c) {
				c.fail(fmt.Errorf("not connected after %s", patience))
			}
		})
	}
}

// fail ends the connection and reports it, unless it has ended already. It must not be
// called with a lock of the connection.
func (c *connection) fail(cause error) {
	t := c.transport
	if !t.room.endConnection(c) {
		return
	}
	t.room.node.log.Debug("media down", zap.String("room", t.room.id),
		zap.String("participant", t.participant), zap.Uint32("connection", c.number), zap.Error(cause))
	t.events.isDown(c.number, fmt.Errorf("connection %d: %w: %w", c.number, ErrMediaFailed, cause))
}

// failLater is fail for those who hold locks.
func (c *connection) failLater(cause error) { c.node().background.Go(func() { c.fail(cause) }) }

// closeLater tears the connection down in the background.
func (c *connection) closeLater() { c.node().background.Go(c.close) }

func (c *connection) close() {
	c.mu.Lock()
	closed := c.closing
	c.closing = true
	if c.timer != nil {
		c.timer.Stop()
	}
	if c.parking != nil {
		c.parking.Stop()
	}
	ufrags, ways, parked := c.agent.Ufrags(), slices.Clone(c.known), c.parked
	c.mu.Unlock()
	if closed {
		return
	}
	c.stop() // the handshake's goroutine says goodbye
	c.readers.Wait()
	if parked != nil {
		c.sayGoodbye(parked)
	}
	for _, ufrag := range ufrags {
		c.node().ways.unname(ufrag)
	}
	c.node().ways.remove(ways...)
	c.home.remove(c)
	c.shutIntake()
}

// shutIntake ends the intake, and gives back what it keeps.
func (c *connection) shutIntake() {
	c.intake.Lock()
	defer c.intake.Unlock()
	c.shut = true
	for _, u := range c.uplinks {
		u.end()
	}
	clear(c.uplinks)
	for _, p := range c.early {
		p.packet.Release()
	}
	c.early = nil
}

// takeCheck answers a connectivity check, and learns from it.
func (c *connection) takeCheck(e *egress, check *icelite.Check, addr netip.AddrPort, path Path) {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.wayOf(addr, e.local, path)
	if c.closing || w == nil {
		return
	}
	response, verdict, retired := c.agent.Answer(check, addr)
	if retired != "" {
		c.node().ways.unname(retired)
	}
	if verdict == icelite.Checked || verdict == icelite.Nominated {
		if !c.mayHave(w) {
			return
		}
		c.learn(w, verdict == icelite.Nominated, retired != "")
	}
	if response != nil {
		e.write(w, response)
	}
}

// wayOf gives the way that a check came by, which may be new; nil for none. The caller
// holds mu.
func (c *connection) wayOf(addr netip.AddrPort, local netip.Addr, path Path) *way {
	for _, w := range c.known {
		if w.addr == addr && w.local == local && w.path == path {
			return w
		}
	}
	socket := c.node().sockets[0]
	if path == nil && !socket.CanReach(addr) {
		return nil
	}
	w := &way{conn: c, addr: addr, local: local, path: path}
	if path == nil {
		w.target = socket.TargetFrom(addr, local)
	}
	return w
}

// maxPeerAddresses is by how many ways a PeerConnection is known: pairs of an address of
// the peer and one of ours. A browser has some, and new ones whenever its network changes;
// past that the one that was checked longest ago is forgotten.
const maxPeerAddresses = 32

// heldFor is how long a way is its connection's after a check. Agents check every 2 to 6
// seconds.
const heldFor = 10 * time.Second

// mayHave says whether nobody else is checked by a way: a participant who forges
// another one's address would take what comes from there, by checks of his own.
func (c *connection) mayHave(w *way) bool {
	held := c.node().ways.find(w.addr, w.path)
	return held == nil || held.conn.transport == c.transport || c.node().now()-held.checkedAt.Load() > int64(heldFor)
}

// learn takes over what an authentic check has shown: the way is the peer's, and media
// goes by the one that was nominated last (RFC 8445, Section 8.3.1), before that by the
// first. Restarted says that the check is the first since a restart. The caller holds mu.
func (c *connection) learn(w *way, nominated, restarted bool) {
	if !slices.Contains(c.known, w) {
		c.forgetOldest()
		c.known = append(c.known, w)
	}
	ways := c.node().ways
	if ways.find(w.addr, w.path) != w {
		ways.put(w)
	}
	now := c.node().now()
	w.checkedAt.Store(now)
	c.checkedAt.Store(now)
	c.renewed = c.renewed || restarted
	if nominated && (c.renewed || c.mayMove(w, now)) || !c.settled && c.way.Load() == nil {
		c.way.Store(w)
	}
	c.settled, c.renewed = c.settled || nominated, c.renewed && !nominated
}

// mayMove says whether a nomination alone moves media. Checks do not age, and who has
// overheard more of them than an agent remembers may send an old one from anywhere. So a peer that
// is heard, and still checks the present way, has media follow when a packet comes from the
// new address: nobody else makes those. Packets come at once, reports within a second or two.
func (c *connection) mayMove(w *way, now int64) bool {
	is := c.way.Load()
	return is == nil || is.addr == w.addr && is.path == w.path || !c.proved.Load() || now-is.checkedAt.Load() > int64(heldFor)
}

// forgetOldest makes room for a way. That by which media goes stays. The caller holds mu.
func (c *connection) forgetOldest() {
	if len(c.known) < maxPeerAddresses {
		return
	}
	var oldest *way
	for _, w := range c.known {
		if w != c.way.Load() && (oldest == nil || w.checkedAt.Load() < oldest.checkedAt.Load()) {
			oldest = w
		}
	}
	c.node().ways.remove(oldest)
	c.known = slices.DeleteFunc(c.known, func(w *way) bool { return w == oldest })
}

// lose takes out a way that has ended.
func (c *connection) lose(w *way) {
	c.node().ways.remove(w)
	c.way.CompareAndSwap(w, nil)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known = slices.DeleteFunc(c.known, func(other *way) bool { return other == w })
}

// follow has media go by the way that an authentic packet came by, if it was checked
// later than the present one: where a NAT has given the peer another address, its next
// checks come from there, and many agents do not nominate again. A packet that was
// overtaken by a change, or comes by a spare way, changes nothing. It takes no lock for
// the present way.
func (c *connection) follow(w *way) {
	if now := c.way.Load(); w == nil || w == now || now != nil && w.addr == now.addr && w.path == now.path {
		return // ways of one address of the peer, to several of ours, are told apart by checks alone
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.way.Load(); slices.Contains(c.known, w) && (now == nil || w.checkedAt.Load() > now.checkedAt.Load()) {
		c.way.Store(w)
	}
}

// writeControl seals and sends RTCP, with e's next flush or, if it is nil, at once.
func (c *connection) writeControl(e *egress, packets []rtcp.Packet) {
	raw, err := rtcp.Marshal(packets)
	w := c.way.Load()
	if err != nil || w == nil || len(raw)+srtp.MaxOverhead > maxDatagram {
		return
	}
	c.sealing.Lock()
	defer c.sealing.Unlock()
	if c.sealer == nil {
		return
	}
	sealed, err := c.sealer.Seal(make([]byte, 0, len(raw)+srtp.MaxOverhead), raw)
	if err != nil {
		return
	}
	c.send(e, w, sealed)
}

// send sends a packet that is no media.
func (c *connection) send(e *egress, w *way, packet []byte) {
	switch {
	case w.path != nil:
		w.path.Send(packet)
	case e != nil:
		e.write(w, packet)
	default:
		c.aside(func(e *egress) bool {
			e.write(w, packet)
			e.batch.Flush()
			return true
		})
	}
}

// askKeyFrame asks the publisher for a key frame of a stream.
func (c *connection) askKeyFrame(ssrc uint32) {
	c.writeControl(nil, []rtcp.Packet{&rtcp.PictureLossIndication{SenderSSRC: c.ssrc, MediaSSRC: ssrc}})
}
