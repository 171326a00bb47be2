package sfu

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/conclave-sfu/conclave/sfu/impair"
)

// TestPathDecides: a subscriber behind a relay gets the layer that its path takes: the
// highest, a lower one when the path becomes thin, the highest again.
func TestPathDecides(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds of real time")
	}
	local, public := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("127.0.0.2")
	n := startNode(t, func(c *Config) {
		c.Listen, c.NodeIPs = netip.AddrPortFrom(local, 0), []netip.Addr{public}
	})
	wide := impair.Conditions{Delay: 20 * time.Millisecond, Rate: 6_000_000}
	thin := impair.Conditions{Delay: 20 * time.Millisecond, Rate: 500_000, Queue: 300 * time.Millisecond}
	relay, err := impair.Listen(netip.AddrPortFrom(public, n.Addr().Port()), n.Addr(), impair.Conditions{}, wide, 1)
	if err != nil {
		t.Skipf("no relay on %v: %v", public, err)
	}
	defer relay.Close()

	alice, bob := join(t, n, "r", "alice"), join(t, n, "r", "bob")
	bob.open(clientAPI(t))
	layers := bob.publishLayers("q", "h", "f")
	bob.negotiate()
	await(t, bob.connected, "connected")
	alice.connect(0, 1)
	alice.transport.View([]Want{{Participant: "bob", Source: Camera, Width: 1280, Height: 720}})

	w := &watcher{t: t, layers: layers, alice: alice}
	w.until("the slot", func() bool {
		return n.Stats().Slots > 0
	})
	w.mid = alice.awaitSlots(camera("bob"))[camera("bob")]
	w.shows("the highest layer at first", "f")
	relay.Set(impair.Conditions{}, thin)
	w.shows("a lower layer behind the thin path", "qh")
	b := alice.transport.current().budget.Load()
	w.until("an estimate near the thin path's rate", func() bool {
		return b.target.Load() > int64(thin.Rate)/3 && b.target.Load() < int64(thin.Rate)*3/2
	})
	relay.Set(impair.Conditions{}, wide)
	w.shows("the highest layer again", "f")
	s := n.Stats()
	if s.Feedbacks == 0 || s.ProbePackets == 0 || len(s.Estimates) == 0 || s.Allocated > s.Wanted {
		t.Errorf("%+v", s)
	}
	t.Logf("target %d, %d reports, %d packets of probes", b.target.Load(), s.Feedbacks, s.ProbePackets)
}

// current is the connection of a participant; nil for none.
func (t *Transport) current() *connection {
	t.room.mu.Lock()
	defer t.room.mu.Unlock()
	return t.connection
}

// watcher sends three encodings in real time, and looks at what arrives.
type watcher struct {
	t      *testing.T
	layers map[string]*layerTrack
	alice  *client
	mid    string
	turn   int
}

// mostTurns is a minute of what is sent. A machine that is busy with something else sends less in
// a minute, and its paths look fuller than they are: it gets more time.
const mostTurns = 6000

// tick sends what is due each 10 ms: 80, 320 and 1840 kbit/s, a key frame of each a second.
func (w *watcher) tick() {
	key := w.turn%100 == 0
	w.turn++
	w.layers["q"].frame(w.t, key, 100)
	w.layers["h"].frame(w.t, key, 400)
	w.layers["f"].frame(w.t, key, 1150)
	w.layers["f"].frame(w.t, false, 1150)
}

func (w *watcher) until(what string, reached func() bool) {
	w.t.Helper()
	ticker := time.NewTicker(10 * time.Millisecond)
	defer ticker.Stop()
	began := time.Now()
	for end := w.turn + mostTurns; !reached(); {
		<-ticker.C
		if w.tick(); w.turn > end {
			if c := w.alice.transport.current(); c != nil {
				c.intake.Lock()
				w.t.Logf("%+v", c.budget.Load().estimator.State())
				c.intake.Unlock()
			}
			w.t.Fatalf("%s: waited in vain", what)
		}
	}
	w.t.Logf("%s after %v", what, time.Since(began).Round(10*time.Millisecond))
}

// shows waits until certain layers have arrived for two seconds, and nothing else.
func (w *watcher) shows(what, rids string) {
	w.t.Helper()
	packets, from, came := w.alice.packets(w.mid), w.turn, 0
	w.until(what, func() bool {
		for {
			select {
			case p := <-packets:
				switch {
				case len(p.Payload) <= 2:
				case strings.IndexByte(rids, p.Payload[2]) < 0:
					from, came = w.turn, 0
				default:
					came++
				}
			default:
				return w.turn-from > 200 && came > 100
			}
		}
	})
}
