package loadtest

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/conclave-sfu/conclave/sfu/impair"
)

// maxViews bounds the subscriptions that a report lists for a phase, maxRows those that
// its table does.
const (
	maxViews = 1000
	maxRows  = 12
)

// PhaseReport is what was measured under certain conditions.
type PhaseReport struct {
	Conditions string  `json:"conditions"`
	Seconds    float64 `json:"duration_s"`
	// Up and Down are what the relays did to packets, on the way to the server and back.
	Up   impair.Counts `json:"relayed_up"`
	Down impair.Counts `json:"relayed_down"`
	// Views are the subscriptions to videos.
	Views []View `json:"views,omitempty"`
}

// View is one subscription to a video, as a viewer sees it. Times are in milliseconds.
type View struct {
	Viewer string `json:"viewer"`
	Of     string `json:"of"`
	// Impaired says that the viewer's network is bad.
	Impaired bool `json:"impaired"`
	// Sent are the frames that the publisher sent under these conditions and the viewer could
	// have had: in epochs of which it was a member, of one layer at a time. Decoded are those
	// of them that a decoder could show, be it later.
	Sent    uint64 `json:"frames_sent"`
	Decoded uint64 `json:"frames_decoded"`
	// Freezes are those that began under these conditions.
	Freezes uint64  `json:"freezes"`
	Frozen  float64 `json:"frozen_ms"`
	Longest float64 `json:"longest_freeze_ms"`
	// Recovered is from the beginning of these conditions until frames came without a
	// freeze, Sharp until the first of the best layer; negative: neither came.
	Recovered float64 `json:"recovered_ms"`
	Sharp     float64 `json:"sharp_ms"`
	// Rate of what came to be decoded meanwhile, in bits a second, and the frames of each layer.
	Rate   float64  `json:"bits_per_second"`
	Layers []uint64 `json:"frames_of_layers"`
}

// Share is the share of frames that were decoded, 1 at most.
func (v View) Share() float64 { return float64(v.Decoded) / float64(max(v.Sent, 1)) }

// phaseReports of all phases. The run is over.
func (r *run) phaseReports() []PhaseReport {
	reports := []PhaseReport{}
	for _, p := range r.phases {
		if p.name != joining {
			reports = append(reports, PhaseReport{
				Conditions: p.name, Seconds: p.took.Seconds(), Up: p.up, Down: p.down, Views: r.viewsIn(p),
			})
		}
	}
	return reports
}

func (r *run) viewsIn(p *phase) []View {
	var views []View
	for _, viewer := range r.all {
		views = append(views, viewer.viewsIn(p)...)
	}
	slices.SortStableFunc(views, func(a, b View) int { return cmp.Compare(a.Share(), b.Share()) })
	return views[:min(len(views), maxViews)]
}

// viewsIn gives a participant's subscriptions in a phase.
func (p *participant) viewsIn(now *phase) []View {
	p.mu.Lock()
	defer p.mu.Unlock()
	var views []View
	bounds := *p.checker.ledger.bounds.Load()
	for t, v := range p.views {
		seen := v.phase(now.index, now.began)
		v.account.close(t, bounds)
		of := v.account.phases[now.index]
		views = append(views, View{
			Viewer: p.name, Of: t.publisher, Impaired: p.network != nil,
			Sent: of.sent, Decoded: of.decoded,
			Freezes: seen.freezes, Frozen: milliseconds(seen.frozen), Longest: milliseconds(seen.longest),
			Recovered: milliseconds(seen.recovered), Sharp: milliseconds(seen.sharp),
			Rate:   8 * float64(seen.bytes) / now.took.Seconds(),
			Layers: slices.Clone(seen.layers[:len(t.recordings)]),
		})
	}
	slices.SortFunc(views, func(a, b View) int { return cmp.Compare(a.Of, b.Of) })
	return views
}

// milliseconds of a duration; -1 of a negative one, which means never.
func milliseconds(d time.Duration) float64 {
	if d < 0 {
		return -1
	}
	return float64(d.Round(100*time.Microsecond)) / float64(time.Millisecond)
}

// Summary of several subscriptions.
type Summary struct {
	Views            int
	Sent, Decoded    uint64
	Least            float64 // share of frames decoded, of the worst
	Freezes          uint64
	Frozen, Longest  float64 // sum, and the longest of all, in ms
	Recovered, Sharp float64 // of the last to do so; negative if one did not
	Rate             float64 // mean
}

// Summarize the subscriptions that want is true for.
func (p PhaseReport) Summarize(want func(View) bool) Summary {
	var s Summary
	for _, v := range p.Views {
		if !want(v) {
			continue
		}
		if s.Views == 0 || v.Share() < s.Least {
			s.Least = v.Share()
		}
		s.Recovered, s.Sharp = later(s.Recovered, v.Recovered), later(s.Sharp, v.Sharp)
		s.Views++
		s.Sent += v.Sent
		s.Decoded += v.Decoded
		s.Freezes += v.Freezes
		s.Frozen += v.Frozen
		s.Longest = max(s.Longest, v.Longest)
		s.Rate += v.Rate
	}
	s.Rate /= float64(max(s.Views, 1))
	return s
}

// later is the later of two times, of which a negative one is never.
func later(a, b float64) float64 {
	if a < 0 || b < 0 {
		return -1
	}
	return max(a, b)
}

// writePhases writes a row for each phase, and where there are few, for each
// subscription.
func (r *Report) writePhases(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "conditions\ts\tvideos\tdecoded\tworst\tkbit/s\tfreezes\tfrozen\tlongest\trecovered\tsharp")
	for _, p := range r.Phases {
		for _, who := range []bool{true, false} {
			s := p.Summarize(func(v View) bool { return v.Impaired == who })
			if s.Views == 0 {
				continue
			}
			name := p.Conditions
			if !who && len(r.Phases) > 1 {
				name += " (others)"
			}
			fmt.Fprintf(t, "%s\t%.0f\t%d\t%s\n", name, p.Seconds, s.Views, s.row())
		}
		if len(p.Views) > 1 && len(p.Views) <= maxRows {
			for _, v := range p.Views {
				one := PhaseReport{Views: []View{v}}.Summarize(func(View) bool { return true })
				fmt.Fprintf(t, "  %s of %s\t\t\t%s\n", v.Viewer, v.Of, one.row())
			}
		}
	}
	for _, p := range r.Phases {
		if p.Up.Sent+p.Down.Sent > 0 {
			fmt.Fprintf(t, "relayed under %s: up %s; down %s\n", p.Conditions, counted(p.Up), counted(p.Down))
		}
	}
	return t.Flush()
}

func (s Summary) row() string {
	return fmt.Sprintf("%.1f %%\t%.1f %%\t%.0f\t%d\t%.0f ms\t%.0f ms\t%s\t%s",
		100*float64(s.Decoded)/float64(max(s.Sent, 1)), 100*s.Least, s.Rate/1000,
		s.Freezes, s.Frozen, s.Longest, at(s.Recovered), at(s.Sharp))
}

func at(ms float64) string {
	if ms < 0 {
		return "never"
	}
	return fmt.Sprintf("%.0f ms", ms)
}

func counted(c impair.Counts) string {
	return fmt.Sprintf("%d, %d lost, %d overflowed, %d twice, %d overtaking", c.Sent, c.Lost, c.Overflowed, c.Duplicated, c.Reordered)
}
