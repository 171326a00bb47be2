package srtp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/pion/rtcp"
	pion "github.com/pion/srtp/v3"
)

// sealedControl are RTCP packets of one source, with indices from 0 on.
func sealedControl(t *testing.T, c *Cipher, ssrc uint32, n int) [][]byte {
	t.Helper()
	sealer := c.Sealer()
	list := make([][]byte, n)
	for i := range list {
		raw, err := (&rtcp.ReceiverReport{SSRC: ssrc}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if list[i], err = sealer.Seal(nil, raw); err != nil {
			t.Fatal(err)
		}
	}
	return list
}

// TestControlWindow: a packet of RTCP opens once, out of order too, and not when it is 64
// behind, where nothing is remembered.
func TestControlWindow(t *testing.T) {
	for p := range profiles {
		c := newCipher(t, p, randomMaster(rand.New(rand.NewPCG(5, 6)), p))
		sealed, opener := sealedControl(t, c, 7, 200), c.Opener()
		for i, step := range []struct {
			index int
			want  error
		}{
			{100, nil}, {100, ErrReplayed}, {37, nil}, {37, ErrReplayed}, {36, ErrReplayed}, {35, ErrReplayed},
			{101, nil}, {99, nil}, {99, ErrReplayed}, {37, ErrReplayed}, {165, nil}, {102, nil}, {101, ErrReplayed}, {102, ErrReplayed},
		} {
			if _, err := opener.Open(bytes.Clone(sealed[step.index])); !errors.Is(err, step.want) {
				t.Errorf("profile %d, step %d: packet %d: %v, want %v", p, i, step.index, err, step.want)
			}
		}
	}
}

// TestControlSourcesAreBounded: who makes up sources is not remembered for ever.
func TestControlSourcesAreBounded(t *testing.T) {
	c := newCipher(t, AEADAES128GCM, randomMaster(rand.New(rand.NewPCG(5, 6)), AEADAES128GCM))
	opener, sealer := c.Opener(), c.Sealer()
	for ssrc := range uint32(1000) {
		raw, err := (&rtcp.ReceiverReport{SSRC: ssrc}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := sealer.Seal(nil, raw)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := opener.Open(sealed); err != nil {
			t.Fatal(err)
		}
		if n := len(opener.sources); n > maxControlSources {
			t.Fatalf("%d sources are remembered", n)
		}
	}
}

// TestControlInClear: RTCP that is authenticated, but not encrypted (RFC 7714, Section 9.3;
// RFC 3711, Section 3.4), opens if it is authentic.
func TestControlInClear(t *testing.T) {
	for p := range profiles {
		m := randomMaster(rand.New(rand.NewPCG(5, 6)), p)
		theirs, err := pion.CreateContext(m.Key, m.Salt, profiles[p], pion.SRTCPNoEncryption())
		if err != nil {
			t.Fatal(err)
		}
		raw, err := (&rtcp.ReceiverReport{SSRC: 7, Reports: []rtcp.ReceptionReport{{SSRC: 1}}}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := theirs.EncryptRTCP(nil, raw, nil)
		if err != nil {
			t.Fatal(err)
		}
		opener := newCipher(t, p, m).Opener()
		changed := bytes.Clone(sealed)
		changed[9] ^= 1
		if _, err := opener.Open(changed); !errors.Is(err, ErrAuthentication) {
			t.Errorf("profile %d, changed: %v", p, err)
		}
		if plain, err := opener.Open(sealed); err != nil || !bytes.Equal(plain, raw) {
			t.Errorf("profile %d: %v", p, err)
		}
	}
}

// TestExhausted: no index is used beyond the last of a key, and none before the first.
func TestExhausted(t *testing.T) {
	c := newCipher(t, AEADAES128GCM, randomMaster(rand.New(rand.NewPCG(5, 6)), AEADAES128GCM))
	sealer := c.Sealer()
	sealer.next = encryptedFlag - 1
	raw, err := (&rtcp.ReceiverReport{SSRC: 7}).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sealer.Seal(nil, raw); err != nil {
		t.Errorf("the last index: %v", err)
	}
	if _, err := sealer.Seal(nil, raw); !errors.Is(err, ErrExhausted) {
		t.Errorf("beyond the last index: %v", err)
	}
	out := c.Stream()
	out.begun, out.high = true, maxIndex-1
	header := make([]byte, 12, 64)
	header[0] = 0x80
	for seq, want := range map[uint16]bool{0xfffd: false, 0xffff: false, 0: true, 1: true} {
		if out.Spent(seq) != want {
			t.Errorf("near the last index, number %d is spent: %t", seq, !want)
		}
	}
	binary.BigEndian.PutUint16(header[2:], 1)
	if _, err := out.Seal(header, nil); !errors.Is(err, ErrExhausted) {
		t.Errorf("beyond the last index: %v", err)
	}
	first := c.Stream()
	first.mark(3)
	if !first.Spent(0xffff) {
		t.Error("a number from before the first index")
	}
}

// TestShort: packets that are shorter than a header and a tag are refused, whatever they claim.
func TestShort(t *testing.T) {
	for p := range profiles {
		c := newCipher(t, p, randomMaster(rand.New(rand.NewPCG(5, 6)), p))
		for size := 12; size < 12+c.Overhead(); size++ {
			in, packet := c.Stream(), make([]byte, size)
			packet[0] = 0x80
			if _, err := in.Open(packet, 12); !errors.Is(err, ErrShort) {
				t.Errorf("profile %d: %d bytes: %v", p, size, err)
			}
		}
		opener := c.Opener()
		for size := range 8 + c.Overhead() {
			if _, err := opener.Open(make([]byte, size)); !errors.Is(err, ErrShort) {
				t.Errorf("profile %d: %d bytes of RTCP: %v", p, size, err)
			}
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	c := newCipher(b, AEADAES128GCM, randomMaster(r, AEADAES128GCM))
	buffer, sealed, payload := make([]byte, 1500), []byte(nil), make([]byte, 1100)
	out := c.Stream()
	buffer[0] = 0x80
	sealed, err := out.Seal(buffer[:12], payload)
	if err != nil {
		b.Fatal(err)
	}
	packet := make([]byte, len(sealed))
	b.SetBytes(int64(len(sealed)))
	b.ReportAllocs()
	for b.Loop() {
		in := c.Stream()
		if _, err := in.Open(packet[:copy(packet, sealed)], 12); err != nil {
			b.Fatal(err)
		}
	}
}
