package client

import (
	"testing"
	"time"

	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/rtcp"
)

// line is an uplink of which a share is lost and the rest delayed; a recorder at its
// end makes the feedback.
type line struct {
	congestion *congestion
	now        time.Time
	recorder   *twcc.Recorder
	sent       int
}

func newLine(layers int) *line {
	return &line{congestion: newCongestion(layers, &counters{}), now: time.Unix(1_700_000_000, 0), recorder: twcc.NewRecorder(1)}
}

// run sends 100 packets a second of 1,000 bytes, each lostOf-th of which is lost.
func (l *line) run(d time.Duration, lostOf int, delay func(after time.Duration) time.Duration) {
	began := l.now
	for l.now.Sub(began) < d {
		seq := l.congestion.send(1000, l.now)
		l.sent++
		if lostOf == 0 || l.sent%lostOf != 0 {
			l.recorder.Record(1, seq, l.now.Add(delay(l.now.Sub(began))).Sub(time.Unix(1_600_000_000, 0)).Microseconds()%(1<<38))
		}
		l.now = l.now.Add(10 * time.Millisecond)
		if l.sent%10 == 0 {
			for _, p := range l.recorder.BuildFeedbackPacket() {
				l.congestion.feedback(p.(*rtcp.TransportLayerCC), l.now)
			}
		}
	}
}

func still(time.Duration) time.Duration { return 20 * time.Millisecond }

func TestCongestionReports(t *testing.T) {
	l := newLine(3)
	l.run(10*time.Second, 20, still)
	s := l.congestion.count.snapshot().Uplink
	if total := s.Acknowledged + s.Lost; total < 890 || total > 1000 || s.Lost < total/25 || s.Lost > total/16 {
		t.Errorf("%d acknowledged, %d lost of %d", s.Acknowledged, s.Lost, l.sent)
	}
	if s.Rate < 700_000 || s.Rate > 800_000 || s.Delay > 2*time.Millisecond {
		t.Errorf("%d bit/s, delay %v", s.Rate, s.Delay)
	}
	if n := l.congestion.allowed(); n != 3 {
		t.Errorf("%d layers with 5 %% loss", n)
	}
}

func TestCongestionStopsLayers(t *testing.T) {
	for name, bad := range map[string]func(l *line){
		"loss":  func(l *line) { l.run(4*time.Second, 5, still) },
		"queue": func(l *line) { l.run(4*time.Second, 0, func(d time.Duration) time.Duration { return still(d) + d/4 }) },
	} {
		l := newLine(3)
		l.run(2*time.Second, 0, still)
		bad(l)
		if n := l.congestion.allowed(); n != 1 {
			t.Errorf("%s: %d layers while congested", name, n)
		}
		l.run(12*time.Second, 0, still)
		if n := l.congestion.allowed(); n != 3 {
			t.Errorf("%s: %d layers when all has been well for long", name, n)
		}
	}
}

// TestLayerPolicyBacksOff has a path that bears one layer, not two: it is tried ever
// more rarely.
func TestLayerPolicyBacksOff(t *testing.T) {
	p := layerPolicy{layers: 2, allowed: 2, hold: minHold}
	now := time.Unix(0, 0)
	tries := 0
	for range 300 { // seconds
		before := p.allowed
		p.decide(uplinkSummary{received: 100, delay: time.Duration(p.allowed-1) * time.Second}, now)
		if p.allowed > before {
			tries++
		}
		now = now.Add(time.Second)
	}
	if tries < 5 || tries > 15 {
		t.Errorf("tried %d times in five minutes", tries)
	}
}

func TestLayerPolicyChokes(t *testing.T) {
	p := layerPolicy{layers: 3, allowed: 3, hold: minHold}
	if p.decide(uplinkSummary{received: 10, lost: 90}, time.Unix(9, 0)); p.allowed != 1 {
		t.Errorf("%d layers where nine tenths are lost", p.allowed)
	}
}

func TestMeterIgnoresWhatItDidNotSend(t *testing.T) {
	var m uplinkMeter
	now := time.Unix(1, 0)
	m.send(100, now)
	m.feedback(&rtcp.TransportLayerCC{
		BaseSequenceNumber: 65000, PacketStatusCount: 2000,
		PacketChunks: []rtcp.PacketStatusChunk{&rtcp.RunLengthChunk{PacketStatusSymbol: rtcp.TypeTCCPacketReceivedSmallDelta, RunLength: 8000}},
	})
	s, ok := m.summary(now.Add(meterInterval))
	if !ok || s.received != 1 || s.lost != 0 {
		t.Errorf("%+v", s)
	}
}
