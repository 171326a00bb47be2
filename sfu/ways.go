package sfu

import (
	"crypto/rand"
	"net/netip"
	"slices"
	"time"

	"github.com/conclave-sfu/conclave/sfu/icelite"
	"github.com/conclave-sfu/conclave/sfu/srtp"
)

// Which ways a connection has, and by which of them media goes, is learnt from
// authenticated checks and packets.

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
	if response != nil && !w.proven && slices.Contains(c.known, w) {
		e.write(w, c.agent.Ask(check, w.transaction))
	}
}

// takeReply takes what may be the answer to a check of ours, and says whether it is: the peer
// receives what is sent there.
func (c *connection) takeReply(reply *icelite.Reply, from netip.AddrPort, path Path) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !slices.ContainsFunc(c.known, func(w *way) bool { return w.isTo(from, path) && c.agent.IsAnswered(reply, w.transaction) }) {
		return false
	}
	c.isThere(from, path)
	if c.heir != nil {
		c.moveTo(c.heir)
	}
	return true
}

// isThere notes that the peer receives what is sent to an address, or by a Path. The caller holds mu.
func (c *connection) isThere(addr netip.AddrPort, path Path) {
	for _, w := range c.known {
		w.proven = w.proven || w.isTo(addr, path)
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
	w.proven = slices.ContainsFunc(c.known, func(other *way) bool { return other.proven && other.isTo(addr, path) })
	_, _ = rand.Read(w.transaction[:]) // it never fails
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
		c.moveTo(w)
	}
	c.settled, c.renewed = c.settled || nominated, c.renewed && !nominated
}

// moveTo has media go by a way, as soon as the peer is known to receive what is sent there: a check,
// and a packet, may bear the address of somebody else, who has asked for nothing. Before there are
// keys, at once: a handshake is all that is sent then, and needs answers itself. The caller holds mu.
func (c *connection) moveTo(w *way) {
	if c.keys.Load() != nil && !w.proven {
		c.heir = w
		return
	}
	c.heir = nil
	c.way.Store(w)
	if c.greetedBy != nil && !c.greetedBy.isTo(w.addr, w.path) {
		c.greetedBy = nil
	}
}

// use begins to send by the keys of a handshake. Who has made it receives what was sent by the one
// way that it took; after several the present one has yet to be proved.
func (c *connection) use(keys *srtp.Cipher) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if w := c.greetedBy; w != nil {
		w.proven = true
		c.isThere(w.addr, w.path)
	}
	c.keys.Store(keys)
	if w := c.way.Load(); w != nil && !w.proven {
		c.way.Store(nil)
		c.moveTo(w)
	}
}

// leaveSilent has no more media go by a way that the peer checks no longer, though it checks others:
// consent is to each address (RFC 7675, Section 5.1).
func (c *connection) leaveSilent(now int64) {
	silent := func(w *way) bool { return now-w.checkedAt.Load() > int64(consentTimeout) }
	if w := c.way.Load(); w == nil || !silent(w) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if w := c.way.Load(); w == nil || !silent(w) || !c.way.CompareAndSwap(w, nil) {
		return
	}
	var latest *way
	for _, w := range c.known {
		if !silent(w) && (latest == nil || w.checkedAt.Load() > latest.checkedAt.Load()) {
			latest = w
		}
	}
	if latest != nil {
		c.moveTo(latest)
	}
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
		c.moveTo(w)
	}
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
