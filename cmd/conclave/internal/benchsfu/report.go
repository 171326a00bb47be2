//go:build linux

package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
	"time"
)

// report is what a run found.
type report struct {
	Cores int
	// LoadBefore is the machine's load average before the run: what else it does.
	LoadBefore string
	Workloads  []workloadReport
	Crowd      *crowdReport `json:",omitempty"`
}

// workloadReport holds the rounds of one workload, and their medians.
type workloadReport struct {
	Name, Text                 string
	Aims                       aims
	Median                     round
	LeastRatio, GreatestRatio  float64
	Rounds                     []round
	Participants, Subscription int
}

func newReport() *report { return &report{Cores: cores(), LoadBefore: loadAverage()} }

func (r *report) add(w workload, rounds []round) {
	ratio := func(a round) float64 { return a.Ratio }
	out := workloadReport{
		Name: w.name, Text: w.text, Aims: w.aims, Rounds: rounds,
		Participants: w.participants(), Subscription: w.subscriptions(),
		LeastRatio: ratio(slices.MinFunc(rounds, by(ratio))), GreatestRatio: ratio(slices.MaxFunc(rounds, by(ratio))),
	}
	m := &out.Median
	m.Ratio = median(rounds, ratio)
	m.Added50 = median(rounds, func(a round) time.Duration { return a.Added50 })
	m.Added99 = median(rounds, func(a round) time.Duration { return a.Added99 })
	m.Server, m.Floor = medianSample(rounds, func(a round) sample { return a.Server }), medianSample(rounds, func(a round) sample { return a.Floor })
	m.MemoryParticipant = median(rounds, func(a round) int64 { return a.MemoryParticipant })
	m.MemorySubscription = median(rounds, func(a round) int64 { return a.MemorySubscription })
	m.GoroutinesParticipant = median(rounds, func(a round) float64 { return a.GoroutinesParticipant })
	m.PacketsMessage = median(rounds, func(a round) float64 { return a.PacketsMessage })
	m.PacketsCall = median(rounds, func(a round) float64 { return a.PacketsCall })
	m.Joins = median(rounds, func(a round) time.Duration { return a.Joins })
	m.FirstAudio50 = median(rounds, func(a round) time.Duration { return a.FirstAudio50 })
	m.FirstAudioMax = median(rounds, func(a round) time.Duration { return a.FirstAudioMax })
	m.FirstVideo50 = median(rounds, func(a round) time.Duration { return a.FirstVideo50 })
	m.FirstVideoMax = median(rounds, func(a round) time.Duration { return a.FirstVideoMax })
	r.Workloads = append(r.Workloads, out)
}

func by[T cmp.Ordered](of func(round) T) func(a, b round) int {
	return func(a, b round) int { return cmp.Compare(of(a), of(b)) }
}

// median is the lower one of an even number.
func median[T cmp.Ordered](rounds []round, of func(round) T) T {
	sorted := slices.SortedFunc(slices.Values(rounds), by(of))
	return of(sorted[(len(sorted)-1)/2])
}

// medianSample takes each number's median, but the sum of what was lost.
func medianSample(rounds []round, of func(round) sample) sample {
	s := sample{
		Packets: median(rounds, func(a round) int64 { return of(a).Packets }),
		CPU:     median(rounds, func(a round) time.Duration { return of(a).CPU }),
		P50:     median(rounds, func(a round) time.Duration { return of(a).P50 }),
		P99:     median(rounds, func(a round) time.Duration { return of(a).P99 }),
	}
	for _, r := range rounds {
		s.Lost += of(r).Lost
	}
	return s
}

// write prints the table.
func (r *report) write(w io.Writer) {
	fmt.Fprintf(w, "%d cores, load average before the run %s; us = microseconds, kB = 1,024 bytes\n", r.Cores, r.LoadBefore)
	if len(r.Workloads) > 0 {
		r.writeWorkloads(w)
	}
	if r.Crowd != nil {
		r.Crowd.write(w)
	}
}

func (r *report) writeWorkloads(w io.Writer) {
	fmt.Fprintln(w, "in brackets: the aim, at most. Each figure but losses is the median of the rounds.")
	fmt.Fprintln(w)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "\tus a packet\tfloor's\tratio\tleast-most\tp50 / p99 us\tfloor's\tp99 added ms\tlost\tfloor's\t")
	for _, x := range r.Workloads {
		m := x.Median
		fmt.Fprintf(table, "%s %s\t%.2f\t%.2f\t%s\t%.2f-%.2f\t%.0f / %.0f\t%.0f / %.0f\t%s\t%d (0)\t%d\t\n", x.Name, x.Text,
			micros(m.Server.CPU), micros(m.Floor.CPU), within(2, m.Ratio, x.Aims.Ratio), x.LeastRatio, x.GreatestRatio,
			micros(m.Server.P50), micros(m.Server.P99), micros(m.Floor.P50), micros(m.Floor.P99),
			within(1, millis(m.Added99), millis(x.Aims.Added99)), m.Server.Lost, m.Floor.Lost)
	}
	_ = table.Flush()
	fmt.Fprintln(w)
	fmt.Fprintln(table, "\tkB a participant\ta subscription\tgoroutines\tpackets a message\ta call\tjoins s\taudio ms\tmost\tvideo ms\tmost\t")
	for _, x := range r.Workloads {
		m := x.Median
		fmt.Fprintf(table, "%s %s\t%s\t%s\t%.1f\t%.1f\t%.1f\t%s\t%d\t%s\t%d\t%d\t\n", x.Name, x.Text,
			within(0, float64(m.MemoryParticipant>>10), float64(x.Aims.MemoryParticipant>>10)),
			within(0, float64(m.MemorySubscription>>10), float64(x.Aims.MemorySubscription>>10)),
			m.GoroutinesParticipant, m.PacketsMessage, m.PacketsCall, within(1, m.Joins.Seconds(), x.Aims.Joins.Seconds()),
			m.FirstAudio50.Milliseconds(), within(0, millis(m.FirstAudioMax), millis(x.Aims.FirstAudio)),
			m.FirstVideo50.Milliseconds(), m.FirstVideoMax.Milliseconds())
	}
	_ = table.Flush()
	fmt.Fprint(w, legend)
}

// legend says what the columns are.
const legend = `
us a packet   processor time of the server, the system's for it included, for each packet that it
              forwards; the floor's: a bare loop that receives, opens, seals for each and sends
ratio         of these two; least-most: of the rounds
p50 / p99     from when a packet is sent until the kernel has it for who receives it; added: what the
              p99 is above the floor's
lost          packets of all rounds that never came
kB            resident memory of the server above the empty one, for each participant and for each
              pair of one who sends and one who receives; goroutines: for each participant
a message     packets in one datagram of segments, and in one system call, as the server counts
joins         until all receivers have joined and had a first packet of each kind, some at a time
audio, video  from the beginning of a join to the first packet: the median, and the last
`

// within writes a figure and, if there is one, the aim that it should not exceed.
func within(decimals int, value, aim float64) string {
	if aim == 0 {
		return fmt.Sprintf("%.*f", decimals, value)
	}
	return fmt.Sprintf("%.*f (%.*f)", decimals, value, decimals, aim)
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
