package e2eesim

import (
	"crypto/ed25519"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/conclave-sfu/conclave/e2ee"
	"github.com/conclave-sfu/conclave/e2ee/framecrypt"
)

// Participant is a session with a shell around it: a connection, a device key, and the
// frame keys.
type Participant struct {
	Name    string
	PID     e2ee.PID
	Session *e2ee.Session
	Ring    *framecrypt.Ring

	// Status, Epoch, Sending and Refused are what the session has told.
	Status  e2ee.Status
	Epoch   *e2ee.EpochStarted // the newest
	Sending framecrypt.Epoch
	Refused []e2ee.EntryRefused

	// Show, if set, replaces an entry on its way to this participant.
	Show func(e2ee.Entry) []e2ee.Entry
	// Posts, if set, sees each post on its way to the room and may stop it.
	Posts func(e2ee.PostBody) bool

	world   *World
	device  ed25519.PrivateKey
	conn    int // counts connections; 0 is none yet
	up      bool
	gone    bool // left for good
	asleep  bool // its worker does not run
	missed  []func()
	arrived uint64     // Head at the first connection to this log
	logID   e2ee.LogID // of the connection
	opened  e2ee.LogID // of the session
	at      uint64     // position of the latest entry stepped
	first   framecrypt.Epoch
	down    time.Time // when the last message down arrives
	sent    time.Time // when the last message up arrives
	tick    time.Time
}

// Join adds a participant and connects it.
func (w *World) Join(name string) *Participant {
	p := w.NewParticipant(name)
	p.Connect()
	return p
}

// NewParticipant makes a participant that is not connected yet.
func (w *World) NewParticipant(name string) *Participant {
	p := &Participant{Name: name, world: w, Ring: framecrypt.NewRing()}
	w.fill(p.PID[:])
	seed := make([]byte, ed25519.SeedSize)
	w.fill(seed)
	p.device = ed25519.NewKeyFromSeed(seed)
	var key [32]byte
	w.fill(key[:])
	s, err := e2ee.New(e2ee.Config{Link: w.Link, PID: p.PID, Name: name, Rand: rand.NewChaCha8(key)})
	if err != nil {
		panic("e2eesim: " + err.Error())
	}
	p.Session = s
	w.People = append(w.People, p)
	return p
}

func (p *Participant) here() bool { return p.conn > 0 && !p.gone }

// Connect opens a connection, or takes up the one that was lost.
func (p *Participant) Connect() {
	if p.gone || p.up {
		return
	}
	s := p.world.Server
	p.conn++
	p.up = true
	p.down, p.sent = p.world.now, p.world.now
	if p.logID != s.ID {
		p.logID, p.arrived = s.ID, s.Head()
	}
	after := uint64(0)
	if p.opened == s.ID {
		after = p.Session.Head()
	}
	opened := e2ee.LogOpened{ID: s.ID, Head: s.Head()}
	p.later(func() { p.opened = opened.ID; p.step(opened) })
	for _, e := range s.Log[after:] {
		p.show(e)
	}
}

// Break loses the connection and all that is on its way, both ways.
func (p *Participant) Break() {
	if p.up {
		p.up = false
		p.conn++
		p.world.note(p.Name, "connection lost")
	}
}

// Leave goes for good, in good order.
func (p *Participant) Leave() { p.depart("leave", 0) }

// Vanish goes for good without a word: the room notices after its grace period.
func (p *Participant) Vanish() { p.depart("vanish", 15*time.Second) }

func (p *Participant) depart(how string, notice time.Duration) {
	if p.gone {
		return
	}
	p.world.note(p.Name, "%s", how)
	p.gone, p.up = true, false
	p.conn++
	server := p.world.Server
	p.world.At(notice, func() {
		if p.world.Server == server {
			server.Append(p, e2ee.Left{})
		}
	})
}

// Sleep stops the participant's worker for d while its connection stays.
func (p *Participant) Sleep(d time.Duration) {
	if p.asleep {
		return
	}
	p.world.note(p.Name, "sleep")
	p.asleep = true
	p.world.At(d, func() {
		p.asleep = false
		missed := p.missed
		p.missed = nil
		for _, do := range missed {
			do()
		}
	})
}

// show sends an entry down.
func (p *Participant) show(e e2ee.Entry) {
	if !p.up || p.logID != p.world.Server.ID {
		return
	}
	entries := []e2ee.Entry{p.world.Server.view(p, e)}
	if p.Show != nil {
		entries = p.Show(entries[0])
	}
	p.later(func() {
		for _, e := range entries {
			p.at = e.Position
			p.step(e2ee.LogEntry{Entry: e})
		}
	})
}

// later does something when a message that is sent now arrives, unless the connection
// breaks before.
func (p *Participant) later(do func()) {
	p.down = maxTime(p.down, p.world.now.Add(p.world.delay(p)))
	p.on(p.down, do)
}

func (p *Participant) on(at time.Time, do func()) {
	conn := p.conn
	p.world.At(at.Sub(p.world.now), func() {
		if p.up && p.conn == conn {
			p.awake(do)
		}
	})
}

// awake does something now, or as soon as the worker runs again.
func (p *Participant) awake(do func()) {
	if p.asleep {
		p.missed = append(p.missed, do)
		return
	}
	do()
}

func (p *Participant) after(d time.Duration, do func()) {
	p.world.At(d, func() {
		if !p.gone {
			do()
		}
	})
}

// step gives the session an input and does what it asks for.
func (p *Participant) step(in e2ee.Input) {
	if p.gone {
		return
	}
	if err := p.Session.Step(p.world.now, in); err != nil {
		p.world.fail(p.Name, "step: %v", err)
	}
	for out, ok := p.Session.Poll(); ok; out, ok = p.Session.Poll() {
		p.do(out)
	}
	p.schedule()
}

// schedule sets the timer to the session's deadline.
func (p *Participant) schedule() {
	due := p.Session.Deadline()
	if due.IsZero() || due.Equal(p.tick) {
		p.tick = due
		return
	}
	p.tick = due
	p.world.At(max(due.Sub(p.world.now), 0), func() {
		if !p.gone && p.tick.Equal(due) {
			p.awake(func() { p.tick = time.Time{}; p.step(e2ee.Tick{}) })
		}
	})
}

func (p *Participant) do(out e2ee.Output) {
	switch out := out.(type) {
	case e2ee.SignDevice:
		p.sign(out)
	case e2ee.Post:
		p.post(out)
	case e2ee.EpochStarted:
		p.startEpoch(out)
	case e2ee.SendEpoch:
		p.world.note(p.Name, "send %v", out.Epoch)
		p.Sending = out.Epoch
		p.check("send with", p.Ring.SendWith(out.Epoch))
	case e2ee.EpochEnded:
		p.world.note(p.Name, "end %v", out.Epoch)
		p.Ring.End(out.Epoch)
	case e2ee.Status:
		p.world.note(p.Name, "status %s %s", out.State, out.Code)
		p.Status = out
		if out.State == e2ee.StateEnded {
			p.Leave() // and come back with a new session, but not in a simulation
		}
	case e2ee.EntryRefused:
		p.world.note(p.Name, "refused %d %s", out.Position, out.Code)
		p.Refused = append(p.Refused, out)
	}
}

func (p *Participant) check(what string, err error) {
	if err != nil {
		p.world.fail(p.Name, "%s: %v", what, err)
	}
}

func (p *Participant) sign(out e2ee.SignDevice) {
	answer := e2ee.DeviceSigned{
		Public:    [32]byte(p.device.Public().(ed25519.PublicKey)),
		Signature: [64]byte(ed25519.Sign(p.device, out.Message)),
	}
	p.after(5*time.Millisecond, func() { p.awake(func() { p.step(answer) }) })
}

func (p *Participant) startEpoch(out e2ee.EpochStarted) {
	if p.Epoch == nil {
		p.first = out.Epoch
	}
	p.Epoch = &out
	leaves := make([]framecrypt.Leaf, 0, len(out.Members))
	names := make([]string, 0, len(out.Members))
	for _, m := range out.Members {
		leaves = append(leaves, m.Leaf)
		names = append(names, fmt.Sprintf("%d=%s", m.Leaf, m.Name))
	}
	removed := ""
	if len(out.Removed) > 0 {
		removed = fmt.Sprintf(" removed %v", out.Removed)
	}
	roster := strings.Join(names, " ")
	p.world.note(p.Name, "epoch %v %s%s", out.Epoch, roster, removed)
	p.world.sawEpoch(p, out, roster)
	p.check("start epoch", p.Ring.Start(out.Epoch, out.Own, leaves, out.Removed, out.BaseKey))
}

// post carries a post to the room, and the answer back.
func (p *Participant) post(out e2ee.Post) {
	p.world.note(p.Name, "post %s", describePost(out.Body))
	if !p.up || p.Posts != nil && !p.Posts(out.Body) {
		return
	}
	conn, server := p.conn, p.world.Server
	p.sent = maxTime(p.sent, p.world.now.Add(p.world.delay(p)))
	p.world.At(p.sent.Sub(p.world.now), func() {
		if p.conn != conn || p.world.Server != server {
			return
		}
		code := server.post(p, out.Body)
		p.later(func() { p.step(e2ee.Posted{Seq: out.Seq, Code: code}) })
	})
}

func maxTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
