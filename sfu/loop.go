package sfu

import (
	"encoding/binary"
	"math"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/conclave-sfu/conclave/sfu/batchconn"
	"github.com/conclave-sfu/conclave/sfu/icelite"
	"github.com/conclave-sfu/conclave/sfu/packetcache"
)

// Times of a media loop.
const (
	tickInterval = 20 * time.Millisecond  // of connections that have something to do
	idleInterval = 500 * time.Millisecond // of the others
	rushInterval = 5 * time.Millisecond   // of those that send a probe or lack packets
	// tickSlack is how long a tick may wait for a packet that comes anyway.
	tickSlack = 10 * time.Millisecond
)

// maxLull is how long after a tick the next one comes, if the process gets to run: after more it has
// been stopped, and so has not heard what participants said meanwhile.
const maxLull = 2 * time.Second

// inboxSize is how many packets are received at a time.
const inboxSize = 64

// Packets that are sent at a time. What comes at once of a frame, for all who are served without
// shards, fits into a loop's batch, packet by packet: each receiver gets it as one message. Who
// sends aside sends little, or packet by packet.
const (
	loopBatch  = 4096
	asideBatch = 256
)

// loop is one media loop: the goroutine of one socket. It does all that a packet
// needs, so that no other goroutine is woken for it.
type loop struct {
	// Immutable.
	node   *Node
	socket *batchconn.Socket

	// Owned by the goroutine.
	inbox    *batchconn.Inbox
	packets  []*packetcache.Packet
	egress   egress
	nextTick int64
	tickedAt int64 // 0 before the first tick
	nextIdle int64
	nextRush atomic.Int64 // far away while nobody is in a rush
	patient  bool         // nothing needs tickInterval
	// padding is by how much each packet of the inbox is to grow when it is forwarded.
	padding [inboxSize]uint8
	waits   waits

	mu   sync.Mutex
	all  []*connection // whose timers it keeps
	busy []*connection // of them, those that have something to do
	rash []*connection // of them, those that send a probe, or lack packets
}

func newLoop(n *Node, s *batchconn.Socket) *loop {
	l := &loop{node: n, socket: s, inbox: batchconn.NewInbox(inboxSize)}
	l.egress.batch, l.egress.loop = batchconn.NewBatch(s, loopBatch), l
	l.nextRush.Store(math.MaxInt64)
	l.waits.gain = expectedGain
	for i := range inboxSize {
		l.packets = append(l.packets, nil)
		l.renew(i)
	}
	return l
}

// renew gives place i of the inbox an empty packet.
func (l *loop) renew(i int) {
	l.packets[i] = packetcache.New()
	l.inbox.Set(i, l.packets[i].Buffer[:])
}

// run forwards until the socket is closed.
func (l *loop) run() {
	for {
		count, err := l.socket.Receive(l.inbox)
		if err != nil {
			return
		}
		if l.waits.worth(l.packets, l.inbox, count) {
			more := l.socket.ReceiveMore(l.inbox, count, lingering)
			l.waits.took(more)
			count += more
		}
		l.egress.now = l.node.now()
		l.foresee(count)
		for i := range count {
			l.egress.padding = l.padding[i]
			l.take(i)
		}
		l.egress.settle()
		if l.egress.now >= l.nextTick {
			l.tick(l.egress.now)
			l.socket.PutOff()
		}
		if l.egress.now >= l.nextRush.Load() {
			l.hasten(l.egress.now)
		}
		l.egress.settle()
		l.waits.sent(count, l.egress.batch.Flush())
	}
}

// maxLevelling is by how many bytes a packet grows at most to be as large as those that
// follow it.
const maxLevelling = 16

// foresee finds packets of a frame that are a little smaller than one that follows.
// Senders divide a frame into parts that differ by a byte, the smaller ones first;
// packets of one size go to a receiver as one message (batchconn), so they are padded
// (RFC 3550, Section 5.1).
func (l *loop) foresee(count int) {
	l.level(count, func(i int) []byte {
		size, _ := l.inbox.Size(i)
		return l.packets[i].Buffer[:min(size, len(l.packets[i].Buffer))]
	})
}

func (l *loop) level(count int, packet func(int) []byte) {
	var next []byte
	largest := 0
	for i := count - 1; i >= 0; i-- {
		raw := packet(i)
		l.padding[i] = 0
		if !isMedia(raw) {
			next = nil
			continue
		}
		switch missing := largest - len(raw); {
		case next == nil || !isSameFrame(raw, next) || missing < 0 || missing > maxLevelling:
			largest = len(raw)
		default:
			l.padding[i] = uint8(missing)
		}
		next = raw
	}
}

// isMedia tells RTP from all else (RFC 7983, Section 7; RFC 5761, Section 4).
func isMedia(packet []byte) bool {
	return len(packet) >= 12 && packet[0]>>6 == 2 && !isControl(packet)
}

// isSameFrame compares timestamp and SSRC.
func isSameFrame(a, b []byte) bool { return [8]byte(a[4:12]) == [8]byte(b[4:12]) }

// take takes packet i of the inbox.
func (l *loop) take(i int) {
	size, whole := l.inbox.Size(i)
	if !whole {
		l.node.ended.drop(dropOversized)
		return
	}
	l.egress.local = l.inbox.To(i)
	if l.node.take(&l.egress, l.packets[i], size, l.inbox.From(i), nil) {
		l.renew(i)
	}
}

// tick is what is due from time to time.
func (l *loop) tick(now int64) {
	l.nextTick = now + int64(tickInterval)
	if lull := now - l.tickedAt; l.tickedAt != 0 && lull > int64(maxLull) {
		l.excuse(lull)
	}
	l.tickedAt = now
	l.mu.Lock()
	due := l.busy
	if now >= l.nextIdle {
		l.nextIdle = now + int64(idleInterval)
		due = l.all
		l.busy = slices.Clone(slices.DeleteFunc(l.busy, func(c *connection) bool { return !c.busy.Load() }))
	}
	patient := len(l.busy) == 0
	l.mu.Unlock()
	for _, c := range due {
		c.tick(&l.egress, now)
	}
	if patient != l.patient {
		l.mu.Lock()
		l.patient = patient
		l.setPatience()
		l.mu.Unlock()
	}
}

// excuse does not hold it against participants that nobody has listened to them for so long: their
// checks are still to be read.
func (l *loop) excuse(lull int64) {
	l.mu.Lock()
	all := l.all
	l.mu.Unlock()
	excuse := func(checkedAt *atomic.Int64) {
		at := checkedAt.Load()
		checkedAt.CompareAndSwap(at, at+lull) // else a check has come just now
	}
	for _, c := range all {
		excuse(&c.checkedAt)
		if w := c.way.Load(); w != nil {
			excuse(&w.checkedAt)
		}
	}
}

// hasten goes on with probes and requests for packets.
func (l *loop) hasten(now int64) {
	l.mu.Lock()
	due := l.rash
	l.mu.Unlock()
	var done []*connection
	for _, c := range due {
		if !c.hasten(&l.egress, now) {
			done = append(done, c)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rash = slices.DeleteFunc(slices.Clone(l.rash), func(c *connection) bool { return slices.Contains(done, c) })
	if len(l.rash) > 0 {
		l.nextRush.Store(now + int64(rushInterval))
		return
	}
	l.nextRush.Store(math.MaxInt64)
	l.setPatience()
}

// rush has the loop of e, or that of c if e has none, go on with what c has begun. A loop
// that waits for packets meanwhile would come too late.
func (c *connection) rush(e *egress) {
	l := e.loop
	if l == nil {
		l = c.home
	}
	l.rush(c)
}

func (l *loop) rush(c *connection) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if slices.Contains(l.rash, c) {
		return
	}
	l.rash = append(slices.Clip(l.rash), c)
	if len(l.rash) == 1 {
		l.nextRush.Store(l.node.now() + int64(rushInterval))
		l.socket.SetPatience(rushInterval)
	}
}

// setPatience is about the loop's own ticks; probes change it meanwhile. The caller holds
// mu.
func (l *loop) setPatience() {
	d := tickInterval + tickSlack
	if l.patient {
		d = idleInterval
	}
	if len(l.rash) > 0 {
		d = rushInterval
	}
	l.socket.SetPatience(d) // ticks come with packets then
}

// add keeps the timers of c. The lists are replaced, never changed: tick goes through
// them without the lock.
func (l *loop) add(c *connection) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(slices.Clip(l.all), c)
}

func (l *loop) remove(c *connection) {
	l.mu.Lock()
	defer l.mu.Unlock()
	without := func(list []*connection) []*connection {
		return slices.DeleteFunc(slices.Clone(list), func(other *connection) bool { return other == c })
	}
	l.all, l.busy, l.rash = without(l.all), without(l.busy), without(l.rash)
}

// hurry has c ticked each tickInterval.
func (l *loop) hurry(c *connection) {
	if !c.busy.CompareAndSwap(false, true) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy = append(slices.Clip(l.busy), c)
}

// Receive takes a packet that came by a Path, with all that it causes. It is valid
// during the call only. Any goroutine may call it, one at a time for each Path.
func (n *Node) Receive(path Path, packet []byte) {
	p := packetcache.New()
	if len(packet) > len(p.Buffer) {
		n.ended.drop(dropOversized)
		p.Release()
		return
	}
	e := n.byPath
	e.mu.Lock()
	kept := false
	if e.batch != nil {
		e.now = n.now()
		kept = n.take(e, p, copy(p.Buffer[:], packet), path.RemoteAddr(), path)
		e.settle()
		e.batch.Flush()
	}
	e.mu.Unlock()
	if !kept {
		p.Release()
	}
}

// Gone says that a Path has ended: nothing is sent by it any more.
func (n *Node) Gone(path Path) {
	if w := n.ways.find(netip.AddrPort{}, path); w != nil {
		w.conn.lose(w)
	}
}

// take sorts a packet by its first byte (RFC 7983, Section 7). It is true if p was
// kept.
func (n *Node) take(e *egress, p *packetcache.Packet, size int, from netip.AddrPort, path Path) (kept bool) {
	raw := p.Buffer[:size]
	if size == 0 {
		return false
	}
	switch first := raw[0]; {
	case first < 4:
		n.takeSTUN(e, raw, from, path)
	case first >= 20 && first < 64:
		if w := n.ways.find(from, path); w != nil {
			w.conn.takeRecord(raw)
		}
	case first >= 64 && first < 80:
		n.takeForeign(e, raw, from, path)
	case first >= 128 && first < 192:
		if w := n.ways.find(from, path); w != nil {
			return w.conn.takeProtected(e, p, size, w)
		}
		n.ended.drop(dropUnknown)
	}
	return false
}

func (n *Node) takeSTUN(e *egress, raw []byte, from netip.AddrPort, path Path) {
	if check, ok := icelite.Parse(raw); ok {
		if c := n.ways.named(check.Ufrag()); c != nil {
			c.takeCheck(e, &check, from, path)
		}
		return
	}
	if reply, ok := icelite.ParseReply(raw); ok {
		if w := n.ways.find(from, path); w != nil && w.conn.takeReply(&reply, from, path) {
			return
		}
	}
	n.takeForeign(e, raw, from, path)
}

// takeForeign passes on what is for a relay or a STUN server on the same port.
func (n *Node) takeForeign(e *egress, raw []byte, from netip.AddrPort, path Path) {
	if n.foreign != nil && path == nil {
		n.foreign(raw, from, e.local)
	}
}

// WriteForeign sends a packet from the media socket: by one of our addresses, as Foreign was
// told it, or by what the system chooses for the zero Addr.
func (n *Node) WriteForeign(packet []byte, to netip.AddrPort, local netip.Addr) error {
	if len(packet) > maxDatagram || !n.sockets[0].CanReach(to) {
		return errUnreachable
	}
	e := n.shared
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.batch == nil {
		return ErrClosed
	}
	copy(e.batch.Reserve(len(packet), n.sockets[0].TargetFrom(to, local)), packet)
	e.batch.Flush()
	return nil
}

// isControl tells RTCP from RTP (RFC 5761, Section 4).
func isControl(packet []byte) bool { return len(packet) > 1 && packet[1] >= 192 && packet[1] <= 223 }

// ssrcOf is that of an RTP packet.
func ssrcOf(packet []byte) uint32 { return binary.BigEndian.Uint32(packet[8:]) }
