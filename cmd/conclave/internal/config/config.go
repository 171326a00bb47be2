// Package config is the configuration of `conclave serve`: its flags, which are
// environment variables too, their checks, and what follows from them.
package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/bitrate"
	"github.com/conclave-sfu/conclave/room/signal"
)

// Serve holds the flags of `conclave serve`.
type Serve struct {
	Listen    string       `placeholder:"ADDR" help:"Address for pages and WebSockets, as host:port (default: :443 with HTTPS, :8080 without)."`
	MediaPort uint16       `placeholder:"N" default:"3478" help:"UDP port for all media; 0 lets the kernel choose (${default})."`
	NodeIP    []netip.Addr `placeholder:"IP" sep:"," help:"Address at which browsers reach the media port; repeat for several (default: the addresses of this machine)."`
	Admin     string       `placeholder:"ADDR" help:"Address for /metrics, /healthz and /debug/pprof (default: none). Keep it private."`

	HTTPS `embed:""`
	Reach `embed:""`

	PublicURL   string        `name:"public-url" placeholder:"URL" help:"Where browsers reach this server, as https://host (default: from --listen)."`
	AllowOrigin []string      `placeholder:"ORIGIN" sep:"," help:"Further origin whose pages may open WebSockets, as https://host; repeat for several."`
	Grace       time.Duration `default:"15s" help:"How long a participant that lost its connection keeps its place (${default})."`

	MLSSuite string `name:"mls-suite" enum:"0xF00E,0x0003,0x0001" default:"0xF00E" help:"MLS cipher suite of meetings that the web client begins from now on: 0xF00E (post-quantum), 0x0003 or 0x0001 (${default}). Links that exist keep theirs."`

	MaxRooms        int `placeholder:"N" default:"1000" help:"Most rooms at a time (${default})."`
	MaxParticipants int `placeholder:"N" default:"1000" help:"Most participants in a room, at most 1000 (${default})."`

	MaxTotalParticipants int          `placeholder:"N" default:"10000" help:"Most participants in all rooms, at most 10000; who comes then is told that the server is full (${default})."`
	MaxTotalBitrate      bitrate.Rate `placeholder:"RATE" default:"0" help:"While media of so many bits a second is sent in all, nobody new is let in; 0: no limit (${default})."`

	MaxIncomingBitrate bitrate.Rate `placeholder:"RATE" default:"20M" help:"Most media taken from a participant, in bits a second; 0: no limit (${default})."`
	MaxOutgoingBitrate bitrate.Rate `placeholder:"RATE" default:"50M" help:"Most media sent to a participant, in bits a second; 0: no limit (${default})."`

	MaxPerAddress     int  `placeholder:"N" default:"256" help:"Most connections from one IPv4 address or IPv6 /64 network; private addresses have no such limit (${default})."`
	TrustForwardedFor bool `help:"Take a connection's address from X-Forwarded-For. Only if nobody reaches the server but by a proxy that sets it."`

	LogLevel  string `enum:"debug,info,warn,error" default:"info" help:"Least severe level to log: debug, info, warn or error (${default})."`
	LogFormat string `enum:"console,json" default:"console" help:"Form of the log on standard error: console or json (${default})."`
}

// Bounds of --grace.
const (
	minGrace = time.Second
	maxGrace = 5 * time.Minute
)

// maxTotalParticipants is how many the forwarder takes at most (sfu), and the signalling (room/ws).
const maxTotalParticipants = 10000

// minBitrate bounds --max-incoming-bitrate, --max-outgoing-bitrate and --max-total-bitrate, in bits a second.
const minBitrate = 300_000

// Validate checks the flags against each other and themselves; the parser calls it.
// Its errors name the flag, its value and a value that would do.
func (s *Serve) Validate() error {
	if _, err := parseAddr("--listen", s.ListenAddr()); err != nil {
		return err
	}
	if err := s.HTTPS.validate(); err != nil {
		return err
	}
	if err := s.Reach.validate(); err != nil {
		return err
	}
	if err := s.validatePorts(); err != nil {
		return err
	}
	if s.TrustForwardedFor && len(s.ACMEDomain) > 0 {
		return errForwarded
	}
	if s.Admin != "" {
		if _, err := parseAddr("--admin", s.Admin); err != nil {
			return err
		}
	}
	for _, ip := range s.NodeIP {
		if ip.IsUnspecified() || ip.IsMulticast() {
			return fmt.Errorf("--node-ip %s: browsers cannot send to it; give the address at which they reach this machine", ip)
		}
	}
	if s.Grace < minGrace || s.Grace > maxGrace {
		return fmt.Errorf("--grace %s: must be from %s to %s", s.Grace, minGrace, maxGrace)
	}
	if err := s.validateLimits(); err != nil {
		return err
	}
	return s.validateOrigins()
}

func (s *Serve) validateLimits() error {
	if s.MaxRooms < 1 {
		return fmt.Errorf("--max-rooms %d: must be at least 1", s.MaxRooms)
	}
	if s.MaxParticipants < 1 || s.MaxParticipants > signal.MaxParticipants {
		return fmt.Errorf("--max-participants %d: must be from 1 to %d", s.MaxParticipants, signal.MaxParticipants)
	}
	if s.MaxTotalParticipants < 1 || s.MaxTotalParticipants > maxTotalParticipants {
		return fmt.Errorf("--max-total-participants %d: must be from 1 to %d", s.MaxTotalParticipants, maxTotalParticipants)
	}
	if s.MaxPerAddress < 1 {
		return fmt.Errorf("--max-per-address %d: must be at least 1", s.MaxPerAddress)
	}
	for flag, rate := range map[string]bitrate.Rate{
		"--max-incoming-bitrate": s.MaxIncomingBitrate, "--max-outgoing-bitrate": s.MaxOutgoingBitrate, "--max-total-bitrate": s.MaxTotalBitrate,
	} {
		if rate != 0 && rate < minBitrate {
			return fmt.Errorf("%s %d: must be at least %d, a voice and a small picture, or 0 for no limit", flag, rate, minBitrate)
		}
	}
	return nil
}

// validatePorts finds ports that are given twice: the system would say that another program has
// them.
func (s *Serve) validatePorts() error {
	if s.TURNPort != 0 && s.TURNPort == s.MediaPort {
		return fmt.Errorf("--turn-port %d: TURN is on the media port anyway; leave the flag out, or give another port", s.TURNPort)
	}
	own, _ := s.MediaTCP()
	if hp, err := parseAddr("--listen", s.ListenAddr()); own == 0 || err != nil || hp.port != own {
		return nil
	}
	if s.Enabled() {
		return fmt.Errorf("--media-tcp-port %d: the port of HTTPS takes media anyway; leave the flag out, or give another port", own)
	}
	return fmt.Errorf("--media-tcp-port %d: this is the port of --listen, which shares with media only if it speaks HTTPS; give another port", own)
}

func (s *Serve) validateOrigins() error {
	if s.PublicURL != "" {
		if _, err := parseOrigin("--public-url", s.PublicURL); err != nil {
			return err
		}
	}
	for _, o := range s.AllowOrigin {
		if _, err := parseOrigin("--allow-origin", o); err != nil {
			return err
		}
	}
	return nil
}

// Origins are the web origins (RFC 6454), beside a page's own, whose pages may open
// WebSockets: the public URL's and the allowed ones.
func (s *Serve) Origins() []string {
	var origins []string
	for _, raw := range append([]string{s.PublicURL}, s.AllowOrigin...) {
		if o, err := parseOrigin("", raw); err == nil {
			origins = append(origins, o)
		}
	}
	return origins
}

// ListenAddr is the address of pages and WebSockets.
func (s *Serve) ListenAddr() string { return ListenAddr(s.Listen, s.Enabled()) }

// URL is where a browser finds the server that listens on addr.
func (s *Serve) URL(addr net.Addr) string {
	if origin, err := parseOrigin("", s.PublicURL); err == nil {
		return origin
	}
	base, err := s.browserURL(addr.String())
	if err != nil {
		return s.scheme() + "://" + addr.String()
	}
	return base
}

func (s *Serve) scheme() string {
	if s.Enabled() {
		return "https"
	}
	return "http"
}

// LocalURL is where a program on this machine finds a server that listens on addr.
func LocalURL(addr string, https bool) (string, error) {
	hp, err := parseAddr("--listen", addr)
	if err != nil {
		return "", err
	}
	if hp.unspecified() {
		hp.host = "127.0.0.1"
	}
	scheme := "http"
	if https {
		scheme = "https"
	}
	return scheme + "://" + hp.String(), nil
}

// browserURL prefers names: localhost, which browsers hold for a secure context, and those
// of the certificate.
func (s *Serve) browserURL(addr string) (string, error) {
	hp, err := parseAddr("--listen", addr)
	if err != nil {
		return "", err
	}
	ip, err := netip.ParseAddr(hp.host)
	switch {
	case len(s.ACMEDomain) > 0:
		hp.host = s.ACMEDomain[0]
	case hp.unspecified() || (err == nil && ip.IsLoopback()):
		hp.host = "localhost"
	}
	if s.Enabled() && hp.port == 443 {
		return "https://" + hp.host, nil
	}
	return s.scheme() + "://" + hp.String(), nil
}

// hostPort is an address to listen on.
type hostPort struct {
	host string
	port uint16
}

func (hp hostPort) String() string { return net.JoinHostPort(hp.host, strconv.Itoa(int(hp.port))) }

func (hp hostPort) unspecified() bool {
	ip, err := netip.ParseAddr(hp.host)
	return hp.host == "" || (err == nil && ip.IsUnspecified())
}

func parseAddr(flag, addr string) (hostPort, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return hostPort{}, fmt.Errorf("%s %q: not host:port; try :8080 or 127.0.0.1:8080", flag, addr)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return hostPort{}, fmt.Errorf("%s %q: the port must be a number from 0 to 65535", flag, addr)
	}
	return hostPort{host: host, port: uint16(n)}, nil
}

// parseOrigin gives the origin of an http or https URL without a path.
func parseOrigin(flag, raw string) (string, error) {
	u, err := url.Parse(raw)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return "", fmt.Errorf("%s %q: not a web address; try https://meet.example.org", flag, raw)
	}
	if (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return "", fmt.Errorf("%s %q: only scheme, host and port may be given; Conclave serves at the root of its host", flag, raw)
	}
	return u.Scheme + "://" + u.Host, nil
}
