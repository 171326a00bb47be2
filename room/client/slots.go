package client

import (
	"fmt"
	"slices"
	"time"

	"github.com/pion/webrtc/v4"
	"go.uber.org/zap"

	"github.com/conclave-sfu/conclave/room/signal"
)

// maxMediaFails is how many PeerConnections in a row may fail before the client ends.
const maxMediaFails = 5

// offerPause is the time in which a room allows one more offer.
const offerPause = 2 * time.Second

// mediaDue opens a PeerConnection if there is none, or sends again the offer that came
// too soon for the room.
func (l *loop) mediaDue() {
	switch {
	case l.media == nil:
		l.openMedia()
	case l.media.pending != nil && l.offerID == 0:
		l.sendOffer()
	}
}

// openMedia opens a PeerConnection and offers it.
func (l *loop) openMedia() {
	if l.media != nil {
		return
	}
	l.mediaNumber++
	number := l.mediaNumber
	m, err := newMedia(number, l.uplinks, l.cfg.Way, l.relays, &l.count, func(s webrtc.PeerConnectionState) { l.post(mediaState{number, s}) }, l.receive)
	if err != nil {
		l.finish(err)
		return
	}
	l.count.peerConnections.Add(1)
	l.media = m
	for i, t := range m.tracks {
		for _, e := range l.uplinks[i].layers {
			l.running.Go(func() { e.feedback(t.Sender()) })
		}
	}
	video, audio := l.needed()
	l.grow(max(video, l.cfg.VideoSlots), max(audio, l.cfg.AudioSlots))
}

// grow enlarges the pool and offers it.
func (l *loop) grow(video, audio int) {
	if err := l.media.grow(min(video, maxVideoSlots), min(audio, maxAudioSlots)); err != nil {
		l.failMedia(err)
		return
	}
	l.offer()
}

// offer makes an offer and sends it.
func (l *loop) offer() {
	if err := l.media.offer(); err != nil {
		l.failMedia(err)
		return
	}
	l.sendOffer()
}

// restartPause is how long ICE is disconnected before it restarts: it recovers from short
// gaps by itself.
const restartPause = 2 * time.Second

// restartMedia offers new ICE credentials for the same PeerConnection; one offer at a time.
// If that does not help, the PeerConnection fails and is replaced.
func (l *loop) restartMedia() {
	if l.media == nil || !l.connected || l.media.restart || l.media.restarting {
		return
	}
	l.count.restarts.Add(1)
	l.media.restart = true
	if l.media.pending == nil {
		l.offer()
	} // else the answer goes on
}

// sendOffer sends the pending offer, also again: after a connection was lost nobody
// knows whether the room has seen it.
func (l *loop) sendOffer() { l.offerID = l.send(l.media.pending) }

func (l *loop) answer(re uint32, a *signal.Answer) {
	if l.media == nil || a.Connection != l.media.number || re != l.offerID {
		return // of a PeerConnection or an offer that was replaced
	}
	l.offerID = 0
	if err := l.takeAnswer(a.SDP); err != nil {
		l.failMedia(err)
		return
	}
	if l.media.restart {
		l.offer()
	}
	l.unsettle(settleTime) // the pool may have to grow again
}

func (l *loop) takeAnswer(sdp string) error {
	if l.cfg.Route != nil {
		var err error
		if sdp, err = reroute(sdp, l.cfg.Route); err != nil {
			return err
		}
	}
	return l.media.answer(sdp)
}

// receive receives a slot, in a goroutine of Pion's: it is called when the slot's
// first packet is there.
func (l *loop) receive(pc *webrtc.PeerConnection, t *webrtc.TrackRemote, r *webrtc.RTPReceiver) {
	audio := t.Kind() == webrtc.RTPCodecTypeAudio
	var ask asker
	if !audio {
		ask = asker{lost: nackSender(pc, t), keyFrame: pliSender(pc, t)}
	}
	d := newDownlink(l.receiver, midOf(pc, r), audio, ask)
	l.running.Go(func() { d.run(remote{t}) })
}

// remote is a TrackRemote as a source of packets.
type remote struct{ *webrtc.TrackRemote }

func (r remote) Read(b []byte) (n int, repaired bool, err error) {
	n, attributes, err := r.TrackRemote.Read(b)
	return n, attributes.Get(webrtc.AttributeRtxSsrc) != nil, err
}

func (l *loop) mediaState(e mediaState) {
	if l.media == nil || e.number != l.media.number || l.leaving {
		return
	}
	l.cfg.Logger.Debug("media", zap.Stringer("state", e.state))
	switch e.state {
	case webrtc.PeerConnectionStateConnected:
		l.connected, l.mediaFails = true, 0
		l.restart.Stop()
		l.checkJoined()
	case webrtc.PeerConnectionStateDisconnected:
		l.restart.Reset(restartPause)
	case webrtc.PeerConnectionStateFailed, webrtc.PeerConnectionStateClosed:
		l.failMedia(fmt.Errorf("media %s", e.state))
	}
}

// demand has the uplinks send what somebody watches, and nothing else.
func (l *loop) demand(d *signal.Demand) {
	if l.media == nil || d.Connection != l.media.number {
		return
	}
	for _, s := range d.Sources {
		for _, u := range l.uplinks {
			if u.track.Source == s.Source {
				u.demand(&s)
			}
		}
	}
}

func (l *loop) mediaDown(d *signal.MediaDown) {
	if l.media != nil && d.Connection == l.media.number {
		l.failMedia(fmt.Errorf("media given up by the server: %s", d.Code))
	}
}

// failMedia replaces the PeerConnection, after a while.
func (l *loop) failMedia(err error) {
	l.closeMedia()
	l.mediaFails++
	l.cfg.Logger.Warn("media failed", zap.Error(err), zap.Int("times", l.mediaFails))
	if l.mediaFails > maxMediaFails {
		l.finish(fmt.Errorf("%w: %w", ErrUnreachable, err))
		return
	}
	l.mediaTimer.Reset(minBackoff << l.mediaFails)
}

// closeMedia closes the PeerConnection in the background; its slots end with it.
func (l *loop) closeMedia() {
	m := l.media
	if m == nil {
		return
	}
	l.media, l.connected, l.offerID = nil, false, 0
	l.restart.Stop()
	l.running.Go(func() { _ = m.pc.GracefulClose() })
}

// present takes what the room says of a participant.
func (l *loop) present(p signal.Participant) {
	if p.PID == signal.NewPID(l.pid) {
		return
	}
	if i := l.find(p.PID); i >= 0 {
		l.here[i] = p
	} else {
		l.here = append(l.here, p)
	}
	l.unsettle(settleTime)
}

func (l *loop) gone(pid signal.PID) {
	if i := l.find(pid); i >= 0 {
		l.here = slices.Delete(l.here, i, i+1)
		l.unsettle(settleTime)
	}
}

func (l *loop) find(pid signal.PID) int {
	return slices.IndexFunc(l.here, func(p signal.Participant) bool { return p.PID == pid })
}

// unsettle has settled called in a while, once for all that changes until then.
func (l *loop) unsettle(after time.Duration) {
	if !l.settling {
		l.settling = true
		l.settle.Reset(after)
	}
}

// settled tells the room what to show, and makes room for it.
func (l *loop) settled() {
	l.settling = false
	if l.conn == nil || !l.conn.ready {
		return
	}
	if wants := l.wants(); !slices.Equal(wants, l.viewed) {
		l.viewed = wants
		l.viewID = l.send(&signal.View{Wants: wants})
	}
	if l.media == nil || l.media.pending != nil {
		return // the answer calls again
	}
	video, audio := l.needed()
	if video > l.media.video || audio > l.media.audio {
		l.grow(max(roundUp(video), l.media.video), max(roundUp(audio), l.media.audio))
	}
}

// roundUp lets the pool grow by more than an offer for each who comes.
func roundUp(slots int) int { return (slots + slotStep - 1) / slotStep * slotStep }

func (l *loop) wants() []signal.Want {
	wants := l.cfg.View(slices.Clone(l.here))
	return wants[:min(len(wants), signal.MaxWants)]
}

// needed is how many slots those who are here take.
func (l *loop) needed() (video, audio int) {
	for _, p := range l.here {
		for _, pub := range p.Publications {
			if ctx, ok := contextOf(pub.Source); ok && ctx.Audio() {
				audio++
			}
		}
	}
	return min(len(l.wants()), maxVideoSlots), min(audio, maxAudioSlots)
}
