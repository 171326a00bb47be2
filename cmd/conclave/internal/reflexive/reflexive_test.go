package reflexive

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/stun/v4"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

var (
	server4 = netip.MustParseAddrPort("192.0.2.1:3478")
	server6 = netip.MustParseAddrPort("[2001:db8::1]:3478")
	seen4   = netip.MustParseAddrPort("203.0.113.7:40001")
	seen6   = netip.MustParseAddrPort("[2001:db8::7]:3478")
)

// nat is a network with a STUN server on its far side.
type nat struct {
	finder  *Finder
	seen    map[netip.AddrPort]netip.AddrPort // as whom the server sees us, by server address
	lose    int                               // so many requests first
	from    netip.AddrPort                    // answers come from there, if valid
	asked   int
	changes []string
	names   []netip.Addr
	logged  *observer.ObservedLogs
}

func behind(t *testing.T, seen map[netip.AddrPort]netip.AddrPort) *nat {
	n := &nat{seen: seen, names: []netip.Addr{server4.Addr(), netip.MustParseAddr("192.0.2.9"), server6.Addr()}}
	core, logged := observer.New(zapcore.WarnLevel)
	n.logged = logged
	var err error
	n.finder, err = New(Config{
		Server: "stun.example.org:3478", Send: n.send, Logger: zap.New(core),
		Changed: func(a []netip.AddrPort) { n.changes = append(n.changes, fmt.Sprint(a)) },
		Lookup: func(context.Context, string) ([]netip.Addr, error) {
			if n.names == nil {
				return nil, errors.New("no such host")
			}
			return n.names, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func (n *nat) send(packet []byte, to netip.AddrPort) error {
	n.finder.mu.Lock()
	defer n.finder.mu.Unlock()
	if n.asked++; n.asked <= n.lose {
		return nil
	}
	seen, ok := n.seen[to]
	if !ok {
		return errors.New("network is unreachable")
	}
	from := to
	if n.from.IsValid() {
		from = n.from
	}
	request := &stun.Message{Raw: slices.Clone(packet)}
	if err := request.Decode(); err != nil {
		return err
	}
	answer := stun.MustBuild(stun.NewTransactionIDSetter(request.TransactionID), stun.BindingSuccess,
		&stun.XORMappedAddress{IP: seen.Addr().AsSlice(), Port: int(seen.Port())})
	go n.finder.Receive(answer.Raw, from)
	return nil
}

// run runs the finder for a time.
func (n *nat) run(d time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	n.finder.Run(ctx)
	synctest.Wait()
}

func TestFound(t *testing.T) {
	for _, tt := range []struct {
		name   string
		seen   map[netip.AddrPort]netip.AddrPort
		change func(*nat)
		want   string
	}{
		{"both families", map[netip.AddrPort]netip.AddrPort{server4: seen4, server6: seen6}, func(*nat) {}, "[203.0.113.7:40001 [2001:db8::7]:3478]"},
		{"IPv4", map[netip.AddrPort]netip.AddrPort{server4: seen4}, func(*nat) {}, "[203.0.113.7:40001]"},
		{"IPv6", map[netip.AddrPort]netip.AddrPort{server6: seen6}, func(n *nat) { n.names = []netip.Addr{server6.Addr()} }, "[[2001:db8::7]:3478]"},
		{"lost questions", map[netip.AddrPort]netip.AddrPort{server4: seen4, server6: seen6}, func(n *nat) { n.lose = 5 }, "[203.0.113.7:40001 [2001:db8::7]:3478]"},
		{"a socket that knows IPv4 as IPv6", map[netip.AddrPort]netip.AddrPort{server4: seen4}, func(n *nat) {
			n.from = netip.MustParseAddrPort("[::ffff:192.0.2.1]:3478")
		}, "[203.0.113.7:40001]"},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := behind(t, tt.seen)
			tt.change(n)
			n.run(interval * 3)
			if got := strings.Join(n.changes, " "); got != tt.want || n.logged.Len() != 0 {
				t.Errorf("%s: %s, want %s once; %d warnings", tt.name, got, tt.want, n.logged.Len())
			}
			if len(n.finder.waiting) != 0 {
				t.Errorf("%s: %d questions wait", tt.name, len(n.finder.waiting))
			}
		})
	}
}

func TestAddressChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := behind(t, map[netip.AddrPort]netip.AddrPort{server4: seen4})
		n.run(interval / 2)
		n.seen = nil // nobody answers: what was found stays
		n.run(interval * 3)
		n.seen = map[netip.AddrPort]netip.AddrPort{server4: netip.MustParseAddrPort("203.0.113.8:1")}
		n.run(interval / 2)
		if got := strings.Join(n.changes, " "); got != "[203.0.113.7:40001] [203.0.113.8:1]" {
			t.Error(got)
		}
		if n.logged.Len() != 1 {
			t.Errorf("%d warnings", n.logged.Len())
		}
	})
}

// TestNotFound: whoever runs the server is told once, with what to do.
func TestNotFound(t *testing.T) {
	for name, change := range map[string]func(*nat){
		"no route":   func(n *nat) { n.seen = nil },
		"no answer":  func(n *nat) { n.lose = 1000 },
		"no name":    func(n *nat) { n.names = nil },
		"a stranger": func(n *nat) { n.from = netip.MustParseAddrPort("198.51.100.66:3478") },
		"nonsense":   func(n *nat) { n.seen[server4] = netip.MustParseAddrPort("0.0.0.0:9") },
	} {
		synctest.Test(t, func(t *testing.T) {
			n := behind(t, map[netip.AddrPort]netip.AddrPort{server4: seen4})
			change(n)
			n.run(interval * 3)
			if len(n.changes) != 0 || n.logged.Len() != 1 || !strings.Contains(n.logged.All()[0].Message, "--node-ip") {
				t.Errorf("%s: %q, logged %v", name, n.changes, n.logged.All())
			}
		})
	}
}

func TestServer(t *testing.T) {
	for server, ok := range map[string]bool{"stun.example.org:3478": true, "[2001:db8::1]:19302": true, "stun.example.org": false, "x:70000": false} {
		if _, err := New(Config{Server: server}); (err == nil) != ok {
			t.Errorf("%s: %v", server, err)
		}
	}
}

func FuzzReceive(f *testing.F) {
	finder, err := New(Config{Server: "192.0.2.1:3478"})
	if err != nil {
		f.Fatal(err)
	}
	m := stun.MustBuild(stun.TransactionID, stun.BindingSuccess, &stun.XORMappedAddress{IP: seen4.Addr().AsSlice(), Port: 1})
	f.Add(m.Raw)
	f.Fuzz(func(t *testing.T, packet []byte) {
		q := question{server4, make(chan netip.AddrPort, 1)}
		if len(packet) >= 20 {
			finder.waiting = map[[stun.TransactionIDSize]byte]question{[stun.TransactionIDSize]byte(packet[8:20]): q}
		}
		finder.Receive(packet, server4)
		select {
		case a := <-q.answer:
			if !a.Addr().IsValid() || a.Port() == 0 {
				t.Errorf("found %s", a)
			}
		default:
		}
	})
}
