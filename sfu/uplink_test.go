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

// TestPacketsLead: of one that is heard, media goes by the way that an authentic packet came by,
// and no other.
func TestPacketsLead(t *testing.T) {
	n := startNode(t, nil)
	r := newRig(t, n, "alice", map[string]Source{"a": Mic}, rigSection("audio", "a", "sendonly"))
	home, away := &fakePath{sent: [][]byte{}}, &fakePath{sent: [][]byte{}}
	n.Receive(home, r.checkFrom(t, nominating))
	n.Receive(away, r.checkFrom(t))
	genuine := r.seal(r.packet(9, 111, 1, "x"))
	forged := bytes.Clone(genuine)
	forged[len(forged)-1]++
	for _, step := range []struct {
		name   string
		packet []byte
		path   *fakePath
		want   *fakePath
	}{
		{"a forged one", forged, away, home}, {"an authentic one", genuine, away, away}, {"the same again", genuine, home, away},
		{"another one", r.seal(r.packet(9, 111, 2, "x")), away, away},
	} {
		n.Receive(step.path, step.packet)
		if got := r.way.Load().path; got != step.want {
			t.Errorf("%s: media goes by the wrong way", step.name)
		}
	}
	if !r.proved.Load() {
		t.Error("it has not proved that it has the keys")
	}
}

// TestNothingAfterTheEnd: of a connection that is closed nothing is taken in any more.
func TestNothingAfterTheEnd(t *testing.T) {
	n := startNode(t, nil)
	r := newRig(t, n, "alice", map[string]Source{"a": Mic}, rigSection("audio", "a", "sendonly"))
	r.send(r.packet(9, 111, 1, "x"))
	u := r.uplinks[9]
	if u == nil || u.up == nil {
		t.Fatal("nothing is received")
	}
	r.close()
	r.send(r.packet(9, 111, 2, "x"))
	r.send(r.packet(10, 111, 1, "x"))
	if got := u.up.counters.packetsIn.Load(); got != 1 || r.uplinks[10] != nil {
		t.Errorf("%d packets of a stream that has ended; a new one: %t", got, r.uplinks[10] != nil)
	}
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
