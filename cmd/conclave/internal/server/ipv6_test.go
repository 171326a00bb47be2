package server

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
	samples "github.com/pion/webrtc/v4/pkg/media"

	"github.com/conclave-sfu/conclave/sfu"
)

// TestRelayedByIPv6: media by a relay of IPv6 that is reached by IPv6, from a server that has nothing
// else. Pion's agent asks relays by IPv4 alone, so here its only socket is an allocation.
func TestRelayedByIPv6(t *testing.T) {
	heard := make(chan []byte, 1)
	s := startReach(t, func(c *Config) {
		c.Listen, c.Reach.Host = "[::1]:0", "::1"
		c.Media, c.NodeIPs = netip.AddrPortFrom(netip.IPv6Loopback(), 0), []netip.Addr{netip.IPv6Loopback()}
		c.Tap = func(p sfu.Tapped) {
			select {
			case heard <- append([]byte(nil), p.Payload...):
			default:
			}
		}
	})
	pc := newPeerConnection(t, relayedSocket(t, s))
	track, err := webrtc.NewTrackLocalStaticSample(webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2}, "a", "a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pc.AddTransceiverFromTrack(track, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly}); err != nil {
		t.Fatal(err)
	}
	connected := make(chan struct{})
	pc.OnConnectionStateChange(func(state webrtc.PeerConnectionState) {
		if state == webrtc.PeerConnectionStateConnected {
			close(connected)
		}
	})
	exchange(t, s, pc)
	<-connected
	for range time.Tick(20 * time.Millisecond) {
		if err := track.WriteSample(samples.Sample{Data: []byte("a frame by IPv6"), Duration: 20 * time.Millisecond}); err != nil {
			t.Fatal(err)
		}
		select {
		case payload := <-heard:
			if stats := s.reach.stats().turn; string(payload) != "a frame by IPv6" || stats.BytesUp == 0 || stats.BytesDown == 0 {
				t.Errorf("%q, %+v", payload, stats)
			}
			return
		default:
		}
	}
}

// relayedSocket is an allocation, by the media port.
func relayedSocket(t *testing.T, s *Server) net.PacketConn {
	t.Helper()
	conn, err := net.ListenUDP("udp6", &net.UDPAddr{IP: net.IPv6loopback})
	if err != nil {
		t.Fatal(err)
	}
	return allocate(t, s, conn, s.MediaAddr().String())
}

// newPeerConnection has one socket.
func newPeerConnection(t *testing.T, socket net.PacketConn) *webrtc.PeerConnection {
	t.Helper()
	var settings webrtc.SettingEngine
	settings.SetICEUDPMux(webrtc.NewICEUDPMux(nil, socket))
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP6})
	settings.SetIncludeLoopbackCandidate(true)
	codecs := &webrtc.MediaEngine{}
	if err := codecs.RegisterDefaultCodecs(); err != nil {
		t.Fatal(err)
	}
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(settings), webrtc.WithMediaEngine(codecs)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	return pc
}

// exchange negotiates a PeerConnection whose first section is a microphone.
func exchange(t *testing.T, s *Server, pc *webrtc.PeerConnection) {
	t.Helper()
	transport, err := s.media.Join("den", "alice", sfu.Events{})
	if err != nil {
		t.Fatal(err)
	}
	offer, err := pc.CreateOffer(nil)
	if err != nil {
		t.Fatal(err)
	}
	gathered := webrtc.GatheringCompletePromise(pc)
	if err := pc.SetLocalDescription(offer); err != nil {
		t.Fatal(err)
	}
	<-gathered
	answer, err := transport.Answer(t.Context(), sfu.Offer{Connection: 1, SDP: pc.LocalDescription().SDP, Sources: map[string]sfu.Source{"0": sfu.Mic}})
	if err != nil {
		t.Fatal(err)
	}
	if err := pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}); err != nil {
		t.Fatal(err)
	}
}
