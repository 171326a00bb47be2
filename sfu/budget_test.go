package sfu

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/interceptor/pkg/twcc"

	"github.com/conclave-sfu/conclave/sfu/allocate"
	"github.com/conclave-sfu/conclave/sfu/bwe"
	"github.com/conclave-sfu/conclave/sfu/impair"
	"github.com/conclave-sfu/conclave/sfu/pace"
)

// audience are the budgets of some receivers, who are sent and report the same.
type audience struct {
	logs    []*bwe.SentLog
	buckets []pace.Bucket
	budgets []*budget
	now     int64
	decoded bwe.Report
}

func newAudience(size int) *audience {
	a := &audience{now: int64(time.Hour), buckets: make([]pace.Bucket, 2*size)}
	for i := range size {
		log := bwe.NewSentLog(bwe.DefaultLogSize)
		a.logs = append(a.logs, log)
		a.budgets = append(a.budgets, newBudget(log, &a.buckets[2*i], &a.buckets[2*i+1], mostEstimate))
	}
	for range 200 { // ten seconds: all windows are full
		raw := a.send()
		for _, b := range a.budgets {
			b.feedback(&a.decoded, raw, a.now)
		}
	}
	return a
}

// send has 50 ms go by, with 1.5 Mbit/s for all, and gives the report on it.
func (a *audience) send() (raw []byte) {
	recorder := twcc.NewRecorder(1)
	for range 9 {
		a.now += int64(50*time.Millisecond) / 9
		number := uint16(a.logs[0].Count())
		for _, log := range a.logs {
			log.Add(a.now, 1000)
		}
		recorder.Record(1, number, a.now/1000)
	}
	for _, report := range recorder.BuildFeedbackPacket() {
		raw, _ = report.Marshal()
	}
	return raw
}

// BenchmarkReports takes the reports of many receivers in turns: warm where they are few, cold
// where so much else was read since the turn before that nothing of them is in the cache.
func BenchmarkReports(b *testing.B) {
	for _, bench := range []struct {
		name       string
		size, cold int
	}{{"warm", 20, 0}, {"cold", 500, 64 << 20}} {
		b.Run(bench.name, func(b *testing.B) {
			a, rubbish := newAudience(bench.size), make([]byte, bench.cold)
			var spent []time.Duration
			for b.Loop() {
				raw := a.send()
				for i := 0; i < bench.cold; i += 64 {
					rubbish[i]++
				}
				began := time.Now()
				for _, budget := range a.budgets {
					if _, ok := budget.feedback(&a.decoded, raw, a.now); !ok {
						b.Fatal("a report was refused")
					}
				}
				spent = append(spent, time.Since(began))
			}
			slices.Sort(spent) // whoever else runs makes some turns longer
			b.ReportMetric(float64(spent[len(spent)/2].Nanoseconds())/float64(bench.size), "ns/report")
		})
	}
}

// TestPriceIsNoticed: an encoding that nobody has measured is held to be small when it is given out;
// what comes through says that it is not, and then the path is probed for what it takes.
func TestPriceIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const ms = time.Millisecond
		s := newSimulation(t, 1, impair.Conditions{Rate: 3_000_000, Delay: 20 * ms, Queue: 200 * ms})
		key := s.publish(t, map[string]int{"f": 1_500_000}, "f")
		s.run(t, time.Second)
		s.begin(key)
		s.run(t, 3*time.Second)
		if best, used := s.budget.best.Load(), s.budget.used.Load(); best < 1_400_000 || used < 1_400_000 {
			t.Errorf("%d of %d bits a second are thought to be used, 1.5 Mbit/s are sent", used, best)
		}
		if target := s.budget.target.Load(); target < 1_500_000 {
			t.Errorf("target %d", target)
		}
	})
}

// TestBudgetIsOff: the budget is off, once, when less fits than is used, or enough for the next step.
func TestBudgetIsOff(t *testing.T) {
	var paced, repairs pace.Bucket
	b := newBudget(bwe.NewSentLog(64), &paced, &repairs, mostEstimate)
	for i, tt := range []struct {
		given  allocate.Result // of what was there before
		before int64
		told   uint64 // by the receiver
		off    bool
	}{
		{allocate.Result{Used: 480_000, Want: 2_000_000}, 500_000, 490_000, false},
		{allocate.Result{Used: 480_000, Want: 2_000_000}, 500_000, 300_000, true},
		{allocate.Result{Used: 100_000, Want: 2_000_000}, 500_000, 300_000, false},
		{allocate.Result{Used: 250_000, Want: 2_000_000, Next: 600_000}, 300_000, 620_000, false},
		{allocate.Result{Used: 250_000, Want: 2_000_000, Next: 600_000}, 300_000, 700_000, true},
		{allocate.Result{Used: 250_000, Want: 2_000_000, Next: 600_000}, 700_000, 700_000, false},
		{allocate.Result{Used: 250_000, Want: 250_000}, 300_000, 700_000, false},
	} {
		b.give(tt.before, 0, tt.given)
		if off := b.remb(int64(i), tt.told); off != tt.off {
			t.Errorf("%+v of %d, then %d: off %t", tt.given, tt.before, tt.told, off)
		}
		if b.remb(int64(i), tt.told) {
			t.Errorf("%+v of %d: off twice", tt.given, tt.before)
		}
	}
}
