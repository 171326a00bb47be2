package room

import (
	"slices"
	"time"

	"github.com/conclave-sfu/conclave/room/signal"
)

// This file keeps who publishes what, and carries media signalling between
// participants and the forwarder.

// info is what others are told of a participant.
func (p *participant) info() signal.Participant {
	publications := make([]signal.Publication, len(p.sources))
	for i, source := range p.sources {
		publications[i] = signal.Publication{Source: source, Muted: slices.Contains(p.muted, source)}
	}
	return signal.Participant{PID: p.pid, Publications: publications, Away: p.conn == 0}
}

// In a large room people come and change all the time, and each time all are told: with the square of
// the room. So what there is to say of somebody waits, as messages to many do, and goes with what is
// said of others; and that somebody has come, who shows nothing yet, waits for what is shown: the
// log says as well that somebody came.
const newcomerWait = time.Second

// announce tells all others of a participant: at once in a small room, else soon.
func (st *state) announce(p *participant) {
	wait := patience(len(st.byConn))
	switch {
	case wait == 0:
		st.dropNews(p)
		st.tellOf(p)
		return
	case !p.told && len(p.sources) == 0:
		wait = newcomerWait
	}
	at := st.now.Add(wait)
	if p.tellAt.IsZero() {
		p.tellAt = at
		st.news = append(st.news, p)
	} else if at.Before(p.tellAt) {
		p.tellAt = at
	}
}

// dropNews forgets that the others are to be told of a participant.
func (st *state) dropNews(p *participant) {
	if !p.tellAt.IsZero() {
		p.tellAt = time.Time{}
		st.news = slices.DeleteFunc(st.news, func(q *participant) bool { return q == p })
	}
}

// tellNews tells of those who are due, and with them of the others, but for newcomers who show
// nothing yet.
func (st *state) tellNews() {
	isDue := func(p *participant) bool { return !p.tellAt.After(st.now) }
	if !slices.ContainsFunc(st.news, isDue) {
		return
	}
	var news, rest []*participant
	for _, p := range st.news {
		if !isDue(p) && !p.told && len(p.sources) == 0 {
			rest = append(rest, p)
		} else {
			p.tellAt = time.Time{}
			news = append(news, p)
		}
	}
	st.news = rest
	st.tellOf(news...)
}

// tellOf tells all others of some participants, in one message who takes that.
func (st *state) tellOf(news ...*participant) {
	var listing []connID
	for _, p := range st.members {
		if p.conn != 0 && p.lists && len(news) > 1 {
			listing = append(listing, p.conn)
		}
	}
	infos := make([]signal.Participant, len(news))
	for i, p := range news {
		p.told = true
		infos[i] = p.info()
		to := slices.DeleteFunc(st.connsBut(p), func(id connID) bool { return len(listing) > 0 && st.byConn[id].lists })
		if len(to) > 0 {
			st.emit(send{to: to, body: &infos[i], waited: true})
		}
	}
	for some := range slices.Chunk(infos, rosterChunk) {
		if len(listing) > 0 {
			st.emit(send{to: listing, body: &signal.Participants{Participants: some}, waited: true})
		}
	}
}

// broadcast tells all.
func (st *state) broadcast(body any) {
	if to := st.connsBut(nil); len(to) > 0 {
		st.emit(send{to: to, body: body})
	}
}

func (st *state) connsBut(p *participant) []connID {
	conns := make([]connID, 0, len(st.byConn))
	for _, other := range st.members {
		if other != p && other.conn != 0 {
			conns = append(conns, other.conn)
		}
	}
	return conns
}

// publish replaces what a participant publishes.
func (st *state) publish(cmd published) {
	p := st.bySeat(cmd.seat)
	if p == nil || slices.Equal(p.sources, cmd.sources) {
		return
	}
	p.sources = slices.Clone(cmd.sources)
	st.announce(p)
}

// mute tells the forwarder, and all others if the source is published. A source that
// is not published yet may be muted beforehand.
func (st *state) mute(p *participant, m *signal.Mute) {
	i := slices.Index(p.muted, m.Source)
	if (i >= 0) == m.Muted {
		return
	}
	if m.Muted {
		p.muted = append(p.muted, m.Source)
	} else {
		p.muted = slices.Delete(p.muted, i, i+1)
	}
	st.emit(mute{p.seat, m.Source, m.Muted})
	if slices.Contains(p.sources, m.Source) {
		st.announce(p)
	}
}

// offer has one offer of a participant answered at a time. One more waits; a newer
// one takes its place. An offer costs the forwarder much: there are only so many.
func (st *state) offer(now time.Time, p *participant, id uint32, o *signal.Offer) {
	if !p.may.offers.AllowN(now, 1) {
		st.tooOften(p, id, "offers")
		return
	}
	if p.down != nil && o.Connection > p.down.Connection {
		p.down = nil
	}
	asked := offer{seat: p.seat, conn: p.conn, id: id, offer: *o}
	if !p.offering {
		p.offering = true
		st.emit(asked)
		return
	}
	if p.next != nil {
		st.refuse(p.conn, p.next.id, signal.CodeBadOffer, "a newer offer came")
	}
	p.next = &asked
}

// answer gives an answer to the connection that asked, if it is still there.
func (st *state) answer(cmd answered) {
	p := st.bySeat(cmd.seat)
	if p == nil {
		return
	}
	if p.conn != 0 && p.conn == cmd.conn {
		st.emit(send{to: []connID{p.conn}, re: cmd.id, body: cmd.body()})
	}
	p.offering = p.next != nil
	if p.next != nil {
		st.emit(*p.next)
		p.next = nil
	}
}

func (cmd answered) body() any {
	if cmd.refusal != nil {
		return cmd.refusal
	}
	return &cmd.answer
}

// slot keeps and tells what a participant's slots carry.
func (st *state) slot(cmd slotted) {
	p := st.bySeat(cmd.seat)
	if p == nil {
		return
	}
	if cmd.slots.Slots == nil {
		cmd.slots.Slots = []signal.Slot{}
	}
	p.slots = &cmd.slots
	if p.conn != 0 {
		st.emit(send{to: []connID{p.conn}, body: p.slots})
	}
}

// demandIs keeps and tells what of a participant's videos is watched.
func (st *state) demandIs(cmd demanded) {
	p := st.bySeat(cmd.seat)
	if p == nil {
		return
	}
	if cmd.demand.Sources == nil {
		cmd.demand.Sources = []signal.SourceDemand{}
	}
	p.demand = &cmd.demand
	if p.conn != 0 {
		st.emit(send{to: []connID{p.conn}, body: p.demand})
	}
}

// mediaDown tells a participant that it should offer anew.
func (st *state) mediaDown(cmd downed) {
	p := st.bySeat(cmd.seat)
	if p == nil {
		return
	}
	if p.slots != nil && p.slots.Connection <= cmd.down.Connection {
		p.slots = nil
	}
	if p.demand != nil && p.demand.Connection <= cmd.down.Connection {
		p.demand = nil
	}
	p.down = &cmd.down
	st.observe(MediaFailed, p.pid)
	if p.conn != 0 {
		st.emit(send{to: []connID{p.conn}, body: p.down})
	}
}

// media is what was last said of a participant's media.
func (p *participant) media() (said []any) {
	if p.down != nil {
		said = append(said, p.down)
	}
	if p.slots != nil {
		said = append(said, p.slots)
	}
	if p.demand != nil {
		said = append(said, p.demand)
	}
	return said
}

// withoutMedia ends a participation that the forwarder did not take.
func (st *state) withoutMedia(now time.Time, seat seatID) {
	p := st.bySeat(seat)
	if p == nil {
		return
	}
	if p.conn != 0 {
		st.emit(hangUp{p.conn, refusal(signal.CodeInternal, "the forwarder has no place")})
	}
	st.remove(now, p)
}
