//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// process is the server, or the floor: what is measured.
type process struct {
	cmd   *exec.Cmd
	input io.WriteCloser
	// line is the first that it printed: it is ready.
	line string
}

// spawn starts a program and waits for its first line.
func spawn(ctx context.Context, program string, args ...string) (*process, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, input: input}
	lines := bufio.NewReader(output)
	if p.line, err = lines.ReadString('\n'); err != nil {
		p.stop()
		return nil, fmt.Errorf("%s printed nothing: %w", program, err)
	}
	p.line = strings.TrimSpace(p.line)
	go func() { _, _ = io.Copy(io.Discard, lines) }()
	return p, nil
}

// stop ends the program, and waits for its end.
func (p *process) stop() {
	_ = p.input.Close()
	_ = p.cmd.Process.Signal(os.Interrupt)
	_ = p.cmd.Wait()
}

// ticksPerSecond is the unit of times in /proc (sysconf(_SC_CLK_TCK)); it is 100 on
// all architectures that Go runs on.
const ticksPerSecond = 100

// processorTime is what the process has used, user and system, and of it the system's. The
// sum is exact; of how it is divided the kernel tells ticks.
func (p *process) processorTime() (all, system time.Duration, err error) {
	if all, err = processClock(p.cmd.Process.Pid); err != nil {
		return 0, 0, err
	}
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, 0, err
	}
	_, system, err = parseStat(string(raw))
	return all, system, err
}

// processClock reads another process's processor time, of all its threads, in nanoseconds
// (clock_getcpuclockid(3)).
func processClock(pid int) (time.Duration, error) {
	const scheduled = 2 // CPUCLOCK_SCHED
	var at unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduled), &at); err != nil {
		return 0, fmt.Errorf("processor clock of %d: %w", pid, err)
	}
	return time.Duration(at.Nano()), nil
}

// parseStat takes the fields utime and stime (proc_pid_stat(5)), which follow the
// program's name in parentheses.
func parseStat(stat string) (all, system time.Duration, err error) {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0, 0, fmt.Errorf("stat %q: too short", stat)
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	if err != nil {
		return 0, 0, fmt.Errorf("stat: %w", err)
	}
	kernel, err := strconv.ParseInt(fields[12], 10, 64)
	if err != nil {
		return 0, 0, fmt.Errorf("stat: %w", err)
	}
	return time.Duration(user+kernel) * time.Second / ticksPerSecond, time.Duration(kernel) * time.Second / ticksPerSecond, nil
}

// memory is what the process has in memory, in bytes.
func (p *process) memory() (int64, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(raw)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kB, err := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
			return kB << 10, err
		}
	}
	return 0, fmt.Errorf("no VmRSS in %q", raw)
}

// metrics are those of the server's admin port, without those that have labels.
func metrics(ctx context.Context, admin string) (map[string]float64, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	return parseMetrics(response.Body)
}

func parseMetrics(r io.Reader) (map[string]float64, error) {
	values := map[string]float64{}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if !ok || strings.ContainsAny(name, "#{") {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, fmt.Errorf("metric %s: %w", name, err)
		}
		values[name] = n
	}
	return values, lines.Err()
}

// profile saves a CPU profile of the server.
func profile(ctx context.Context, admin, file string, window time.Duration) error {
	url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", admin, max(int(window.Seconds()), 1))
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	defer out.Close()
	_, err = io.Copy(out, response.Body)
	return err
}
