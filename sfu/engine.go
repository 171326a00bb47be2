package sfu

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/nack"
	"github.com/pion/interceptor/pkg/report"
	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/logging"
	"github.com/pion/sdp/v3"
	"github.com/pion/transport/v4/packetio"
	"github.com/pion/webrtc/v4"
	"go.uber.org/zap"

	"github.com/conclave-sfu/conclave/sfu/batchconn"
)

// Times of a PeerConnection.
const (
	connectTimeout  = 20 * time.Second // from the answer until DTLS is done
	iceDisconnected = 5 * time.Second
	iceFailed       = 15 * time.Second // after iceDisconnected
	iceKeepAlive    = 2 * time.Second
	nackInterval    = 30 * time.Millisecond // between two requests to a publisher
	nacksPerPacket  = 10
)

// replayWindow of SRTP in packets. Retransmissions come on a stream of their own;
// what reordering there is fits well.
const replayWindow = 512

// newAPI configures Pion: one for the node; each PeerConnection has its own copy
// of the media engine and its own interceptors.
func newAPI(mux *udpMux, log *zap.Logger) (*webrtc.API, error) {
	media, err := newMediaEngine()
	if err != nil {
		return nil, err
	}
	interceptors, err := newInterceptors(media, pionLoggers{log})
	if err != nil {
		return nil, err
	}
	settings, err := newSettings(mux, log)
	if err != nil {
		return nil, err
	}
	return webrtc.NewAPI(
		webrtc.WithMediaEngine(media),
		webrtc.WithInterceptorRegistry(interceptors),
		webrtc.WithSettingEngine(settings),
	), nil
}

func newSettings(mux *udpMux, log *zap.Logger) (webrtc.SettingEngine, error) {
	s := webrtc.SettingEngine{LoggerFactory: pionLoggers{log}}
	s.SetLite(true)
	s.SetICEUDPMux(mux)
	s.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6})
	s.SetIncludeLoopbackCandidate(true)
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	s.SetICETimeouts(iceDisconnected, iceFailed, iceKeepAlive)
	// Only the order of the DTLS server counts, and GCM costs a sixth of CM.
	s.SetSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80)
	s.SetSRTPReplayProtectionWindow(replayWindow)
	s.BufferFactory = func(kind packetio.BufferPacketType, _ uint32) io.ReadWriteCloser {
		return newInbox(kind, mux.conn.Flush)
	}
	return s, s.SetAnsweringDTLSRole(webrtc.DTLSRoleServer)
}

// Payload types are those of the offer; these only have to differ.
const (
	payloadTypeOpus = 111
	payloadTypeVP8  = 96
	payloadTypeRTX  = 97
)

func newMediaEngine() (*webrtc.MediaEngine, error) {
	m := &webrtc.MediaEngine{}
	opus := webrtc.RTPCodecParameters{
		RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2,
			SDPFmtpLine: "minptime=10;useinbandfec=1",
		},
		PayloadType: payloadTypeOpus,
	}
	vp8 := webrtc.RTPCodecParameters{
		RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: webrtc.MimeTypeVP8, ClockRate: 90000,
			RTCPFeedback: []webrtc.RTCPFeedback{
				{Type: webrtc.TypeRTCPFBNACK},
				{Type: webrtc.TypeRTCPFBNACK, Parameter: "pli"},
				{Type: webrtc.TypeRTCPFBCCM, Parameter: "fir"},
			},
		},
		PayloadType: payloadTypeVP8,
	}
	rtx := webrtc.RTPCodecParameters{
		RTPCodecCapability: webrtc.RTPCodecCapability{
			MimeType: webrtc.MimeTypeRTX, ClockRate: 90000, SDPFmtpLine: fmt.Sprintf("apt=%d", payloadTypeVP8),
		},
		PayloadType: payloadTypeRTX,
	}
	if err := m.RegisterCodec(opus, webrtc.RTPCodecTypeAudio); err != nil {
		return nil, err
	}
	if err := m.RegisterCodec(vp8, webrtc.RTPCodecTypeVideo); err != nil {
		return nil, err
	}
	if err := m.RegisterCodec(rtx, webrtc.RTPCodecTypeVideo); err != nil {
		return nil, err
	}
	return m, registerExtensions(m)
}

// registerExtensions takes on the uplink what the forwarder reads and on the
// downlink the mid alone. The Dependency Descriptor is not negotiated at all: in a
// slot it would have to be rewritten at each switch, and on an uplink it makes
// Chromium leave the VP8 descriptor's temporal id 0.
func registerExtensions(m *webrtc.MediaEngine) error {
	up := webrtc.RTPTransceiverDirectionRecvonly
	down := webrtc.RTPTransceiverDirectionSendonly
	audio, video := webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo
	for _, e := range []struct {
		uri        string
		kinds      []webrtc.RTPCodecType
		directions []webrtc.RTPTransceiverDirection
	}{
		{sdp.SDESMidURI, []webrtc.RTPCodecType{audio, video}, []webrtc.RTPTransceiverDirection{up, down}},
		{sdp.SDESRTPStreamIDURI, []webrtc.RTPCodecType{video}, []webrtc.RTPTransceiverDirection{up}},
		{sdp.SDESRepairRTPStreamIDURI, []webrtc.RTPCodecType{video}, []webrtc.RTPTransceiverDirection{up}},
		{sdp.AudioLevelURI, []webrtc.RTPCodecType{audio}, []webrtc.RTPTransceiverDirection{up}},
		{sdp.TransportCCURI, []webrtc.RTPCodecType{audio, video}, []webrtc.RTPTransceiverDirection{up}},
	} {
		for _, kind := range e.kinds {
			capability := webrtc.RTPHeaderExtensionCapability{URI: e.uri}
			if err := m.RegisterHeaderExtension(capability, kind, e.directions...); err != nil {
				return err
			}
		}
	}
	return nil
}

// newInterceptors sets up the ingress: requests for lost packets, receiver
// reports, and transport-wide feedback. They see retransmission and probe packets
// that a track does not deliver. None of them touches what is sent.
func newInterceptors(m *webrtc.MediaEngine, log logging.LoggerFactory) (*interceptor.Registry, error) {
	feedback := webrtc.RTCPFeedback{Type: webrtc.TypeRTCPFBTransportCC}
	m.RegisterFeedback(feedback, webrtc.RTPCodecTypeVideo)
	m.RegisterFeedback(feedback, webrtc.RTPCodecTypeAudio)
	generator, err := nack.NewGeneratorInterceptor(
		nack.GeneratorInterval(nackInterval), nack.GeneratorMaxNacksPerPacket(nacksPerPacket),
		nack.WithGeneratorLoggerFactory(log))
	if err != nil {
		return nil, err
	}
	reports, err := report.NewReceiverInterceptor(report.WithReceiverLoggerFactory(log))
	if err != nil {
		return nil, err
	}
	congestion, err := twcc.NewSenderInterceptor(twcc.WithLoggerFactory(log))
	if err != nil {
		return nil, err
	}
	registry := &interceptor.Registry{}
	registry.Add(generator)
	registry.Add(reports)
	registry.Add(congestion)
	return registry, nil
}

// udpMux serves all PeerConnections on one socket, and says which addresses they
// are to name.
type udpMux struct {
	*ice.UDPMuxDefault
	conn      *batchconn.Conn
	socket    *net.UDPAddr
	addresses []netip.Addr
}

// listen opens the socket of all media.
func listen(cfg Config, log *zap.Logger) (*udpMux, error) {
	for _, ip := range cfg.NodeIPs {
		if !ip.IsValid() || ip.IsUnspecified() {
			return nil, fmt.Errorf("node address %s is none to be reached by", ip)
		}
	}
	network := "udp"
	if cfg.Listen.Addr().Is4() {
		network = "udp4"
	}
	socket, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(cfg.Listen))
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", cfg.Listen, err)
	}
	// The kernel gives less if its limits say so.
	_ = socket.SetReadBuffer(socketBuffer)
	_ = socket.SetWriteBuffer(socketBuffer)
	conn, err := batchconn.New(socket)
	if err != nil {
		return nil, errors.Join(err, socket.Close())
	}
	mux := ice.NewUDPMuxDefault(ice.UDPMuxParams{UDPConn: conn, Logger: pionLoggers{log}.NewLogger("mux")})
	return &udpMux{
		UDPMuxDefault: mux, conn: conn, socket: socket.LocalAddr().(*net.UDPAddr), addresses: cfg.NodeIPs,
	}, nil
}

// socketBuffer is what a burst of key frames to some hundred participants takes.
const socketBuffer = 4 << 20 // bytes

// GetListenAddresses are the addresses of the host candidates.
func (m *udpMux) GetListenAddresses() []net.Addr {
	addresses := m.addresses
	if len(addresses) == 0 {
		addresses = m.interfaceAddresses()
	}
	list := make([]net.Addr, len(addresses))
	for i, a := range addresses {
		list[i] = &net.UDPAddr{IP: a.Unmap().AsSlice(), Port: m.socket.Port}
	}
	return list
}

// GetConn gives a PeerConnection its part of the socket. Which address it names
// for it does not matter, but its family does.
func (m *udpMux) GetConn(ufrag string, named net.Addr) (net.PacketConn, error) {
	if !m.socket.IP.IsUnspecified() {
		named = m.socket
	}
	conn, err := m.UDPMuxDefault.GetConn(ufrag, named)
	if err != nil {
		return nil, err
	}
	return newCheckedConn(conn)
}

// interfaceAddresses are those that packets to the socket may come in by.
func (m *udpMux) interfaceAddresses() []netip.Addr {
	own, _ := netip.AddrFromSlice(m.socket.IP)
	if !own.IsUnspecified() {
		return []netip.Addr{own}
	}
	interfaces, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var list []netip.Addr
	for _, a := range interfaces {
		prefix, err := netip.ParsePrefix(a.String())
		if err != nil || prefix.Addr().IsLinkLocalUnicast() || own.Is4() && !prefix.Addr().Is4() {
			continue
		}
		list = append(list, prefix.Addr())
	}
	return list
}

// pionLoggers passes what Pion warns of to the debug level: participants can cause
// any of it.
type pionLoggers struct{ log *zap.Logger }

// NewLogger names a logger after a part of Pion.
func (l pionLoggers) NewLogger(scope string) logging.LeveledLogger {
	return pionLogger{l.log.Named(scope).Sugar()}
}

type pionLogger struct{ log *zap.SugaredLogger }

func (pionLogger) Trace(string)                       {}
func (pionLogger) Tracef(string, ...any)              {}
func (pionLogger) Debug(string)                       {}
func (pionLogger) Debugf(string, ...any)              {}
func (pionLogger) Info(string)                        {}
func (pionLogger) Infof(string, ...any)               {}
func (l pionLogger) Warn(text string)                 { l.log.Debug(text) }
func (l pionLogger) Warnf(format string, args ...any) { l.log.Debugf(format, args...) }
func (l pionLogger) Error(text string)                { l.log.Debug(text) }
func (l pionLogger) Errorf(format string, args ...any) {
	l.log.Debugf(format, args...)
}
