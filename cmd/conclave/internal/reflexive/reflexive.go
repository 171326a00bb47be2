// Package reflexive finds out at which transport addresses a UDP socket behind NAT is seen
// (server-reflexive ones, RFC 8445, Section 5.1.1.2), by asking a STUN server from that very
// socket: a NAT may map another port than the socket's.
package reflexive

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/pion/stun/v4"
	"go.uber.org/zap"
)

const (
	// interval between two rounds. It keeps a NAT's mapping alive (RFC 4787, REQ-5: two
	// minutes or more), and bounds for how long a new address goes unnoticed.
	interval = time.Minute
	// firstTimeout is how long a first answer may take before the question is repeated;
	// the time doubles with each of the tries (RFC 8489, Section 6.2.1).
	firstTimeout = 500 * time.Millisecond
	tries        = 4
)

// ErrNoAnswer: a STUN server did not answer. The error that wraps it says what to do.
var ErrNoAnswer = errors.New("no answer")

// Config says whom to ask, and from where.
type Config struct {
	// Server is the STUN server, as host:port.
	Server string
	// Send sends a datagram from the socket.
	Send func(packet []byte, to netip.AddrPort) error
	// Changed is told the addresses of the socket, IPv4 before IPv6, when they are known
	// and whenever they change. It is called by [Finder.Run].
	Changed func([]netip.AddrPort)
	Logger  *zap.Logger
	// Lookup resolves the server's host; net.DefaultResolver's if nil.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
}

// Finder asks again and again.
type Finder struct {
	// Immutable.
	cfg  Config
	host string
	port uint16

	// Owned by Run.
	found  []netip.AddrPort
	failed bool // the last round did

	mu      sync.Mutex
	waiting map[[stun.TransactionIDSize]byte]question
}

// question is a request that waits for its answer.
type question struct {
	to     netip.AddrPort
	answer chan netip.AddrPort // has room for one
}

// New checks the server's address; it asks nobody yet.
func New(cfg Config) (*Finder, error) {
	host, port, err := net.SplitHostPort(cfg.Server)
	if err != nil {
		return nil, fmt.Errorf("STUN server %q: %w", cfg.Server, err)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("STUN server %q: port: %w", cfg.Server, err)
	}
	if cfg.Lookup == nil {
		cfg.Lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	return &Finder{cfg: cfg, host: host, port: uint16(number), waiting: map[[stun.TransactionIDSize]byte]question{}}, nil
}

// Run asks until ctx ends.
func (f *Finder) Run(ctx context.Context) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		f.round(ctx)
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// round asks once in each family that the server has. Addresses that were found before stay
// when nobody answers: a server that is away for a while says nothing about us.
func (f *Finder) round(ctx context.Context) {
	found, err := f.ask(ctx)
	switch {
	case ctx.Err() != nil:
	case len(found) == 0 && !f.failed:
		f.failed = true
		f.cfg.Logger.Warn("the public address is not known: check that UDP goes out from the media port to the STUN server, choose another, or give the address by --node-ip",
			zap.String("server", f.cfg.Server), zap.Error(err))
	case len(found) > 0:
		f.failed = false
		if !slices.Equal(found, f.found) {
			f.found = found
			f.cfg.Logger.Info("public address", zap.Stringers("addresses", found))
			f.cfg.Changed(slices.Clone(found))
		}
	}
}

func (f *Finder) ask(ctx context.Context) ([]netip.AddrPort, error) {
	addrs, err := f.cfg.Lookup(ctx, f.host)
	if err != nil {
		return nil, fmt.Errorf("look up %s: %w", f.host, err)
	}
	var asking sync.WaitGroup
	var answers [2]netip.AddrPort
	var errs [2]error
	for family, addr := range firstOfEach(addrs) {
		if addr.IsValid() {
			asking.Go(func() { answers[family], errs[family] = f.exchange(ctx, netip.AddrPortFrom(addr, f.port)) })
		}
	}
	asking.Wait()
	found := slices.DeleteFunc(answers[:], func(a netip.AddrPort) bool { return !a.IsValid() })
	return found, errors.Join(errs[:]...)
}

// firstOfEach are the first IPv4 and the first IPv6 address.
func firstOfEach(addrs []netip.Addr) (first [2]netip.Addr) {
	for _, a := range addrs {
		family := 0
		if a = a.Unmap(); a.Is6() {
			family = 1
		}
		if !first[family].IsValid() {
			first[family] = a
		}
	}
	return first
}

// exchange sends a Binding request, again and again, until it is answered.
func (f *Finder) exchange(ctx context.Context, to netip.AddrPort) (netip.AddrPort, error) {
	request := stun.MustBuild(stun.TransactionID, stun.BindingRequest)
	q := question{to, make(chan netip.AddrPort, 1)}
	f.mu.Lock()
	f.waiting[request.TransactionID] = q
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.waiting, request.TransactionID)
		f.mu.Unlock()
	}()
	var refused error
	for patience := firstTimeout; patience < firstTimeout<<tries; patience *= 2 {
		refused = f.cfg.Send(request.Raw, to) // perhaps there is no such family here
		timer := time.NewTimer(patience)
		select {
		case answer := <-q.answer:
			timer.Stop()
			return answer, nil
		case <-ctx.Done():
			timer.Stop()
			return netip.AddrPort{}, ctx.Err()
		case <-timer.C:
		}
	}
	return netip.AddrPort{}, errors.Join(fmt.Errorf("%w from %s", ErrNoAnswer, to), refused)
}

// Receive takes a datagram that came to the socket, if it is an answer. It does not block and
// keeps nothing of packet. What is not from the server that was asked, or answers no
// question, is dropped: anybody can send anything.
func (f *Finder) Receive(packet []byte, from netip.AddrPort) {
	m := &stun.Message{Raw: packet}
	if !stun.IsMessage(packet) || m.Decode() != nil || m.Type != stun.BindingSuccess {
		return
	}
	f.mu.Lock()
	q, ok := f.waiting[m.TransactionID]
	f.mu.Unlock()
	if !ok || q.to != netip.AddrPortFrom(from.Addr().Unmap(), from.Port()) {
		return
	}
	if mapped, ok := mappedAddress(m); ok {
		select {
		case q.answer <- mapped:
		default: // answered before
		}
	}
}

// mappedAddress is how the server sees the socket.
func mappedAddress(m *stun.Message) (netip.AddrPort, bool) {
	var x stun.XORMappedAddress
	if x.GetFrom(m) != nil {
		return netip.AddrPort{}, false
	}
	addr, ok := netip.AddrFromSlice(x.IP)
	addr = addr.Unmap()
	if !ok || addr.IsUnspecified() || addr.IsMulticast() || x.Port == 0 {
		return netip.AddrPort{}, false
	}
	return netip.AddrPortFrom(addr, uint16(x.Port)), true
}
