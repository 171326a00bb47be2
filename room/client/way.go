package client

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pion/webrtc/v4"

	"github.com/conclave-sfu/conclave/room/signal"
)

// Way is how media goes between a participant and the server.
type Way string

// The ways. By UDP is the usual one; the others are of networks that do not let it through.
const (
	ByUDP     Way = "udp"
	ByTCP     Way = "tcp"      // ICE over TCP (RFC 6544)
	ByTURN    Way = "turn-udp" // a relay (RFC 8656), reached by UDP
	ByTURNTCP Way = "turn-tcp" // by TCP
	ByTURNTLS Way = "turn-tls" // by TLS
)

// Valid says whether w is one of them, or empty, which is [ByUDP].
func (w Way) Valid() bool {
	return slices.Contains([]Way{"", ByUDP, ByTCP, ByTURN, ByTURNTCP, ByTURNTLS}, w)
}

// relayURL is how the URL of a relay begins and ends (RFC 7065) that is reached this way;
// empty if the way needs none.
func (w Way) relayURL() (scheme, transport string) {
	switch w {
	case ByTURN:
		return "turn:", "udp"
	case ByTURNTCP:
		return "turn:", "tcp"
	case ByTURNTLS:
		return "turns:", "tcp"
	}
	return "", ""
}

// networks are the kinds of candidates that the way has.
func (w Way) networks() []webrtc.NetworkType {
	if w == ByTCP {
		return []webrtc.NetworkType{webrtc.NetworkTypeTCP4, webrtc.NetworkTypeTCP6}
	}
	return []webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6}
}

// configuration is that of a PeerConnection which goes this way and no other, with those of
// the server's relays that are on it.
func (w Way) configuration(servers []signal.ICEServer) (webrtc.Configuration, error) {
	scheme, transport := w.relayURL()
	if scheme == "" {
		return webrtc.Configuration{}, nil
	}
	cfg := webrtc.Configuration{ICETransportPolicy: webrtc.ICETransportPolicyRelay}
	for _, s := range servers {
		urls := slices.DeleteFunc(slices.Clone(s.URLs), func(url string) bool {
			return !strings.HasPrefix(url, scheme) || !strings.HasSuffix(url, "?transport="+transport)
		})
		if len(urls) > 0 {
			cfg.ICEServers = append(cfg.ICEServers, webrtc.ICEServer{URLs: urls, Username: s.Username, Credential: s.Credential})
		}
	}
	if len(cfg.ICEServers) == 0 {
		return cfg, fmt.Errorf("%w: the server names no relay for %s", ErrConfig, w)
	}
	return cfg, nil
}
