package bwe

import "testing"

// TestFate: what is known of a packet is what the latest news said, and nothing of one that was
// not sent, or too long ago.
func TestFate(t *testing.T) {
	log := NewSentLog(64)
	e := New(Config{Start: 1e6, Min: 1e5, Max: 1e7}, log)
	for range 100 {
		log.Add(0, 10)
	}
	e.OnReport(0, &Report{Base: 90, Span: 4, Received: []Arrival{{Seq: 91, At: 1}}})
	e.OnReport(0, &Report{Base: 92, Span: 1, Received: []Arrival{{Seq: 92, At: 1}}})
	for seq, want := range map[uint16]Fate{90: Lost, 91: Arrived, 92: Arrived, 93: Lost, 94: Unknown, 27: Unknown, 100: Unknown, 65000: Unknown} {
		if got := e.Fate(seq); got != want {
			t.Errorf("packet %d: %d, want %d", seq, got, want)
		}
	}
	for range 64 {
		log.Add(0, 10)
	}
	e.OnReport(0, &Report{Base: 155, Span: 1})
	if got := e.Fate(91); got != Unknown {
		t.Errorf("a packet whose place another has: %d", got)
	}
}
