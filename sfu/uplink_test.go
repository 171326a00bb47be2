package sfu

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/pion/rtp"

	"github.com/conclave-sfu/conclave/sfu/packetcache"
	"github.com/conclave-sfu/conclave/sfu/srtp"
)

// FuzzExtension: header extensions (RFC 8285) are what an independent reader finds, and are
// nothing where it finds the header malformed.
func FuzzExtension(f *testing.F) {
	for _, profile := range []uint16{oneByteProfile, twoByteProfile, twoByteProfile | 5, 0x1234} {
		h := rtp.Header{Version: 2, CSRC: []uint32{7}, Extension: true, ExtensionProfile: profile}
		for id, value := range map[uint8]string{1: "a", 4: "mid", 9: "0123456789abcdef"} {
			_ = h.SetExtension(id, []byte(value)) // what the profile bears
		}
		raw, err := h.Marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		size, ok := srtp.HeaderSize(raw)
		if !ok {
			return
		}
		var h rtp.Header
		_, err := h.Unmarshal(raw)
		for id := uint8(1); id < 15; id++ {
			got := extension(raw[:size], id)
			if len(got) > 255 {
				t.Fatalf("%d bytes of extension", len(got))
			}
			if err == nil && (h.ExtensionProfile == oneByteProfile || h.ExtensionProfile == twoByteProfile) && !bytes.Equal(got, h.GetExtension(id)) {
				t.Errorf("id %d: %x, want %x, of %x", id, got, h.GetExtension(id), raw)
			}
		}
	})
}

// FuzzIntake gives a connection what a participant may seal: headers and payloads of any
// kind, of streams that it offered and of others, of retransmissions too. Whatever it is,
// what was offered is received afterwards as before, and nothing is kept beyond the bounds.
func FuzzIntake(f *testing.F) {
	f.Add([]byte{20, 0x80, 96, 0, 5, 0, 0, 0, 0, 0, 0, 0, 70, 0x10, 1, 2, 3, 4, 5, 6, 7})
	f.Add([]byte{18, 0xa0, 97, 0, 5, 0, 0, 0, 0, 0, 0, 0, 71, 0, 9, 0x10, 0, 0, 2})
	f.Add([]byte{24, 0x90, 0xe0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 99, 0xbe, 0xde, 0, 1, 0x20, 'v', 0, 0, 0x10, 1, 2, 3})
	f.Fuzz(func(t *testing.T, data []byte) {
		n := startNode(t, nil)
		r := newRig(t, n, "alice", map[string]Source{"v": Camera}, rigSection("video", "v", "sendonly", "a=ssrc-group:FID 70 71\r\n"))
		for i := 0; len(data) > 0 && i < 50; i++ {
			size := min(int(data[0])+1, len(data)-1)
			r.takePlain(data[1 : 1+size])
			data = data[1+size:]
		}
		if len(r.uplinks) > maxUplinks {
			t.Errorf("%d streams", len(r.uplinks))
		}
		r.send(r.packet(70, 96, 1, keyFrame))
		u := r.uplinks[70]
		if u == nil || u.up == nil {
			t.Fatal("what was offered is not received any more")
		}
		if got := r.acknowledged(); got > 1<<16 {
			t.Errorf("%d arrivals are held", got)
		}
	})
}

// takePlain takes a packet as if it had been opened.
func (r *rig) takePlain(raw []byte) {
	p := packetcache.New()
	plain := p.Buffer[:copy(p.Buffer[:], raw)]
	header, ok := srtp.HeaderSize(plain)
	if !ok {
		p.Release()
		return
	}
	r.intake.Lock()
	defer r.intake.Unlock()
	ssrc := binary.BigEndian.Uint32(plain[8:])
	u := r.uplinks[ssrc]
	if u == nil {
		if u = (&uplink{ssrc: ssrc, in: r.in.Stream()}); !r.admit(u, r.egress.now) {
			p.Release()
			return
		}
	}
	if !r.takeMedia(r.egress, u, p, plain, header) {
		p.Release()
	}
}
