package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
)

// Reach holds the flags about how participants reach the media port.
type Reach struct {
	STUNServer   string  `name:"stun-server" placeholder:"ADDR" help:"STUN server that is asked for the public address of the media port, as host:port, for a machine behind NAT."`
	TURN         bool    `name:"turn" default:"true" negatable:"" help:"Relay media for participants whose network lets no UDP through, to this server alone (${default})."`
	TURNPort     uint16  `name:"turn-port" placeholder:"N" help:"A further UDP port for TURN, for networks that let UDP out to few ports, as 443 (default: the media port alone)."`
	MediaTCPPort *uint16 `name:"media-tcp-port" placeholder:"N" help:"TCP port for media, for networks without UDP; 0: none (default: the port of HTTPS, if there is HTTPS)."`
}

var errNoTURN = errors.New("--turn-port does nothing with --no-turn")

func (r *Reach) validate() error {
	if !r.TURN && r.TURNPort != 0 {
		return errNoTURN
	}
	if r.STUNServer == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(r.STUNAddr())
	if n, bad := strconv.ParseUint(port, 10, 16); err != nil || host == "" || bad != nil || n == 0 {
		return fmt.Errorf("--stun-server %q: not host:port; try stun.example.org:3478", r.STUNServer)
	}
	return nil
}

// STUNAddr is the STUN server with its port, 3478 if none was given; empty if there is none.
func (r *Reach) STUNAddr() string {
	if r.STUNServer == "" || strings.Contains(strings.TrimPrefix(r.STUNServer, "["), ":") {
		return r.STUNServer
	}
	return net.JoinHostPort(strings.Trim(r.STUNServer, "[]"), "3478")
}

// MediaTCP says at which port of its own media is taken over TCP, 0 for none, and whether on
// that of HTTPS too.
func (r *Reach) MediaTCP() (port uint16, shared bool) {
	if r.MediaTCPPort == nil {
		return 0, true
	}
	return *r.MediaTCPPort, *r.MediaTCPPort != 0
}

// Host is the name or address by which browsers reach the server; empty if nothing says so.
func (s *Serve) Host() string {
	if u, err := url.Parse(s.PublicURL); err == nil && u.Hostname() != "" {
		return u.Hostname()
	}
	if len(s.ACMEDomain) > 0 {
		return s.ACMEDomain[0]
	}
	return ""
}
