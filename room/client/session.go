package client

import (
	"crypto/ed25519"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/conclave-sfu/conclave/e2ee"
	"github.com/conclave-sfu/conclave/room/signal"
)

// post is an entry that the session wants in the log and the room has not answered.
type post struct{ seq, id uint32 }

// step gives the session an input and does what it says.
func (l *loop) step(in e2ee.Input) {
	for inputs := []e2ee.Input{in}; len(inputs) > 0; inputs = inputs[1:] {
		if err := l.session.Step(time.Now(), inputs[0]); err != nil {
			l.cfg.Logger.Error("session refused an input", zap.String("input", fmt.Sprintf("%T", inputs[0])), zap.Error(err))
		}
		for {
			out, ok := l.session.Poll()
			if !ok {
				break
			}
			if answer := l.perform(out); answer != nil {
				inputs = append(inputs, answer)
			}
		}
	}
	l.schedule()
	if l.ended != "" {
		why := fmt.Errorf("%w: %s", ErrEnded, l.ended)
		l.ended = ""
		l.rejoin(why)
	}
}

// schedule sets the timer to the session's next deadline.
func (l *loop) schedule() {
	if at := l.session.Deadline(); at.IsZero() {
		l.tick.Stop()
	} else {
		l.tick.Reset(time.Until(at))
	}
}

// perform does what the session says. Some of it has an answer at once.
func (l *loop) perform(out e2ee.Output) e2ee.Input {
	switch o := out.(type) {
	case e2ee.SignDevice:
		return e2ee.DeviceSigned{
			Public:    [32]byte(l.device.Public().(ed25519.PublicKey)),
			Signature: [64]byte(ed25519.Sign(l.device, o.Message)),
		}
	case e2ee.Post:
		l.postEntry(o)
	case e2ee.EpochStarted:
		l.epochStarted(o)
	case e2ee.SendEpoch:
		l.sendEpoch(o)
	case e2ee.EpochEnded:
		l.keys.end(o.Epoch)
	case e2ee.Status:
		l.status(o)
	case e2ee.EntryRefused:
		l.cfg.Logger.Debug("entry refused", zap.Uint64("position", o.Position), zap.String("code", string(o.Code)))
	}
	return nil
}

func (l *loop) epochStarted(o e2ee.EpochStarted) {
	defer o.BaseKey.Erase()
	if err := l.keys.start(o, time.Now()); err != nil {
		l.finish(fmt.Errorf("%w: %w", ErrEnded, err))
		return
	}
	roster := Roster{Epoch: o.Epoch, Own: o.Own, Members: slices.Clone(o.Members), SafetyNumber: o.SafetyNumber}
	l.setRoster(roster)
	if l.cfg.OnRoster != nil {
		l.cfg.OnRoster(roster)
	}
	l.member, l.rejoins = true, 0
	l.checkJoined()
}

func (l *loop) sendEpoch(o e2ee.SendEpoch) {
	if err := l.keys.sendWith(o.Epoch); err != nil {
		l.cfg.Logger.Warn("cannot send with epoch", zap.Stringer("epoch", o.Epoch), zap.Error(err))
		return
	}
	l.canSend = true
	for _, u := range l.uplinks {
		u.askKeyFrames() // who was added in this epoch can decode from here on
	}
	l.checkJoined()
}

func (l *loop) status(o e2ee.Status) {
	l.cfg.Logger.Debug("session", zap.String("state", string(o.State)), zap.String("code", string(o.Code)))
	switch o.State {
	case e2ee.StateRejoining:
		l.keys.leave()
	case e2ee.StateEnded:
		l.ended = o.Code
	}
}

// checkJoined tells [Join] when the participant is a member with media, and the
// uplinks when there is also a key to send with.
func (l *loop) checkJoined() {
	if l.member && l.connected {
		closeOnce(l.joined)
	}
	if l.canSend && l.connected {
		closeOnce(l.sending)
	}
}

// closeOnce closes a channel that only this goroutine closes.
func closeOnce(c chan struct{}) {
	select {
	case <-c:
	default:
		close(c)
	}
}

// postEntry posts an entry. Without a connection it is dropped: the session gives it up
// by itself, or at the next LogOpened.
func (l *loop) postEntry(o e2ee.Post) {
	if l.conn != nil && l.conn.ready {
		l.posts = append(l.posts, post{seq: o.Seq, id: l.send(messageOf(o.Body))})
	}
}

// answered takes the answer to a post. It reports false if re is not one.
func (l *loop) answered(re uint32, code signal.Code) bool {
	i := slices.IndexFunc(l.posts, func(p post) bool { return p.id == re })
	if i < 0 {
		return false
	}
	seq := l.posts[i].seq
	l.posts = slices.Delete(l.posts, i, i+1)
	l.step(e2ee.Posted{Seq: seq, Code: string(code)})
	return true
}
