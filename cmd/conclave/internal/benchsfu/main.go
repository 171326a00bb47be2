//go:build linux

package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "benchsfu:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 1 && args[0] == "floor" {
		return runFloor(os.Stdin, os.Stdout)
	}
	debug.SetGCPercent(400) // the clients' own cost is not what is measured
	o, err := parse(args)
	if err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	report := newReport()
	for _, w := range o.workloads {
		rounds, err := runWorkload(ctx, w, o.settings, o.profiles)
		if err != nil {
			return err
		}
		report.add(w, rounds)
	}
	if o.crowd != nil {
		r, err := runCrowd(ctx, *o.crowd, o.settings, o.profiles)
		if err != nil {
			return err
		}
		report.Crowd = &r
	}
	report.write(os.Stdout)
	if o.file == "" {
		return nil
	}
	raw, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(o.file, append(raw, '\n'), 0o644)
}

// options are what the flags say.
type options struct {
	settings
	workloads      []workload
	crowd          *crowd // nil for none
	profiles, file string // a prefix and a name; empty for none
}

func parse(args []string) (o options, err error) {
	flags := flag.NewFlagSet("benchsfu", flag.ContinueOnError)
	flags.StringVar(&o.server, "server", "bin/conclave", "the server's `program`")
	names := flags.String("workloads", "W1,W2,W3", "which of W1, W2, W3, W4, scale and crowd to run")
	receivers := flags.Int("receivers", 0, "how many receive in W1 and W4, instead of 50 and 500, and come to a crowd, instead of 500")
	rate := flags.Float64("rate", 1, "how many times as often as usual senders send, and receivers send feedback, in all workloads")
	flags.StringVar(&o.feedback, "feedback", feedbackBoth, "whose clients send transport-wide feedback: both, server or none; the floor throws it away")
	flags.IntVar(&o.rounds, "rounds", 3, "measurements of each workload; the table shows medians")
	flags.DurationVar(&o.window, "window", 4*time.Second, "how long each measurement takes")
	flags.DurationVar(&o.settle, "settle", time.Second, "how long to wait before each")
	flags.DurationVar(&o.timeout, "timeout", 2*time.Minute, "most time for one round of one workload")
	flags.Uint64Var(&o.seed, "seed", 1, "of frame sizes and of when senders begin")
	flags.StringVar(&o.profiles, "profile", "", "write a CPU profile of each workload's first round to `prefix`-W1.pprof ...; such rounds cost more")
	flags.StringVar(&o.file, "json", "", "write the report to `file`")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if !slices.Contains([]string{feedbackBoth, feedbackServer, feedbackNone}, o.feedback) {
		return o, fmt.Errorf("feedback to %q", o.feedback)
	}
	others, crowded := withoutCrowd(*names)
	if crowded {
		c := usualCrowd.of(*receivers).at(*rate)
		o.crowd = &c
	}
	if others != "" || !crowded {
		o.workloads, err = choose(others, *receivers, *rate)
	}
	return o, err
}

// withoutCrowd takes the crowd out of the names, which is measured in another way.
func withoutCrowd(names string) (others string, crowded bool) {
	list := strings.Split(names, ",")
	left := slices.DeleteFunc(slices.Clone(list), func(name string) bool { return name == "crowd" })
	return strings.Join(left, ","), len(left) < len(list)
}

// choose gives the workloads that are named, with what the flags change.
func choose(names string, receivers int, rate float64) (list []workload, err error) {
	if rate <= 0 || rate > 100 {
		return nil, fmt.Errorf("a rate of %v", rate)
	}
	for name := range strings.FieldsFuncSeq(names, func(r rune) bool { return r == ',' }) {
		some, err := workloadsNamed(name)
		if err != nil {
			return nil, err
		}
		for _, w := range some {
			list = append(list, w.withReceivers(receivers).at(rate))
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("no workload in %q", names)
	}
	return list, nil
}

func runWorkload(ctx context.Context, w workload, s settings, profiles string) ([]round, error) {
	var rounds []round
	for i := range s.rounds {
		if s.profile = ""; profiles != "" && i == 0 {
			s.profile = fmt.Sprintf("%s-%s.pprof", profiles, w.name)
		}
		r, err := measure(ctx, w, s)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(os.Stderr, "%s round %d of %d: %.2f us a packet (%.2f in the kernel), floor %.2f (%.2f), ratio %.2f\n",
			w.name, i+1, s.rounds, micros(r.Server.CPU), micros(r.Server.System), micros(r.Floor.CPU), micros(r.Floor.System), r.Ratio)
		rounds = append(rounds, r)
	}
	return rounds, nil
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func listenLocal() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }

// loadAverage is what else the machine does, as the kernel says it.
func loadAverage() string {
	raw, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(raw))[:3], " ")
}

func cores() int { return runtime.NumCPU() }
