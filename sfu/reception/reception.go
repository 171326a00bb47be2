// Package reception counts what of a stream arrives, for receiver reports (RFC 3550,
// Section 6.4 and Appendices A.3 and A.8).
//
// The package knows no socket, clock or lock. Times are nanoseconds of one clock.
package reception

import "time"

// Stream is the state of one received stream. Rate is that of its timestamps in Hz.
type Stream struct {
	Rate int64

	begun         bool
	base, high    int64 // extended sequence numbers
	received      int64
	transit       int64 // of the latest packet, in ticks
	jitter        int64 // in 1/16 of a tick
	expectedPrior int64
	receivedPrior int64
	reportNTP     uint32 // middle of the latest sender report's time
	reportAt      int64
}

// Report is a report block (RFC 3550, Section 6.4.1).
type Report struct {
	FractionLost uint8
	TotalLost    uint32 // 24 bits, of a signed number
	Highest      uint32
	Jitter       uint32 // ticks
	LastReport   uint32
	Delay        uint32 // since then, in 1/65536 s
}

// Received notes a packet by its extended sequence number and its timestamp.
func (s *Stream) Received(number int64, stamp uint32, now int64) {
	s.received++
	arrival := now / int64(time.Millisecond) * s.Rate / 1000
	transit := int64(int32(uint32(arrival) - stamp))
	if !s.begun {
		s.begun, s.base, s.high, s.transit = true, number, number, transit
		return
	}
	s.high, s.base = max(s.high, number), min(s.base, number)
	d := transit - s.transit
	s.transit = transit
	if d < 0 {
		d = -d
	}
	if d < s.Rate { // a second: the timestamps began anew
		s.jitter += d - (s.jitter+8)>>4
	}
}

// SenderReport notes one (RFC 3550, Section 6.4.1) by its NTP time.
func (s *Stream) SenderReport(ntp uint64, now int64) {
	s.reportNTP, s.reportAt = uint32(ntp>>16), now
}

// Report says what has arrived, and since the last call. It is false before the first
// packet.
func (s *Stream) Report(now int64) (r Report, ok bool) {
	if !s.begun {
		return r, false
	}
	expected := s.high - s.base + 1
	interval, got := expected-s.expectedPrior, s.received-s.receivedPrior
	s.expectedPrior, s.receivedPrior = expected, s.received
	if lost := interval - got; interval > 0 && lost > 0 {
		r.FractionLost = uint8(min(lost<<8/interval, 255))
	}
	r.TotalLost = uint32(max(min(expected-s.received, 1<<23-1), -1<<23)) & 0xffffff
	r.Highest, r.Jitter = uint32(s.high), uint32(s.jitter>>4)
	if s.reportAt != 0 {
		r.LastReport, r.Delay = s.reportNTP, uint32((now-s.reportAt)*65536/int64(time.Second))
	}
	return r, true
}
