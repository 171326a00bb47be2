package client

import (
	"fmt"
	mathrand "math/rand/v2"
	"time"

	"go.uber.org/zap"

	"github.com/conclave-sfu/conclave/e2ee"
	"github.com/conclave-sfu/conclave/room/signal"
)

// dial looks for the server, in the background.
func (l *loop) dial() {
	url := socketURL(l.cfg.Link)
	l.running.Go(func() {
		ws, err := dial(l.ctx, url)
		if !l.post(dialed{ws, err}) && ws != nil {
			_ = ws.CloseNow()
		}
	})
}

func (l *loop) dialed(e dialed) {
	if e.err != nil {
		l.retry(e.err)
		return
	}
	l.dials++
	conn := newConnection(l.ctx, l.dials, e.ws)
	l.conn = conn
	l.running.Go(func() { conn.read(l.post) })
	l.running.Go(conn.write)
	l.send(&signal.Hello{PID: signal.NewPID(l.pid), Resume: l.resume, Lists: true})
}

// lostConnection keeps everything and looks for the server again.
func (l *loop) lostConnection(err error) {
	l.conn.close()
	l.conn = nil
	l.count.connected.Store(false)
	if l.leaving {
		l.finish(ErrClosed)
		return
	}
	l.cfg.Logger.Info("connection lost", zap.Error(err))
	if l.lostSince.IsZero() {
		l.lostSince = time.Now()
	}
	l.retry(err)
}

// retry dials after a while that grows, with jitter so that not all come at once.
func (l *loop) retry(err error) {
	if l.leaving {
		l.finish(ErrClosed)
		return
	}
	patience := reconnectTime
	if l.resume == nil && l.rejoins == 0 {
		patience = connectTime
	}
	if time.Since(l.lostSince) > patience {
		l.finish(fmt.Errorf("%w: %w", ErrUnreachable, err))
		return
	}
	l.redial.Reset(l.backoff/2 + mathrand.N(l.backoff))
	l.backoff = min(2*l.backoff, maxBackoff)
}

// send sends a message and gives its number. Without a connection it is dropped: what
// matters is said again after the next ready.
func (l *loop) send(body signal.ClientBody) uint32 {
	if l.conn == nil {
		return 0
	}
	l.nextID++
	raw, err := signal.EncodeClient(l.nextID, body)
	if err != nil {
		panic(fmt.Sprintf("client: a message of ours does not encode: %v", err))
	}
	if !l.conn.send(raw) {
		l.conn.close() // the reader reports it
	}
	return l.nextID
}

// message takes a message of the server.
func (l *loop) message(m signal.FromServer) {
	switch body := m.Body.(type) {
	case *signal.Ready:
		l.ready(body)
	case *signal.Log:
		l.log(body)
	case *signal.Participant:
		l.present(*body)
	case *signal.Participants:
		for _, p := range body.Participants {
			l.present(p)
		}
	case *signal.Gone:
		l.gone(body.PID)
	case *signal.Appended:
		l.answered(m.Re, "")
	case *signal.Answer:
		l.answer(m.Re, body)
	case *signal.Demand:
		l.demand(body)
	case *signal.MediaDown:
		l.mediaDown(body)
	case *signal.Error:
		l.refused(m.Re, body)
	case *signal.Slots, *signal.Message:
		// A slot shows whom its frames' KIDs say; messages of members are not used yet.
	}
}

// refused takes an error: of a message that was refused, or of the connection.
func (l *loop) refused(re uint32, e *signal.Error) {
	switch {
	case re != 0 && re == l.offerID && e.Code == signal.CodeRateLimited:
		l.offerID = 0
		l.mediaTimer.Reset(offerPause)
	case re != 0 && re == l.offerID:
		l.failMedia(fmt.Errorf("offer refused: %s", e.Code))
	case re != 0 && re == l.viewID:
		l.viewed = nil // to be told again
		l.unsettle(retellTime)
	case re != 0 && l.answered(re, e.Code):
	default:
		l.refusedConnection(e)
	}
}

// refusedConnection takes an error that the connection ends with.
func (l *loop) refusedConnection(e *signal.Error) {
	l.cfg.Logger.Warn("refused", zap.String("code", string(e.Code)))
	switch e.Code {
	case signal.CodeResumeRefused, signal.CodeAlreadyHere:
		l.rejoin(fmt.Errorf("%w: %s", ErrRefused, e.Code))
	case signal.CodeRoomFull, signal.CodeServerFull, signal.CodeReplaced, signal.CodeTooLarge, signal.CodeNotReady:
		l.finish(fmt.Errorf("%w: %s", ErrRefused, e.Code))
	}
	// Other codes name one message, or a connection that may be looked for again.
}

// rejoin begins a fresh participation on another connection.
func (l *loop) rejoin(why error) {
	if l.leaving {
		return
	}
	l.rejoins++
	if l.rejoins > maxRejoins {
		l.finish(why)
		return
	}
	l.count.rejoined.Add(1)
	l.closeMedia()
	if l.conn != nil {
		l.lostConnection(why)
	}
	if err := l.begin(); err != nil {
		l.finish(err)
	}
}

func (l *loop) ready(r *signal.Ready) {
	if len(r.LogID) != signal.LogIDSize {
		l.finish(fmt.Errorf("%w: a log id of %d bytes", ErrProtocol, len(r.LogID)))
		return
	}
	after := uint64(0)
	if l.resume != nil && r.Resumed {
		l.count.resumed.Add(1)
		after = l.resume.After
	}
	l.resume = &signal.Resume{Token: r.Token, LogID: r.LogID, After: after}
	l.posts, l.here, l.viewed, l.relays = nil, nil, nil, r.ICEServers
	l.backoff, l.lostSince = minBackoff, time.Time{}
	l.conn.ready = true
	l.count.connected.Store(true)
	l.step(e2ee.LogOpened{ID: e2ee.LogID(r.LogID), Head: r.Head})
	l.tellMuted()
	if l.media == nil {
		l.openMedia()
	} else if l.media.pending != nil {
		l.sendOffer()
	}
	l.unsettle(settleTime)
}

func (l *loop) log(m *signal.Log) {
	for _, entry := range m.Entries {
		e, err := entryOf(entry)
		if err != nil {
			l.finish(err)
			return
		}
		if l.resume != nil {
			l.resume.After = e.Position
		}
		l.step(e2ee.LogEntry{Entry: e})
	}
}

func (l *loop) mute(e mute) {
	for _, u := range l.uplinks {
		if u.track.Source == e.source {
			u.muted.Store(e.muted)
			l.send(&signal.Mute{Source: e.source, Muted: e.muted})
		}
	}
}

// tellMuted says again what is muted, to a room that may not have heard it.
func (l *loop) tellMuted() {
	for _, u := range l.uplinks {
		if u.muted.Load() {
			l.send(&signal.Mute{Source: u.track.Source, Muted: true})
		}
	}
}
