package faults

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/loadtest"
	"github.com/conclave-sfu/conclave/e2ee"
	"github.com/conclave-sfu/conclave/sfu/impair"
)

// network is a bad one, and what has to hold on it.
type network struct {
	name string
	ways loadtest.Ways
	who  loadtest.Who
	// steps as loadtest.ParseSchedule reads them, in which D is the duration of a step.
	steps string
	// layers of the video.
	layers []loadtest.Bits
	// floor is the least share of frames that a decoder can show in the last step, about
	// half of what was measured (docs/adr/0012).
	floor float64
}

// The video of the networks: one stream, or a simulcast where the rate changes.
var (
	oneLayer = []loadtest.Bits{300_000}
	threeOf1 = []loadtest.Bits{100_000, 300_000, 900_000}
	// As browsers send 720p.
	oneLarge   = []loadtest.Bits{1_500_000}
	threeLarge = []loadtest.Bits{150_000, 500_000, 1_500_000}
)

// networks are those of every test run. In the long one each is on the way to viewers,
// on the way from publishers, and both.
var networks = []network{
	{"loss 1 %", loadtest.Down, loadtest.OnlyLast, "D:loss=1%,delay=20ms", oneLayer, 0.6},
	{"loss 5 %", loadtest.Down, loadtest.OnlyLast, "D:loss=5%,delay=20ms", oneLayer, 0.5},
	{"loss 10 %", loadtest.Down, loadtest.OnlyLast, "D:loss=10%,delay=20ms", oneLayer, 0.4},
	{"loss 20 %", loadtest.Down, loadtest.OnlyLast, "D:loss=20%,delay=20ms", oneLayer, 0.3},
	{"loss 10 % up", loadtest.Up, loadtest.OnlyPublishers, "D:loss=10%,delay=20ms", oneLayer, 0.4},
	{"bursts of 4, 5 %", loadtest.Down, loadtest.OnlyLast, "D:loss=5%,burst=4,delay=20ms", oneLayer, 0.4},
	{"bursts of 10, 10 %", loadtest.Down, loadtest.OnlyLast, "D:loss=10%,burst=10,delay=20ms", oneLayer, 0.3},
	{"delay 50 ms", loadtest.Both, loadtest.Everybody, "D:delay=50ms", oneLayer, 0.6},
	{"delay 150 ms", loadtest.Both, loadtest.Everybody, "D:delay=150ms", oneLayer, 0.5},
	{"delay 300 ms", loadtest.Both, loadtest.Everybody, "D:delay=300ms", oneLayer, 0.4},
	{"jitter 40 ms", loadtest.Both, loadtest.Everybody, "D:delay=30ms,jitter=40ms", oneLayer, 0.6},
	{"reordering 10 %", loadtest.Down, loadtest.OnlyLast, "D:delay=60ms,reorder=10%", oneLayer, 0.5},
	{"duplicates 20 %", loadtest.Both, loadtest.Everybody, "D:duplicate=20%,delay=20ms,jitter=5ms", oneLayer, 0.6},
	{"3M, 300k", loadtest.Down, loadtest.OnlyLast, "D:rate=3M,delay=20ms;D:rate=300k,delay=20ms", threeOf1, 0},
	{"3M, 300k up", loadtest.Up, loadtest.OnlyPublishers, "D:rate=3M,delay=20ms;D:rate=300k,delay=20ms", threeOf1, 0},
	{"everything", loadtest.Both, loadtest.Everybody, "D:loss=3%,burst=3,delay=40ms,jitter=20ms,reorder=3%,duplicate=3%", oneLayer, 0.3},
}

// lengths of a test.
type lengths struct {
	step, recovery time.Duration
	meetings       int // at a time
}

var (
	brief    = lengths{3 * time.Second, time.Second, 6}
	thorough = lengths{15 * time.Second, 15 * time.Second, 3}
)

// outcome of a network.
type outcome struct {
	Network string           `json:"network"`
	Seed    uint64           `json:"seed"`
	Report  *loadtest.Report `json:"report"`
	Series  []point          `json:"series"`
	network network          // as asked
	steps   []loadtest.Step  // of it
	during  loadtest.Summary // of the last step
	after   loadtest.Summary
	err     error
}

// TestNetworks holds meetings over each of the networks, all with one server.
func TestNetworks(t *testing.T) {
	t.Parallel()
	tests, l := networks, brief
	if long {
		tests, l = thoroughly(networks), thorough
	}
	s := open(t)
	random := chance(t)
	outcomes := make([]*outcome, len(tests))
	var meetings errgroup.Group
	meetings.SetLimit(l.meetings)
	for i, n := range tests {
		seed := random.Uint64()
		meetings.Go(func() error {
			outcomes[i] = s.hold(t.Context(), n, l, seed)
			return nil
		})
	}
	_ = meetings.Wait() // the errors are the outcomes'
	for i, o := range outcomes {
		if o.starved() { // once more, alone
			t.Logf("%s: this machine had no time for it", o.Network)
			outcomes[i] = s.hold(t.Context(), tests[i], l, o.Seed+1)
		}
	}
	for _, o := range outcomes {
		t.Run(o.Network, func(t *testing.T) { o.judge(t) })
	}
	t.Logf("\n%s", table(outcomes))
	if long {
		keep(t, outcomes)
	}
}

// thoroughly asks more: full rates, and every network on each way.
func thoroughly(tests []network) (all []network) {
	for _, n := range tests {
		if len(n.layers) > 1 {
			n.layers = threeLarge
			n.steps += ";D:rate=3M,delay=20ms"
		} else {
			n.layers = oneLarge
		}
		all = append(all, n)
		if n.ways != loadtest.Down || len(n.layers) > 1 {
			continue
		}
		n.name, n.ways, n.who = n.name+" both ways", loadtest.Both, loadtest.Everybody
		n.floor /= 2
		all = append(all, n)
	}
	return all
}

// hold has a meeting of two over a network, or of three if one of two viewers has it
// and the other is to notice nothing.
func (s *site) hold(ctx context.Context, n network, l lengths, seed uint64) *outcome {
	o := &outcome{Network: n.name, Seed: seed, network: n}
	var err error
	o.steps, err = loadtest.ParseSchedule(strings.ReplaceAll(n.steps, "D", l.step.String()), impair.Conditions{}, 0, n.ways)
	if err != nil {
		o.err = err
		return o
	}
	link, err := e2ee.NewLink(rand.Reader, s.http, fmt.Sprintf("net-%x", seed))
	if err != nil {
		o.err = err
		return o
	}
	var watching sync.Mutex
	o.Report, o.err = loadtest.Run(ctx, loadtest.Scenario{
		Link: link, Publishers: 1, Subscribers: 1, Layers: n.layers,
		Steps: o.steps, Recovery: l.recovery, RecoverWithin: patience, Impaired: n.who, Seed: seed,
		Watch: func(at loadtest.Sighting) {
			watching.Lock()
			defer watching.Unlock()
			o.Series = append(o.Series, s.sight(at))
		},
	})
	if o.err != nil {
		return o
	}
	every := func(loadtest.View) bool { return true }
	phases := o.Report.Phases
	o.during, o.after = phases[len(o.steps)-1].Summarize(every), phases[len(phases)-1].Summarize(every)
	return o
}

// starved says that sender and viewers got so little time of the machine that shares of
// frames mean nothing: the sender did not get to send, or half of all frames, sound too,
// took half a second longer than the way.
func (o *outcome) starved() bool {
	if o.err != nil {
		return false
	}
	way, seconds := time.Duration(0), 0.0
	for i, s := range o.steps {
		way = max(way, s.Up.Delay+s.Down.Delay+s.Up.Jitter+s.Down.Jitter)
		seconds = o.Report.Phases[i].Seconds
	}
	return float64(o.during.Sent) < 0.8*seconds*frameRate || o.Report.Latency.P50 > float64((way+500*time.Millisecond).Milliseconds())
}

// judge asserts what must hold.
func (o *outcome) judge(t *testing.T) {
	if o.err != nil {
		t.Fatal(o.err)
	}
	defer func() {
		if t.Failed() {
			var text strings.Builder
			_ = o.Report.WriteTable(&text) // to memory
			t.Logf("seed %d\n%s", o.Seed, text.String())
		}
	}()
	if err := o.Report.Verdict(); err != nil {
		t.Error(err) // a frame wrong, or one that did not open; two views of the group
	}
	switch share := share(o.during); {
	case o.starved():
		t.Log("the share of frames is not judged: this machine had no time for them")
	case share < o.network.floor:
		t.Errorf("%.1f %% of frames could be shown, at least %.0f %%", 100*share, 100*o.network.floor)
	}
	if o.after.Views == 0 || o.after.Recovered < 0 {
		t.Error("no smooth video after the network is well again")
	}
}

func table(outcomes []*outcome) string {
	var text strings.Builder
	t := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "network\tdecoded\tkbit/s\tfreezes\tfrozen\tlongest\tlatency p50/p99\tafter: smooth\tsharp\tdecoded")
	ms := func(f float64) string {
		if f < 0 {
			return "never"
		}
		return fmt.Sprintf("%.0f ms", f)
	}
	for _, o := range outcomes {
		if o.err != nil {
			fmt.Fprintf(t, "%s\t%v\n", o.Network, o.err)
			continue
		}
		fmt.Fprintf(t, "%s\t%.1f %%\t%.0f\t%d\t%s\t%s\t%.0f/%.0f ms\t%s\t%s\t%.1f %%\n", o.Network,
			100*share(o.during), o.during.Rate/1000, o.during.Freezes, ms(o.during.Frozen), ms(o.during.Longest),
			o.Report.Latency.P50, o.Report.Latency.P99,
			ms(o.after.Recovered), ms(o.after.Sharp), 100*share(o.after))
	}
	_ = t.Flush() // to memory
	return text.String()
}

// share is the share of frames that a decoder could show.
func share(s loadtest.Summary) float64 { return float64(s.Decoded) / float64(max(s.Sent, 1)) }

// point is a moment of a meeting: bits a second.
type point struct {
	At       float64 `json:"s"`
	Capacity float64 `json:"capacity"` // 0: no limit
	Received float64 `json:"received"`
	Estimate float64 `json:"estimate"` // 0: none known
}

// sight adds what the server says to what the participants see. With several meetings
// at a time the estimate is that of none: then it is left out.
func (s *site) sight(at loadtest.Sighting) point {
	p := point{At: at.At.Seconds(), Received: at.Received, Capacity: float64(max(at.Step.Up.Rate, at.Step.Down.Rate))}
	return p
}

// keep writes table, figures and pictures to where FAULTS_OUT says.
func keep(t *testing.T, outcomes []*outcome) {
	dir := os.Getenv("FAULTS_OUT")
	if dir == "" {
		return
	}
	raw, err := json.MarshalIndent(outcomes, "", " ")
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "networks.json"), raw, 0o644)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "networks.txt"), []byte(table(outcomes)), 0o644)
	}
	if err != nil {
		t.Error(err)
	}
}
