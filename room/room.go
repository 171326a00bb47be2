package room

import (
	"sync/atomic"
	"time"

	"github.com/conclave-sfu/conclave/room/signal"
)

// inboxSize is how many commands may wait before those who bring them wait too.
const inboxSize = 64

// inboxItem is a command and, with the first and the last one of a connection, the
// connection.
type inboxItem struct {
	cmd  command
	conn *Connection
}

// room runs a [state]: one goroutine, one inbox, one switch.
type room struct {
	// Immutable.
	name     string
	registry *Registry
	inbox    chan inboxItem
	mail     mail
	ended    chan struct{} // closed by run when it returns

	size atomic.Int64 // participants

	// Guarded by registry.mu.
	connections int // not yet closed

	// Owned by run.
	state    *state
	conns    map[connID]*Connection
	sessions map[seatID]*session
	timer    *time.Timer
}

func newRoom(name string, g *Registry) *room {
	return &room{
		name:     name,
		registry: g,
		inbox:    make(chan inboxItem, inboxSize),
		mail:     mail{full: make(chan struct{}, 1)},
		ended:    make(chan struct{}),
		state:    newState(name, g.limits()),
		conns:    map[connID]*Connection{},
		sessions: map[seatID]*session{},
		timer:    time.NewTimer(time.Hour),
	}
}

// run ends when nobody is in the room and all its connections are closed.
func (r *room) run() {
	defer close(r.ended)
	defer r.timer.Stop()
	for {
		select {
		case it := <-r.inbox:
			r.handle(it)
		case <-r.mail.full:
			for _, cmd := range r.mail.take() {
				r.apply(cmd)
			}
		case <-r.timer.C:
			r.apply(ticked{})
		}
		r.rearm()
		if r.state.empty() && r.registry.retire(r) {
			return
		}
	}
}

func (r *room) handle(it inboxItem) {
	switch it.cmd.(type) {
	case helloed:
		r.conns[it.conn.id] = it.conn
		r.apply(it.cmd)
	case lost:
		r.apply(it.cmd)
		delete(r.conns, it.conn.id)
		r.registry.closed(r)
	default:
		r.apply(it.cmd)
	}
}

// rearm sets the timer for the next end of a grace period.
func (r *room) rearm() {
	next := r.state.deadline()
	if next.IsZero() {
		r.timer.Stop()
		return
	}
	r.timer.Reset(next.Sub(r.registry.cfg.Now()))
}

// apply does a command, what follows from it, and what follows from connections that
// could not take it.
func (r *room) apply(cmd command) {
	next := []command{cmd}
	for len(next) > 0 {
		cmd, next = next[0], next[1:]
		effects := r.state.apply(r.registry.cfg.Now(), cmd)
		r.size.Store(int64(len(r.state.members)))
		for _, e := range effects {
			next = append(next, r.do(e)...)
		}
	}
}

// do does an effect and returns the commands that follow from it.
func (r *room) do(e effect) []command {
	switch e := e.(type) {
	case send:
		return r.send(e)
	case catchUp:
		return r.push(nil, e.conn, item{backlog: &e})
	case hangUp:
		if c := r.conns[e.conn]; c != nil {
			c.out.finish(&Ended{e.why})
		}
	case attach:
		if err := r.attach(e.seat, e.pid); err != nil {
			r.observe(Event{Kind: MediaFailed, Room: r.name, PID: e.pid, Err: err})
			return []command{attachFailed{e.seat}}
		}
	case detach:
		if s := r.sessions[e.seat]; s != nil {
			s.close()
			delete(r.sessions, e.seat)
		}
	case offer:
		r.sessions[e.seat].offer(e)
	case view:
		r.sessions[e.seat].media.View(e.view)
	case mute:
		r.sessions[e.seat].media.Mute(e.source, e.muted)
	case observe:
		r.observe(e.event)
	}
	return nil
}

// send encodes a message once, for all.
func (r *room) send(e send) (next []command) {
	frame, err := signal.EncodeServer(e.re, e.body)
	if err != nil {
		r.observe(Event{Kind: Broken, Room: r.name, Err: err})
		return nil
	}
	wait := patience(len(e.to))
	if e.waited {
		wait = 0
	}
	for _, id := range e.to {
		next = r.push(next, id, item{frame: frame, patience: wait})
	}
	return next
}

// push gives an item to a connection. One that is full has ended: its loss is added to next.
func (r *room) push(next []command, id connID, it item) []command {
	c := r.conns[id]
	if c == nil || c.out.push(it, r.maxMessage()) {
		return next
	}
	slow := Event{Kind: Slow, Room: r.name, Participants: len(r.state.members)}
	if p := r.state.byConn[id]; p != nil {
		slow.PID = p.pid
	}
	r.observe(slow)
	return append(next, lost{conn: id})
}

func (r *room) maxMessage() int64 { return signal.MaxMessage(int(r.size.Load())) }

func (r *room) observe(e Event) {
	if r.registry.cfg.Observe != nil {
		r.registry.cfg.Observe(e)
	}
}
