package bwe

import (
	"slices"
	"testing"
	"time"
)

// crowdSize is how many receivers report in turns in [BenchmarkReportCold], and coldBytes how
// much is read after each turn of them, more than a cache holds.
const (
	crowdSize = 500
	coldBytes = 64 << 20
)

// audience is some receivers of the same packets. Each has come so far that all windows
// are full, and takes all that anybody wants.
type audience struct {
	now    int64
	random uint64
	logs   []*SentLog
	all    []*Estimator
	raw    []byte // the next report, of all
}

func newAudience(size int) *audience {
	a := &audience{now: int64(time.Hour)}
	for range size {
		log := NewSentLog(DefaultLogSize)
		a.logs = append(a.logs, log)
		a.all = append(a.all, New(Config{Start: 3e6, Min: 50e3, Max: 50e6}, log))
	}
	var r Report
	for range 400 {
		a.send()
		for _, e := range a.all {
			a.take(e, &r)
		}
	}
	return a
}

// send has what is sent in 50 ms go to all, 1.5 Mbit/s of video at 30 frames a second and audio,
// and prepares the report on it.
func (a *audience) send() {
	base, at := uint16(a.logs[0].Count()), []int64(nil)
	put := func(size int) {
		for _, log := range a.logs {
			log.Add(a.now, size)
		}
		a.random = a.random*6364136223846793005 + 1
		at = append(at, a.now+int64(10*time.Millisecond)+int64(a.random>>44)) // up to 1 ms more
	}
	for tick := range 50 {
		if a.now += int64(time.Millisecond); tick%20 == 0 {
			put(100)
		}
		if tick%33 == 0 {
			for range 4 {
				put(1100)
			}
		}
	}
	a.raw = encodeReport(base, at, 0)
}

// take does what a forwarder does with a report.
func (a *audience) take(e *Estimator, r *Report) {
	if err := r.Unmarshal(a.raw); err != nil {
		panic(err)
	}
	e.OnReport(a.now, r)
	e.Want(a.now, 1_500_000, 0)
	e.Tick(a.now)
	e.Target()
	e.Room()
}

// BenchmarkReportWarm takes the reports of a few receivers, whose state stays in the cache.
func BenchmarkReportWarm(b *testing.B) { benchmarkReports(b, 20, 0) }

// BenchmarkReportCold takes those of many in turns, when nothing of them is in the cache.
func BenchmarkReportCold(b *testing.B) { benchmarkReports(b, crowdSize, coldBytes) }

func benchmarkReports(b *testing.B, size, cold int) {
	a, rubbish := newAudience(size), make([]byte, cold)
	var r Report
	var spent []time.Duration
	for b.Loop() {
		a.send()
		for i := 0; i < cold; i += 64 {
			rubbish[i]++
		}
		began := time.Now()
		for _, e := range a.all {
			a.take(e, &r)
		}
		spent = append(spent, time.Since(began))
	}
	slices.Sort(spent) // whoever else runs makes some turns longer
	b.ReportMetric(float64(spent[len(spent)/2].Nanoseconds())/float64(size), "ns/report")
}
