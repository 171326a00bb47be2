package room

import (
	"fmt"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"github.com/conclave-sfu/conclave/room/signal"
)

// This file bounds what one participation may have the room keep and tell. The room
// cannot tell who has the link: whoever knows the room's name may be among these.

// Joins. A participant announces itself once, again when something went wrong, and
// every 2 s while too many wait.
const (
	joinInterval     = 5 * time.Second
	joinBurst        = 5
	joinBytes        = 64 << 10 // bytes of KeyPackages at once, some 20
	joinBytesASecond = 16       // and then one in some minutes
	joinBytesLeast   = 1 << 10  // bytes that a KeyPackage counts at least
)

// Commits, see [state.mayCommit].
const (
	commitsASecond   = 1  // of the whole room
	aloneBurst       = 20 // of one participant while no other commits: many join as a meeting begins
	sharedBurst      = 8  // of each while several do
	committingFor    = 30 * time.Second
	createInterval   = 20 * time.Second // of the whole room; whoever waits may create after as long
	offerInterval    = 2 * time.Second
	offerBurst       = 8
	commitSlack      = 128 << 10 // bytes of a commit, and of a Welcome, beside what follows
	commitPerMember  = 2 << 10   // bytes: a secret for each node that may be blank, with X-Wing
	welcomePerMember = 8 << 10   // bytes: a leaf and a node of the tree
	welcomePerAdd    = 2 << 10   // bytes: a secret, with X-Wing
)

// quotas are what a participation may still do. Lost connections do not renew them.
type quotas struct {
	joins, joinBytes, commits, offers *rate.Limiter
	committed, created                time.Time // its last commit and create
}

func newQuotas(now time.Time) quotas {
	return quotas{
		joins:     rate.NewLimiter(rate.Every(joinInterval), joinBurst),
		joinBytes: rate.NewLimiter(joinBytesASecond, joinBytes),
		commits:   rate.NewLimiter(commitsASecond, aloneBurst),
		offers:    rate.NewLimiter(rate.Every(offerInterval), offerBurst),
	}
}

// mayJoin counts a KeyPackage of size bytes.
func (q *quotas) mayJoin(now time.Time, size int) bool {
	return q.joins.AllowN(now, 1) && q.joinBytes.AllowN(now, max(size, joinBytesLeast))
}

// tooOften refuses what comes more often than a participation may.
func (st *state) tooOften(p *participant, id uint32, what string) {
	st.refuse(p.conn, id, signal.CodeRateLimited, "too many "+what+": try again later")
}

// mayCommit reports whether p may commit now. It must be in the group as far as the room
// can tell: it created one, or somebody who might commit has named its last KeyPackage. And
// those who have committed of late share one commit a second, each with a burst of some:
// so that however many commit garbage, there is time for a commit between two of theirs.
func (st *state) mayCommit(now time.Time, p *participant, id uint32) bool {
	if p.waiting {
		st.refuse(p.conn, id, signal.CodeNotJoined, "nobody has added you")
		return false
	}
	committing := 1
	for _, other := range st.members {
		if other != p && now.Sub(other.may.committed) < committingFor {
			committing++
		}
	}
	burst := aloneBurst
	if committing > 1 {
		burst = sharedBurst
	}
	p.may.commits.SetBurstAt(now, burst)
	p.may.commits.SetLimitAt(now, commitsASecond/rate.Limit(committing))
	if !p.may.commits.AllowN(now, 1) {
		st.tooOften(p, id, "commits")
		return false
	}
	p.may.committed = now
	return true
}

// mayCreate reports whether p may create a group now: at any time if nobody here is in one
// as far as the room can tell, else if nobody has created one for as long as others have to
// wait before they do; those who would create again have to let all others have that turn.
func (st *state) mayCreate(now time.Time, p *participant, id uint32) bool {
	inGroup := func(q *participant) bool { return q.joinedAt != 0 && !q.waiting }
	all := createInterval * time.Duration(len(st.members))
	if slices.ContainsFunc(st.members, inGroup) &&
		(now.Sub(st.created) < createInterval || now.Sub(p.may.created) < all) {
		st.tooOften(p, id, "groups")
		return false
	}
	st.created, p.may.created = now, now
	return true
}

// fits reports whether the bytes of a commit are within what a group of the room's
// participants needs, of whom named are added.
func (st *state) fits(commit *signal.Commit, named int) error {
	n := len(st.members)
	largest := commitSlack + n*commitPerMember + named*signal.MaxKeyPackage
	if len(commit.Commit) > largest {
		return fmt.Errorf("a commit of %d bytes, at most %d", len(commit.Commit), largest)
	}
	largest = commitSlack + n*welcomePerMember + named*welcomePerAdd
	if len(commit.Welcome) > largest {
		return fmt.Errorf("a Welcome of %d bytes, at most %d", len(commit.Welcome), largest)
	}
	return nil
}
