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

// check compares a frame with the clip, and gives the track that it came on; nil if
// that is not one of ours.
func (c *checker) check(f client.Frame) *track {
	t, sealed, ok := c.ledger.find(f.Sealed)
	if t == nil {
		c.foreign.Add(1)
		return nil
	}
	got := digest(sha256.Sum256(f.Data))
	right := t.recording.known[got]
	if ok {
		right = got == t.recording.frames[sealed.frame].digest
		c.latency.add(f.Received.Sub(sealed.at))
	}
	if right {
		c.right.Add(1)
	} else {
		c.wrong.Add(1)
	}
	return t
}

// participant is one of those who join.
type participant struct {
	name    string
	checker *checker
	client  *client.Client // nil before it has joined
	dialed  time.Time
	joined  time.Duration // from dialling to membership and connected media
	err     error         // why it did not join

	mu sync.Mutex
	// first is for each track that it received how long its first frame took, from
	// dialling, or from the track's start if that was later. Guarded by mu.
	first map[*track]time.Duration
}

// join joins the meeting, with the tracks to publish if there are any.
func (p *participant) join(ctx context.Context, cfg client.Config) {
	p.dialed = time.Now()
	cfg.Name, cfg.OnFrame = p.name, p.frame
	p.client, p.err = client.Join(ctx, cfg)
	p.joined = time.Since(p.dialed)
	if p.err != nil {
		p.err = fmt.Errorf("%s: %w", p.name, p.err)
	}
}

// frame takes a frame that was opened.
func (p *participant) frame(f client.Frame) {
	t := p.checker.check(f)
	if t == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, ok := p.first[t]; !ok {
		p.first[t] = max(0, min(f.Received.Sub(p.dialed), f.Received.Sub(time.Unix(0, t.started.Load()))))
	}
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

// tracksOf are the tracks of a publisher: the clip's picture and sound.
func tracksOf(c clip, l *ledger) []client.Track {
	return []client.Track{
		trackOf(signal.SourceMic, framecrypt.Opus, c.audio, l),
		trackOf(signal.SourceCamera, framecrypt.VP8, c.video, l),
	}
}

func trackOf(source signal.Source, codec framecrypt.Codec, r *recording, l *ledger) client.Track {
	p := &player{recording: r, track: &track{recording: r}, ledger: l}
	return client.Track{Source: source, Codec: codec, Next: p.sample, Sent: p.sent}
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
}

// config is what every participant of a scenario joins with.
func config(link e2ee.Link, publishers int) client.Config {
	return client.Config{Link: link, VideoSlots: min(publishers, 16), AudioSlots: min(publishers, 16)}
}
