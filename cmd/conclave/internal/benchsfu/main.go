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
	var s settings
	flags := flag.NewFlagSet("benchsfu", flag.ContinueOnError)
	flags.StringVar(&s.server, "server", "bin/conclave", "the server's `program`")
	names := flags.String("workloads", "W1,W2,W3", "which of W1, W2, W3, W4 to run")
	receivers := flags.Int("receivers", 0, "how many receive in W1 and W4, instead of 50 and 500")
	flags.IntVar(&s.rounds, "rounds", 3, "measurements of each workload; the table shows medians")
	flags.DurationVar(&s.window, "window", 4*time.Second, "how long each measurement takes")
	flags.DurationVar(&s.settle, "settle", time.Second, "how long to wait before each")
	flags.DurationVar(&s.timeout, "timeout", 2*time.Minute, "most time for one round of one workload")
	flags.Uint64Var(&s.seed, "seed", 1, "of frame sizes and of when senders begin")
	profiles := flags.String("profile", "", "write a CPU profile of each workload's first round to `prefix`-W1.pprof ...; such rounds cost more")
	file := flags.String("json", "", "write the report to `file`")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	report := newReport()
	for _, name := range strings.Split(*names, ",") {
		w, err := workloadNamed(name)
		if err != nil {
			return err
		}
		w = w.withReceivers(*receivers)
		rounds, err := runWorkload(ctx, w, s, *profiles)
		if err != nil {
			return err
		}
		report.add(w, rounds)
	}
	report.write(os.Stdout)
	if *file == "" {
		return nil
	}
	raw, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(*file, append(raw, '\n'), 0o644)
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
