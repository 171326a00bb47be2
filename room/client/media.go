package client

import (
	"fmt"
	"net"
	"sync"

	"github.com/pion/dtls/v3"
	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/interceptor/pkg/nack"
	"github.com/pion/interceptor/pkg/report"
	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/logging"
	"github.com/pion/sdp/v3"
	"github.com/pion/transport/v4"
	"github.com/pion/transport/v4/stdnet"
	"github.com/pion/webrtc/v4"

	"github.com/conclave-sfu/conclave/e2ee/framecrypt"
	"github.com/conclave-sfu/conclave/room/signal"
)

// Payload types, as Chromium numbers them.
const (
	payloadVP8    = 96
	payloadVP8RTX = 97
	payloadOpus   = 111
)

// socketBuffer is the receive buffer that a media socket asks for, in bytes: the
// kernel's default holds under 100 packets, which a key frame of each of a few
// senders fills.
const socketBuffer = 1 << 20

var (
	opusCapability = webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2,
		SDPFmtpLine: "minptime=10;useinbandfec=1",
	}
	vp8Capability = webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeVP8, ClockRate: 90000,
		RTCPFeedback: []webrtc.RTCPFeedback{
			{Type: "ccm", Parameter: "fir"}, {Type: "nack"}, {Type: "nack", Parameter: "pli"},
		},
	}
	rtxCapability = webrtc.RTPCodecCapability{
		MimeType: webrtc.MimeTypeRTX, ClockRate: 90000, SDPFmtpLine: fmt.Sprintf("apt=%d", payloadVP8),
	}
)

func capabilityOf(c framecrypt.Codec) webrtc.RTPCodecCapability {
	if c.Audio() {
		return opusCapability
	}
	return vp8Capability
}

// newAPI builds what a PeerConnection that goes one way is made from. What it finds out of
// its uplink goes to t.
func newAPI(t *transportCC, way Way) (*webrtc.API, error) {
	codecs, err := newCodecs()
	if err != nil {
		return nil, err
	}
	settings, err := newSettings()
	if err != nil {
		return nil, err
	}
	settings.SetNetworkTypes(way.networks())
	interceptors, err := newInterceptors(t)
	if err != nil {
		return nil, err
	}
	return webrtc.NewAPI(webrtc.WithMediaEngine(codecs), webrtc.WithInterceptorRegistry(interceptors),
		webrtc.WithSettingEngine(settings)), nil
}

// newCodecs knows VP8 with retransmission, Opus, and the header extensions of both. The
// process needs one: each PeerConnection has a copy.
var newCodecs = sync.OnceValues(func() (*webrtc.MediaEngine, error) {
	codecs := &webrtc.MediaEngine{}
	for _, c := range []struct {
		webrtc.RTPCodecParameters
		kind webrtc.RTPCodecType
	}{
		{webrtc.RTPCodecParameters{RTPCodecCapability: opusCapability, PayloadType: payloadOpus}, webrtc.RTPCodecTypeAudio},
		{webrtc.RTPCodecParameters{RTPCodecCapability: vp8Capability, PayloadType: payloadVP8}, webrtc.RTPCodecTypeVideo},
		{webrtc.RTPCodecParameters{RTPCodecCapability: rtxCapability, PayloadType: payloadVP8RTX}, webrtc.RTPCodecTypeVideo},
	} {
		if err := codecs.RegisterCodec(c.RTPCodecParameters, c.kind); err != nil {
			return nil, fmt.Errorf("register %s: %w", c.MimeType, err)
		}
	}
	audio, video := webrtc.RTPCodecTypeAudio, webrtc.RTPCodecTypeVideo
	for _, kind := range []webrtc.RTPCodecType{audio, video} {
		codecs.RegisterFeedback(webrtc.RTCPFeedback{Type: webrtc.TypeRTCPFBTransportCC}, kind)
	}
	for _, e := range []struct {
		uri   string
		kinds []webrtc.RTPCodecType
	}{
		{sdp.SDESMidURI, []webrtc.RTPCodecType{audio, video}},
		{sdp.TransportCCURI, []webrtc.RTPCodecType{audio, video}},
		{sdp.AudioLevelURI, []webrtc.RTPCodecType{audio}},
		{sdp.SDESRTPStreamIDURI, []webrtc.RTPCodecType{video}},
		{sdp.SDESRepairRTPStreamIDURI, []webrtc.RTPCodecType{video}},
	} {
		for _, kind := range e.kinds {
			if err := codecs.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: e.uri}, kind); err != nil {
				return nil, fmt.Errorf("register %s: %w", e.uri, err)
			}
		}
	}
	return codecs, nil
})

// newInterceptors gives sender and receiver reports, transport-wide feedback of both
// directions, and answers to NACKs on the uplink. What a slot lacks, its downlink asks
// for itself: it alone knows what was repaired.
func newInterceptors(t *transportCC) (*interceptor.Registry, error) {
	r := &interceptor.Registry{}
	senders, err := report.NewSenderInterceptor()
	if err != nil {
		return nil, fmt.Errorf("make sender reports: %w", err)
	}
	receivers, err := report.NewReceiverInterceptor()
	if err != nil {
		return nil, fmt.Errorf("make receiver reports: %w", err)
	}
	responder, err := nack.NewResponderInterceptor()
	if err != nil {
		return nil, fmt.Errorf("make a NACK responder: %w", err)
	}
	feedback, err := twcc.NewSenderInterceptor(twcc.WithLoggerFactory(quiet{}))
	if err != nil {
		return nil, fmt.Errorf("make transport-wide feedback: %w", err)
	}
	// What is added first is nearest to the network.
	for _, f := range []interceptor.Factory{t, senders, receivers, feedback, responder} {
		r.Add(f)
	}
	return r, nil
}

var newSettings = sync.OnceValues(func() (webrtc.SettingEngine, error) {
	var s webrtc.SettingEngine
	std, err := stdnet.NewNet()
	if err != nil {
		return s, fmt.Errorf("list the network interfaces: %w", err)
	}
	s.SetNet(bufferedNet{std})
	s.SetIncludeLoopbackCandidate(true)
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	s.SetSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80)
	s.LoggerFactory = quiet{}
	return s, nil
})

// bufferedNet gives its UDP sockets a larger receive buffer.
type bufferedNet struct{ transport.Net }

func (n bufferedNet) ListenUDP(network string, addr *net.UDPAddr) (transport.UDPConn, error) {
	conn, err := n.Net.ListenUDP(network, addr)
	if err == nil {
		_ = conn.SetReadBuffer(socketBuffer) // the kernel may grant less
	}
	return conn, err
}

// quiet keeps Pion's log to itself: what matters of it reaches us as states.
type quiet struct{}

func (quiet) NewLogger(string) logging.LeveledLogger {
	return logging.NewDefaultLeveledLoggerForScope("", logging.LogLevelDisabled, nil)
}

// media is one PeerConnection: sendonly for each uplink, and a pool of slots.
type media struct {
	// Immutable.
	number  uint32 // signal.Offer.Connection
	pc      *webrtc.PeerConnection
	uplinks []*uplink
	tracks  []*webrtc.RTPTransceiver // of the uplinks

	// Owned by the loop.
	video, audio int           // slots
	pending      *signal.Offer // not answered yet; nil if there is none
	restart      bool          // the next offer is to restart ICE
	restarting   bool          // the pending one does
}

// newMedia opens a PeerConnection. onState and onTrack are called from Pion's
// goroutines.
func newMedia(number uint32, uplinks []*uplink, way Way, relays []signal.ICEServer, count *counters, onState func(webrtc.PeerConnectionState),
	onTrack func(*webrtc.PeerConnection, *webrtc.TrackRemote, *webrtc.RTPReceiver)) (*media, error) {
	c := newCongestion(mostLayers(uplinks), count)
	api, err := newAPI(&transportCC{congestion: c, layers: placesOf(uplinks)}, way)
	if err != nil {
		return nil, err
	}
	cfg, err := way.configuration(relays)
	if err != nil {
		return nil, err
	}
	pc, err := api.NewPeerConnection(cfg)
	if err != nil {
		return nil, fmt.Errorf("open a PeerConnection: %w", err)
	}
	m := &media{number: number, pc: pc, uplinks: uplinks}
	pc.OnConnectionStateChange(onState)
	pc.OnTrack(func(t *webrtc.TrackRemote, r *webrtc.RTPReceiver) { onTrack(pc, t, r) })
	for _, u := range uplinks {
		u.demand(nil)
		u.path.Store(c)
		t, err := addUplink(pc, u)
		if err != nil {
			_ = pc.Close()
			return nil, fmt.Errorf("add %s to the PeerConnection: %w", u.track.Source, err)
		}
		m.tracks = append(m.tracks, t)
	}
	return m, nil
}

// addUplink adds a sendonly section, with all encodings.
func addUplink(pc *webrtc.PeerConnection, u *uplink) (*webrtc.RTPTransceiver, error) {
	init := webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly}
	t, err := pc.AddTransceiverFromTrack(u.layers[0].local, init)
	for _, e := range u.layers[1:] {
		if err == nil {
			err = t.Sender().AddEncoding(e.local)
		}
	}
	return t, err
}

// placesOf gives the places of the layers by their rids.
func placesOf(uplinks []*uplink) map[string]int {
	places := make(map[string]int)
	for _, u := range uplinks {
		for _, e := range u.layers {
			places[e.RID] = e.place
		}
	}
	return places
}

func mostLayers(uplinks []*uplink) int {
	most := 1
	for _, u := range uplinks {
		most = max(most, len(u.layers))
	}
	return most
}

// grow makes the pool at least as large as said.
func (m *media) grow(video, audio int) error {
	for ; m.audio < audio; m.audio++ {
		if err := m.addSlot(webrtc.RTPCodecTypeAudio); err != nil {
			return err
		}
	}
	for ; m.video < video; m.video++ {
		if err := m.addSlot(webrtc.RTPCodecTypeVideo); err != nil {
			return err
		}
	}
	return nil
}

func (m *media) addSlot(kind webrtc.RTPCodecType) error {
	_, err := m.pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
	if err != nil {
		return fmt.Errorf("add a slot for %s: %w", kind, err)
	}
	return nil
}

// offer makes the pending offer, of all there is. It names no candidates: the
// forwarder is ICE-lite and answers whoever checks.
func (m *media) offer() error {
	sdp, err := m.pc.CreateOffer(&webrtc.OfferOptions{ICERestart: m.restart})
	m.restart, m.restarting = false, m.restart
	if err == nil {
		err = m.pc.SetLocalDescription(sdp)
	}
	if err != nil {
		return fmt.Errorf("make an offer: %w", err)
	}
	offer := &signal.Offer{Connection: m.number, SDP: sdp.SDP}
	for i, t := range m.tracks {
		offer.Tracks = append(offer.Tracks, signal.OfferTrack{MID: t.Mid(), Source: m.uplinks[i].track.Source})
	}
	m.pending = offer
	return nil
}

func (m *media) answer(sdp string) error {
	err := m.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: sdp})
	if err != nil {
		return fmt.Errorf("take the answer: %w", err)
	}
	m.pending, m.restarting = nil, false
	for i, t := range m.tracks {
		m.uplinks[i].labels.Store(labelsOf(t))
	}
	return nil
}

// midOf finds the slot that a receiver belongs to.
func midOf(pc *webrtc.PeerConnection, receiver *webrtc.RTPReceiver) string {
	for _, t := range pc.GetTransceivers() {
		if t.Receiver() == receiver {
			return t.Mid()
		}
	}
	return ""
}
