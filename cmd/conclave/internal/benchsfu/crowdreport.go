//go:build linux

package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"
)

// write prints what was counted, with what it should be beside it, and what was measured.
func (r *crowdReport) write(w io.Writer) {
	fmt.Fprintf(w, "\ncrowd: %d participants, %d tiles and %d slots for voices each, %d speakers\n\n", r.Participants, r.Tiles, r.Voices, r.Speakers)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	tiles, voices := min(r.Tiles, r.Participants-1), min(r.Voices, r.Participants-1)
	fmt.Fprintln(table, "counted\tleast\tmost\tshould be\t")
	fmt.Fprintf(table, "videos that each receives\t%d\t%d\t%d\t\n", r.Videos[0], r.Videos[1], tiles)
	fmt.Fprintf(table, "voices that each receives\t%d\t%d\t%d\t\n", r.VoicesHeard[0], r.VoicesHeard[1], voices)
	fmt.Fprintf(table, "packets of what is not shown\t\t%d\t0\t\n", r.Strays)
	fmt.Fprintf(table, "offers answered after the join\t\t%d\t0\t\n", r.Answers-r.Joins)
	fmt.Fprintln(table, "\t\t\t\t")
	_ = table.Flush()
	fmt.Fprintln(table, "the server while all are\ts\tprocessors\tof it kernel\tpackets/s\tus each\tp50 / p99 us\tlost\t")
	for _, p := range r.Parts {
		fmt.Fprintf(table, "%s\t%.1f\t%.2f\t%.2f\t%.0f\t%.1f\t%.0f / %.0f\t%d\t\n", p.Name, p.Took.Seconds(), share(p.CPU, p.Took), share(p.System, p.Took),
			float64(p.Packets)/p.Took.Seconds(), micros(p.CPU)/float64(max(p.Packets, 1)), micros(p.P50), micros(p.P99), p.Lost)
	}
	fmt.Fprintln(table, "\t\t\t\t\t\t\t\t")
	_ = table.Flush()
	fmt.Fprintf(w, "%.1f ms of processor a join; %d kB and %.1f goroutines a participant\n", r.perJoin(), r.Memory>>10, r.Goroutines)
	fmt.Fprintf(w, "messages that each was sent until all were there (%d kB):", r.SaidBytes>>10)
	for _, kind := range slices.Sorted(maps.Keys(r.Said)) {
		fmt.Fprintf(w, " %s %.1f", kind, r.Said[kind])
	}
	fmt.Fprintf(w, "\n%d times somebody scrolled: %d tiles came after %s (%d were gone before)\n", r.Scrolls, r.Tiled, quantiles(r.Seen), r.Passed)
	fmt.Fprintf(w, "%d turns to speak, and %d coughs: heard after %s; %.2f slots changed for each (1 at most); the floor changed %d times (%d at most)\n",
		r.Turns, r.Coughs, quantiles(r.Heard), r.TurnedAudio, r.Floors, r.Turns)
}

// perJoin is the processor time of a join, in milliseconds, packets that went meanwhile too.
func (r *crowdReport) perJoin() float64 { return micros(r.Parts[0].CPU) / 1000 / float64(r.Joins) }

func share(of, all time.Duration) float64 { return of.Seconds() / all.Seconds() }

func quantiles(q [3]time.Duration) string {
	return fmt.Sprintf("%d ms (median), %d (99 %%), %d (last)", q[0].Milliseconds(), q[1].Milliseconds(), q[2].Milliseconds())
}
