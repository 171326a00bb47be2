//go:build unix

package mls

import (
	"syscall"
	"testing"
	"time"
)

// cpuTime reports the processor time that passes until the returned function is called, which
// says more than the clock on a machine that does other work.
func cpuTime(b *testing.B) (report func()) {
	used := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	start := used()
	return func() { b.ReportMetric(float64((used()-start).Microseconds())/float64(b.N)/1000, "cpu-ms/op") }
}
