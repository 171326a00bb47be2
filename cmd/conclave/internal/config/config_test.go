package config

import (
	"bytes"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
)

// valid gives flags as the parser would by default.
func valid() Serve {
	return Serve{
		Listen: ":8080", MediaPort: 3478, Grace: 15 * time.Second, MaxRooms: 10, MaxParticipants: 1000, MaxTotalParticipants: 10000, MaxPerAddress: 1,
		LogLevel: "info", LogFormat: "console",
	}
}

func portOf(n uint16) *uint16 { return &n }

func TestValidate(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Serve)
		want   string // part of the error; empty: none
	}{
		{"defaults", func(*Serve) {}, ""},
		{"address without a port", func(s *Serve) { s.Listen = "localhost" }, `--listen "localhost"`},
		{"a bare port", func(s *Serve) { s.Listen = "8080" }, "try :8080"},
		{"port too high", func(s *Serve) { s.Listen = ":65536" }, "from 0 to 65535"},
		{"named port", func(s *Serve) { s.Listen = ":http" }, "must be a number"},
		{"IPv6", func(s *Serve) { s.Listen = "[::1]:0" }, ""},
		{"IPv6 without brackets", func(s *Serve) { s.Listen = "::1:80" }, "not host:port"},
		{"files", func(s *Serve) { s.TLSCert, s.TLSKey = "c", "k" }, ""},
		{"a certificate without a key", func(s *Serve) { s.TLSCert = "c" }, "give both"},
		{"a key without a certificate", func(s *Serve) { s.TLSKey = "k" }, "give both"},
		{"ACME", func(s *Serve) { s.ACMEDomain, s.ACMECache = []string{"meet.example.org"}, "d" }, ""},
		{"ACME without a cache", func(s *Serve) { s.ACMEDomain = []string{"meet.example.org"} }, "--acme-cache"},
		{"ACME for localhost", func(s *Serve) { s.ACMEDomain, s.ACMECache = []string{"localhost"}, "d" }, "full host name"},
		{"ACME for an address", func(s *Serve) { s.ACMEDomain, s.ACMECache = []string{"203.0.113.7"}, "d" }, "full host name"},
		{"ACME for a wildcard", func(s *Serve) { s.ACMEDomain, s.ACMECache = []string{"*.example.org"}, "d" }, "full host name"},
		{"ACME for a URL", func(s *Serve) { s.ACMEDomain, s.ACMECache = []string{"https://example.org"}, "d" }, "full host name"},
		{"ACME for a name with a dot at its end", func(s *Serve) { s.ACMEDomain, s.ACMECache = []string{"meet.example.org."}, "d" }, "full host name"},
		{"ACME and a proxy's word", func(s *Serve) {
			s.ACMEDomain, s.ACMECache, s.TrustForwardedFor = []string{"meet.example.org"}, "d", true
		}, "--trust-forwarded-for"},
		{"ACME and files", func(s *Serve) { s.ACMEDomain, s.TLSCert, s.TLSKey = []string{"meet.example.org"}, "c", "k" }, "one of them"},
		{"a cache alone", func(s *Serve) { s.ACMECache = "d" }, "without --acme-domain"},
		{"plain authority", func(s *Serve) {
			s.ACMEDomain, s.ACMECache, s.ACMEDirectory = []string{"meet.example.org"}, "d", "http://ca.example"
		}, "https://"},
		{"redirect without HTTPS", func(s *Serve) { s.HTTP = ":80" }, "without --tls-cert"},
		{"redirect off", func(s *Serve) { s.HTTP = "off" }, ""},
		{"bad redirect", func(s *Serve) { s.TLSCert, s.TLSKey, s.HTTP = "c", "k", "80" }, `--http "80"`},
		{"STUN server", func(s *Serve) { s.STUNServer = "stun.example.org" }, ""},
		{"STUN server without a host", func(s *Serve) { s.STUNServer = ":3478" }, `--stun-server ":3478"`},
		{"STUN server with a URL", func(s *Serve) { s.STUNServer = "stun:stun.example.org:3478" }, "try stun.example.org:3478"},
		{"TURN port", func(s *Serve) { s.TURN, s.TURNPort = true, 443 }, ""},
		{"TURN port without TURN", func(s *Serve) { s.TURNPort = 443 }, "--no-turn"},
		{"TURN port that is the media port", func(s *Serve) { s.TURN, s.TURNPort = true, 3478 }, "anyway"},
		{"media over TCP", func(s *Serve) { s.MediaTCPPort = portOf(4433) }, ""},
		{"no media over TCP", func(s *Serve) { s.MediaTCPPort, s.Listen = portOf(0), ":0" }, ""},
		{"media over TCP at the pages", func(s *Serve) { s.MediaTCPPort = portOf(8080) }, "only if it speaks HTTPS"},
		{"media over TCP at HTTPS", func(s *Serve) {
			s.TLSCert, s.TLSKey, s.Listen, s.MediaTCPPort = "c", "k", "", portOf(443)
		}, "leave the flag out"},
		{"admin", func(s *Serve) { s.Admin = "127.0.0.1:9090" }, ""},
		{"bad admin", func(s *Serve) { s.Admin = "yes" }, `--admin "yes"`},
		{"node address", func(s *Serve) { s.NodeIP = []netip.Addr{netip.MustParseAddr("203.0.113.7")} }, ""},
		{"unspecified node address", func(s *Serve) { s.NodeIP = []netip.Addr{netip.IPv4Unspecified()} }, "--node-ip 0.0.0.0"},
		{"multicast node address", func(s *Serve) { s.NodeIP = []netip.Addr{netip.MustParseAddr("ff02::1")} }, "--node-ip ff02::1"},
		{"no grace", func(s *Serve) { s.Grace = 0 }, "--grace 0s"},
		{"long grace", func(s *Serve) { s.Grace = time.Hour }, "--grace 1h0m0s"},
		{"no room", func(s *Serve) { s.MaxRooms = 0 }, "--max-rooms 0"},
		{"nobody", func(s *Serve) { s.MaxParticipants = 0 }, "--max-participants 0"},
		{"too many", func(s *Serve) { s.MaxParticipants = 1001 }, "from 1 to 1000"},
		{"nobody in all rooms", func(s *Serve) { s.MaxTotalParticipants = 0 }, "--max-total-participants 0"},
		{"too many in all rooms", func(s *Serve) { s.MaxTotalParticipants = 10001 }, "from 1 to 10000"},
		{"a thin line", func(s *Serve) { s.MaxTotalBitrate = 299_999 }, "--max-total-bitrate 299999"},
		{"a line", func(s *Serve) { s.MaxTotalBitrate = 500e6 }, ""},
		{"nobody from one address", func(s *Serve) { s.MaxPerAddress = 0 }, "--max-per-address 0"},
		{"no limit of media", func(s *Serve) { s.MaxIncomingBitrate, s.MaxOutgoingBitrate = 0, 0 }, ""},
		{"limits of media", func(s *Serve) { s.MaxIncomingBitrate, s.MaxOutgoingBitrate = 300_000, 1e9 }, ""},
		{"less than a picture taken", func(s *Serve) { s.MaxIncomingBitrate = 299_999 }, "--max-incoming-bitrate 299999"},
		{"less than a picture sent", func(s *Serve) { s.MaxOutgoingBitrate = 1 }, "--max-outgoing-bitrate 1"},
		{"public URL", func(s *Serve) { s.PublicURL = "https://meet.example.org/" }, ""},
		{"public URL without a scheme", func(s *Serve) { s.PublicURL = "meet.example.org" }, "try https://"},
		{"public URL with a path", func(s *Serve) { s.PublicURL = "https://example.org/meet" }, "root of its host"},
		{"origin of another scheme", func(s *Serve) { s.AllowOrigin = []string{"file:///x"} }, "--allow-origin"},
		{"any origin", func(s *Serve) { s.AllowOrigin = []string{"*"} }, "--allow-origin"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := valid()
			tt.change(&s)
			err := s.Validate()
			if tt.want == "" {
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("error %v, want one with %q", err, tt.want)
			}
		})
	}
}

func TestURL(t *testing.T) {
	tests := []struct{ public, listening, want string }{
		{"", "[::]:8080", "http://localhost:8080"},
		{"", "0.0.0.0:81", "http://localhost:81"},
		{"", "127.0.0.1:8080", "http://localhost:8080"},
		{"", "[::1]:8080", "http://localhost:8080"},
		{"", "192.0.2.1:8080", "http://192.0.2.1:8080"},
		{"", "[2001:db8::1]:8080", "http://[2001:db8::1]:8080"},
		{"https://meet.example.org/", "[::]:8080", "https://meet.example.org"},
	}
	for _, tt := range tests {
		s := Serve{PublicURL: tt.public}
		addr := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(tt.listening))
		if got := s.URL(addr); got != tt.want {
			t.Errorf("public %q, listening on %s: %s, want %s", tt.public, tt.listening, got, tt.want)
		}
	}
}

// TestHTTPSAddresses: what follows from the flags of HTTPS for listening and links.
func TestHTTPSAddresses(t *testing.T) {
	files, acme := HTTPS{TLSCert: "c", TLSKey: "k"}, HTTPS{ACMEDomain: []string{"meet.example.org"}}
	redirected := files
	redirected.HTTP = "127.0.0.1:8081"
	quiet := acme
	quiet.HTTP = "off"
	tests := []struct {
		flags              Serve
		listen, http, link string
	}{
		{Serve{}, ":8080", "", "http://localhost:8080"},
		{Serve{HTTPS: files}, ":443", ":80", "https://localhost"},
		{Serve{HTTPS: files, Listen: ":8443"}, ":8443", "", "https://localhost:8443"},
		{Serve{HTTPS: redirected, Listen: ":8443"}, ":8443", "127.0.0.1:8081", "https://localhost:8443"},
		{Serve{HTTPS: acme}, ":443", ":80", "https://meet.example.org"},
		{Serve{HTTPS: quiet}, ":443", "", "https://meet.example.org"},
		{Serve{HTTPS: acme, PublicURL: "https://other.example.org"}, ":443", ":80", "https://other.example.org"},
	}
	for _, tt := range tests {
		addr, err := net.ResolveTCPAddr("tcp", tt.flags.ListenAddr())
		if err != nil {
			t.Fatal(err)
		}
		if addr.IP == nil {
			addr.IP = net.IPv6unspecified
		}
		if listen, http, link := tt.flags.ListenAddr(), tt.flags.HTTPAddr(), tt.flags.URL(addr); listen != tt.listen || http != tt.http || link != tt.link {
			t.Errorf("%+v: listens on %q and %q, links to %s; want %q, %q, %s", tt.flags, listen, http, link, tt.listen, tt.http, tt.link)
		}
	}
}

func TestLocalURL(t *testing.T) {
	tests := []struct {
		listen string
		https  bool
		want   string
	}{
		{":8080", false, "http://127.0.0.1:8080"},
		{":443", true, "https://127.0.0.1:443"},
		{"0.0.0.0:8080", false, "http://127.0.0.1:8080"},
		{"[::]:8080", false, "http://127.0.0.1:8080"},
		{"192.0.2.1:80", false, "http://192.0.2.1:80"},
		{"localhost:80", false, "http://localhost:80"},
		{"8080", false, ""},
	}
	for _, tt := range tests {
		got, err := LocalURL(tt.listen, tt.https)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("LocalURL(%q, %t) = %q, %v, want %q", tt.listen, tt.https, got, err, tt.want)
		}
	}
}

func TestOrigins(t *testing.T) {
	s := Serve{PublicURL: "https://meet.example.org/", AllowOrigin: []string{"http://localhost:5173"}}
	if want := []string{"https://meet.example.org", "http://localhost:5173"}; !reflect.DeepEqual(s.Origins(), want) {
		t.Errorf("origins %q, want %q", s.Origins(), want)
	}
	if got := (&Serve{}).Origins(); got != nil {
		t.Errorf("origins %q of no flags", got)
	}
}

// stopped is a clock that does not go on.
type stopped struct{}

func (stopped) Now() time.Time                       { return time.UnixMilli(1_760_000_000_000) }
func (stopped) NewTicker(time.Duration) *time.Ticker { return nil }

// TestLogFlood: a message that comes without end is thinned out, others are not; at level
// debug all are there.
func TestLogFlood(t *testing.T) {
	for level, want := range map[string]int{"info": sampleFirst + (1000-sampleFirst)/sampleThen, "debug": 1000} {
		var out bytes.Buffer
		log, err := (&Serve{LogLevel: level, LogFormat: "json"}).Logger(&out)
		if err != nil {
			t.Fatal(err)
		}
		log = log.WithOptions(zap.WithClock(stopped{}))
		for range 1000 {
			log.Info("joined")
		}
		log.Info("stopping")
		if n := strings.Count(out.String(), "joined"); n != want || !strings.Contains(out.String(), "stopping") {
			t.Errorf("%s: %d lines of 1000, want %d", level, n, want)
		}
	}
}

func TestLogger(t *testing.T) {
	for _, format := range []string{"console", "json"} {
		var out bytes.Buffer
		s := Serve{LogLevel: "warn", LogFormat: format}
		log, err := s.Logger(&out)
		if err != nil {
			t.Fatal(err)
		}
		log.Info("quiet")
		log.Warn("loud", zap.Int("n", 3))
		if got := out.String(); strings.Contains(got, "quiet") || !strings.Contains(got, "loud") || strings.Count(got, "\n") != 1 {
			t.Errorf("%s: wrote %q", format, got)
		}
	}
	if _, err := (&Serve{LogLevel: "shout"}).Logger(&bytes.Buffer{}); err == nil {
		t.Error("a level that does not exist is taken")
	}
}
