package sfu

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"github.com/conclave-sfu/conclave/sfu/impair"
)

// patience ends a test that waits for what never comes. Nothing is measured by it.
const patience = time.Minute

func startNode(t testing.TB, change func(*Config)) *Node {
	t.Helper()
	cfg := Config{Listen: netip.MustParseAddrPort("127.0.0.1:0")}
	if change != nil {
		change(&cfg)
	}
	n, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// client is a participant: a Pion PeerConnection that offers.
type client struct {
	t         testing.TB
	name      string
	transport *Transport
	pc        *webrtc.PeerConnection
	number    uint32
	via       *impair.Relay     // that leads to the node; nil for none
	sources   map[string]Source // by mid
	sends     map[Source]*sendTrack

	published chan []Source
	slots     chan []Slot
	down      chan error
	connected chan struct{}

	last map[string]*rtp.Packet // of each slot, by mid; of awaitFrame

	mu       sync.Mutex
	received map[string]chan *rtp.Packet // by mid
}

// sendTrack is what a client publishes.
type sendTrack struct {
	*webrtc.TrackLocalStaticRTP
	sender *webrtc.RTPSender
	plis   chan struct{}
	seq    uint16
	stamp  uint32
}

func join(t testing.TB, n *Node, room, name string) *client {
	t.Helper()
	c := &client{
		t: t, name: name,
		published: make(chan []Source, 64), slots: make(chan []Slot, 64), down: make(chan error, 8),
	}
	transport, err := n.Join(room, name, Events{
		Published: func(s []Source) { c.published <- s },
		Slots:     func(_ uint32, s []Slot) { c.slots <- s },
		Down:      func(_ uint32, err error) { c.down <- err },
	})
	if err != nil {
		t.Fatal(err)
	}
	c.transport = transport
	t.Cleanup(func() {
		transport.Close()
		if c.pc != nil {
			_ = c.pc.GracefulClose()
		}
	})
	return c
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
	for _, uri := range []string{sdp.SDESMidURI, sdp.SDESRTPStreamIDURI, sdp.SDESRepairRTPStreamIDURI} {
		if err := m.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: uri}, webrtc.RTPCodecTypeVideo); err != nil {
			return nil, err
		}
	}
	return m, m.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: sdp.SDESMidURI}, webrtc.RTPCodecTypeAudio)
}

// clientAPI is that of a browser as far as the forwarder sees it. The tests' own
// interceptors come nearest to the network.
func clientAPI(t testing.TB, extra ...interceptor.Factory) *webrtc.API {
	t.Helper()
	media, err := newMediaEngine()
	if err != nil {
		t.Fatal(err)
	}
	registry := &interceptor.Registry{}
	for _, f := range extra {
		registry.Add(f)
	}
	if err := webrtc.RegisterDefaultInterceptors(media, registry); err != nil {
		t.Fatal(err)
	}
	if err := media.RegisterHeaderExtension(
		webrtc.RTPHeaderExtensionCapability{URI: sdp.AudioLevelURI}, webrtc.RTPCodecTypeAudio,
	); err != nil {
		t.Fatal(err)
	}
	return webrtc.NewAPI(
		webrtc.WithMediaEngine(media), webrtc.WithInterceptorRegistry(registry), webrtc.WithSettingEngine(loopback()))
}

// loopback has a client use no other addresses.
func loopback() (s webrtc.SettingEngine) {
	s.SetIncludeLoopbackCandidate(true)
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	s.SetIPFilter(func(ip net.IP) bool { return ip.IsLoopback() })
	return s
}

// open makes a new PeerConnection, without offering it.
func (c *client) open(api *webrtc.API) {
	c.t.Helper()
	pc, err := api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		c.t.Fatal(err)
	}
	if c.pc != nil {
		old := c.pc
		c.t.Cleanup(func() { _ = old.GracefulClose() })
	}
	c.pc, c.number = pc, c.number+1
	c.sources, c.sends = map[string]Source{}, map[Source]*sendTrack{}
	c.received, c.last = map[string]chan *rtp.Packet{}, map[string]*rtp.Packet{}
	connected := make(chan struct{})
	c.connected = connected
	var once sync.Once // a restart of ICE connects again
	pc.OnConnectionStateChange(func(s webrtc.PeerConnectionState) {
		if s == webrtc.PeerConnectionStateConnected {
			once.Do(func() { close(connected) })
		}
	})
	pc.OnTrack(func(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
		packets := c.packets(receiver.RTPTransceiver().Mid())
		var had arrivals
		for {
			p, attributes, err := track.ReadRTP()
			if err != nil {
				return
			}
			if again := attributes.Get(webrtc.AttributeRtxSsrc) != nil; had.isNew(p, again) {
				packets <- p
			}
		}
	})
}

// arrivals are the packets of a track that came, by their sequence numbers. Probes bring
// packets again, and Pion may read those first: a jitter buffer does not mind, these tests do.
type arrivals struct {
	stamps  map[uint16]uint32
	highest uint16
}

// isNew says whether p, which may be sent again, is to be looked at.
func (a *arrivals) isNew(p *rtp.Packet, again bool) bool {
	n := p.SequenceNumber
	if stamp, had := a.stamps[n]; had && stamp == p.Timestamp {
		return false
	}
	newest := a.stamps == nil || int16(n-a.highest) > 0
	if again && newest {
		return false // the first one is on its way
	}
	if a.stamps == nil {
		a.stamps = map[uint16]uint32{}
	}
	if newest {
		a.highest = n
	}
	a.stamps[n] = p.Timestamp
	return true
}

// packets are those received in a slot.
func (c *client) packets(mid string) chan *rtp.Packet {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.received[mid] == nil {
		c.received[mid] = make(chan *rtp.Packet, 4096)
	}
	return c.received[mid]
}

// publish adds a sendonly section.
func (c *client) publish(source Source) *sendTrack {
	c.t.Helper()
	mime := webrtc.MimeTypeVP8
	if source.Audio() {
		mime = webrtc.MimeTypeOpus
	}
	local, err := webrtc.NewTrackLocalStaticRTP(webrtc.RTPCodecCapability{MimeType: mime}, source.String(), c.name)
	if err != nil {
		c.t.Fatal(err)
	}
	tr, err := c.pc.AddTransceiverFromTrack(local, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
	if err != nil {
		c.t.Fatal(err)
	}
	s := &sendTrack{TrackLocalStaticRTP: local, sender: tr.Sender(), plis: make(chan struct{}, 64), seq: 65530, stamp: 1 << 31}
	c.sends[source] = s
	go s.readRTCP()
	return s
}

func (s *sendTrack) readRTCP() {
	for {
		packets, _, err := s.sender.ReadRTCP()
		if err != nil {
			return
		}
		for _, p := range packets {
			if _, ok := p.(*rtcp.PictureLossIndication); ok {
				s.plis <- struct{}{}
			}
		}
	}
}

// addSlots adds recvonly sections.
func (c *client) addSlots(audio, video int) {
	c.t.Helper()
	for kind, n := range map[webrtc.RTPCodecType]int{webrtc.RTPCodecTypeAudio: audio, webrtc.RTPCodecTypeVideo: video} {
		for range n {
			_, err := c.pc.AddTransceiverFromKind(kind, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
			if err != nil {
				c.t.Fatal(err)
			}
		}
	}
}

// offer is what the client offers now.
func (c *client) offer() Offer {
	c.t.Helper()
	gathered := webrtc.GatheringCompletePromise(c.pc)
	offer, err := c.pc.CreateOffer(nil)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.pc.SetLocalDescription(offer); err != nil {
		c.t.Fatal(err)
	}
	<-gathered
	for source, s := range c.sends {
		for _, tr := range c.pc.GetTransceivers() {
			if tr.Sender() == s.sender {
				c.sources[tr.Mid()] = source
			}
		}
	}
	return Offer{Connection: c.number, SDP: c.pc.LocalDescription().SDP, Sources: c.sources}
}

// negotiate offers and takes the answer.
func (c *client) negotiate() string {
	c.t.Helper()
	return c.take(c.offer())
}

// take has an offer answered, and takes the answer.
func (c *client) take(offer Offer) string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	answer, err := c.transport.Answer(ctx, offer)
	if err != nil {
		c.t.Fatal(err)
	}
	if c.via != nil {
		answer = through(answer, c.via, c.transport.room.node)
	}
	if err := c.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}); err != nil {
		c.t.Fatal(err)
	}
	return answer
}

// connect opens a PeerConnection with the given sections and waits until it stands.
func (c *client) connect(audio, video int, publish ...Source) {
	c.t.Helper()
	c.open(clientAPI(c.t))
	for _, s := range publish {
		c.publish(s)
	}
	c.addSlots(audio, video)
	c.negotiate()
	await(c.t, c.connected, "connected")
}

// begin publishes the first packets of a source and waits until they are seen.
func (c *client) begin(source Source) {
	c.t.Helper()
	s := c.sends[source]
	if source.Audio() {
		s.sound(c.t, 0)
	} else {
		s.frame(c.t, true, 1)
	}
	for {
		if slices.Contains(await(c.t, c.published, "published"), source) {
			return
		}
	}
}

// frame sends a frame of n packets, whose bytes all tell of where they are.
func (s *sendTrack) frame(t testing.TB, key bool, n int) []*rtp.Packet {
	t.Helper()
	s.stamp += 3000
	var sent []*rtp.Packet
	for i := range n {
		s.seq++
		first := byte(1)
		if key {
			first = 0
		}
		payload := []byte{0x80, 0x80, 0x80 | byte(s.seq>>8), byte(s.seq), 0xff, byte(i), byte(s.seq >> 8), byte(s.seq)}
		if i == 0 {
			payload[0] |= 0x10
			payload[4] = first
		}
		p := &rtp.Packet{
			Header:  rtp.Header{Version: 2, SequenceNumber: s.seq, Timestamp: s.stamp, Marker: i == n-1},
			Payload: payload,
		}
		if err := s.WriteRTP(p); err != nil {
			t.Fatal(err)
		}
		sent = append(sent, p)
	}
	return sent
}

// sound sends an audio packet of a loudness, in dB above the lowest.
func (s *sendTrack) sound(t testing.TB, loudness uint8) *rtp.Packet {
	t.Helper()
	s.seq++
	s.stamp += 960
	p := &rtp.Packet{
		Header:  rtp.Header{Version: 2, SequenceNumber: s.seq, Timestamp: s.stamp},
		Payload: []byte{byte(s.seq >> 8), byte(s.seq), 0xaa},
	}
	for _, e := range s.sender.GetParameters().HeaderExtensions {
		if e.URI == sdp.AudioLevelURI {
			if err := p.SetExtension(uint8(e.ID), []byte{127 - loudness}); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.WriteRTP(p); err != nil {
		t.Fatal(err)
	}
	return p
}

// await takes what a channel gives next.
func await[T any](t testing.TB, from <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("waited in vain for: %s", what)
		panic("unreachable")
	}
}

// awaitSlots waits until the slots carry exactly what is listed, in any order, and
// gives the mids by participant and source.
func (c *client) awaitSlots(want ...pubKey) map[pubKey]string {
	c.t.Helper()
	for {
		report := await(c.t, c.slots, c.name+"'s slots")
		got := map[pubKey]string{}
		for _, s := range report {
			got[pubKey{s.Participant, s.Source}] = s.MID
		}
		if len(got) == len(want) && !slices.ContainsFunc(want, func(k pubKey) bool { return got[k] == "" }) {
			return got
		}
	}
}

// watch wants the cameras of others, in this order.
func (c *client) watch(others ...string) {
	var wants []Want
	for _, name := range others {
		wants = append(wants, Want{Participant: name, Source: Camera, Width: 640, Height: 360})
	}
	c.transport.View(wants)
}

// layerTrack is one encoding of a simulcast.
type layerTrack struct {
	*webrtc.TrackLocalStaticRTP
	c     *client
	seq   uint16
	stamp uint32
}

// publishLayers adds a camera with several encodings.
func (c *client) publishLayers(rids ...string) map[string]*layerTrack {
	c.t.Helper()
	layers := map[string]*layerTrack{}
	var sender *webrtc.RTPSender
	for i, rid := range rids {
		local, err := webrtc.NewTrackLocalStaticRTP(
			webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeVP8}, "camera", c.name, webrtc.WithRTPStreamID(rid))
		if err != nil {
			c.t.Fatal(err)
		}
		layers[rid] = &layerTrack{TrackLocalStaticRTP: local, c: c, seq: uint16(i) * 20000, stamp: uint32(i) * 1e9}
		if i > 0 {
			if err := sender.AddEncoding(local); err != nil {
				c.t.Fatal(err)
			}
			continue
		}
		tr, err := c.pc.AddTransceiverFromTrack(local, webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionSendonly})
		if err != nil {
			c.t.Fatal(err)
		}
		sender = tr.Sender()
	}
	c.sends[Camera] = &sendTrack{sender: sender}
	return layers
}

// frame sends a frame of one packet: the key frame bit, the rid, and size bytes.
func (l *layerTrack) frame(t testing.TB, key bool, size int) {
	t.Helper()
	l.seq++
	l.stamp += 450
	first := byte(1)
	if key {
		first = 0
	}
	p := &rtp.Packet{
		Header:  rtp.Header{Version: 2, SequenceNumber: l.seq, Timestamp: l.stamp, Marker: true},
		Payload: append([]byte{0x10, first, l.RID()[0]}, make([]byte, size)...),
	}
	sender := l.c.sends[Camera].sender
	for _, tr := range l.c.pc.GetTransceivers() {
		if tr.Sender() != sender {
			continue
		}
		for _, e := range sender.GetParameters().HeaderExtensions {
			value := map[string]string{sdp.SDESMidURI: tr.Mid(), sdp.SDESRTPStreamIDURI: l.RID()}[e.URI]
			if value == "" {
				continue
			}
			if err := p.SetExtension(uint8(e.ID), []byte(value)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := l.WriteRTP(p); err != nil {
		t.Fatal(err)
	}
}
