package loadtest

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"github.com/conclave-sfu/conclave/sfu/impair"
)

// relays are the bad network of one participant: a relay for each address at which it
// is told that the server's media is. A nil relays is no network at all.
type relays struct {
	seed uint64

	mu       sync.Mutex
	up, down impair.Conditions                // Guarded by mu.
	by       map[netip.AddrPort]*impair.Relay // Guarded by mu.
}

// maxRelays bounds what a server can have a participant open.
const maxRelays = 32

func newRelays(seed uint64) *relays {
	return &relays{seed: seed, by: make(map[netip.AddrPort]*impair.Relay)}
}

// route opens a relay, or gives the one that there is; see [client.Config].
func (r *relays) route(server netip.AddrPort) (netip.AddrPort, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if relay := r.by[server]; relay != nil {
		return relay.Addr(), nil
	}
	if len(r.by) >= maxRelays {
		return netip.AddrPort{}, fmt.Errorf("a relay to %s: the server has more than %d addresses", server, maxRelays)
	}
	near := netip.IPv6Loopback()
	if server.Addr().Is4() {
		near = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	relay, err := impair.Listen(netip.AddrPortFrom(near, 0), server, r.up, r.down, r.seed+uint64(len(r.by))<<32)
	if err != nil {
		return netip.AddrPort{}, err
	}
	r.by[server] = relay
	return relay.Addr(), nil
}

func (r *relays) set(up, down impair.Conditions) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.up, r.down = up, down
	for _, relay := range r.by {
		relay.Set(up, down)
	}
}

func (r *relays) counts() (up, down impair.Counts) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, relay := range r.by {
		u, d := relay.Counts()
		up, down = up.Plus(u), down.Plus(d)
	}
	return up, down
}

func (r *relays) close() error {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	for _, relay := range r.by {
		errs = append(errs, relay.Close())
	}
	clear(r.by)
	return errors.Join(errs...)
}

// Who says whose network is bad.
type Who string

// Whose network is bad.
const (
	Everybody       Who = "all"
	OnlyPublishers  Who = "publishers"
	OnlySubscribers Who = "subscribers"
	OnlyLast        Who = "last" // of the participants
)

// All lists them.
func (Who) All() []Who { return []Who{Everybody, OnlyPublishers, OnlySubscribers, OnlyLast} }

// includes says whether participant i of all is one, of whom the first publish.
func (w Who) includes(i, publishers, all int) bool {
	switch w {
	case OnlyPublishers:
		return i < publishers
	case OnlySubscribers:
		return i >= publishers
	case OnlyLast:
		return i == all-1
	default:
		return slices.Contains(w.All(), w)
	}
}
