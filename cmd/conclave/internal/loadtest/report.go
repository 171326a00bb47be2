package loadtest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/conclave-sfu/conclave/room/client"
)

// ErrVerdict: the meeting was not as it has to be. The error that wraps it says how.
var ErrVerdict = errors.New("load test failed")

// Quantiles are two quantiles (nearest rank) of a time in milliseconds.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

// Report is what was measured, from the first join to the quiet moment before all
// leave.
type Report struct {
	Participants int `json:"participants"`
	Publishers   int `json:"publishers"`
	// Subscriptions are pairs of a participant and another's track of which it received
	// a frame; Expected is how many there should be.
	Subscriptions int     `json:"subscriptions"`
	Expected      int     `json:"subscriptions_expected"`
	Seconds       float64 `json:"duration_s"`

	// PacketsLost did not come, though they were asked for again. PacketsRecovered came
	// when they were.
	PacketsReceived  uint64 `json:"packets_received"`
	PacketsLost      uint64 `json:"packets_lost"`
	PacketsRecovered uint64 `json:"packets_recovered"`

	FramesSent      uint64 `json:"frames_sent"`
	FramesDecrypted uint64 `json:"frames_decrypted"`
	// FramesFailed should have opened and did not: not authentic, not encrypted,
	// replayed, or without a key though the receiver was a member of their epoch.
	FramesFailed uint64            `json:"frames_failed"`
	FailedBy     map[string]uint64 `json:"frames_failed_by_code"`
	// FramesWrong were decrypted and are not what was sealed.
	FramesWrong uint64 `json:"frames_wrong"`
	// FramesEarly reached a participant that was no member of their epoch: between its
	// media and its Welcome, or from senders not yet in its first epoch.
	FramesEarly uint64 `json:"frames_early"`
	// FramesBroken were incomplete. FramesForeign came from others in the meeting.
	FramesBroken  uint64 `json:"frames_broken"`
	FramesForeign uint64 `json:"frames_foreign"`

	// Latency is from before a frame is sealed to when it is open. Join is from
	// dialling to membership with connected media. FirstFrame is, for each subscription,
	// from dialling, or from the start of the track if that was later.
	Latency    Quantiles `json:"latency_ms"`
	Join       Quantiles `json:"join_ms"`
	FirstFrame Quantiles `json:"first_frame_ms"`

	// Phases are the times under the conditions of each step, and after them.
	Phases []PhaseReport `json:"phases"`

	Epoch         uint64   `json:"epoch"`
	Generation    uint32   `json:"generation"`
	SafetyNumbers []string `json:"safety_numbers"`
	// Resumed and Rejoined count signalling connections that were lost.
	Resumed  uint64 `json:"connections_resumed"`
	Rejoined uint64 `json:"participants_rejoined"`
	// CutOff are participants that at the end of the measurement had no connection to the
	// server, or had received nothing for five seconds though others send.
	CutOff int `json:"participants_cut_off"`
	// Failures are participants that did not join or that ended early.
	Failures []string `json:"failures"`
}

func newReport(r *run, last []client.Roster, measured time.Duration) *Report {
	rep := &Report{
		Participants: len(r.all),
		Publishers:   r.Publishers,
		Expected:     r.expected(),
		Seconds:      measured.Seconds(),
		FailedBy:     make(map[string]uint64),
		FramesWrong:  r.checker.wrong.Load(), FramesForeign: r.checker.foreign.Load(),
		Latency:       Quantiles{r.checker.latency.quantile(0.5), r.checker.latency.quantile(0.99)},
		SafetyNumbers: []string{},
		Failures:      []string{},
		CutOff:        r.cutOff,
	}
	var joins, firsts []time.Duration
	for _, p := range r.all {
		rep.fail(p)
		if p.client == nil {
			continue
		}
		rep.add(p.client.Stats())
		joins = append(joins, p.joined)
		firsts = append(firsts, p.firsts()...)
	}
	rep.Subscriptions = len(firsts)
	rep.Join, rep.FirstFrame = quantilesOf(joins), quantilesOf(firsts)
	rep.agree(last)
	rep.Phases = r.phaseReports()
	return rep
}

// fail notes a participant that did not join or that ended early.
func (r *Report) fail(p *participant) {
	err := p.err
	if p.client != nil && p.client.Err() != nil {
		err = fmt.Errorf("%s: %w", p.name, p.client.Err())
	}
	if err != nil {
		r.Failures = append(r.Failures, err.Error())
	}
}

func (r *Report) add(s client.Stats) {
	r.PacketsReceived += s.PacketsReceived
	r.PacketsLost += s.PacketsLost
	r.PacketsRecovered += s.PacketsRecovered
	r.FramesSent += s.FramesSent
	r.FramesDecrypted += s.FramesOpened
	r.FramesFailed += s.Failed()
	for code, n := range s.FramesFailed {
		r.FailedBy[code] += n
	}
	r.FramesEarly += s.FramesEarly
	r.FramesBroken += s.FramesBroken
	r.Resumed += s.Resumed
	r.Rejoined += s.Rejoined
}

// agree notes the epoch and the distinct safety numbers.
func (r *Report) agree(last []client.Roster) {
	for _, roster := range last {
		if roster.Epoch.Generation > r.Generation {
			r.Generation, r.Epoch = roster.Epoch.Generation, 0
		}
		if roster.Epoch.Generation == r.Generation {
			r.Epoch = max(r.Epoch, roster.Epoch.Number)
		}
		if !slices.Contains(r.SafetyNumbers, roster.SafetyNumber) {
			r.SafetyNumbers = append(r.SafetyNumbers, roster.SafetyNumber)
		}
	}
	slices.Sort(r.SafetyNumbers)
}

// Verdict is nil if all is well, else an error that wraps [ErrVerdict].
func (r *Report) Verdict() error {
	var faults []string
	note := func(wrong bool, format string, args ...any) {
		if wrong {
			faults = append(faults, fmt.Sprintf(format, args...))
		}
	}
	note(len(r.Failures) > 0, "%d participants did not join or ended early", len(r.Failures))
	note(r.CutOff > 0, "%d participants had lost the server at the end, or received nothing any more", r.CutOff)
	note(r.FramesFailed > 0, "%d frames failed", r.FramesFailed)
	note(r.FramesWrong > 0, "%d frames were wrong", r.FramesWrong)
	note(len(r.SafetyNumbers) > 1, "%d safety numbers remain", len(r.SafetyNumbers))
	note(r.FramesDecrypted == 0, "nothing was received")
	if faults == nil {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrVerdict, strings.Join(faults, ", "))
}

// JSON is the report as a JSON object.
func (r *Report) JSON() ([]byte, error) {
	raw, err := json.MarshalIndent(r, "", "  ")
	return append(raw, '\n'), err
}

// WriteTable writes the report for people.
func (r *Report) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(t, "%s\t%s\n", name, fmt.Sprintf(format, args...))
	}
	row("participants", "%d (%d publish), %.1f s", r.Participants, r.Publishers, r.Seconds)
	row("subscriptions", "%d of %d", r.Subscriptions, r.Expected)
	row("packets", "%d received, %d lost, %d recovered", r.PacketsReceived, r.PacketsLost, r.PacketsRecovered)
	row("frames", "%d sent, %d decrypted, %d failed%s, %d wrong", r.FramesSent, r.FramesDecrypted, r.FramesFailed, r.codes(), r.FramesWrong)
	row("", "%d early, %d broken, %d of others", r.FramesEarly, r.FramesBroken, r.FramesForeign)
	for _, q := range []struct {
		name string
		Quantiles
	}{{"latency", r.Latency}, {"join", r.Join}, {"first frame", r.FirstFrame}} {
		row(q.name, "%.1f ms p50, %.1f ms p99", q.P50, q.P99)
	}
	row("epoch", "%d, generation %d", r.Epoch, r.Generation)
	for _, n := range r.SafetyNumbers {
		row("safety number", "%s", n)
	}
	if r.CutOff > 0 {
		row("cut off", "%d participants, at the end", r.CutOff)
	}
	for _, f := range r.Failures {
		row("failure", "%s", f)
	}
	if err := t.Flush(); err != nil || len(r.Phases) == 0 {
		return err
	}
	return r.writePhases(w)
}

// codes lists why frames failed.
func (r *Report) codes() string {
	var parts []string
	for code, n := range r.FailedBy {
		parts = append(parts, fmt.Sprintf("%d %s", n, code))
	}
	if parts == nil {
		return ""
	}
	slices.Sort(parts)
	return " (" + strings.Join(parts, ", ") + ")"
}

func quantilesOf(ds []time.Duration) Quantiles {
	slices.Sort(ds)
	return Quantiles{quantileOf(ds, 0.5), quantileOf(ds, 0.99)}
}

// quantileOf is the q-quantile of sorted durations in milliseconds, 0 of none.
func quantileOf(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	d := sorted[nearestRank(uint64(len(sorted)), q)-1]
	return math.Round(float64(d.Microseconds())) / 1000
}

// nearestRank is the rank, from 1, of the q-quantile among n values.
func nearestRank(n uint64, q float64) uint64 {
	return min(max(uint64(math.Ceil(q*float64(n))), 1), n)
}
