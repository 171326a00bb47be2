package sfu

import (
	"bytes"
	"testing"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/conclave-sfu/conclave/sfu/dd/recorded"
	"github.com/conclave-sfu/conclave/sfu/layer"
	"github.com/conclave-sfu/conclave/sfu/packetcache"
)

// oddStream is a publisher's stream as a hostile one may send it: descriptors of several encoders,
// cut, changed and left out, numbers that jump, packets that are lost, late and repeated.
type oddStream struct {
	u      *upTrack
	descs  [][]byte // of the encoder at hand
	at     int
	seq    uint16
	stamp  uint32
	codec  codec
	latest [][]byte
}

// next sends the next descriptor: as it is, with a bit of change, or not at all.
func (s *oddStream) next(t testing.TB, how, change byte, now int64) {
	t.Helper()
	if s.at++; s.at >= len(s.descs) {
		s.at = 0
	}
	extension := bytes.Clone(s.descs[s.at])
	switch how % 4 {
	case 1:
		extension[int(change)%len(extension)] ^= 1 << (change % 8)
	case 2:
		extension = extension[:int(change)%len(extension)]
	}
	p := rtp.Packet{
		Header:  rtp.Header{Version: 2, SequenceNumber: s.seq, Timestamp: s.stamp, SSRC: 42, PayloadType: uint8(s.codec)},
		Payload: append(bytes.Clone(fronts[s.codec].in), byte(s.seq>>8), byte(s.seq)),
	}
	if how%4 != 3 && len(extension) > 0 {
		p.Extension, p.ExtensionProfile = true, rtp.ExtensionProfileTwoByte
		if err := p.SetExtension(9, extension); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	s.seq++
	s.latest = append(s.latest, raw)
	s.receive(raw, now)
}

func (s *oddStream) receive(raw []byte, now int64) {
	q := packetcache.New()
	if !s.u.receive(q, copy(q.Buffer[:], raw), now) {
		q.Release()
	}
}

// FuzzOddStreams: whatever two publishers send, and however a slot goes from one to the other, from
// layer to layer, and asks for packets again, nothing that the receiver is sent repeats a number, which
// would repeat a nonce, and every packet ends as one that was sent.
func FuzzOddStreams(f *testing.F) {
	names := []string{"vp9_L3T3", "av1_L3T3_KEY", "vp9_L1T3", "vp8_simulcast_q"}
	codecs := []codec{codecVP9, codecAV1, codecVP8, codecH264}
	f.Add(bytes.Repeat([]byte{0, 0}, 60))
	f.Add(append(bytes.Repeat([]byte{0, 0, 1, 9}, 20), bytes.Repeat([]byte{9, 1, 0, 0, 0, 0, 8, 3, 0, 0, 11, 1, 10, 2, 0, 0}, 12)...))
	f.Add(append(bytes.Repeat([]byte{0, 0}, 20), bytes.Repeat([]byte{6, 200, 0, 0, 7, 9, 0, 0, 12, 3, 5, 2, 4, 1, 0, 0}, 12)...))
	f.Fuzz(func(t *testing.T, ops []byte) {
		var streams []*oddStream
		for i := range 2 {
			u, _ := newTestUp(true)
			u.format = &uplinkFormat{ddExtension: 9}
			for _, c := range codecs {
				u.format.codecs[c] = c
			}
			streams = append(streams, &oddStream{u: u, descs: recorded.Descriptors(t, names[i]), at: -1, codec: codecs[i], seq: 65530, stamp: 1<<32 - 9000})
		}
		w := &fakeWriter{}
		d := newTestSlot(t, true, w)
		describe(d)
		d.connect(streams[0].u, 0)
		now := int64(0)
		for i := 0; i+1 < len(ops) && i < 1000; i += 2 {
			op, arg := ops[i], ops[i+1]
			s := streams[op>>4&1]
			switch op % 16 {
			case 4: // lost
				s.seq++
			case 5: // late, or again
				if n := len(s.latest); n > 0 {
					s.receive(s.latest[n-1-int(arg)%n], now)
				}
			case 6: // a jump
				s.seq += uint16(arg) << 8
			case 7:
				s.stamp += uint32(arg) << 24
			case 8: // another encoder
				s.descs, s.at = recorded.Descriptors(t, names[int(arg)%len(names)]), -1
			case 9: // begins anew
				s.at = -1
			case 10:
				d.layers.want(layer.Layer{Spatial: arg & 7, Temporal: arg >> 4 & 7})
			case 11:
				d.connect(streams[arg&1].u, now)
			case 12:
				s.codec = codecs[int(arg)%len(codecs)]
			case 13:
				if n := len(w.packets); n > 0 {
					again := &rtcp.TransportLayerNack{MediaSSRC: d.ssrc, Nacks: []rtcp.NackPair{{PacketID: w.packets[n-1-int(arg)%n].SequenceNumber}}}
					d.feedback([]rtcp.Packet{again}, now)
				}
			case 14:
				s.stamp += 3000
				now += frameTime
			default:
				s.next(t, op, arg, now)
			}
		}
		type number struct {
			ssrc uint32
			seq  uint16
		}
		seen := map[number]bool{}
		for _, p := range w.packets {
			if n := (number{p.SSRC, p.SequenceNumber}); seen[n] {
				t.Fatalf("number %d of %d is sent twice", n.seq, n.ssrc)
			} else {
				seen[n] = true
			}
			if size := len(p.GetExtension(9)); size > 255 || len(p.Payload) < 2 {
				t.Fatalf("a descriptor of %d bytes, a payload of %d", size, len(p.Payload))
			}
		}
	})
}
