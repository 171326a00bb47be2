package loadtest

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/bitrate"
	"github.com/conclave-sfu/conclave/sfu/impair"
)

// ErrConditions: conditions of a network are written in a way that is not understood.
var ErrConditions = errors.New("bad network conditions")

// Share is a share of packets, written "5%" or "0.05".
type Share float64

// UnmarshalText implements [encoding.TextUnmarshaler].
func (s *Share) UnmarshalText(text []byte) error {
	number, percent := strings.CutSuffix(string(text), "%")
	f, err := strconv.ParseFloat(number, 64)
	if percent {
		f /= 100
	}
	if err != nil || !(f >= 0 && f <= 1) {
		return fmt.Errorf("%w: share %.20q, want something like 5%% or 0.05", ErrConditions, text)
	}
	*s = Share(f)
	return nil
}

// Bits is a rate in bits a second, written "300k", "1.5M" or "64000".
type Bits int

// UnmarshalText implements [encoding.TextUnmarshaler].
func (b *Bits) UnmarshalText(text []byte) error {
	var r bitrate.Rate
	if err := r.UnmarshalText(text); err != nil {
		return fmt.Errorf("%w: %w", ErrConditions, err)
	}
	*b = Bits(r)
	return nil
}

// Step is a time under certain conditions, of the way to the server and the way back.
type Step struct {
	For      time.Duration
	Up, Down impair.Conditions
}

// Ways says which ways are impaired.
type Ways string

// The ways.
const (
	Up   Ways = "up"
	Down Ways = "down"
	Both Ways = "both"
)

// step puts conditions on the ways.
func (w Ways) step(d time.Duration, c impair.Conditions) Step {
	s := Step{For: d}
	if w != Down {
		s.Up = c
	}
	if w != Up {
		s.Down = c
	}
	return s
}

// ParseSchedule reads steps such as
//
//	10s:rate=3M;10s:rate=300k,loss=1%;20s:rate=3M
//
// in which each begins with the base conditions and changes what it names: loss, burst,
// delay, jitter, reorder, duplicate, rate, queue. An empty schedule is one step of the
// base conditions.
func ParseSchedule(schedule string, base impair.Conditions, whole time.Duration, w Ways) ([]Step, error) {
	if schedule == "" {
		return []Step{w.step(whole, base)}, nil
	}
	var steps []Step
	for part := range strings.SplitSeq(schedule, ";") {
		duration, changes, _ := strings.Cut(strings.TrimSpace(part), ":")
		d, err := time.ParseDuration(duration)
		if err != nil || d <= 0 {
			return nil, fmt.Errorf("%w: step %.40q has no duration", ErrConditions, part)
		}
		c := base
		if err := change(&c, changes); err != nil {
			return nil, fmt.Errorf("step %.40q: %w", part, err)
		}
		steps = append(steps, w.step(d, c))
	}
	return steps, nil
}

// change applies "name=value,name=value".
func change(c *impair.Conditions, changes string) error {
	for assignment := range strings.SplitSeq(changes, ",") {
		if assignment = strings.TrimSpace(assignment); assignment == "" {
			continue
		}
		name, value, _ := strings.Cut(assignment, "=")
		if err := set(c, name, value); err != nil {
			return fmt.Errorf("%w: %.40q", ErrConditions, assignment)
		}
	}
	return nil
}

func set(c *impair.Conditions, name, value string) (err error) {
	share := func(to *float64) error {
		var s Share
		err := s.UnmarshalText([]byte(value))
		*to = float64(s)
		return err
	}
	duration := func(to *time.Duration) error {
		*to, err = time.ParseDuration(value)
		if *to < 0 {
			return ErrConditions
		}
		return err
	}
	switch name {
	case "loss":
		return share(&c.Loss)
	case "reorder":
		return share(&c.Reorder)
	case "duplicate":
		return share(&c.Duplicate)
	case "burst":
		c.Burst, err = strconv.ParseFloat(value, 64)
		return err
	case "delay":
		return duration(&c.Delay)
	case "jitter":
		return duration(&c.Jitter)
	case "queue":
		return duration(&c.Queue)
	case "rate":
		var b Bits
		err := b.UnmarshalText([]byte(value))
		c.Rate = int(b)
		return err
	}
	return ErrConditions
}

// describe writes conditions as [ParseSchedule] reads them; "clean" for none.
func describe(c impair.Conditions) string {
	var parts []string
	add := func(given bool, format string, args ...any) {
		if given {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	add(c.Loss > 0, "loss=%.4g%%", 100*c.Loss)
	add(c.Burst > 1, "burst=%.4g", c.Burst)
	add(c.Delay > 0, "delay=%v", c.Delay)
	add(c.Jitter > 0, "jitter=%v", c.Jitter)
	add(c.Reorder > 0, "reorder=%.4g%%", 100*c.Reorder)
	add(c.Duplicate > 0, "duplicate=%.4g%%", 100*c.Duplicate)
	add(c.Rate > 0, "rate=%.4gk", float64(c.Rate)/1000)
	add(c.Queue > 0, "queue=%v", c.Queue)
	if parts == nil {
		return "clean"
	}
	return strings.Join(parts, ",")
}

// String says what is done to which way.
func (s Step) String() string {
	up, down := describe(s.Up), describe(s.Down)
	switch {
	case up == down:
		return up
	case s.Up == impair.Conditions{}:
		return "down " + down
	case s.Down == impair.Conditions{}:
		return "up " + up
	default:
		return "up " + up + " down " + down
	}
}
