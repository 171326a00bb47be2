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
	Aim                        float64
	Median                     round
	LeastRatio, GreatestRatio  float64
	Rounds                     []round
	Participants, Subscription int
}

func newReport() *report { return &report{Cores: cores(), LoadBefore: loadAverage()} }

func (r *report) add(w workload, rounds []round) {
	ratio := func(a round) float64 { return a.Ratio }
	out := workloadReport{
		Name: w.name, Text: w.text, Aim: w.aim, Rounds: rounds,
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
	fmt.Fprintf(w, "%d cores, load average before the run %s; medians; us = microseconds\n\n", r.Cores, r.LoadBefore)
	if len(r.Workloads) > 0 {
		r.writeWorkloads(w)
	}
	if r.Crowd != nil {
		r.Crowd.write(w)
	}
}

func (r *report) writeWorkloads(w io.Writer) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "\tus a packet\tfloor\tratio\tleast-most\taim\tp50 / p99 us\tfloor's\tp99 added ms\tlost\tfloor's\t")
	for _, x := range r.Workloads {
		m := x.Median
		fmt.Fprintf(table, "%s %s\t%.2f\t%.2f\t%.2f\t%.2f-%.2f\t%.1f\t%.0f / %.0f\t%.0f / %.0f\t%.1f\t%d\t%d\t\n", x.Name, x.Text,
			micros(m.Server.CPU), micros(m.Floor.CPU), m.Ratio, x.LeastRatio, x.GreatestRatio, x.Aim,
			micros(m.Server.P50), micros(m.Server.P99), micros(m.Floor.P50), micros(m.Floor.P99), micros(m.Added99)/1000, m.Server.Lost, m.Floor.Lost)
	}
	fmt.Fprintln(table, "\t\t\t\t\t\t\t\t\t\t\t")
	fmt.Fprintln(table, "\tkB a participant\ta subscription\tgoroutines\tpackets a message\ta call\tjoins s\taudio ms\tmost\tvideo ms\tmost\t")
	for _, x := range r.Workloads {
		m := x.Median
		fmt.Fprintf(table, "%s %s\t%d\t%d\t%.1f\t%.1f\t%.1f\t%.2f\t%d\t%d\t%d\t%d\t\n", x.Name, x.Text,
			m.MemoryParticipant>>10, m.MemorySubscription>>10, m.GoroutinesParticipant, m.PacketsMessage, m.PacketsCall, m.Joins.Seconds(),
			m.FirstAudio50.Milliseconds(), m.FirstAudioMax.Milliseconds(), m.FirstVideo50.Milliseconds(), m.FirstVideoMax.Milliseconds())
	}
	_ = table.Flush()
}
