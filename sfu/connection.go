package sfu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/webrtc/v4"
	"go.uber.org/zap"

	"github.com/conclave-sfu/conclave/sfu/packetcache"
)

// maxReadErrors in a row end the reading of a stream. Single ones are packets that
// the other side made badly.
const maxReadErrors = 100

// connection is one PeerConnection of a transport.
type connection struct {
	// Immutable.
	transport *Transport
	number    uint32
	pc        *webrtc.PeerConnection

	// Guarded by the room's lock.
	ready        bool // DTLS is done: packets can be sent
	ended        bool
	reported     bool // the slots were reported once
	audio, video []*downTrack

	// Guarded by mu, a leaf.
	mu       sync.Mutex
	sections map[string]section // by mid
	clock    senderClock
	closing  bool
	readers  sync.WaitGroup
	timer    *time.Timer
}

func newConnection(t *Transport, number uint32) (*connection, error) {
	pc, err := t.room.node.api.NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return nil, err
	}
	c := &connection{transport: t, number: number, pc: pc, sections: map[string]section{}}
	pc.OnConnectionStateChange(c.stateChanged)
	pc.OnTrack(c.trackBegins)
	return c, nil
}

// mayBecome says whether a renegotiation keeps what its sections were: a mid that
// carries another source, or turns around, is refused.
func (c *connection) mayBecome(p plan) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range p.sections {
		was, ok := c.sections[s.mid]
		if !ok || s.direction == inactive || was.direction == inactive {
			continue
		}
		if was.direction != s.direction || was.kind != s.kind || was.source != s.source {
			return fmt.Errorf("mid %q was something else", s.mid)
		}
	}
	return nil
}

// negotiate answers an offer, and gives the slots that it adds.
func (c *connection) negotiate(ctx context.Context, p plan) (answer string, added []*downTrack, err error) {
	offer := webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: p.sdp}
	if err := c.pc.SetRemoteDescription(offer); err != nil {
		return "", nil, fmt.Errorf("%w: %w", ErrBadOffer, err)
	}
	if added, err = c.addSlots(p); err != nil {
		return "", nil, err
	}
	c.remember(p)
	local, err := c.pc.CreateAnswer(nil)
	if err != nil {
		return "", nil, fmt.Errorf("%w: create answer: %w", ErrBadOffer, err)
	}
	gathered := webrtc.GatheringCompletePromise(c.pc)
	if err := c.pc.SetLocalDescription(local); err != nil {
		return "", nil, fmt.Errorf("%w: set answer: %w", ErrBadOffer, err)
	}
	select {
	case <-gathered:
		return c.pc.LocalDescription().SDP, bound(added), nil
	case <-ctx.Done():
		return "", nil, ctx.Err()
	}
}

func (c *connection) remember(p plan) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range p.sections {
		c.sections[s.mid] = s
	}
}

// addSlots adds a track for each recvonly section that has none. AddTrack takes the
// first transceiver of the kind without a sender, so they are taken in that order.
func (c *connection) addSlots(p plan) ([]*downTrack, error) {
	wanted := map[string]section{}
	for _, s := range p.sections {
		if s.direction == recvonly {
			wanted[s.mid] = s
		}
	}
	var added []*downTrack
	for _, transceiver := range c.pc.GetTransceivers() {
		s, ok := wanted[transceiver.Mid()]
		if !ok || transceiver.Sender() != nil {
			continue
		}
		track := newSlotTrack(s)
		sender, err := c.pc.AddTrack(track)
		if err != nil {
			return nil, fmt.Errorf("add slot %q: %w", s.mid, err)
		}
		if transceiver.Sender() != sender {
			return nil, fmt.Errorf("add slot %q: another transceiver took the track", s.mid)
		}
		added = append(added, track.down)
		c.start(func() { c.readFeedback(sender, track.down) })
	}
	return added, nil
}

// bound leaves out slots that got no codec: the participant takes none that is
// forwarded.
func bound(slots []*downTrack) []*downTrack {
	var list []*downTrack
	for _, d := range slots {
		if d.writer != nil {
			list = append(list, d)
		}
	}
	return list
}

// start runs f, which ends when the PeerConnection does, and is waited for by close.
func (c *connection) start(f func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closing {
		c.readers.Go(f)
	}
}

// expectConnected gives the PeerConnection its time to connect.
func (c *connection) expectConnected() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closing {
		patience := c.transport.room.node.patience
		c.timer = time.AfterFunc(patience, func() {
			if !c.transport.room.isReady(c) {
				c.fail(fmt.Errorf("not connected after %s", patience))
			}
		})
	}
}

func (c *connection) stateChanged(state webrtc.PeerConnectionState) {
	switch state {
	case webrtc.PeerConnectionStateConnected:
		c.transport.room.connected(c)
	case webrtc.PeerConnectionStateFailed:
		c.fail(errors.New("ICE or DTLS failed"))
	case webrtc.PeerConnectionStateClosed:
		c.fail(errors.New("closed by the participant"))
	}
}

// fail ends the connection and reports it, unless it has ended already.
func (c *connection) fail(cause error) {
	t := c.transport
	if !t.room.endConnection(c) {
		return
	}
	t.room.node.log.Debug("media down", zap.String("room", t.room.id),
		zap.String("participant", t.participant), zap.Uint32("connection", c.number), zap.Error(cause))
	t.events.isDown(c.number, fmt.Errorf("connection %d: %w: %w", c.number, ErrMediaFailed, cause))
	c.closeLater()
}

// closeLater tears the PeerConnection down in the background: callbacks of it may
// call this.
func (c *connection) closeLater() { c.transport.room.node.background.Go(c.close) }

func (c *connection) close() {
	c.mu.Lock()
	c.closing = true
	if c.timer != nil {
		c.timer.Stop()
	}
	c.mu.Unlock()
	if err := c.pc.GracefulClose(); err != nil {
		c.transport.room.node.log.Debug("close", zap.Error(err))
	}
	c.readers.Wait()
}

// trackBegins is called with the first packet of a stream.
func (c *connection) trackBegins(track *webrtc.TrackRemote, receiver *webrtc.RTPReceiver) {
	c.mu.Lock()
	s, ok := c.sections[receiver.RTPTransceiver().Mid()]
	c.mu.Unlock()
	if !ok || s.direction != sendonly {
		return
	}
	u := c.newUpTrack(track, s)
	c.start(func() {
		if !c.transport.room.addLayer(c, s.source, u) {
			return
		}
		c.start(func() { c.readReports(receiver, u) })
		c.readPackets(track, u)
		c.transport.room.removeLayer(c, s.source, u)
	})
}

func (c *connection) newUpTrack(track *webrtc.TrackRemote, s section) *upTrack {
	u := newUpTrack(s.kind == videoKind, uint32(track.SSRC()))
	u.rid = track.RID()
	u.format = &uplinkFormat{levelExtension: s.extensions.level, rids: s.rids}
	for i := range u.format.codecs {
		u.format.codecs[i] = codecOpus
		if u.video {
			u.format.codecs[i] = codecVP8
		}
	}
	u.askKeyFrame, u.wake = c.askKeyFrame, c.transport.room.wake
	u.flush = c.transport.room.node.mux.conn.Flush
	if tap := c.transport.room.node.tap; tap != nil {
		room, participant := c.transport.room.id, c.transport.participant
		u.tap = func(payload []byte) { tap(Tapped{room, participant, s.source, payload}) }
	}
	return u
}

func (c *connection) askKeyFrame(ssrc uint32) {
	_ = c.pc.WriteRTCP([]rtcp.Packet{&rtcp.PictureLossIndication{MediaSSRC: ssrc}})
}

// readPackets forwards the packets of a stream until it ends.
func (c *connection) readPackets(track *webrtc.TrackRemote, u *upTrack) {
	if u.cache != nil {
		defer u.cache.Close()
	}
	p := packetcache.New()
	defer func() { p.Release() }()
	for failures := 0; failures < maxReadErrors; {
		n, _, err := track.Read(p.Buffer[:])
		switch {
		case errors.Is(err, io.ErrShortBuffer):
			u.counters.drop(dropOversized)
		case c.isOver(err):
			return
		case err != nil:
			failures++
			u.counters.drop(dropMalformed)
			continue
		default:
			if u.receive(p, n, c.transport.room.node.now()) {
				p = packetcache.New()
			}
		}
		failures = 0
	}
}

// readReports takes the sender reports of a stream until it ends.
func (c *connection) readReports(receiver *webrtc.RTPReceiver, u *upTrack) {
	c.readRTCP(func() ([]rtcp.Packet, error) {
		if u.rid != "" {
			packets, _, err := receiver.ReadSimulcastRTCP(u.rid)
			return packets, err
		}
		packets, _, err := receiver.ReadRTCP()
		return packets, err
	}, func(packets []rtcp.Packet, now int64) {
		for _, packet := range packets {
			if sr, ok := packet.(*rtcp.SenderReport); ok && sr.SSRC == u.ssrc {
				c.mu.Lock()
				at := c.clock.report(sr.NTPTime, now)
				c.mu.Unlock()
				u.senderReport(sr, at)
			}
		}
	})
}

// readFeedback takes what the receiver of a slot reports until it ends.
func (c *connection) readFeedback(sender *webrtc.RTPSender, d *downTrack) {
	c.readRTCP(func() ([]rtcp.Packet, error) {
		packets, _, err := sender.ReadRTCP()
		return packets, err
	}, d.feedback)
}

func (c *connection) readRTCP(read func() ([]rtcp.Packet, error), take func([]rtcp.Packet, int64)) {
	for failures := 0; failures < maxReadErrors; {
		packets, err := read()
		switch {
		case c.isOver(err):
			return
		case err != nil:
			failures++
		default:
			failures = 0
			take(packets, c.transport.room.node.now())
		}
	}
}

// isOver says whether an error of reading means that the stream has ended.
func (c *connection) isOver(err error) bool {
	if err == nil {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closing || errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe)
}
