package bridge

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/conclave-sfu/conclave/e2ee"
	"github.com/conclave-sfu/conclave/e2ee/framecrypt"
)

func testLink(t testing.TB) e2ee.Link {
	t.Helper()
	link, err := e2ee.NewLink(rand.Reader, "https://meet.example", "tea")
	if err != nil {
		t.Fatal(err)
	}
	return link
}

func newBridge(t testing.TB, link e2ee.Link, n byte) *Bridge {
	t.Helper()
	b, err := New(rand.Reader, appendConfig(link.URL(), formatPID(e2ee.PID{n}), fmt.Sprint("Person ", n)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// meeting is a room's log, at the desk of a test: it appends whatever is posted, by
// compare and swap, and gives it to all bridges.
type meeting struct {
	t       *testing.T
	now     int64
	last    uint64
	entries []e2ee.Entry
	people  []*person
}

type person struct {
	*Bridge
	pid     e2ee.PID
	seen    int
	started []e2ee.EpochStarted
	sending framecrypt.Epoch
	refused []e2ee.EntryRefused
	state   e2ee.State
	texts   strings.Builder // all that came out
}

func newMeeting(t *testing.T) *meeting { return &meeting{t: t, now: 1_800_000_000_000} }

func (m *meeting) join(link e2ee.Link, n byte) *person {
	p := &person{Bridge: newBridge(m.t, link, n), pid: e2ee.PID{n}}
	m.people = append(m.people, p)
	m.step(p, e2ee.LogOpened{ID: e2ee.LogID{9}, Head: uint64(len(m.entries))})
	return p
}

func (m *meeting) step(p *person, in e2ee.Input) {
	m.t.Helper()
	if err := p.Step(m.now, formatInput(in)); err != nil {
		m.t.Fatal(err)
	}
	for {
		data, ok, err := p.Poll()
		if err != nil {
			m.t.Fatal(err)
		}
		if !ok {
			return
		}
		p.texts.Write(data)
		out, err := parseOutput(data)
		if err != nil {
			m.t.Fatalf("%x: %v", data, err)
		}
		m.take(p, out)
	}
}

func (m *meeting) take(p *person, out e2ee.Output) {
	switch out := out.(type) {
	case e2ee.Post:
		m.step(p, e2ee.Posted{Seq: out.Seq, Code: m.append(p, out.Body)})
	case e2ee.EpochStarted:
		p.started = append(p.started, out)
	case e2ee.SendEpoch:
		p.sending = out.Epoch
	case e2ee.Status:
		p.state = out.State
	case e2ee.EntryRefused:
		p.refused = append(p.refused, out)
	}
}

// append does what a room does: it compares the position and looks into nothing.
func (m *meeting) append(p *person, body e2ee.PostBody) (code string) {
	e := e2ee.Entry{Position: uint64(len(m.entries) + 1), Time: m.now, PID: p.pid}
	switch b := body.(type) {
	case e2ee.PostJoin:
		e.Body = e2ee.Joined(b)
		m.entries = append(m.entries, e)
		return ""
	case e2ee.PostCreate:
		e.Body = e2ee.Created(b)
		return m.turn(b.Last, e)
	case e2ee.PostCommit:
		c := e2ee.Committed{Last: b.Last, Generation: b.Generation, Adds: b.Adds, Commit: b.Commit, CommitDigest: sha256.Sum256(b.Commit), Welcome: b.Welcome, MAC: b.MAC}
		if len(b.Welcome) > 0 {
			c.WelcomeDigest = sha256.Sum256(b.Welcome)
		}
		e.Body = c
		return m.turn(b.Last, e)
	}
	m.t.Fatalf("a post of %T", body)
	return ""
}

func (m *meeting) turn(last uint64, e e2ee.Entry) (code string) {
	if last != m.last {
		return "stale"
	}
	m.last, m.entries = e.Position, append(m.entries, e)
	return ""
}

func (m *meeting) leave(p *person) {
	m.entries = append(m.entries, e2ee.Entry{Position: uint64(len(m.entries) + 1), Time: m.now, PID: p.pid, Body: e2ee.Left{}})
	m.people = slices.DeleteFunc(m.people, func(q *person) bool { return q == p })
}

// settle brings the log to all and lets time pass, for a minute at most.
func (m *meeting) settle(done func() bool) {
	m.t.Helper()
	for range 600 {
		for _, p := range m.people {
			for p.seen < len(m.entries) {
				p.seen++
				m.step(p, e2ee.LogEntry{Entry: m.entries[p.seen-1]})
			}
		}
		if done() {
			return
		}
		m.now += 100
		for _, p := range m.people {
			if at := p.Deadline(); at > 0 && at <= m.now {
				m.step(p, e2ee.Tick{})
			}
		}
	}
	m.t.Fatal("nothing has come of it within a minute")
}

// together says whether all are in one epoch of so many members and send under it.
func (m *meeting) together(members int) func() bool {
	return func() bool {
		for _, p := range m.people {
			if len(p.started) == 0 {
				return false
			}
			newest, first := p.started[len(p.started)-1], m.people[0].started
			if len(newest.Members) != members || newest.SafetyNumber != first[len(first)-1].SafetyNumber || p.sending != newest.Epoch {
				return false
			}
		}
		return true
	}
}

func TestMeeting(t *testing.T) {
	link := testLink(t)
	m := newMeeting(t)
	ann := m.join(link, 1)
	bob := m.join(link, 2)
	m.settle(m.together(2))
	carol := m.join(link, 3)
	m.settle(m.together(3))
	m.sameKeys()
	m.leave(bob)
	m.settle(m.together(2))
	m.sameKeys()

	newest := ann.started[len(ann.started)-1]
	if !slices.Equal(newest.Removed, []framecrypt.Leaf{leafOf(ann, bob)}) {
		t.Errorf("removed leaves %v, want Bob's, %d", newest.Removed, leafOf(ann, bob))
	}
	if carol.state != e2ee.StateMember {
		t.Errorf("Carol is %q", carol.state)
	}
	if !slices.Equal(ann.refused, carol.refused) {
		t.Errorf("Ann has refused %v, Carol %v", ann.refused, carol.refused)
	}
	for _, p := range []*person{ann, bob, carol} {
		for _, secret := range []string{link.URL(), "[secret]", "BaseKey", "baseKey"} {
			if strings.Contains(p.texts.String(), secret) {
				t.Errorf("an output contains %q", secret)
			}
		}
	}
}

// leafOf is the leaf that p has seen q at last.
func leafOf(p, q *person) framecrypt.Leaf {
	for _, e := range slices.Backward(p.started) {
		for _, m := range e.Members {
			if m.PID == q.pid {
				return m.Leaf
			}
		}
	}
	return 1 << 31
}

// sameKeys checks that all have the same key for each KID, no two KIDs share one, and
// strangers have none.
func (m *meeting) sameKeys() {
	m.t.Helper()
	first := m.people[0].started
	newest := first[len(first)-1]
	seen := map[string]bool{}
	for _, member := range newest.Members {
		for ctx := framecrypt.Mic; ctx <= framecrypt.ScreenAudio; ctx++ {
			kid := uint64(framecrypt.MakeKID(ctx, member.Leaf, newest.Epoch.Number))
			want, salt, id, err := m.people[0].KeyFor(kid)
			if err != nil || id != newest.Epoch || len(want) != 16 || len(salt) != 12 || seen[string(want)] {
				m.t.Fatalf("KID %#x: key of %d bytes of epoch %v, %v", kid, len(want), id, err)
			}
			seen[string(want)] = true
			for _, p := range m.people[1:] {
				if got, gotSalt, _, err := p.KeyFor(kid); err != nil || !bytes.Equal(got, want) || !bytes.Equal(gotSalt, salt) {
					m.t.Errorf("KID %#x: %s has another key, %v", kid, p.pid, err)
				}
			}
		}
	}
	stranger := uint64(framecrypt.MakeKID(framecrypt.Mic, 1000, newest.Epoch.Number))
	if _, _, _, err := m.people[0].KeyFor(stranger); !errors.Is(err, framecrypt.ErrMissingKey) {
		m.t.Errorf("a stranger's key: %v", err)
	}
}

func TestStopsAfterMalformedInput(t *testing.T) {
	link := testLink(t)
	m := newMeeting(t)
	ann, _ := m.join(link, 1), m.join(link, 2)
	m.settle(m.together(2))
	kid := uint64(framecrypt.MakeKID(framecrypt.Mic, 0, ann.sending.Number))
	if _, _, _, err := ann.KeyFor(kid); err != nil {
		t.Fatal(err)
	}
	if err := ann.Step(m.now, []byte{typeLogEntry}); CodeOf(err) != "bad_message" {
		t.Fatalf("%v", err)
	}
	if err := ann.Step(m.now, []byte{typeTick}); !errors.Is(err, ErrStopped) {
		t.Errorf("a step after that: %v", err)
	}
	if out, ok, err := ann.Poll(); !errors.Is(err, ErrStopped) || ok || out != nil {
		t.Errorf("a poll after that: %s, %v, %v", out, ok, err)
	}
	if _, _, _, err := ann.KeyFor(kid); !errors.Is(err, ErrStopped) {
		t.Errorf("a key after that: %v", err)
	}
	if ann.Deadline() != 0 || slices.ContainsFunc(ann.device, func(b byte) bool { return b != 0 }) {
		t.Error("a deadline or the device key is left")
	}
	ann.Stop()
}

func TestNewRefuses(t *testing.T) {
	link := testLink(t).URL()
	pid := formatPID(testPID)
	for name, c := range map[string]struct {
		config []byte
		code   string
	}{
		"nothing":         {nil, "bad_message"},
		"something else":  {[]byte("link"), "bad_message"},
		"bytes left over": {append(appendConfig(link, pid, "Ann"), 0), "bad_message"},
		"no link":         {appendConfig("", pid, "Ann"), "bad_link"},
		"cut link":        {appendConfig(link[:len(link)-1], pid, "Ann"), "bad_link"},
		"no pid":          {appendConfig(link, "", "Ann"), "bad_pid"},
		"short pid":       {appendConfig(link, "AAEC", "Ann"), "bad_pid"},
		"no name":         {appendConfig(link, pid, ""), "bad_name"},
		"name not UTF-8":  {appendConfig(link, pid, "\xff"), "bad_name"},
		"zero pid":        {appendConfig(link, "AAAAAAAAAAAAAAAAAAAAAA", "Ann"), "bad_config"},
	} {
		b, err := New(rand.Reader, c.config)
		if b != nil || CodeOf(err) != c.code {
			t.Errorf("%s: %v, code %q, want %q", name, err, CodeOf(err), c.code)
		}
		if err != nil && strings.Contains(err.Error(), link[len(link)-20:]) {
			t.Errorf("%s: the error quotes the link", name)
		}
	}
	broken := errors.New("no randomness")
	if _, err := New(readerOf{broken}, appendConfig(link, pid, "Ann")); !errors.Is(err, broken) {
		t.Errorf("without randomness: %v", err)
	}
}

type readerOf struct{ err error }

func (r readerOf) Read([]byte) (int, error) { return 0, r.err }
