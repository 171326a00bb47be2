package loadtest

import (
	"context"
	"crypto/sha256"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/conclave-sfu/conclave/e2ee"
	"github.com/conclave-sfu/conclave/e2ee/framecrypt"
	"github.com/conclave-sfu/conclave/room/client"
	"github.com/conclave-sfu/conclave/room/signal"
)

// checker checks the frames that all participants receive.
type checker struct {
	ledger  *ledger
	latency histogram

	right, wrong atomic.Uint64
	// foreign counts frames of others who are in the meeting: there is nothing to
	// compare them with.
	foreign atomic.Uint64
}

// check compares a frame with the clip, and gives the track that it came on, nil if
// that is not one of ours, and what was sealed, without a recording if that is forgotten.
func (c *checker) check(f client.Frame) (*track, sealing) {
	t, sealed, ok := c.ledger.find(f.Sealed)
	if t == nil {
		c.foreign.Add(1)
		return nil, sealing{}
	}
	got := digest(sha256.Sum256(f.Data))
	right := false
	if ok {
		right = got == sealed.recording.frames[sealed.frame].digest
		c.latency.add(f.Received.Sub(sealed.at))
	} else {
		right = t.knows(got)
	}
	if right {
		c.right.Add(1)
	} else {
		c.wrong.Add(1)
	}
	return t, sealed
}

// participant is one of those who join.
type participant struct {
	name    string
	checker *checker
	client  *client.Client // nil before it has joined
	dialed  time.Time
	joined  time.Duration // from dialling to membership and connected media
	err     error         // why it did not join
	network *relays       // nil: as it is
	phase   *atomic.Pointer[phase]

	mu sync.Mutex
	// first is for each track that it received how long its first frame took, from
	// dialling, or from the track's start if that was later. Guarded by mu.
	first map[*track]time.Duration
	// heard is when the last frame came that it opened. Guarded by mu.
	heard time.Time
	// views are its subscriptions to videos. Guarded by mu.
	views map[*track]*viewing
	// member is its first epoch; the zero Epoch before it is a member. Guarded by mu.
	member framecrypt.Epoch
}

func newParticipant(name string, c *checker, now *atomic.Pointer[phase]) *participant {
	return &participant{
		name: name, checker: c, phase: now,
		first: make(map[*track]time.Duration), views: make(map[*track]*viewing),
	}
}

// join joins the meeting, with the tracks to publish if there are any.
func (p *participant) join(ctx context.Context, cfg client.Config) {
	p.dialed = time.Now()
	cfg.Name, cfg.OnFrame, cfg.OnRoster = p.name, p.frame, p.roster
	if p.network != nil {
		cfg.Route = p.network.route
	}
	p.client, p.err = client.Join(ctx, cfg)
	p.joined = time.Since(p.dialed)
	if p.err != nil {
		p.err = fmt.Errorf("%s: %w", p.name, p.err)
	}
}

// frame takes a frame that was opened.
func (p *participant) frame(f client.Frame) {
	t, sealed := p.checker.check(f)
	if t == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.heard = f.Received
	p.enter(f.Epoch)
	if _, ok := p.first[t]; !ok {
		p.first[t] = max(0, min(f.Received.Sub(p.dialed), f.Received.Sub(time.Unix(0, t.started.Load()))))
	}
	if r := sealed.recording; f.Decodable && r != nil && !f.Codec.Audio() {
		v := p.view(t)
		p.begin(t, v)
		v.account.decoded(t, *p.checker.ledger.bounds.Load(), r.layer, sealed.tally)
		if now := p.phase.Load(); now != nil {
			v.frame(f.Received, now.index, now.began, r.layer, len(t.recordings)-1, len(f.Data))
		}
	}
}

func (p *participant) roster(r client.Roster) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.enter(r.Epoch)
}

// enter notes the first epoch of which something is known: its roster or, a moment before
// that is told, a frame. The caller holds mu.
func (p *participant) enter(e framecrypt.Epoch) {
	if p.member == (framecrypt.Epoch{}) {
		p.member = e
	}
}

// view is the subscription to a video. The caller holds mu.
func (p *participant) view(t *track) *viewing {
	v := p.views[t]
	if v == nil {
		v = &viewing{nominal: time.Duration(t.recordings[0].ticks) * time.Second / 90000}
		p.views[t] = v
	}
	return v
}

// begin has a subscription count what is sealed since the participant is a member, if
// anything is. The caller holds mu.
func (p *participant) begin(t *track, v *viewing) {
	if v.account.begun {
		return
	}
	if before, ok := p.checker.ledger.since(t, p.member); ok {
		v.account.begin(before)
	}
}

// watch makes the subscription to a video of which nothing may have come yet.
func (p *participant) watch(t *track) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.begin(t, p.view(t))
}

// firsts gives how long the first frame of each subscription took.
func (p *participant) firsts() []time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]time.Duration, 0, len(p.first))
	for _, d := range p.first {
		all = append(all, d)
	}
	return all
}

// tracksOf are the tracks of a publisher: picture and sound.
func tracksOf(name string, c clip, l *ledger) []client.Track {
	return []client.Track{soundOf(name, c, l), pictureOf(name, c, l)}
}

func soundOf(name string, c clip, l *ledger) client.Track {
	t := &track{publisher: name, recordings: []*recording{c.audio}}
	p := &player{recording: c.audio, track: t, ledger: l}
	return client.Track{Source: signal.SourceMic, Codec: framecrypt.Opus, Next: p.sample, Sent: p.sent}
}

func pictureOf(name string, c clip, l *ledger) client.Track {
	t := &track{publisher: name, recordings: c.video}
	out := client.Track{Source: signal.SourceCamera, Codec: framecrypt.VP8}
	for i, r := range c.video {
		p := &player{recording: r, track: t, ledger: l}
		if len(c.video) == 1 {
			out.Next, out.Sent = p.sample, p.sent
			break
		}
		out.Layers = append(out.Layers, client.Layer{RID: ridOf(i, len(c.video)), Next: p.sample, Sent: p.sent})
	}
	return out
}

// rosters gives the roster of each participant that has joined and not ended.
func rosters(all []*participant) []client.Roster {
	var rs []client.Roster
	for _, p := range all {
		if p.client != nil && p.client.Err() == nil {
			rs = append(rs, p.client.Roster())
		}
	}
	return rs
}

// quiet says whether all have the same epoch.
func quiet(rs []client.Roster) bool {
	for _, r := range rs {
		if r.Epoch != rs[0].Epoch {
			return false
		}
	}
	return true
}

// leave closes all that joined, side by side.
func leave(all []*participant) {
	var wg sync.WaitGroup
	for _, p := range all {
		if p.client != nil {
			wg.Go(func() { _ = p.client.Close() })
		}
	}
	wg.Wait()
	for _, p := range all {
		_ = p.network.close() // nothing can be done about it, and nothing is lost
	}
}

// maxSlots is how many a participant has of each kind.
const maxSlots = 16

// config is what every participant of a scenario joins with. Of a simulcast it wants to
// see the best.
func config(link e2ee.Link, publishers int, simulcast bool) client.Config {
	cfg := client.Config{Link: link, VideoSlots: min(publishers, maxSlots), AudioSlots: min(publishers, maxSlots)}
	if simulcast {
		cfg.View = viewLarge
	}
	return cfg
}

// viewLarge wants every camera as large as a screen shows it.
func viewLarge(here []signal.Participant) []signal.Want {
	var wants []signal.Want
	for _, p := range here {
		for _, pub := range p.Publications {
			if pub.Source == signal.SourceCamera {
				wants = append(wants, signal.Want{PID: p.PID, Source: pub.Source, Width: 1280, Height: 720})
			}
		}
	}
	return wants
}

// opened sums the bytes of the video frames that could be shown, and counts these.
func (p *participant) opened() (bytes, frames uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, v := range p.views {
		for _, s := range v.phases {
			bytes += s.bytes
			frames += s.frames
		}
	}
	return bytes, frames
}

// isSilent says whether nothing has come to it for silence.
func (p *participant) isSilent(now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return now.Sub(p.heard) > silence
}

// smooth is how many videos it sees without a freeze in the phase of an index.
func (p *participant) smooth(index int) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, v := range p.views {
		if v.isSmooth(index) {
			n++
		}
	}
	return n
}

// stopWatching ends the subscriptions with the last phase.
func (p *participant) stopWatching(now time.Time, last *phase) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, v := range p.views {
		v.end(now, last.index, last.began)
	}
}
