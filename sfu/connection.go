package sfu

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
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
	// For any goroutine, and first since each packet that is sent touches them (see downTrack).

	way atomic.Pointer[way] // where packets go; nil before the first check
	// keys seal what is sent; nil before the handshake.
	keys atomic.Pointer[srtp.Cipher]
	// bucket is what may be sent at once, without a limit until budget, which is nil until
	// the receiver is known to say what arrives, sets one; and repairs the same of retransmissions.
	bucket pace.Bucket
	// sent numbers the packets that bear a transport-wide sequence number. It begins before the
	// first slot that has them.
	sent bwe.SentLog

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
	// reportsDue is when the next sender report of a slot is due, at the earliest.
	reportsDue int64

	// For any goroutine.

	// greeted says that a handshake has begun.
	greeted atomic.Bool
	// proved says that the peer has sent a protected packet, listening that an alert is
	// being opened.
	proved, listening atomic.Bool
	busy              atomic.Bool // has timers for each tickInterval
	// checkedAt is when the peer was heard to be there, by a check.
	checkedAt atomic.Int64
	repairs   pace.Bucket
	budget    atomic.Pointer[budget]
	// other says that something else fits than the slots were given.
	other atomic.Bool

	// intake is held for each packet that is taken in, and guards what follows. Packets
	// of a connection come by one loop, but for when its address changes.
	intake   sync.Mutex
	shut     bool // nothing is taken in any more
	in       *srtp.Cipher
	early    []early // came before the keys
	control  *srtp.Opener
	uplinks  map[uint32]*uplink         // by SSRC
	slots    listed[uint32, *downTrack] // by SSRC
	arrivals *twcc.Recorder             // of packets with a transport-wide sequence number
	from     *uplinkPath                // of those without; nil before the first one
	clock    senderClock
	reports  intervals
	hunting  bool // something that is missing is asked for in a rush
	owing    bool // a slot remembers packets that its receiver asks for

	// sealing guards what seals RTCP.
	sealing sync.Mutex
	sealer  *srtp.Sealer

	// Guarded by mu, a leaf.
	mu     sync.Mutex
	agent  icelite.Agent
	remote remote // what the latest offer says of the peer
	known  []*way // that the peer has checked
	// heir takes over media from way as soon as it is proven; nil for none. greetedBy is the way by
	// which the handshake goes, nil before it and if there were several.
	heir, greetedBy *way
	settled         bool // a way was nominated
	renewed         bool // ICE was restarted, and nothing nominated since
	sections        map[string]*section
	version         uint64      // of answers
	records         *recordConn // of a handshake
	parked          *dtls.State // of one that is over
	closing         bool
	stop            context.CancelFunc
	life            context.Context
	readers         sync.WaitGroup
	timer           *time.Timer // until the connection stands
	parking         *time.Timer // until the handshake is parked; nil before it is over
}

// intervals are those of a connection's reports.
type intervals struct{ feedbackAt, reportAt, budgetAt int64 }

func newConnection(t *Transport, number uint32) *connection {
	n := t.room.node
	c := &connection{
		transport: t, number: number, ssrc: randomSSRC(), sections: map[string]*section{},
		uplinks: map[uint32]*uplink{},
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
	c.agent.Restart(local, icelite.Credentials{Ufrag: r.ufrag, Password: icelite.Password(r.password)})
	c.forgetWays()
	for _, old := range before {
		if !slices.Contains(c.agent.Ufrags(), old) {
			c.node().ways.unname(old)
		}
	}
	c.node().ways.name(local.Ufrag, c)
	return nil
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
	for _, d := range c.slots.list {
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
		if !c.sent.Begun() && s.extensions.transportCC != 0 {
			c.sent.Begin(bwe.DefaultLogSize)
			c.budget.Store(newBudget(&c.sent, &c.bucket, &c.repairs, c.transport.outgoing.room()))
		}
		d := c.newSlot(s)
		c.slots.put(d.ssrc, d)
		added = append(added, d)
	}
	return added
}

// slotOf finds the slot of a section. The caller holds intake.
func (c *connection) slotOf(mid string) *downTrack {
	for _, d := range c.slots.list {
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
	d.ceiling = &c.transport.outgoing
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
		for _, d := range c.slots.list {
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
		c.node().sendBy(w.path, packet)
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
