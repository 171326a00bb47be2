package bwe

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// told writes what a ledger says of a report: "+3" came, "-3" did not, "*3" came after all.
func told(l *ledger, base uint16, span int, came ...uint16) string {
	r := Report{Base: base, Span: uint16(span)}
	for _, seq := range came {
		r.Received = append(r.Received, Arrival{Seq: seq, At: int64(seq)})
	}
	var parts []string
	var a Acked
	for reading := l.read(0, &r); reading.next(&a); {
		mark := "-"
		if a.Recovered {
			mark = "*"
		} else if a.Received {
			mark = "+"
		}
		parts = append(parts, fmt.Sprintf("%s%d", mark, a.Number))
		if a.Skipped > 0 {
			parts = append(parts, fmt.Sprintf("(%d bytes before)", a.Skipped))
		}
	}
	return strings.Join(parts, " ")
}

func TestLedger(t *testing.T) {
	log := NewSentLog(64)
	for range 100 {
		log.Add(0, 10)
	}
	l := newLedger(log)
	for _, tt := range []struct{ what, got, want string }{
		{"first", told(&l, 40, 3, 40, 42), "+40 -41 +42"},
		{"again", told(&l, 40, 3, 40, 42), ""},
		{"lost for good", told(&l, 40, 3), ""},
		{"came after all", told(&l, 41, 1, 41), "*41"},
		{"once only", told(&l, 41, 1, 41), ""},
		{"a report between was lost", told(&l, 50, 2, 50, 51), "+50 (70 bytes before) +51"},
		{"and comes late", told(&l, 43, 7, 43, 49), "+43 -44 -45 -46 -47 -48 +49"},
		{"gone from the log", told(&l, 0, 37, 1, 36), "+36"},
		{"not sent yet", told(&l, 98, 10, 98, 100, 101), "+98 (460 bytes before) -99"},
		{"from the future", told(&l, 100, 5, 100), ""},
		{"from before the first", told(&l, 65000, 5, 65000), ""},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: %q, want %q", tt.what, tt.got, tt.want)
		}
	}
}

func TestLedgerWraps(t *testing.T) {
	log := NewSentLog(64)
	log.next.Store(1<<16 - 2)
	for range 4 {
		log.Add(0, 10)
	}
	l := newLedger(log)
	if got, want := told(&l, 65534, 4, 65534, 65535, 0, 1), "+65534 +65535 +65536 +65537"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// TestReceiversClockWraps: after 12 days the reference time starts anew, and late reports
// may be from before.
func TestReceiversClockWraps(t *testing.T) {
	l := newLedger(NewSentLog(64))
	const wrap = int64(ClockWrap)
	second := int64(time.Second)
	for _, tt := range []struct{ at, want int64 }{
		{wrap - second, wrap - second}, {second, wrap + second}, {wrap - 2*second, wrap - 2*second}, {2 * second, wrap + 2*second},
		{wrap / 3, wrap + wrap/3}, {2 * wrap / 3, wrap + 2*wrap/3}, {0, 2 * wrap},
	} {
		if got := l.unwrap(tt.at) - clockStart; got != tt.want {
			t.Errorf("%d is %d, want %d", tt.at, got, tt.want)
		}
	}
}

// TestReceiversClockGoesBack: what a receiver says may have come before its clock began, by reports
// of packets that were sent before those it spoke of first.
func TestReceiversClockGoesBack(t *testing.T) {
	log := NewSentLog(DefaultLogSize)
	e := New(Config{Start: 600_000, Min: 30_000, Max: 5_000_000}, log)
	now := int64(time.Hour)
	for range 1600 {
		log.Add(now, 1000)
		now += int64(10 * ms)
	}
	came := func(n uint16, at time.Duration) {
		e.OnReport(now, &Report{Base: n, Span: 1, Received: []Arrival{{n, int64(at)}}})
	}
	came(0, 0)
	came(1500, 0)
	groups := e.queue.count
	for n := range uint16(20) {
		came(101+n, ClockWrap-13900*ms+time.Duration(n)*10*ms)
	}
	if e.queue.count < groups+10 {
		t.Errorf("%d groups, %d before", e.queue.count, groups)
	}
	if bits := e.Target(); bits < 30_000 || bits > 5_000_000 {
		t.Errorf("%d bit/s", bits)
	}
}
