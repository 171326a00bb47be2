package room

import (
	"fmt"
	"time"

	"github.com/conclave-sfu/conclave/room/signal"
)

// This file appends entries to the log and relays what members say to each other.

// join appends a `joined`. That only 128 may wait is for the clients to judge: they know
// which KeyPackages are valid, and those that are not keep nobody out.
func (st *state) join(now time.Time, p *participant, id uint32, join *signal.Join) {
	if !p.may.mayJoin(now, len(join.KeyPackage)) {
		st.tooOften(p, id, "KeyPackages")
		return
	}
	if !st.hasRoom() {
		return
	}
	r := st.log.appendJoined(now, p.pid, join)
	if p.joinedAt == 0 {
		p.joinedAt = r.entry.Position
	}
	p.key, p.waiting = keyDigest(join.KeyPackage), true
	st.appended(p, id, r)
}

// create appends a `create`, if and only if its sender has seen the last create or commit.
func (st *state) create(now time.Time, p *participant, id uint32, create *signal.Create) {
	if !st.mayAppend(p, id, create.Last) || !st.mayCreate(now, p, id) || !st.hasRoom() {
		return
	}
	p.waiting = false
	st.appended(p, id, st.log.appendCreate(now, p.pid, create))
}

// commit appends a `commit`, if and only if its sender has seen the last create or commit.
func (st *state) commit(now time.Time, p *participant, id uint32, commit *signal.Commit) {
	if !st.mayAppend(p, id, commit.Last) {
		return
	}
	named := st.named(commit.Adds)
	if err := st.fits(commit, len(named)); err != nil {
		st.refuse(p.conn, id, signal.CodeTooLarge, err.Error())
		return
	}
	if !st.mayCommit(now, p, id) || !st.hasRoom() {
		return
	}
	welcomed := make([]signal.PID, len(named))
	for i, q := range named {
		q.waiting, welcomed[i] = false, q.pid
	}
	st.appended(p, id, st.log.appendCommit(now, p.pid, commit, welcomed))
}

// mayAppend compares for the caller, who appends at once.
func (st *state) mayAppend(p *participant, id uint32, last uint64) bool {
	switch {
	case p.joinedAt == 0:
		st.refuse(p.conn, id, signal.CodeNotJoined, "join first")
	case last != st.log.last:
		st.refuse(p.conn, id, signal.CodeStale, fmt.Sprintf("the last create or commit is at %d", st.log.last))
	default:
		return true
	}
	return false
}

// named returns whose last KeyPackage is among adds.
func (st *state) named(adds [][]byte) (named []*participant) {
	if len(adds) == 0 {
		return nil
	}
	keys := make(map[digest]bool, len(adds))
	for _, add := range adds {
		keys[digest(add)] = true
	}
	for _, p := range st.members {
		if p.joinedAt != 0 && keys[p.key] {
			named = append(named, p)
		}
	}
	return named
}

// appended answers the sender, then tells all.
func (st *state) appended(p *participant, id uint32, r *record) {
	if id != 0 {
		st.emit(send{to: []connID{p.conn}, re: id, body: &signal.Appended{Position: r.entry.Position}})
	}
	st.tell(r)
}

// tell gives a new entry to all connections, each in its view.
func (st *state) tell(r *record) {
	var to [audiences][]connID
	for _, p := range st.members {
		if p.conn != 0 {
			a := st.audience(r, p)
			to[a] = append(to[a], p.conn)
		}
	}
	for a, conns := range to {
		if len(conns) > 0 {
			st.emit(send{to: conns, body: &signal.Log{Entries: []signal.Entry{r.viewOf(audience(a))}}})
		}
	}
}

// audience spares all but commits their distinctions.
func (st *state) audience(r *record, p *participant) audience {
	if r.entry.Kind != signal.EntryCommit {
		return toOthers
	}
	return r.audience(p.pid, p.joinedAt)
}

// relay gives a group message to all others who have joined. It is not kept.
func (st *state) relay(p *participant, id uint32, m *signal.Message) {
	if p.joinedAt == 0 {
		st.refuse(p.conn, id, signal.CodeNotJoined, "join first")
		return
	}
	var to []connID
	for _, other := range st.members {
		if other != p && other.conn != 0 && other.joinedAt != 0 {
			to = append(to, other.conn)
		}
	}
	if len(to) > 0 {
		st.emit(send{to: to, body: &signal.Message{PID: p.pid, Data: m.Data}})
	}
}
