package server

import (
	crand "crypto/rand"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/stun/v4"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/certs/certstest"
	"github.com/conclave-sfu/conclave/cmd/conclave/internal/loadtest"
	"github.com/conclave-sfu/conclave/e2ee"
	native "github.com/conclave-sfu/conclave/room/client"
	"github.com/conclave-sfu/conclave/sfu"
)

// trusted is a certificate that all clients of this process trust: they are native ones, with
// the system's roots.
var trusted certstest.Pair

func TestMain(m *testing.M) { os.Exit(withTrust(m.Run)) }

func withTrust(run func() int) int {
	dir, err := os.MkdirTemp("", "conclave-trust-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	t := &testing.T{}
	trusted = certstest.Make(t, "localhost")
	cert, _ := trusted.Write(t, dir)
	os.Setenv("SSL_CERT_FILE", cert) // before the first look at the system's roots
	return run()
}

// startReach runs a server with all ways in, at localhost.
func startReach(t *testing.T, change func(*Config)) *Server {
	t.Helper()
	return serve(t, create(t, func() Config {
		cfg := testConfig()
		cfg.TLS = trusted.Server(t)
		cfg.TLS.NextProtos = []string{"h2", "http/1.1"}
		cfg.Reach = Reach{Host: "127.0.0.1", TURN: true}
		if change != nil {
			change(&cfg)
		}
		return cfg
	}))
}

// meet holds a meeting whose media goes one way, and expects every frame to arrive.
func meet(t *testing.T, s *Server, scheme string, way native.Way) {
	t.Helper()
	link, err := e2ee.NewLink(crand.Reader, scheme+"://"+s.Addr().String(), "den")
	if err != nil {
		t.Fatal(err)
	}
	converse(t, link, way)
}

// converse has two send and one receive until each has had frames of all tracks of others.
func converse(t *testing.T, link e2ee.Link, way native.Way) {
	t.Helper()
	report, err := loadtest.Run(t.Context(), loadtest.Scenario{
		Link: link, Way: way, Publishers: 2, Subscribers: 1, Duration: time.Minute,
		Enough: func(now loadtest.Sighting) bool { return now.Missing == 0 },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := report.Verdict(); err != nil {
		t.Error(err)
	}
	if report.Subscriptions != report.Expected || report.FramesDecrypted == 0 {
		t.Errorf("%d of %d subscriptions, %d frames", report.Subscriptions, report.Expected, report.FramesDecrypted)
	}
}

// TestWays: media by the one port of HTTPS, and by relays, as in networks that let nothing
// else through.
func TestWays(t *testing.T) {
	for _, way := range []native.Way{native.ByUDP, native.ByTCP, native.ByTURN, native.ByTURNTLS} {
		t.Run(string(way), func(t *testing.T) {
			s := startReach(t, nil)
			meet(t, s, "https", way)
			stats := s.reach.stats()
			relayed := stats.turn.BytesUp > 0 && stats.turn.BytesDown > 0
			if relays := strings.HasPrefix(string(way), "turn"); relayed != relays {
				t.Errorf("relayed: %+v", stats.turn)
			}
			t.Logf("%+v", stats)
		})
	}
}

// TestWaysBesideAProxy: without HTTPS of its own the server has ports of its own for media.
func TestWaysBesideAProxy(t *testing.T) {
	for _, way := range []native.Way{native.ByTCP, native.ByTURN, native.ByTURNTCP} {
		t.Run(string(way), func(t *testing.T) {
			s := startReach(t, func(c *Config) {
				c.TLS = nil
				c.Reach.MediaTCPPort, c.Reach.TURNPort = freePort(t, "tcp"), freePort(t, "udp")
			})
			meet(t, s, "http", way)
		})
	}
}

// freePort is a port that nobody has had a moment ago. Somebody may be faster: see [create].
func freePort(t *testing.T, network string) uint16 {
	t.Helper()
	if network == "udp" {
		c, err := net.ListenPacket("udp", ":0")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		return uint16(c.LocalAddr().(*net.UDPAddr).Port)
	}
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return uint16(l.Addr().(*net.TCPAddr).Port)
}

// TestIPv6: a server that has nothing else, directly and over TCP. (Package turn
// has its own test of IPv6: Pion's agent asks relays by IPv4 alone.)
func TestIPv6(t *testing.T) {
	for _, way := range []native.Way{native.ByUDP, native.ByTCP} {
		t.Run(string(way), func(t *testing.T) {
			s := startReach(t, func(c *Config) {
				c.Listen = "[::1]:0"
				c.Media = netip.AddrPortFrom(netip.IPv6Loopback(), 0)
				c.NodeIPs = []netip.Addr{netip.IPv6Loopback()}
				c.Reach.Host = "::1"
			})
			meet(t, s, "https", way)
		})
	}
}

// TestDualStack: one socket for both families, each with all addresses of the machine.
func TestDualStack(t *testing.T) {
	for _, six := range []bool{true, false} {
		s := startReach(t, func(c *Config) {
			c.Media = netip.AddrPortFrom(netip.IPv6Unspecified(), 0)
			c.NodeIPs = addresses(t, six)
		})
		meet(t, s, "https", native.ByUDP)
	}
}

// addresses are those of the machine in one family, but for link-local ones.
func addresses(t *testing.T, six bool) (list []netip.Addr) {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is6() == six && !p.Addr().IsLinkLocalUnicast() {
			list = append(list, p.Addr())
		}
	}
	return list
}

// TestPublicAddress: a server behind NAT names how a STUN server sees its media port, and a
// relay takes that for the port.
func TestPublicAddress(t *testing.T) {
	socket, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	go answerAs(socket, &stun.XORMappedAddress{IP: net.IPv4(203, 0, 113, 7), Port: 40001})
	s := startReach(t, func(c *Config) { c.Reach.STUNServer = socket.LocalAddr().String() })
	media, pages := s.MediaAddr().Port(), uint16(s.Addr().(*net.TCPAddr).Port)
	public := netip.MustParseAddr("203.0.113.7")
	until(t, "the answer has come", func() bool {
		return slices.Contains(*s.reach.peers.Load(), netip.AddrPortFrom(public, 40001))
	})
	loopback := netip.MustParseAddr("127.0.0.1")
	s.reach.mu.Lock()
	defer s.reach.mu.Unlock()
	got := candidatesOf(s.media.LocalCandidates(), s.reach.public, media, s.reach.tcpPorts())
	want := []sfu.Candidate{
		{Addr: netip.AddrPortFrom(loopback, media)},
		{Addr: netip.AddrPortFrom(public, 40001)},
		{Addr: netip.AddrPortFrom(public, media)},
		{Addr: netip.AddrPortFrom(loopback, pages), TCP: true},
		{Addr: netip.AddrPortFrom(public, pages), TCP: true},
	}
	if !slices.Equal(got, want) {
		t.Errorf("candidates %v, want %v", got, want)
	}
}

// answerAs is a STUN server that sees everybody at one address.
func answerAs(socket *net.UDPConn, seen *stun.XORMappedAddress) {
	buffer := make([]byte, 1500)
	for {
		n, from, err := socket.ReadFrom(buffer)
		if err != nil {
			return
		}
		m := &stun.Message{Raw: buffer[:n]}
		if m.Decode() == nil {
			_, _ = socket.WriteTo(stun.MustBuild(stun.NewTransactionIDSetter(m.TransactionID), stun.BindingSuccess, seen).Raw, from)
		}
	}
}

// TestWelcomeNamesRelays: with a credential of the participant's own, if there is a name to
// reach them by.
func TestWelcomeNamesRelays(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Config)
		want   string // with P for HTTPS's port, M for the media port
	}{
		{"HTTPS", nil, "turn:127.0.0.1:M?transport=udp turns:127.0.0.1:P?transport=tcp"},
		{"IPv6", func(c *Config) { c.Reach.Host = "2001:db8::7" }, "turn:[2001:db8::7]:M?transport=udp turns:[2001:db8::7]:P?transport=tcp"},
		{"published elsewhere", func(c *Config) { c.PublicURL = "https://meet.example.org" }, "turn:127.0.0.1:M?transport=udp turns:127.0.0.1:443?transport=tcp"},
		{"behind a proxy", func(c *Config) { c.TLS, c.PublicURL = nil, "https://meet.example.org" }, "turn:127.0.0.1:M?transport=udp"},
		{"no TURN", func(c *Config) { c.Reach.TURN = false }, ""},
		{"no name", func(c *Config) { c.Reach.Host = "" }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := startReach(t, tt.change)
			servers := s.reach.iceServers("AAAAAAAAAAAAAAAAAAAAAA")
			want := strings.NewReplacer("M", fmt.Sprint(s.MediaAddr().Port()), "P", fmt.Sprint(s.Addr().(*net.TCPAddr).Port)).Replace(tt.want)
			if want == "" {
				if servers != nil {
					t.Errorf("%v", servers)
				}
				return
			}
			if got := strings.Join(servers[0].URLs, " "); got != want {
				t.Errorf("%s, want %s", got, want)
			}
			if !strings.HasSuffix(servers[0].Username, ":AAAAAAAAAAAAAAAAAAAAAA") || len(servers[0].Credential) < 40 {
				t.Errorf("%q", servers[0].Username)
			}
		})
	}
}

// TestCredentialsAreNotLogged, at the level that logs most.
func TestCredentialsAreNotLogged(t *testing.T) {
	core, logged := observer.New(zapcore.DebugLevel)
	s := startReach(t, func(c *Config) { c.TLS, c.Log = nil, zap.New(core) })
	c := open(t, s, "den")
	ready := c.hello()
	if len(ready.ICEServers) != 1 {
		t.Fatalf("%+v", ready)
	}
	for _, entry := range logged.All() {
		text, err := json.Marshal(entry.ContextMap())
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(entry.Message+string(text), ready.ICEServers[0].Credential) {
			t.Errorf("%s %s", entry.Message, text)
		}
	}
}

// TestNamelessIsTold: a certificate from files says nothing of the name that TURN needs.
func TestNamelessIsTold(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*Config)
		want   int
	}{
		"no name":  {func(c *Config) { c.Reach.Host = "" }, 1},
		"a name":   {func(*Config) {}, 0},
		"no relay": {func(c *Config) { c.Reach.Host, c.Reach.TURN = "", false }, 0},
		"no HTTPS": {func(c *Config) { c.Reach.Host, c.TLS = "", nil }, 0},
	} {
		core, logged := observer.New(zapcore.WarnLevel)
		startReach(t, func(c *Config) { c.Log = zap.New(core); tt.change(c) })
		if got := logged.FilterMessageSnippet("--public-url").Len(); got != tt.want {
			t.Errorf("%s: told %d times", name, got)
		}
	}
}

// TestUnreachableIsTold: the commonest mistake, in a container, is a line of the log.
func TestUnreachableIsTold(t *testing.T) {
	for _, tt := range []struct {
		host string
		ip   string
		want bool
	}{
		{"meet.example.org", "172.17.0.2", true}, {"203.0.113.7", "127.0.0.1", true},
		{"meet.example.org", "203.0.113.7", false}, {"localhost", "127.0.0.1", false}, {"10.0.0.7", "10.0.0.7", false}, {"", "10.0.0.7", false},
	} {
		core, logged := observer.New(zapcore.WarnLevel)
		startReach(t, func(c *Config) {
			c.Reach.Host, c.NodeIPs, c.Log = tt.host, []netip.Addr{netip.MustParseAddr(tt.ip)}, zap.New(core)
		})
		if got := logged.FilterMessageSnippet("--node-ip").Len() == 1; got != tt.want {
			t.Errorf("%s at %s: told %t", tt.host, tt.ip, got)
		}
	}
}
