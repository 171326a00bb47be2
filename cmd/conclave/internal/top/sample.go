package top

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// Bounds of what is read.
const (
	maxLine    = 64 << 10 // bytes
	maxMetrics = 20_000
)

// ErrMetrics: an answer is not what a server's /metrics says.
var ErrMetrics = errors.New("not the metrics of a Conclave server")

// Sample is what /metrics said at one time.
type Sample struct {
	At time.Time
	// values by name and labels, as they are written.
	values map[string]float64
}

// Parse reads metrics. Lines that it does not understand it leaves out; its errors wrap
// [ErrMetrics] if nothing of a Conclave server is there.
func Parse(r io.Reader, at time.Time) (Sample, error) {
	s := Sample{At: at, values: make(map[string]float64)}
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for lines.Scan() && len(s.values) < maxMetrics {
		if key, value, ok := parseLine(lines.Text()); ok {
			s.values[key] = value
		}
	}
	if err := lines.Err(); err != nil {
		return Sample{}, fmt.Errorf("%w: %w", ErrMetrics, err)
	}
	if len(s.family("conclave_build_info")) == 0 {
		return Sample{}, ErrMetrics
	}
	return s, nil
}

// parseLine reads `name value` or `name{label="value"} value`, with or without a time
// behind it.
func parseLine(line string) (key string, value float64, ok bool) {
	if line == "" || line[0] == '#' {
		return "", 0, false
	}
	end := strings.IndexByte(line, ' ')
	if brace := strings.LastIndexByte(line, '}'); brace >= 0 {
		end = brace + 1
	}
	if end <= 0 || end >= len(line) {
		return "", 0, false
	}
	rest := strings.Fields(line[end:])
	if len(rest) == 0 {
		return "", 0, false
	}
	value, err := strconv.ParseFloat(rest[0], 64)
	return line[:end], value, err == nil && !math.IsNaN(value) && !math.IsInf(value, 0)
}

// get is the value of a metric without labels, 0 if there is none.
func (s Sample) get(name string) float64 { return s.values[name] }

// family are the values of a metric with one label, by that label's value.
func (s Sample) family(name string) map[string]float64 {
	found := make(map[string]float64)
	for key, value := range s.values {
		labels, ok := strings.CutPrefix(key, name+"{")
		if !ok {
			continue
		}
		if _, quoted, ok := strings.Cut(strings.TrimSuffix(labels, "}"), "="); ok {
			found[strings.Trim(quoted, `"`)] = value
		}
	}
	return found
}
