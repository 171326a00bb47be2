package room

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/conclave-sfu/conclave/room/signal"
)

var update = flag.Bool("update", false, "write the transcripts as they come out")

// TestTranscripts plays testdata/transcripts/*.txt: lines that begin with "> " are what
// happens, the lines after them what the room does.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/transcripts/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(want))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(want) {
				t.Errorf("the room does otherwise; it does:\n%s", got)
			}
		})
	}
}

// play runs a transcript and returns it with what really comes out.
func play(t *testing.T, text string) string {
	t.Helper()
	p := newPlayer(t)
	var out strings.Builder
	for line := range strings.Lines(text) {
		switch {
		case strings.HasPrefix(line, "> "):
			out.WriteString(line)
			for _, effect := range p.do(strings.TrimSpace(line[2:])) {
				out.WriteString(effect + "\n")
			}
		case strings.HasPrefix(line, "#"), strings.TrimSpace(line) == "":
			out.WriteString(line)
		}
	}
	return out.String()
}

// player drives a state by words.
type player struct {
	t   *testing.T
	st  *state
	now time.Time
}

func newPlayer(t *testing.T) *player {
	st := newState("room", limits{participants: 3, grace: 15 * time.Second, log: logLimits{
		entries: 12, keyPackages: 1 << 20, commits: 2, commitBytes: 1 << 20}})
	return &player{t: t, st: st, now: time.UnixMilli(1_760_000_000_000)}
}

// args are the words of a line: some in order, some by name.
type args struct {
	words []string
	named map[string]string
}

func parse(line string) (a args) {
	a.named = map[string]string{}
	for _, word := range strings.Fields(line) {
		if name, value, ok := strings.Cut(word, "="); ok {
			a.named[name] = value
		} else {
			a.words = append(a.words, word)
		}
	}
	return a
}

func (a args) number(name string) uint64 {
	n, _ := strconv.ParseUint(a.named[name], 10, 64)
	return n
}

func (a args) list(name string) []string {
	if a.named[name] == "" {
		return nil
	}
	return strings.Split(a.named[name], ",")
}

func (p *player) do(line string) (out []string) {
	a := parse(line)
	switch a.words[0] {
	case "wait":
		d, err := time.ParseDuration(a.words[1])
		if err != nil {
			p.t.Fatal(err)
		}
		p.now = p.now.Add(d)
		return nil
	case "deadline":
		if d := p.st.deadline(); !d.IsZero() {
			return []string{"  in " + d.Sub(p.now).String()}
		}
		return []string{"  none"}
	}
	for _, e := range p.st.apply(p.now, p.command(a)) {
		out = append(out, "  "+show(e))
	}
	return out
}

func (p *player) command(a args) command {
	switch a.words[0] {
	case "tick":
		return ticked{}
	case "stop":
		return stopped{}
	case "hello":
		return p.hello(a)
	case "lost":
		return lost{conn: connID(a.number("conn")), ended: slices.Contains(a.words, "ended")}
	case "attach-failed":
		return attachFailed{p.seat(a.words[1])}
	case "answered":
		return p.answered(a)
	case "published":
		var sources []signal.Source
		for _, s := range a.list("sources") {
			sources = append(sources, signal.Source(s))
		}
		return published{p.seat(a.words[1]), sources}
	case "slots":
		return slotted{p.seat(a.words[1]), signal.Slots{Connection: 1,
			Slots: []signal.Slot{{MID: "4", PID: pid(a.named["of"]), Source: signal.SourceCamera}}}}
	case "demand":
		return demanded{p.seat(a.words[1]), signal.Demand{Connection: uint32(a.number("connection")),
			Sources: []signal.SourceDemand{{Source: signal.SourceCamera, Watched: true, RIDs: a.list("rids")}}}}
	case "down":
		return downed{p.seat(a.words[1]), signal.MediaDown{Connection: uint32(a.number("connection")), Code: signal.CodeMediaFailed}}
	}
	return p.received(a)
}

func (p *player) hello(a args) command {
	h := &signal.Hello{PID: pid(a.words[1])}
	if a.named["resume"] != "" {
		h.Resume = &signal.Resume{Token: "token-" + a.named["token"], LogID: logOf(a.named["log"]), After: a.number("resume")}
	}
	return helloed{conn: connID(a.number("conn")), id: uint32(a.number("id")), hello: h,
		token: "token-" + a.named["conn"], logID: logID(logOf(a.named["conn"]))}
}

func (p *player) answered(a args) command {
	cmd := answered{seat: p.seat(a.words[1]), conn: connID(a.number("conn")), id: uint32(a.number("id")),
		answer: signal.Answer{Connection: 1, SDP: "answer"}}
	if a.named["error"] != "" {
		cmd.refusal = offerRefusal(errors.New(a.named["error"]))
	}
	return cmd
}

// received is a message of the participant that is named first.
func (p *player) received(a args) command {
	cmd := received{id: uint32(a.number("id")), conn: connID(a.number("conn"))}
	if q := p.st.byPID[pid(a.words[1])]; q != nil && cmd.conn == 0 {
		cmd.conn = q.conn
	}
	switch a.words[0] {
	case "greets":
		cmd.body = &signal.Hello{PID: pid(a.words[1])}
	case "join":
		cmd.body = &signal.Join{KeyPackage: []byte(a.named["key"]), MAC: make([]byte, 32)}
	case "create":
		cmd.body = &signal.Create{Last: a.number("last"), Generation: 1, GroupID: make([]byte, 16), MAC: make([]byte, 32)}
	case "commit":
		c := &signal.Commit{Last: a.number("last"), Generation: 1, Commit: []byte("commit"), MAC: make([]byte, 32)}
		for _, key := range a.list("adds") {
			sum := sha256.Sum256([]byte(key))
			c.Adds, c.Welcome = append(c.Adds, sum[:]), []byte("welcome")
		}
		cmd.body = c
	case "message":
		cmd.body = &signal.Message{Data: []byte(a.named["data"])}
	case "offer":
		cmd.body = &signal.Offer{Connection: uint32(a.number("connection")), SDP: "offer"}
	case "view":
		cmd.body = &signal.View{Wants: []signal.Want{{PID: pid(a.named["of"]), Source: signal.SourceCamera}}}
	case "mute", "unmute":
		cmd.body = &signal.Mute{Source: signal.Source(a.named["source"]), Muted: a.words[0] == "mute"}
	case "leave":
		cmd.body = &signal.Leave{}
	default:
		p.t.Fatalf("what is %q?", a.words[0])
	}
	if err := cmd.body.Validate(); err != nil {
		p.t.Fatalf("%v: %v", a.words, err)
	}
	return cmd
}

func (p *player) seat(name string) seatID {
	if q := p.st.byPID[pid(name)]; q != nil {
		return q.seat
	}
	return 0
}

// pid is a name as a participant id; name gives it back.
func pid(name string) signal.PID {
	var id [16]byte
	copy(id[:], name)
	return signal.NewPID(id)
}

func name(p signal.PID) string {
	id, _ := p.Bytes()
	return string(bytes.TrimRight(id[:], "\x00"))
}

func logOf(n string) []byte { return append([]byte("log-"+n), make([]byte, 12-len(n))...) }

func show(e effect) string {
	switch e := e.(type) {
	case send:
		re := ""
		if e.re != 0 {
			re = fmt.Sprintf(" (re %d)", e.re)
		}
		return fmt.Sprintf("-> %s%s: %s", showConns(e.to), re, showBody(e.body))
	case catchUp:
		return fmt.Sprintf("-> %d: backlog %s", e.conn, showBacklog(e))
	case hangUp:
		if e.why == nil {
			return fmt.Sprintf("x %d: left", e.conn)
		}
		return fmt.Sprintf("x %d: %s", e.conn, e.why.Code)
	case attach:
		return fmt.Sprintf("media: attach %s to seat %d", name(e.pid), e.seat)
	case detach:
		return fmt.Sprintf("media: detach seat %d", e.seat)
	case offer:
		return fmt.Sprintf("media: offer %d of seat %d", e.offer.Connection, e.seat)
	case view:
		return fmt.Sprintf("media: view of seat %d: %d", e.seat, len(e.view.Wants))
	case mute:
		return fmt.Sprintf("media: mute seat %d %s %t", e.seat, e.source, e.muted)
	case observe:
		return strings.TrimSpace(fmt.Sprintf("observe: %s %s", e.event.Kind, name(e.event.PID)))
	}
	return fmt.Sprintf("%T", e)
}

func showConns(to []connID) string {
	var s []string
	for _, id := range to {
		s = append(s, strconv.Itoa(int(id)))
	}
	return strings.Join(s, ",")
}

func showBacklog(c catchUp) string {
	var s []string
	for _, r := range c.records {
		e := r.view(c.pid, c.joinedAt)
		s = append(s, showEntry(&e))
	}
	for _, p := range c.roster {
		s = append(s, showBody(&p))
	}
	for _, m := range c.media {
		s = append(s, showBody(m))
	}
	return "[" + strings.Join(s, "; ") + "]"
}

func showBody(body any) string {
	switch b := body.(type) {
	case *signal.Ready:
		var here []string
		for _, p := range b.Here {
			here = append(here, name(p))
		}
		return fmt.Sprintf("ready %s %s head=%d resumed=%t here=%v", b.Token, bytes.TrimRight(b.LogID, "\x00"), b.Head, b.Resumed, here)
	case *signal.Log:
		return showEntry(&b.Entries[0])
	case *signal.Participant:
		var s []string
		for _, p := range b.Publications {
			s = append(s, strings.TrimSuffix(fmt.Sprintf("%s muted", p.Source), map[bool]string{false: " muted"}[p.Muted]))
		}
		return fmt.Sprintf("participant %s away=%t %v", name(b.PID), b.Away, s)
	case *signal.Gone:
		return "gone " + name(b.PID)
	case *signal.Appended:
		return fmt.Sprintf("appended %d", b.Position)
	case *signal.Message:
		return fmt.Sprintf("message of %s: %s", name(b.PID), b.Data)
	case *signal.Answer:
		return "answer"
	case *signal.Slots:
		return "slots of " + name(b.Slots[0].PID)
	case *signal.Demand:
		return fmt.Sprintf("demand %d %v", b.Connection, b.Sources[0].RIDs)
	case *signal.MediaDown:
		return fmt.Sprintf("media-down %d", b.Connection)
	case *signal.Error:
		return fmt.Sprintf("error %s: %s", b.Code, b.Message)
	}
	return fmt.Sprintf("%T", body)
}

func showEntry(e *signal.Entry) string {
	s := fmt.Sprintf("log %d %s %s", e.Position, e.Kind, name(e.PID))
	if c := e.Commit; c != nil {
		s += fmt.Sprintf(" last=%d", c.Last)
		if c.Commit != nil {
			s += " +commit"
		}
		if c.Welcome != nil {
			s += " +welcome"
		}
	}
	return s
}
