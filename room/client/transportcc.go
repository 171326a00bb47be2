package client

import (
	"sync/atomic"
	"time"

	"github.com/pion/interceptor"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/sdp/v3"
)

// transportCC gives each packet of an uplink its transport-wide number, and takes the
// feedback. It is nearest to the network, so that retransmissions have numbers too.
// These it marks as repairs of their layer (RFC 8852, Section 4.2), or leaves out where the
// path has no room for them.
type transportCC struct {
	interceptor.NoOp
	congestion *congestion
	layers     map[string]int // their places, lowest first, by rid
}

// NewInterceptor implements [interceptor.Factory].
func (t *transportCC) NewInterceptor(string) (interceptor.Interceptor, error) { return t, nil }

// BindLocalStream numbers what is written.
func (t *transportCC) BindLocalStream(info *interceptor.StreamInfo, writer interceptor.RTPWriter) interceptor.RTPWriter {
	var number, rid, repaired uint8
	for _, e := range info.RTPHeaderExtensions {
		switch e.URI {
		case sdp.TransportCCURI:
			number = uint8(e.ID)
		case sdp.SDESRTPStreamIDURI:
			rid = uint8(e.ID)
		case sdp.SDESRepairRTPStreamIDURI:
			repaired = uint8(e.ID)
		}
	}
	var repeats atomic.Uint32
	return interceptor.RTPWriterFunc(func(h *rtp.Header, payload []byte, a interceptor.Attributes) (int, error) {
		if h.SSRC != info.SSRC { // a retransmission: its header is kept for the next
			if !t.congestion.repeats(t.layers[string(h.GetExtension(rid))]) {
				return len(payload), nil
			}
			repeated := h.Clone()
			h = &repeated
			// Pion gives all copies of a packet one number, and these differ in their transport-wide
			// number: the nonce of one may not be that of another.
			h.SequenceNumber = uint16(repeats.Add(1))
			asRepair(h, rid, repaired)
		}
		if number != 0 {
			probe := len(payload) == 0 && h.Padding
			seq := t.congestion.send(h.MarshalSize()+len(payload)+int(h.PaddingSize), probe, time.Now())
			if err := h.SetExtension(number, []byte{byte(seq >> 8), byte(seq)}); err != nil {
				return 0, err
			}
		}
		return writer.Write(h, payload, a)
	})
}

// asRepair turns the rid of a retransmission into a repaired rid.
func asRepair(h *rtp.Header, rid, repaired uint8) {
	if rid == 0 || repaired == 0 {
		return
	}
	if value := h.GetExtension(rid); value != nil {
		_ = h.DelExtension(rid)
		_ = h.SetExtension(repaired, value)
	}
}

// BindRTCPReader looks for feedback. Every sender reads its own; each packet of it
// reaches one of them.
func (t *transportCC) BindRTCPReader(reader interceptor.RTCPReader) interceptor.RTCPReader {
	return interceptor.RTCPReaderFunc(func(b []byte, a interceptor.Attributes) (int, interceptor.Attributes, error) {
		n, a, err := reader.Read(b, a)
		if err != nil {
			return n, a, err
		}
		if a == nil {
			a = make(interceptor.Attributes)
		}
		packets, err := a.GetRTCPPackets(b[:n])
		if err != nil {
			return n, a, nil // whoever is above says so
		}
		for _, p := range packets {
			if f, ok := p.(*rtcp.TransportLayerCC); ok {
				t.congestion.feedback(f, time.Now())
			}
		}
		return n, a, nil
	})
}
