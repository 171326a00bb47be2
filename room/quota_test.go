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
