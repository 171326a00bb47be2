package client

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/coder/websocket"
	"github.com/pion/webrtc/v4"

	"github.com/conclave-sfu/conclave/e2ee"
	"github.com/conclave-sfu/conclave/room/signal"
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
	settleTime = 50 * time.Millisecond
	// retellTime is when a view is told again that the room had no time for.
	retellTime = time.Second
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
	networkChanged struct{}
)

func (dialed) isEvent()     {}
func (fromServer) isEvent() {}
func (lost) isEvent()       {}
func (mediaState) isEvent() {}
func (mute) isEvent()       {}

func (networkChanged) isEvent() {}

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
	relays   []signal.ICEServer // with the credentials of the last connection
	viewID   uint32             // of the message that told it
	settle   *time.Timer
	settling bool

	// Media.
	media       *media
	mediaNumber uint32
	mediaFails  int
	mediaTimer  *time.Timer
	restart     *time.Timer // of ICE, unless it recovers
	offerID     uint32      // of the offer that waits for its answer
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
	for _, t := range []**time.Timer{&l.redial, &l.leaveTimer, &l.tick, &l.settle, &l.mediaTimer, &l.restart} {
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
		for _, e := range u.layers {
			l.running.Go(func() { e.run(l.ctx, l.sending) })
		}
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
			l.mediaDue()
		case <-l.restart.C:
			l.restartMedia()
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
	case networkChanged:
		l.restartMedia()
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
