package client

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"github.com/conclave-sfu/conclave/e2ee"
	"github.com/conclave-sfu/conclave/room/signal"
	"github.com/pion/webrtc/v4"
	"go.uber.org/zap"
)

const (
	minBackoff = 250 * time.Millisecond // before the first attempt to connect anew
	maxBackoff = 5 * time.Second
	// reconnectTime is for how long a lost server is looked for: longer than a restart.
	reconnectTime = time.Minute
	// connectTime is the same for a server that was never reached: its address may be wrong.
	connectTime = 5 * time.Second
	// leaveTime is for how long the server may take to close the connection of one who
	// leaves.
	leaveTime = time.Second
	// maxRejoins is how often in a row one who is not let in begins anew.
	maxRejoins = 5
	// settleTime gathers what is said of others before the view is told anew.
	settleTime = 20 * time.Millisecond
)

// event is something for the loop to do.
type event interface{ isEvent() }

type (
	// dialed ends an attempt to connect.
	dialed struct {
		ws  *websocket.Conn
		err error
	}
	// fromServer is a message, lost the end, of the connection of this number.
	fromServer struct {
		connection int
		signal.FromServer
	}
	lost struct {
		connection int
		err        error
	}
	// mediaState is a new state of the PeerConnection of this number.
	mediaState struct {
		number uint32
		state  webrtc.PeerConnectionState
	}
	mute struct {
		source signal.Source
		muted  bool
	}
)

func (dialed) isEvent()     {}
func (fromServer) isEvent() {}
func (lost) isEvent()       {}
func (mediaState) isEvent() {}
func (mute) isEvent()       {}

// loop is the goroutine that owns a participant's state. All fields are its own.
type loop struct {
	*Client
	device   ed25519.PrivateKey
	uplinks  []*uplink
	receiver *receiver
	sending  chan struct{} // closed when the uplinks may start
	finished bool          // the loop is to end
	leaving  bool

	// The connection.
	conn       *connection // nil while there is none
	dials      int         // connections so far
	backoff    time.Duration
	lostSince  time.Time // zero while connected
	nextID     uint32
	redial     *time.Timer
	leaveTimer *time.Timer

	// The participation: begins anew with a fresh pid.
	pid     e2ee.PID
	session *e2ee.Session
	resume  *signal.Resume // nil before the first ready
	posts   []post         // not yet answered on this connection
	member  bool
	canSend bool
	ended   e2ee.Code // why the session has ended; "" while it has not
	rejoins int       // in a row without membership
	tick    *time.Timer

	// The others, in the order that they came, and what was said of the view.
	here     []signal.Participant
	viewed   []signal.Want
	settle   *time.Timer
	settling bool

	// Media.
	media       *media
	mediaNumber uint32
	mediaFails  int
	mediaTimer  *time.Timer
	offerID     uint32 // of the offer that waits for its answer
	connected   bool
}

func newLoop(c *Client) (*loop, error) {
	_, device, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make a device key: %w", err)
	}
	l := &loop{Client: c, device: device, sending: make(chan struct{}), backoff: minBackoff}
	l.receiver = &receiver{keys: c.keys, count: &c.count, early: new(atomic.Int64), onFrame: c.cfg.OnFrame}
	for _, t := range c.cfg.Publish {
		u, err := newUplink(t, c.keys, &c.count)
		if err != nil {
			return nil, err
		}
		l.uplinks = append(l.uplinks, u)
	}
	for _, t := range []**time.Timer{&l.redial, &l.leaveTimer, &l.tick, &l.settle, &l.mediaTimer} {
		*t = time.NewTimer(time.Hour)
		(*t).Stop()
	}
	return l, l.begin()
}

// begin makes a fresh participation: another pid, session and leaf.
func (l *loop) begin() error {
	rand.Read(l.pid[:]) //nolint:errcheck // never fails
	session, err := e2ee.New(e2ee.Config{Link: l.cfg.Link, PID: l.pid, Name: l.cfg.Name, Rand: rand.Reader})
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	l.keys.reset()
	l.session, l.resume, l.posts, l.here, l.viewed = session, nil, nil, nil, nil
	l.member, l.canSend = false, false
	return nil
}

// run is the loop.
func (l *loop) run() {
	l.running.Add(1) // held until nothing starts another goroutine
	defer close(l.done)
	defer l.tearDown()
	for _, u := range l.uplinks {
		l.running.Go(func() { u.run(l.ctx, l.sending) })
	}
	l.lostSince = time.Now()
	l.dial()
	for !l.finished {
		select {
		case e := <-l.inbox:
			l.handle(e)
		case <-l.tick.C:
			l.step(e2ee.Tick{})
		case <-l.settle.C:
			l.settled()
		case <-l.redial.C:
			l.dial()
		case <-l.mediaTimer.C:
			l.openMedia()
		case <-l.leaveTimer.C:
			l.finish(ErrClosed)
		case <-l.stopping():
			l.leave()
		}
	}
}

// stopping is the stop channel until it was heeded.
func (l *loop) stopping() <-chan struct{} {
	if l.leaving {
		return nil
	}
	return l.stop
}

func (l *loop) handle(e event) {
	switch e := e.(type) {
	case dialed:
		l.dialed(e)
	case fromServer:
		if l.conn != nil && e.connection == l.conn.number {
			l.message(e.FromServer)
		}
	case lost:
		if l.conn != nil && e.connection == l.conn.number {
			l.lostConnection(e.err)
		}
	case mediaState:
		l.mediaState(e)
	case mute:
		l.mute(e)
	}
}

// finish ends the loop.
func (l *loop) finish(err error) {
	l.end(err)
	l.finished = true
}

// leave tells the room, which then closes the connection.
func (l *loop) leave() {
	l.leaving = true
	if l.conn == nil {
		l.finish(ErrClosed)
		return
	}
	l.send(&signal.Leave{})
	l.leaveTimer.Reset(leaveTime)
}

// tearDown ends all goroutines.
func (l *loop) tearDown() {
	l.cancel()
	if l.media != nil {
		_ = l.media.pc.GracefulClose()
	}
	l.running.Done()
	l.running.Wait()
	for {
		select {
		case e := <-l.inbox:
			if d, ok := e.(dialed); ok && d.ws != nil {
				_ = d.ws.CloseNow()
			}
		default:
			l.keys.reset()
			return
		}
	}
}

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
	l.send(&signal.Hello{PID: signal.NewPID(l.pid), Resume: l.resume})
}

// lostConnection keeps everything and looks for the server again.
func (l *loop) lostConnection(err error) {
	l.conn.close()
	l.conn = nil
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
	case *signal.Gone:
		l.gone(body.PID)
	case *signal.Appended:
		l.answered(m.Re, "")
	case *signal.Answer:
		l.answer(m.Re, body)
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
	case re != 0 && re == l.offerID:
		l.failMedia(fmt.Errorf("offer refused: %s", e.Code))
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
	case signal.CodeRoomFull, signal.CodeReplaced, signal.CodeTooLarge, signal.CodeNotReady:
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
	l.posts, l.here, l.viewed = nil, nil, nil
	l.backoff, l.lostSince = minBackoff, time.Time{}
	l.conn.ready = true
	l.step(e2ee.LogOpened{ID: e2ee.LogID(r.LogID), Head: r.Head})
	l.tellMuted()
	if l.media == nil {
		l.openMedia()
	} else if !l.media.answered {
		l.offer()
	}
	l.unsettle()
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
