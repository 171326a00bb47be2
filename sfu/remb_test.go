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
