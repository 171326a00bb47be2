package sfu

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"github.com/conclave-sfu/conclave/sfu/bwe"
)

// oldSender is a publisher that takes REMB, and nothing better. It stamps its packets with a
// clock of its own.
type oldSender struct {
	interceptor.NoOp
	clock atomic.Int64 // nanoseconds
	told  chan *rtcp.ReceiverEstimatedMaximumBitrate
}

// NewInterceptor implements [interceptor.Factory].
func (o *oldSender) NewInterceptor(string) (interceptor.Interceptor, error) { return o, nil }

// BindLocalStream stamps what is written.
func (o *oldSender) BindLocalStream(info *interceptor.StreamInfo, w interceptor.RTPWriter) interceptor.RTPWriter {
	id := uint8(0)
	for _, e := range info.RTPHeaderExtensions {
		if e.URI == sdp.ABSSendTimeURI {
			id = uint8(e.ID)
		}
	}
	return interceptor.RTPWriterFunc(func(h *rtp.Header, payload []byte, a interceptor.Attributes) (int, error) {
		if id != 0 {
			stamp := uint64(o.clock.Load()) << 18 / uint64(time.Second)
			if err := h.SetExtension(id, []byte{byte(stamp >> 16), byte(stamp >> 8), byte(stamp)}); err != nil {
				return 0, err
			}
		}
		return w.Write(h, payload, a)
	})
}

// BindRTCPReader keeps what it is told.
func (o *oldSender) BindRTCPReader(r interceptor.RTCPReader) interceptor.RTCPReader {
	return interceptor.RTCPReaderFunc(func(b []byte, a interceptor.Attributes) (int, interceptor.Attributes, error) {
		n, a, err := r.Read(b, a)
		if err != nil {
			return n, a, err
		}
		packets, _ := rtcp.Unmarshal(b[:n])
		for _, p := range packets {
			if remb, ok := p.(*rtcp.ReceiverEstimatedMaximumBitrate); ok {
				o.told <- remb
			}
		}
		return n, a, nil
	})
}

// api is that of a browser of before 2016, with or without times in its packets.
func (o *oldSender) api(t *testing.T, stamped bool) *webrtc.API {
	t.Helper()
	media, err := newMediaEngine()
	if err != nil {
		t.Fatal(err)
	}
	media.RegisterFeedback(webrtc.RTCPFeedback{Type: webrtc.TypeRTCPFBGoogREMB}, webrtc.RTPCodecTypeVideo)
	if stamped {
		err = media.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: sdp.ABSSendTimeURI}, webrtc.RTPCodecTypeVideo)
	}
	if err != nil {
		t.Fatal(err)
	}
	registry := &interceptor.Registry{}
	registry.Add(o)
	return webrtc.NewAPI(webrtc.WithMediaEngine(media), webrtc.WithInterceptorRegistry(registry), webrtc.WithSettingEngine(loopback()))
}

// TestREMB: a publisher without transport-wide feedback is told what its path takes: half as
// much again as comes, and less when its packets take longer and longer. One whose packets
// bear no times is told the most that is taken of anybody.
func TestREMB(t *testing.T) {
	for _, stamped := range []bool{true, false} {
		n := startNode(t, nil)
		o := &oldSender{told: make(chan *rtcp.ReceiverEstimatedMaximumBitrate, 1000)}
		alice := join(t, n, "r", "alice")
		alice.open(o.api(t, stamped))
		send := alice.publish(Camera)
		answer := alice.negotiate()
		await(t, alice.connected, "connected")
		if !strings.Contains(answer, "goog-remb") || strings.Contains(answer, "transport-cc") || strings.Contains(answer, sdp.ABSSendTimeURI) != stamped {
			t.Errorf("answer:\n%s", answer)
		}
		ssrc := uint32(send.sender.GetParameters().Encodings[0].SSRC)
		ticker := time.NewTicker(20 * time.Millisecond)
		defer ticker.Stop()
		// next sends a frame each 20 ms until it is told something.
		next := func(step time.Duration) float64 {
			for range 500 {
				select {
				case remb := <-o.told:
					if len(remb.SSRCs) != 1 || remb.SSRCs[0] != ssrc {
						t.Errorf("it is about %d, not %d", remb.SSRCs, ssrc)
					}
					return float64(remb.Bitrate)
				case <-ticker.C:
					send.frame(t, false, 3)
					o.clock.Add(int64(step))
				}
			}
			t.Fatal("nothing was told")
			return 0
		}
		first := next(20 * time.Millisecond)
		if !stamped {
			if first != mostReceived {
				t.Errorf("%.0f bit/s were told, want %d", first, mostReceived)
			}
			continue
		}
		if first < lowestReceived || first >= mostReceived {
			t.Errorf("%.0f bit/s were told", first)
		}
		// Each packet takes 10 ms longer than the one before.
		for told := first; told > 0.9*first; {
			told = next(10 * time.Millisecond)
		}
	}
}

// TestREMBIsDue: a sender is told each second, and a tenth of a second after the last message
// where it is to send less; who sends nothing for ten seconds is told nothing.
func TestREMBIsDue(t *testing.T) {
	const ms = int64(time.Millisecond)
	low := func() *bwe.Receiver {
		return bwe.NewReceiver(bwe.Config{Start: firstReceived, Min: lowestReceived, Max: mostReceived})
	}
	for _, test := range []struct {
		name      string
		estimator *bwe.Receiver
		said      int64
		at, heard int64 // ms, since it was told and on the same clock
		want      int64 // 0 for nothing
	}{
		{"no news, too early", nil, mostReceived, 999, 999, 0},
		{"no news, after a second", nil, mostReceived, 1000, 999, mostReceived},
		{"less, just after", low(), mostReceived, 99, 99, 0},
		{"less, a little after", low(), mostReceived, 100, 100, firstReceived},
		{"a little less", low(), firstReceived + firstReceived/50, 500, 500, 0},
		{"a twentieth less", low(), firstReceived + firstReceived/20, 500, 500, firstReceived},
		{"more", low(), lowestReceived, 999, 999, 0},
		{"more, after a second", low(), lowestReceived, 1000, 1000, firstReceived},
		{"heard ten seconds ago, nearly", nil, mostReceived, 10_000, 1, mostReceived},
		{"heard ten seconds ago", nil, mostReceived, 10_000, 0, 0},
	} {
		u := &uplinkPath{estimator: test.estimator, said: test.said, heardAt: test.heard * ms}
		bits, ok := u.due(test.at * ms)
		if ok != (test.want > 0) || ok && bits != test.want {
			t.Errorf("%s: %d, %t, want %d", test.name, bits, ok, test.want)
		}
		if ok && (u.said != bits || u.saidAt != test.at*ms) {
			t.Errorf("%s: what was said is not remembered", test.name)
		}
	}
}

// TestPathsOfOldSenders: of a packet it is noted that it came, and when it was sent if it says so.
func TestPathsOfOldSenders(t *testing.T) {
	n := startNode(t, nil)
	c := newConnection(&Transport{room: &room{node: n}}, 1)
	defer c.home.remove(c)
	s := &section{extensions: extensions{sendTime: 2}}
	header := func(value string) []byte {
		h := rtp.Header{Version: 2}
		if value != "" {
			if err := h.SetExtension(2, []byte(value)); err != nil {
				t.Fatal(err)
			}
		}
		raw, err := h.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	for i, step := range []struct {
		value string
		known bool
	}{{"", false}, {"ab", false}, {"abc", true}, {"", true}} {
		now := int64(i+1) * int64(time.Second)
		c.followUplink(s, header(step.value), 1000, now)
		if c.from.heardAt != now || c.from.saidAt != int64(time.Second) || (c.from.estimator != nil) != step.known {
			t.Errorf("packet %d: heard at %d, said at %d, estimated: %t", i, c.from.heardAt, c.from.saidAt, c.from.estimator != nil)
		}
	}
}

func TestUsesREMB(t *testing.T) {
	for _, test := range []struct {
		cc    uint8
		takes bool
		want  bool
	}{{0, true, true}, {0, false, false}, {3, true, false}, {3, false, false}} {
		s := &section{extensions: extensions{transportCC: test.cc}, payloads: []payload{{}, {remb: test.takes}}}
		if got := s.usesREMB(); got != test.want {
			t.Errorf("transport-wide %d, REMB %t: %t", test.cc, test.takes, got)
		}
	}
}
