package room

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/conclave-sfu/conclave/room/signal"
)

// FuzzApply plays commands that bytes choose and checks after each what must always hold.
func FuzzApply(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(randomScript(seed, 300))
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		if len(script) > 4096 {
			script = script[:4096]
		}
		newModel(t).play(script)
	})
}

// TestApplyRandom is the same with long scripts of a known seed.
func TestApplyRandom(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			newModel(t).play(randomScript(seed, 6000))
		})
	}
}

func randomScript(seed uint64, n int) []byte {
	rng := rand.New(rand.NewPCG(seed, 0))
	script := make([]byte, n)
	for i := range script {
		script[i] = byte(rng.Uint32())
	}
	return script
}

// model is the room's world: clients that keep what they are told.
type model struct {
	t      *testing.T
	st     *state
	now    time.Time
	script []byte
	next   connID
	conns  map[connID]*client
	ready  map[connID]bool
	lost   []*client // may resume
	seats  map[seatID]bool
	offers []offer
}

// client is one participation, over its connections.
type client struct {
	pid    signal.PID
	token  string
	log    *follower
	logID  []byte
	joined bool
}

func newModel(t *testing.T) *model {
	st := newState("room", limits{participants: 5, grace: 15 * time.Second, log: logLimits{
		entries: 60, keyPackages: 400, commits: 4, commitBytes: 60}})
	return &model{t: t, st: st, now: time.UnixMilli(1_760_000_000_000), conns: map[connID]*client{},
		ready: map[connID]bool{}, seats: map[seatID]bool{}}
}

// pick takes a number below n from the script.
func (m *model) pick(n int) int {
	if len(m.script) == 0 || n <= 0 {
		return 0
	}
	b := m.script[0]
	m.script = m.script[1:]
	return int(b) % n
}

func (m *model) play(script []byte) {
	for m.script = script; len(m.script) > 0; {
		cmd := m.command()
		if cmd == nil {
			continue
		}
		for _, e := range m.st.apply(m.now, cmd) {
			m.see(e)
		}
		m.check()
	}
}

func (m *model) command() command {
	switch m.pick(16) {
	case 0, 1:
		return m.hello(nil)
	case 2:
		return m.resume()
	case 3:
		return m.lose()
	case 4:
		m.now = m.now.Add(time.Duration(m.pick(256)) * 100 * time.Millisecond)
		return ticked{}
	case 5:
		return m.media()
	case 6:
		if len(m.offers) > 0 {
			o := m.offers[0]
			m.offers = m.offers[1:]
			return answered{seat: o.seat, conn: o.conn, id: o.id}
		}
		return nil
	}
	return m.message()
}

func (m *model) hello(resume *signal.Resume) command {
	var id [16]byte
	id[0] = byte(m.pick(12))
	if resume == nil && m.pick(4) > 0 { // most come with a fresh pid
		sum := sha256.Sum256([]byte{byte(m.next), byte(m.next >> 8)})
		id = [16]byte(sum[:16])
	}
	m.next++
	c := &client{pid: signal.NewPID(id)}
	m.conns[m.next] = c
	return helloed{conn: m.next, id: 1, hello: &signal.Hello{PID: c.pid, Resume: resume},
		token: fmt.Sprint("token", m.next), logID: logID{byte(m.next), byte(m.next >> 8)}}
}

func (m *model) resume() command {
	if len(m.lost) == 0 {
		return nil
	}
	i := m.pick(len(m.lost))
	c := m.lost[i]
	m.next++
	m.conns[m.next] = c
	token := c.token
	if m.pick(8) == 0 {
		token = "another"
	}
	return helloed{conn: m.next, id: 1, hello: &signal.Hello{PID: c.pid, Resume: &signal.Resume{
		Token: token, LogID: c.logID, After: c.log.position}}, token: fmt.Sprint("token", m.next)}
}

// some picks a connection.
func (m *model) some() connID {
	if m.next == 0 {
		return 0
	}
	return m.next - connID(m.pick(min(int(m.next), 12)))
}

func (m *model) lose() command {
	id := m.some()
	c := m.conns[id]
	delete(m.conns, id)
	if c != nil && c.log != nil {
		m.lost = append(m.lost, c)
	}
	return lost{conn: id, ended: m.pick(3) == 0}
}

func (m *model) media() command {
	seat := seatID(m.pick(int(m.st.seats) + 2))
	switch m.pick(5) {
	case 0:
		return published{seat, []signal.Source{signal.SourceMic, signal.SourceCamera}[:m.pick(3)]}
	case 1:
		return slotted{seat, signal.Slots{Connection: 1}}
	case 2:
		return downed{seat, signal.MediaDown{Connection: 1}}
	case 3:
		return demanded{seat, signal.Demand{Connection: 1}}
	}
	if m.pick(20) == 0 {
		return attachFailed{seat}
	}
	return nil
}

func (m *model) message() command {
	last := uint64(0)
	if m.st.log != nil {
		last = m.st.log.last
	}
	if m.pick(6) == 0 {
		last += uint64(m.pick(5))
	}
	key := []byte{byte(m.pick(8))}
	sum := sha256.Sum256(key)
	cmd := received{conn: m.some(), id: uint32(m.pick(3))}
	switch m.pick(12) {
	case 0, 1, 2, 3:
		cmd.body = &signal.Join{KeyPackage: key, MAC: make([]byte, 32)}
	case 4:
		cmd.body = &signal.Create{Last: last, GroupID: make([]byte, 16), MAC: make([]byte, 32)}
	case 5:
		cmd.body = &signal.Commit{Last: last, Commit: make([]byte, 1+m.pick(40)), MAC: make([]byte, 32)}
	case 6:
		cmd.body = &signal.Commit{Last: last, Commit: []byte{1}, Adds: [][]byte{sum[:]}, Welcome: []byte{2}, MAC: make([]byte, 32)}
	case 7:
		cmd.body = &signal.Message{Data: []byte{1}}
	case 8:
		cmd.body = &signal.Offer{Connection: uint32(1 + m.pick(3)), SDP: "v=0"}
	case 9:
		cmd.body = &signal.Mute{Source: signal.SourceMic, Muted: m.pick(2) == 0}
	case 10:
		cmd.body = &signal.View{}
	default:
		if m.pick(4) == 0 {
			cmd.body = &signal.Leave{}
		} else {
			cmd.body = &signal.Hello{PID: pid("again")}
		}
	}
	return cmd
}

// see does an effect in the model.
func (m *model) see(e effect) {
	switch e := e.(type) {
	case send:
		for _, id := range e.to {
			m.told(id, e.body)
		}
	case catchUp:
		c := m.member(e.conn)
		for _, r := range e.records {
			entry := r.view(e.pid, e.joinedAt)
			c.entry(m.t, &entry)
		}
	case hangUp:
		if c := m.conns[e.conn]; c != nil {
			delete(m.conns, e.conn)
			if c.log != nil {
				m.lost = append(m.lost, c)
			}
		}
	case attach:
		if m.seats[e.seat] {
			m.t.Fatalf("seat %d attached again", e.seat)
		}
		m.seats[e.seat] = true
	case detach:
		if !m.seats[e.seat] {
			m.t.Fatalf("seat %d detached, but not attached", e.seat)
		}
		delete(m.seats, e.seat)
	case offer:
		m.offers = append(m.offers, e)
	case view:
		m.seated(e.seat)
	case mute:
		m.seated(e.seat)
	}
}

func (m *model) seated(seat seatID) {
	if !m.seats[seat] {
		m.t.Fatalf("seat %d has no media session", seat)
	}
}

// member is a client that may be sent something.
func (m *model) member(id connID) *client {
	c := m.conns[id]
	if c == nil {
		m.t.Fatalf("connection %d is sent something after its end", id)
	}
	return c
}

func (m *model) told(id connID, body any) {
	c := m.member(id)
	if _, err := signal.EncodeServer(0, body); err != nil {
		m.t.Fatal(err)
	}
	switch b := body.(type) {
	case *signal.Ready:
		m.ready[id], c.token = true, b.Token
		if !b.Resumed {
			c.log, c.logID = follow(m.t, "room", b.LogID), b.LogID
		}
		if !bytes.Equal(c.logID, b.LogID) || b.Head < c.log.position {
			m.t.Fatalf("resumed in another log, or before entry %d", c.log.position)
		}
	case *signal.Log:
		for i := range b.Entries {
			c.entry(m.t, &b.Entries[i])
		}
	case *signal.Message:
		if !c.joined || b.PID == c.pid {
			m.t.Fatalf("a group message for %s", c.pid)
		}
	}
	if !m.ready[id] {
		m.t.Fatalf("%T before ready", body)
	}
}

// entry follows the log and checks that the client sees what it is to see.
func (c *client) entry(t *testing.T, e *signal.Entry) {
	c.log.entry(e)
	if e.Kind == signal.EntryJoined && e.PID == c.pid {
		c.joined = true
	}
	if e.Kind == signal.EntryCommit && (len(e.Commit.Commit) > 0) != c.joined {
		t.Fatalf("entry %d with commit of %d bytes for one who has joined: %t", e.Position, len(e.Commit.Commit), c.joined)
	}
}

// check checks the state's own consistency.
func (m *model) check() {
	st := m.st
	away := 0
	pids := map[signal.PID]bool{}
	for i, p := range st.members {
		if pids[p.pid] || st.byPID[p.pid] != p || st.left[p.pid] || (i > 0 && st.members[i-1].seat >= p.seat) {
			m.t.Fatalf("%s has more than one place, or a place after it left", p.pid)
		}
		pids[p.pid] = true
		if p.conn == 0 {
			away++
		} else if st.byConn[p.conn] != p || m.conns[p.conn] == nil || m.conns[p.conn].pid != p.pid {
			m.t.Fatalf("connection %d of %s is another's", p.conn, p.pid)
		}
		if !m.seats[p.seat] {
			m.t.Fatalf("%s has no media session", p.pid)
		}
	}
	if len(st.byPID) != len(st.members) || len(st.byConn)+away != len(st.members) || len(m.seats) != len(st.members) ||
		len(st.members) > st.limits.participants {
		m.t.Fatalf("%d members, %d by pid, %d by connection, %d away, %d media sessions",
			len(st.members), len(st.byPID), len(st.byConn), away, len(m.seats))
	}
	if st.deadline().IsZero() != (away == 0) {
		m.t.Fatalf("deadline %v with %d away", st.deadline(), away)
	}
	for _, c := range m.conns {
		m.checkLog(c)
	}
}

// checkLog checks that who is connected has the log's head.
func (m *model) checkLog(c *client) {
	p := m.st.byPID[c.pid]
	if p == nil || p.conn == 0 || m.conns[p.conn] != c {
		return
	}
	if c.log.position != m.st.log.position() || c.log.hash != m.st.log.head {
		m.t.Fatalf("%s is at %d with %x, the log at %d with %x", c.pid, c.log.position, c.log.hash, m.st.log.position(), m.st.log.head)
	}
}
