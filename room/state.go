package room

import (
	"crypto/sha256"
	"crypto/subtle"
	"slices"
	"time"

	"github.com/conclave-sfu/conclave/room/signal"
)

// limits bounds a room.
type limits struct {
	participants int
	grace        time.Duration // for which a lost connection can be resumed
	log          logLimits
}

// state is a room: who is here and the log. It is pure: what happens goes in by
// apply, what is to be done comes out, and time and randomness are inputs.
type state struct {
	room    string
	limits  limits
	log     *log           // nil while nobody is here
	members []*participant // by seat
	byPID   map[signal.PID]*participant
	byConn  map[connID]*participant
	left    map[signal.PID]bool // who has a `left` entry in this log
	created time.Time           // when the last `create` was appended
	seats   seatID              // the last one given
	news    []*participant      // of whom the others are yet to be told
	stopped bool

	now     time.Time // of the command that is being applied
	effects []effect  // of the command that is being applied
}

// participant is one participation: from hello to leaving, over lost connections.
type participant struct {
	pid   signal.PID
	seat  seatID
	token string // resumes it; secret

	conn    connID    // 0 while it is away
	lists   bool      // its client takes several participants at a time
	expires time.Time // when away: the end of the grace period

	joinedAt uint64 // position of its first `joined`; 0: it has none
	key      digest // of its last KeyPackage
	waiting  bool   // no commit or create since has named it

	sources []signal.Source // received by the forwarder
	muted   []signal.Source
	slots   *signal.Slots     // nil if nothing was said
	demand  *signal.Demand    // nil if nothing was said
	down    *signal.MediaDown // nil unless its PeerConnection failed

	told   bool      // the others know that it is here
	tellAt time.Time // when they are told of it; zero if there is nothing to tell

	may quotas

	offering bool   // an offer is being answered
	next     *offer // the one to be answered then; the newest wins
}

func newState(room string, limits limits) *state {
	st := &state{room: room, limits: limits}
	st.reset()
	return st
}

// reset empties the room. The next hello begins a new log.
func (st *state) reset() {
	st.log, st.members, st.news, st.created = nil, nil, nil, time.Time{}
	st.byPID = map[signal.PID]*participant{}
	st.byConn = map[connID]*participant{}
	st.left = map[signal.PID]bool{}
}

func (st *state) empty() bool { return len(st.members) == 0 }

// apply does one command and returns what is to be done, in order. The result is
// valid until the next call.
func (st *state) apply(now time.Time, cmd command) []effect {
	clear(st.effects)
	st.effects, st.now = st.effects[:0], now
	switch cmd := cmd.(type) {
	case helloed:
		st.hello(now, cmd)
	case received:
		st.receive(now, cmd)
	case lost:
		st.lose(now, cmd)
	case ticked:
		st.expire(now)
		st.tellNews()
	case stopped:
		st.stop()
	case attachFailed:
		st.withoutMedia(now, cmd.seat)
	case answered:
		st.answer(cmd)
	case published:
		st.publish(cmd)
	case slotted:
		st.slot(cmd)
	case downed:
		st.mediaDown(cmd)
	case demanded:
		st.demandIs(cmd)
	}
	return st.effects
}

// deadline is when the next grace period ends, or somebody is to be told of; zero for never.
func (st *state) deadline() (next time.Time) {
	for _, p := range st.news {
		if next.IsZero() || p.tellAt.Before(next) {
			next = p.tellAt
		}
	}
	if len(st.byConn) == len(st.members) {
		return next // nobody is away
	}
	for _, p := range st.members {
		if p.conn == 0 && (next.IsZero() || p.expires.Before(next)) {
			next = p.expires
		}
	}
	return next
}

func (st *state) emit(e effect) { st.effects = append(st.effects, e) }

func (st *state) observe(kind EventKind, pid signal.PID) {
	st.emit(observe{Event{Kind: kind, Room: st.room, PID: pid, Participants: len(st.members)}})
}

func refusal(code signal.Code, text string) *signal.Error {
	return &signal.Error{Code: code, Message: text}
}

// refuse answers a message by an error.
func (st *state) refuse(conn connID, id uint32, code signal.Code, text string) {
	if conn != 0 {
		st.emit(send{to: []connID{conn}, re: id, body: refusal(code, text)})
	}
}

// hello opens a participation, or resumes one.
func (st *state) hello(now time.Time, cmd helloed) {
	p := st.byPID[cmd.hello.PID]
	switch {
	case st.stopped:
		st.emit(hangUp{cmd.conn, refusal(signal.CodeShutdown, "the server stops")})
	case cmd.hello.Resume != nil:
		st.resume(now, cmd, p)
	case p != nil || st.left[cmd.hello.PID]:
		st.emit(hangUp{cmd.conn, refusal(signal.CodeAlreadyHere, "the pid is or was in the room: use a fresh one")})
	case len(st.members) >= st.limits.participants:
		st.emit(hangUp{cmd.conn, refusal(signal.CodeRoomFull, "the room has no place left")})
	default:
		st.enter(now, cmd)
	}
}

func (st *state) enter(now time.Time, cmd helloed) {
	if st.log == nil {
		st.log = newLog(st.room, cmd.logID, st.limits.log)
		st.observe(Opened, "")
	}
	st.seats++
	p := &participant{pid: cmd.hello.PID, seat: st.seats, token: cmd.token, conn: cmd.conn, lists: cmd.hello.Lists, may: newQuotas(now)}
	st.members = append(st.members, p)
	st.byPID[p.pid], st.byConn[p.conn] = p, p
	st.emit(attach{p.seat, p.pid})
	st.welcome(now, p, cmd, 0, false)
	st.announce(p)
	st.observe(Arrived, p.pid)
}

// resume gives a participation a new connection. One that cannot be resumed stays
// away until its grace period ends.
func (st *state) resume(now time.Time, cmd helloed, p *participant) {
	proof := cmd.hello.Resume
	if p == nil || !sameToken(p.token, proof.Token) ||
		st.log.id != logID(proof.LogID) || !st.log.resumable(proof.After) {
		st.emit(hangUp{cmd.conn, refusal(signal.CodeResumeRefused, "nothing to resume: join anew with a fresh pid")})
		return
	}
	away := p.conn == 0
	if !away {
		delete(st.byConn, p.conn)
		st.emit(hangUp{p.conn, refusal(signal.CodeReplaced, "another connection resumed this one")})
	}
	p.conn, p.lists, p.expires, p.next = cmd.conn, cmd.hello.Lists, time.Time{}, nil
	st.byConn[p.conn] = p
	st.welcome(now, p, cmd, proof.After, true)
	if away {
		st.announce(p)
	}
	st.observe(Resumed, p.pid)
}

// sameToken compares in a time that does not depend on where tokens differ.
func sameToken(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// welcome tells a new connection all that it has not seen.
func (st *state) welcome(now time.Time, p *participant, cmd helloed, after uint64, resumed bool) {
	roster := make([]signal.Participant, 0, len(st.members))
	here := make([]signal.PID, 0, len(st.members))
	for _, other := range st.members {
		if other != p {
			roster, here = append(roster, other.info()), append(here, other.pid)
		}
	}
	st.emit(send{to: []connID{p.conn}, re: cmd.id, body: &signal.Ready{
		Token:      p.token,
		LogID:      slices.Clone(st.log.id[:]),
		Head:       st.log.position(),
		HeadHash:   slices.Clone(st.log.head[:]),
		Now:        now.UnixMilli(),
		Resumed:    resumed,
		Here:       here,
		MaxMessage: signal.MaxMessage(len(st.members)),
		ICEServers: cmd.iceServers,
	}})
	st.emit(catchUp{conn: p.conn, pid: p.pid, joinedAt: p.joinedAt, lists: p.lists,
		records: st.log.since(after), roster: roster, media: p.media()})
}

// receive does a message of a participant.
func (st *state) receive(now time.Time, cmd received) {
	p := st.byConn[cmd.conn]
	if p == nil {
		return // its connection was dropped or replaced a moment ago
	}
	switch body := cmd.body.(type) {
	case *signal.Hello:
		st.drop(now, p, refusal(signal.CodeAlreadyHere, "a second hello"))
	case *signal.Join:
		st.join(now, p, cmd.id, body)
	case *signal.Create:
		st.create(now, p, cmd.id, body)
	case *signal.Commit:
		st.commit(now, p, cmd.id, body)
	case *signal.Message:
		st.relay(p, cmd.id, body)
	case *signal.Offer:
		st.offer(now, p, cmd.id, body)
	case *signal.View:
		st.emit(view{p.seat, *body})
	case *signal.Mute:
		st.mute(p, body)
	case *signal.Leave:
		st.emit(hangUp{p.conn, nil})
		st.remove(now, p)
	}
}

// drop ends a connection that may be resumed.
func (st *state) drop(now time.Time, p *participant, why *signal.Error) {
	st.emit(hangUp{p.conn, why})
	st.lose(now, lost{conn: p.conn})
}

// lose ends a participation with its connection, or lets it wait to be resumed.
func (st *state) lose(now time.Time, cmd lost) {
	p := st.byConn[cmd.conn]
	if p == nil {
		return
	}
	if cmd.ended {
		st.remove(now, p)
		return
	}
	delete(st.byConn, p.conn)
	p.conn, p.next = 0, nil
	p.expires = now.Add(st.limits.grace)
	st.announce(p)
	st.observe(Away, p.pid)
}

// expire removes whose grace period is over.
func (st *state) expire(now time.Time) {
	for _, p := range slices.Clone(st.members) {
		if p.conn == 0 && !p.expires.After(now) && st.byPID[p.pid] == p {
			st.remove(now, p)
		}
	}
}

// remove ends a participation.
func (st *state) remove(now time.Time, p *participant) {
	delete(st.byPID, p.pid)
	delete(st.byConn, p.conn)
	st.members = slices.DeleteFunc(st.members, func(q *participant) bool { return q == p })
	st.dropNews(p)
	st.emit(detach{p.seat})
	st.observe(Left, p.pid)
	switch {
	case st.empty():
		st.reset()
		st.observe(Closed, "")
	case p.joinedAt == 0:
		st.broadcast(&signal.Gone{PID: p.pid})
	case st.hasRoom():
		st.left[p.pid] = true
		st.tell(st.log.appendLeft(now, p.pid))
		st.broadcast(&signal.Gone{PID: p.pid})
	}
}

// hasRoom reports whether the log takes one more entry. If not, the room begins anew:
// all connections end, and their clients come back to a new log.
func (st *state) hasRoom() bool {
	if !st.log.full() {
		return true
	}
	st.disband(refusal(signal.CodeLogFull, "the room's log is at its end: come back to a new one"))
	return false
}

// stop ends the room for good.
func (st *state) stop() {
	st.stopped = true
	st.disband(refusal(signal.CodeShutdown, "the server stops: come back"))
}

// disband ends all participations without an entry: the log ends with them.
func (st *state) disband(why *signal.Error) {
	if st.empty() {
		return
	}
	members := st.members
	st.reset()
	for _, p := range members {
		if p.conn != 0 {
			st.emit(hangUp{p.conn, why})
		}
		st.emit(detach{p.seat})
		st.observe(Left, p.pid)
	}
	st.observe(Closed, "")
}

// bySeat returns a participant that is here, or nil.
func (st *state) bySeat(seat seatID) *participant {
	i, ok := slices.BinarySearchFunc(st.members, seat, func(p *participant, s seatID) int { return int(p.seat) - int(s) })
	if !ok {
		return nil
	}
	return st.members[i]
}

// keyDigest names a KeyPackage as a commit does.
func keyDigest(keyPackage []byte) digest { return sha256.Sum256(keyPackage) }
