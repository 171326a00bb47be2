package faults

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"html"
	"os"
	"path/filepath"
	"regexp"
	"slices"
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
	// floor is the least share of frames that a decoder can show in the worst step, the second
	// of several, about half of what was measured (docs/adr/0012).
	floor float64
}

// limits are of times, in the long run: for how long a picture may stand still under the
// faults, and how long the best layer may take to come back.
type limits struct{ still, sharp time.Duration }

var limitsOf = map[string]limits{
	"3M, 300k up": {1500 * time.Millisecond, 8 * time.Second},
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
	{"loss 10 %", loadtest.Down, loadtest.OnlyLast, "D:loss=10%,delay=20ms", oneLayer, 0.5},
	{"loss 20 %", loadtest.Down, loadtest.OnlyLast, "D:loss=20%,delay=20ms", oneLayer, 0.5},
	{"loss 10 % up", loadtest.Up, loadtest.OnlyPublishers, "D:loss=10%,delay=20ms", oneLayer, 0.5},
	{"bursts of 4, 5 %", loadtest.Down, loadtest.OnlyLast, "D:loss=5%,burst=4,delay=20ms", oneLayer, 0.45},
	{"bursts of 10, 10 %", loadtest.Down, loadtest.OnlyLast, "D:loss=10%,burst=10,delay=20ms", oneLayer, 0.4},
	{"delay 50 ms", loadtest.Both, loadtest.Everybody, "D:delay=50ms", oneLayer, 0.6},
	{"delay 150 ms", loadtest.Both, loadtest.Everybody, "D:delay=150ms", oneLayer, 0.5},
	{"delay 300 ms", loadtest.Both, loadtest.Everybody, "D:delay=300ms", oneLayer, 0.45},
	{"jitter 40 ms", loadtest.Both, loadtest.Everybody, "D:delay=30ms,jitter=40ms", oneLayer, 0.6},
	{"reordering 10 %", loadtest.Down, loadtest.OnlyLast, "D:delay=60ms,reorder=10%", oneLayer, 0.5},
	{"duplicates 20 %", loadtest.Both, loadtest.Everybody, "D:duplicate=20%,delay=20ms,jitter=5ms", oneLayer, 0.6},
	{"3M, 300k", loadtest.Down, loadtest.OnlyLast, "D:rate=3M,delay=20ms;D:rate=300k,delay=20ms;D:rate=3M,delay=20ms", threeOf1, 0.4},
	{"3M, 300k up", loadtest.Up, loadtest.OnlyPublishers, "D:rate=3M,delay=20ms;D:rate=300k,delay=20ms;D:rate=3M,delay=20ms", threeOf1, 0.4},
	{"everything", loadtest.Both, loadtest.Everybody, "D:loss=3%,burst=3,delay=40ms,jitter=20ms,reorder=3%,duplicate=3%", oneLayer, 0.45},
}

// lengths of a test.
type lengths struct {
	step, recovery time.Duration
	meetings       int // at a time
}

var (
	brief    = lengths{3 * time.Second, time.Second, 4}
	thorough = lengths{15 * time.Second, 15 * time.Second, 5}
)

// outcome of a network.
type outcome struct {
	Network string           `json:"network"`
	Seed    uint64           `json:"seed"`
	Report  *loadtest.Report `json:"report"`
	Series  []point          `json:"series"`
	network network          // as asked
	steps   []loadtest.Step  // of it
	during  loadtest.Summary // of the worst step
	after   loadtest.Summary
	err     error
}

// TestNetworks holds a meeting over each of the networks.
func TestNetworks(t *testing.T) {
	t.Parallel()
	tests, l := briefly(networks), brief
	if long {
		tests, l = thoroughly(networks), thorough
	}
	tests = chosen(t, tests)
	random := chance(t)
	outcomes := make([]*outcome, len(tests))
	hold := func(n network, seed uint64) *outcome {
		s := open(t) // of its own: its estimate is that of the one who receives
		return s.hold(t.Context(), n, l, seed)
	}
	var meetings errgroup.Group
	meetings.SetLimit(l.meetings)
	for i, n := range tests {
		seed := random.Uint64()
		meetings.Go(func() error {
			outcomes[i] = hold(n, seed)
			return nil
		})
	}
	_ = meetings.Wait() // the errors are the outcomes'
	for i, o := range outcomes {
		if o.starved() { // once more, alone
			t.Logf("%s: this machine had no time for it", o.Network)
			outcomes[i] = hold(tests[i], o.Seed+1)
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

// chosen are the networks whose names FAULTS_NETWORKS, a regular expression, matches.
func chosen(t *testing.T, tests []network) []network {
	pattern, err := regexp.Compile(os.Getenv("FAULTS_NETWORKS"))
	if err != nil {
		t.Fatalf("FAULTS_NETWORKS: %v", err)
	}
	return slices.DeleteFunc(tests, func(n network) bool { return !pattern.MatchString(n.name) })
}

// briefly asks for a part of the shares of frames: what a network costs is nothing that a
// test with the race detector beside others can judge, only whether video flows at all.
func briefly(tests []network) (all []network) {
	for _, n := range tests {
		n.floor /= 5
		all = append(all, n)
	}
	return all
}

// thoroughly asks more: full rates, a line of 3 Mbit/s, and every network on each way.
func thoroughly(tests []network) (all []network) {
	for _, n := range tests {
		if len(n.layers) > 1 {
			n.layers = threeLarge
		} else {
			n.layers = oneLarge
			n.steps += ",rate=3M"
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
	phases := o.Report.Phases
	o.during, o.after = phases[min(1, len(o.steps)-1)].Summarize(everyView), phases[len(phases)-1].Summarize(everyView)
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

func everyView(loadtest.View) bool { return true }

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
	if long && !o.starved() {
		o.judgeTimes(t)
	}
}

// judgeTimes asserts for how long a picture stands still, and when it is sharp again.
func (o *outcome) judgeTimes(t *testing.T) {
	most, ok := limitsOf[o.Network]
	if !ok {
		return
	}
	for i, p := range o.Report.Phases[:len(o.steps)] {
		s := p.Summarize(everyView)
		if s.Longest > float64(most.still.Milliseconds()) {
			t.Errorf("%s: a picture stood still for %.0f ms, at most %v", o.step(i), s.Longest, most.still)
		}
		if last := i == len(o.steps)-1; last && (s.Sharp < 0 || s.Sharp > float64(most.sharp.Milliseconds())) {
			t.Errorf("%s: the best layer after %.0f ms (negative: never), at most %v", o.step(i), s.Sharp, most.sharp)
		}
	}
}

func table(outcomes []*outcome) string {
	var text strings.Builder
	t := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "network\tdecoded\tkbit/s\tfreezes\tfrozen\tlongest\testimate/capacity\tlatency p50/p99\tafter: smooth\tsharp\tdecoded")
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
		for i, p := range o.Report.Phases[:len(o.steps)] {
			during, next := p.Summarize(everyView), o.Report.Phases[i+1].Summarize(everyView)
			fmt.Fprintf(t, "%s\t%.1f %%\t%.0f\t%d\t%s\t%s\t%s\t%.0f/%.0f ms\t%s\t%s\t%.1f %%\n", o.step(i),
				100*share(during), during.Rate/1000, during.Freezes, ms(during.Frozen), ms(during.Longest), o.estimated(i),
				o.Report.Latency.P50, o.Report.Latency.P99,
				ms(next.Recovered), ms(next.Sharp), 100*share(next))
		}
	}
	_ = t.Flush() // to memory
	return text.String()
}

// estimated is the median of the estimates in the second half of a step, and what share it is
// of what the way to the viewer takes; empty where that has no limit.
func (o *outcome) estimated(i int) string {
	capacity := float64(o.steps[i].Down.Rate)
	end := 0.0
	for _, s := range o.steps[:i+1] {
		end += s.For.Seconds()
	}
	begin := end - o.steps[i].For.Seconds()/2
	var known []float64
	for _, p := range o.Series {
		if p.At > begin && p.At <= end && p.Estimate > 0 {
			known = append(known, p.Estimate)
		}
	}
	if capacity == 0 || known == nil {
		return "-"
	}
	slices.Sort(known)
	median := known[len(known)/2]
	return fmt.Sprintf("%.0f k, %.2f", median/1000, median/capacity)
}

// step names a row: the network, or the step of one that changes.
func (o *outcome) step(i int) string {
	if len(o.steps) == 1 {
		return o.Network
	}
	return o.Network + ": " + o.steps[i].String()
}

// share is the share of frames that a decoder could show.
func share(s loadtest.Summary) float64 { return float64(s.Decoded) / float64(max(s.Sent, 1)) }

// point is a moment of a meeting: bits a second.
type point struct {
	At       float64 `json:"s"`
	Capacity float64 `json:"capacity"` // 0: no limit
	Received float64 `json:"received"`
	Estimate float64 `json:"estimate"` // 0: none known
	Frames   float64 `json:"frames"`   // a second, that could be shown
}

// sight adds what the server says to what the participants see. Its estimates are of those
// who watch somebody: of the viewer alone.
func (s *site) sight(at loadtest.Sighting) point {
	p := point{At: at.At.Seconds(), Received: at.Received, Frames: at.Frames, Capacity: float64(max(at.Step.Up.Rate, at.Step.Down.Rate))}
	p.Estimate = s.metric(`conclave_media_estimate_bits{quantile="0.5"}`)
	return p
}

// picture draws capacity, estimate and what was received over time, and below that the
// frames that could be shown.
func picture(name string, series []point) string {
	const width, left, rates, frames, foot = 900.0, 60.0, 300.0, 110.0, 24.0
	end, top := 1.0, 1e5
	for _, p := range series {
		end, top = max(end, p.At), max(top, p.Capacity, p.Received, p.Estimate)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" font-family="sans-serif" font-size="13">`+"\n", width, rates+frames+foot)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="white"/><text x="%.0f" y="16">%s</text>`+"\n", left, html.EscapeString(name))
	rule := func(y float64, label string) {
		fmt.Fprintf(&b, `<text x="0" y="%.1f">%s</text><path d="M%.0f %.1fH%.0f" stroke="#ddd"/>`+"\n", y+4, label, left, y, width)
	}
	for i := range 4 {
		rule(rates*(1-float64(i)/4), fmt.Sprintf("%.1f M", top*float64(i)/4e6))
	}
	for i := range 2 {
		rule(rates+frames*(1-0.8*float64(i)), fmt.Sprintf("%d fps", frameRate*i))
	}
	for i, line := range []struct {
		name, colour string
		of           func(point) float64
		y            func(float64) float64
	}{
		{"capacity", "#999", func(p point) float64 { return p.Capacity }, func(v float64) float64 { return rates * (1 - v/top) }},
		{"estimate", "#c60", func(p point) float64 { return p.Estimate }, func(v float64) float64 { return rates * (1 - v/top) }},
		{"received", "#06c", func(p point) float64 { return p.Received }, func(v float64) float64 { return rates * (1 - v/top) }},
		{"frames shown", "#080", func(p point) float64 { return p.Frames }, func(v float64) float64 { return rates + frames*(1-0.8*min(v/frameRate, 1.2)) }},
	} {
		var points []string
		for _, p := range series {
			if v := line.of(p); v > 0 || line.name == "frames shown" {
				points = append(points, fmt.Sprintf("%.1f,%.1f", left+(width-left)*p.At/end, line.y(v)))
			}
		}
		fmt.Fprintf(&b, `<polyline fill="none" stroke="%s" stroke-width="1.5" points="%s"/>`+"\n", line.colour, strings.Join(points, " "))
		fmt.Fprintf(&b, `<text x="%.0f" y="%.0f" fill="%s">%s</text>`+"\n", left+120*float64(i), rates+frames+foot-6, line.colour, line.name)
	}
	fmt.Fprintf(&b, `<text x="%.0f" y="%.0f">%.0f s</text></svg>`+"\n", width-50, rates+frames+foot-6, end)
	return b.String()
}

func TestPicture(t *testing.T) {
	t.Parallel()
	svg := picture("a < b", []point{{0, 3e6, 1e6, 0, 30}, {1, 3e5, 2e5, 4e5, 0}})
	var document struct {
		Lines []struct {
			Points string `xml:"points,attr"`
		} `xml:"polyline"`
	}
	if err := xml.Unmarshal([]byte(svg), &document); err != nil || len(document.Lines) != 4 {
		t.Fatalf("%v, %d lines in\n%s", err, len(document.Lines), svg)
	}
	for i, want := range []string{"60.0,0.0 900.0,270.0", "900.0,260.0", "60.0,200.0 900.0,280.0", "60.0,322.0 900.0,410.0"} {
		if got := document.Lines[i].Points; got != want {
			t.Errorf("line %d goes by %s, want %s", i, got, want)
		}
	}
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
	for _, o := range outcomes {
		if len(o.network.layers) > 1 && err == nil {
			name := strings.NewReplacer(",", "", " ", "-").Replace(o.Network) + ".svg"
			err = os.WriteFile(filepath.Join(dir, name), []byte(picture(o.Network, o.Series)), 0o644)
		}
	}
	if err != nil {
		t.Error(err)
	}
}
