package e2ee

import (
	"slices"
	"time"
)

// Who acts when there is work: a member of rank r after r times turnLength, the first
// one after its own delay. The rank spares the room needless commits; no rule of
// validity looks at it.
const (
	turnLength  = 2 * time.Second
	commitDelay = 150 * time.Millisecond // gathers those who come together in one commit
	passedFor   = 60 * time.Second       // who let a turn pass ranks last for so long
)

// turns is a session's view of whose turn it is.
type turns struct {
	first time.Duration // delay of rank 0

	members []PID // as they rank without the passed
	order   []PID // as they rank in this round
	since   time.Time
	acted   bool // this session has used its turn in this round
	running bool

	passed map[PID]time.Time // until when a participant ranks last
}

func newTurns(first time.Duration) turns {
	return turns{first: first, passed: map[PID]time.Time{}}
}

// want says that there is work for members since a time. The round goes on if they
// are the same as before, or more have come behind them; else it begins anew.
func (t *turns) want(now, since time.Time, members []PID) {
	if t.running && len(members) >= len(t.members) && slices.Equal(members[:len(t.members)], t.members) {
		t.order = append(t.order, members[len(t.members):]...)
		t.members = members
		return
	}
	t.members = members
	t.begin(now, since)
}

func (t *turns) begin(now, since time.Time) {
	t.running, t.acted, t.since = true, false, since
	t.order = t.rank(now)
}

// rank puts those who let a turn pass behind all others.
func (t *turns) rank(now time.Time) []PID {
	var order, late []PID
	for _, pid := range t.members {
		if now.Before(t.passed[pid]) {
			late = append(late, pid)
		} else {
			delete(t.passed, pid)
			order = append(order, pid)
		}
	}
	return append(order, late...)
}

// stop says that there is no work.
func (t *turns) stop() { t.running, t.members, t.order = false, nil, nil }

// moved says that author has made an entry: all before it let their turn pass, and so
// did the author if the entry is not valid.
func (t *turns) moved(now time.Time, author PID, valid bool) {
	if i := slices.Index(t.order, author); i > 0 {
		t.pass(now, t.order[:i])
	}
	if !valid {
		t.pass(now, []PID{author})
	}
	t.stop()
}

func (t *turns) pass(now time.Time, list []PID) {
	for pid, until := range t.passed {
		if !now.Before(until) {
			delete(t.passed, pid)
		}
	}
	for _, pid := range list {
		if len(t.passed) < 2*maxMembers {
			t.passed[pid] = now.Add(passedFor)
		}
	}
}

// tick ends the turns that are over and begins the next round after the last one.
func (t *turns) tick(now time.Time) {
	if !t.running || now.Before(t.since) {
		return
	}
	over := min(int(now.Sub(t.since)/turnLength), len(t.order))
	for _, pid := range t.order[:over] {
		if !now.Before(t.passed[pid]) {
			t.pass(now, []PID{pid})
		}
	}
	if over == len(t.order) {
		t.begin(now, now)
	}
}

// due is when own acts, or when the round ends if it has acted; zero if there is
// nothing to wait for.
func (t *turns) due(own PID) time.Time {
	rank := slices.Index(t.order, own)
	switch {
	case !t.running || rank < 0:
		return time.Time{}
	case t.acted:
		return t.since.Add(time.Duration(len(t.order)) * turnLength)
	case rank == 0:
		return t.since.Add(t.first)
	}
	return t.since.Add(time.Duration(rank) * turnLength)
}

// mine says whether own is to act now.
func (t *turns) mine(now time.Time, own PID) bool {
	due := t.due(own)
	return !t.acted && !due.IsZero() && !now.Before(due)
}
