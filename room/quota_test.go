package room

import (
	"strings"
	"testing"
	"time"

	"github.com/conclave-sfu/conclave/room/signal"
)

// crowd is a room of n participants, on the connections 1 to n, at a time that tests set.
type crowd struct {
	t   *testing.T
	st  *state
	now time.Time
}

func newCrowd(t *testing.T, n int) *crowd {
	c := &crowd{t: t, now: at(0), st: newState("room", limits{participants: 1000, grace: time.Second, log: defaultLogLimits})}
	for i := 1; i <= n; i++ {
		c.st.apply(c.now, helloed{conn: connID(i), hello: &signal.Hello{PID: benchPID(i)}, token: "token"})
	}
	return c
}

// says gives the code of the answer to a message of the participant i; "" if it was taken.
func (c *crowd) says(i int, body signal.ClientBody) signal.Code {
	for _, e := range c.st.apply(c.now, received{conn: connID(i), id: 7, body: body}) {
		if s, ok := e.(send); ok && s.re == 7 {
			if why, ok := s.body.(*signal.Error); ok {
				return why.Code
			}
		}
	}
	return ""
}

func (c *crowd) wants(i int, body signal.ClientBody, want signal.Code) {
	c.t.Helper()
	if code := c.says(i, body); code != want {
		c.t.Fatalf("%T of %d: %q, want %q", body, i, code, want)
	}
}

// create and commit name the last create or commit there is.
func (c *crowd) create() *signal.Create { return &signal.Create{Last: c.st.log.last} }

func (c *crowd) commit(adds ...int) *signal.Commit {
	commit := &signal.Commit{Last: c.st.log.last, Commit: []byte{1}}
	for _, i := range adds {
		key := keyDigest(benchJoin(i).KeyPackage)
		commit.Adds, commit.Welcome = append(commit.Adds, key[:]), []byte{1}
	}
	return commit
}

// TestGarbageKeepsNobodyOut: as many KeyPackages may wait as there are participants, for the
// room cannot tell which of them are valid.
func TestGarbageKeepsNobodyOut(t *testing.T) {
	n := signal.MaxWaiting + 50
	c := newCrowd(t, n)
	for i := 1; i <= n; i++ {
		c.wants(i, benchJoin(i), "")
	}
}

// TestJoinsAreFew: a participation may announce itself five times at once, and then once in
// five seconds, also over connections; another one is not held up.
func TestJoinsAreFew(t *testing.T) {
	c := newCrowd(t, 2)
	for range joinBurst {
		c.wants(1, benchJoin(1), "")
	}
	c.wants(1, benchJoin(1), signal.CodeRateLimited)
	c.wants(2, benchJoin(2), "")
	log := c.st.log.id
	c.st.apply(c.now, lost{conn: 1})
	c.st.apply(c.now, helloed{conn: 3, hello: &signal.Hello{PID: benchPID(1), Resume: &signal.Resume{Token: "token", LogID: log[:]}}})
	c.wants(3, benchJoin(1), signal.CodeRateLimited)
	c.now = c.now.Add(joinInterval)
	c.wants(3, benchJoin(1), "")
	c.wants(3, benchJoin(1), signal.CodeRateLimited)
}

// TestJoinedBytesAreFew: in the long run a participation adds some bytes a second to the log.
func TestJoinedBytesAreFew(t *testing.T) {
	c := newCrowd(t, 1)
	begin := c.now
	join := &signal.Join{KeyPackage: make([]byte, signal.MaxKeyPackage)}
	for range 1000 {
		c.says(1, join)
		c.now = c.now.Add(joinInterval)
	}
	if most := joinBytes + joinBytesASecond*int(c.now.Sub(begin).Seconds()); c.st.log.keyPackages > most {
		t.Fatalf("%d bytes of KeyPackages, at most %d", c.st.log.keyPackages, most)
	}
	if c.st.log.keyPackages < joinBytes {
		t.Fatalf("only %d bytes of KeyPackages", c.st.log.keyPackages)
	}
}

// TestCommitSize: a commit and its Welcome are bounded apart, by who is here and who is added.
func TestCommitSize(t *testing.T) {
	c := newCrowd(t, 3)
	for i := range 3 {
		c.wants(i+1, benchJoin(i+1), "")
	}
	c.wants(1, c.create(), "")
	commit := c.commit(2)
	commit.Commit = make([]byte, commitSlack+3*commitPerMember+signal.MaxKeyPackage+1)
	c.wants(1, commit, signal.CodeTooLarge)
	if !c.st.members[1].waiting {
		t.Error("a refused commit has added somebody")
	}
	commit.Commit = commit.Commit[1:]
	commit.Welcome = make([]byte, commitSlack+3*welcomePerMember+welcomePerAdd+1)
	c.wants(1, commit, signal.CodeTooLarge)
	commit.Welcome = commit.Welcome[1:]
	c.wants(1, commit, "")
	for i := range 100 { // digests of nobody's KeyPackage make no place
		key := keyDigest([]byte(strings.Repeat("x", i)))
		commit.Adds = append(commit.Adds, key[:])
	}
	commit.Last, commit.Commit = c.st.log.last, make([]byte, len(commit.Commit)+signal.MaxKeyPackage)
	c.wants(1, commit, signal.CodeTooLarge)
}

// TestGarbageCommits: eight without the link announce themselves and commit whenever they
// may, at once whenever the log has moved; an honest member who needs a quarter of a second
// for a commit comes through again and again, whether or not it was there before them.
func TestGarbageCommits(t *testing.T) {
	const attackers, honest = 8, 9
	for _, first := range []int{1, honest} {
		c := newCrowd(t, honest)
		for i := 1; i <= honest; i++ {
			c.wants(i, benchJoin(i), "")
		}
		c.wants(first, c.create(), "")
		came, seen := 0, c.st.log.last // what the honest member's commit is made for
		since := c.now
		for range 5 * 60 * 40 {
			c.now = c.now.Add(25 * time.Millisecond)
			if last := c.st.log.last; last != seen {
				seen, since = last, c.now
			}
			if c.now.Sub(since) >= 250*time.Millisecond {
				if c.st.byConn[honest].waiting {
					c.says(honest, c.create())
				} else if c.says(honest, c.commit()) == "" {
					came++
				}
			}
			for i := 1; i <= attackers; i++ {
				if c.says(i, c.create()) != "" {
					c.says(i, c.commit(1, 2, 3, 4, 5, 6, 7, 8))
				}
			}
		}
		if came < 20 {
			t.Errorf("%d is first: %d commits of the honest member in 5 minutes", first, came)
		}
	}
}

// TestWhoMayCommit: who created a group, and whoever such a one has named since it last
// announced itself.
func TestWhoMayCommit(t *testing.T) {
	c := newCrowd(t, 4)
	for i := 1; i <= 4; i++ {
		c.wants(i, benchJoin(i), "")
	}
	c.wants(1, c.commit(), signal.CodeNotJoined)
	c.wants(1, c.create(), "")
	c.wants(2, c.commit(2), signal.CodeNotJoined)
	c.wants(1, c.commit(2), "")
	c.wants(2, c.commit(3), "")
	c.wants(3, c.commit(), "")
	c.wants(4, c.commit(), signal.CodeNotJoined)
	c.wants(2, benchJoin(2), "")
	c.wants(2, c.commit(), signal.CodeNotJoined)
}

// TestCommitsAreFew: one commits with a burst and then once a second; those who commit at
// the same time share that.
func TestCommitsAreFew(t *testing.T) {
	c := newCrowd(t, 2)
	c.wants(1, benchJoin(1), "")
	c.wants(2, benchJoin(2), "")
	c.wants(1, c.create(), "")
	c.wants(1, c.commit(2), "")
	for range aloneBurst - 1 {
		c.wants(1, c.commit(), "")
	}
	c.wants(1, c.commit(), signal.CodeRateLimited)
	for range 10 {
		c.now = c.now.Add(time.Second)
		c.wants(1, c.commit(), "")
		c.wants(1, c.commit(), signal.CodeRateLimited)
	}
	for range sharedBurst { // for it is not alone
		c.wants(2, c.commit(), "")
	}
	c.wants(2, c.commit(), signal.CodeRateLimited)
	c.now = c.now.Add(time.Second)
	c.wants(1, c.commit(), "") // it was alone until then
	c.now = c.now.Add(time.Second)
	c.wants(1, c.commit(), signal.CodeRateLimited)
	c.now = c.now.Add(time.Second)
	c.wants(1, c.commit(), "")
}

// TestCreatesAreFew: whoever waits may create a group while nobody is in one, and else each
// 20 s.
func TestCreatesAreFew(t *testing.T) {
	c := newCrowd(t, 3)
	for i := 1; i <= 3; i++ {
		c.wants(i, benchJoin(i), "")
	}
	c.wants(1, c.create(), "")
	c.wants(1, c.create(), signal.CodeRateLimited)
	c.wants(2, c.create(), signal.CodeRateLimited)
	c.st.apply(c.now, received{conn: 1, body: &signal.Leave{}})
	c.wants(2, c.create(), "")
	c.now = c.now.Add(createInterval - time.Millisecond)
	c.wants(3, c.create(), signal.CodeRateLimited)
	c.now = c.now.Add(time.Millisecond)
	c.wants(3, c.create(), "")
	c.now = c.now.Add(createInterval)
	c.wants(2, c.create(), "") // two are here, and 40 s have gone since its last one
	c.now = c.now.Add(createInterval)
	c.wants(2, c.create(), signal.CodeRateLimited)
}

// TestOffersAreFew: some offers at once, and then one in two seconds.
func TestOffersAreFew(t *testing.T) {
	c := newCrowd(t, 1)
	for i := range offerBurst {
		c.wants(1, &signal.Offer{Connection: uint32(i + 1)}, "")
		c.st.apply(c.now, answered{seat: 1})
	}
	c.wants(1, &signal.Offer{Connection: 99}, signal.CodeRateLimited)
	c.now = c.now.Add(offerInterval)
	c.wants(1, &signal.Offer{Connection: 99}, "")
	c.wants(1, &signal.Offer{Connection: 99}, signal.CodeRateLimited)
}
