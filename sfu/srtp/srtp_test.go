package srtp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/pion/rtp"
	pion "github.com/pion/srtp/v3"
)

var profiles = map[Profile]pion.ProtectionProfile{
	AEADAES128GCM:    pion.ProtectionProfileAeadAes128Gcm,
	AES128CMHMACSHA1: pion.ProtectionProfileAes128CmHmacSha1_80,
}

func randomMaster(r *rand.Rand, p Profile) Master {
	m := Master{make([]byte, keySize), make([]byte, p.SaltSize())}
	for _, part := range [][]byte{m.Key, m.Salt} {
		for i := range part {
			part[i] = byte(r.Uint32())
		}
	}
	return m
}

func newCipher(t testing.TB, p Profile, m Master) *Cipher {
	t.Helper()
	c, err := NewCipher(p, m)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// eachProfile runs a test with our cipher and with Pion's context under the same keys.
func eachProfile(t *testing.T, test func(t *testing.T, r *rand.Rand, ours *Cipher, theirs *pion.Context)) {
	for p, other := range profiles {
		t.Run(fmt.Sprint(other), func(t *testing.T) {
			r := rand.New(rand.NewPCG(7, uint64(p)))
			m := randomMaster(r, p)
			theirs, err := pion.CreateContext(m.Key, m.Salt, other)
			if err != nil {
				t.Fatal(err)
			}
			test(t, r, newCipher(t, p, m), theirs)
		})
	}
}

// packetOf makes an RTP packet with a header extension and a random payload.
func packetOf(t testing.TB, r *rand.Rand, ssrc uint32, seq uint16) (raw []byte, header int) {
	t.Helper()
	p := rtp.Packet{Header: rtp.Header{Version: 2, SSRC: ssrc, SequenceNumber: seq, Timestamp: r.Uint32(), PayloadType: 96}}
	if err := p.SetExtension(3, []byte{1, 2, 3}); err != nil {
		t.Fatal(err)
	}
	for range r.IntN(1100) {
		p.Payload = append(p.Payload, byte(r.Uint32()))
	}
	raw, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	header, ok := HeaderSize(raw)
	if !ok || header != len(raw)-len(p.Payload) {
		t.Fatalf("header of %d bytes, %t", header, ok)
	}
	return raw, header
}

// TestAgainstPion: each opens what the other seals, over a wrap of the sequence numbers.
func TestAgainstPion(t *testing.T) {
	eachProfile(t, func(t *testing.T, r *rand.Rand, ours *Cipher, theirs *pion.Context) {
		out, in := ours.Stream(), ours.Stream()
		for i := range 300 {
			raw, header := packetOf(t, r, 0xdeadbeef, uint16(65400+i))
			sealed, err := out.Seal(append(make([]byte, 0, 1500), raw[:header]...), raw[header:])
			if err != nil {
				t.Fatal(err)
			}
			want, err := theirs.EncryptRTP(nil, raw, nil)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(sealed, want) {
				t.Fatalf("packet %d: sealed %x, Pion's %x", i, sealed, want)
			}
			plain, err := in.Open(want, header)
			if err != nil || !bytes.Equal(plain, raw) {
				t.Fatalf("packet %d: opened %x, %v, want %x", i, plain, err, raw)
			}
		}
	})
}

func TestControlAgainstPion(t *testing.T) {
	eachProfile(t, func(t *testing.T, r *rand.Rand, ours *Cipher, theirs *pion.Context) {
		sealer, opener := ours.Sealer(), ours.Opener()
		for i := range 200 {
			raw := make([]byte, 8+4*r.IntN(40))
			for j := range raw {
				raw[j] = byte(r.Uint32())
			}
			copy(raw, []byte{0x80, 201, 0, 1, 0, 0, 0, byte(i % 3)})
			sealed, err := sealer.Seal(nil, raw)
			if err != nil {
				t.Fatal(err)
			}
			if plain, err := theirs.DecryptRTCP(nil, bytes.Clone(sealed), nil); err != nil || !bytes.Equal(plain, raw) {
				t.Fatalf("Pion opens %x, %v, want %x", plain, err, raw)
			}
			theirsSealed, err := theirs.EncryptRTCP(nil, raw, nil)
			if err != nil {
				t.Fatal(err)
			}
			again := bytes.Clone(theirsSealed)
			if plain, err := opener.Open(theirsSealed); err != nil || !bytes.Equal(plain, raw) {
				t.Fatalf("opened %x, %v, want %x", plain, err, raw)
			}
			if _, err := opener.Open(again); !errors.Is(err, ErrReplayed) {
				t.Fatalf("a second time: %v", err)
			}
		}
	})
}

// TestReplay: each packet opens once, in any order within the window, and what was
// changed does not move it.
func TestReplay(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	c := newCipher(t, AEADAES128GCM, randomMaster(r, AEADAES128GCM))
	out, in := c.Stream(), c.Stream()
	const n = 2000
	var sealed [n][]byte
	for i := range sealed {
		header := make([]byte, 12, 64)
		header[0] = 0x80
		binary.BigEndian.PutUint16(header[2:], uint16(60000+i*7))
		s, err := out.Seal(header, []byte{byte(i)})
		if err != nil {
			t.Fatal(err)
		}
		sealed[i] = s
	}
	opened := [n]bool{}
	high := 0
	if _, err := in.Open(bytes.Clone(sealed[0]), 12); err != nil {
		t.Fatal(err)
	}
	opened[0] = true
	for range 60 * n {
		at := max(0, min(n-1, high-80+r.IntN(83)))
		damaged := bytes.Clone(sealed[min(n-1, high+50)])
		damaged[len(damaged)-1] ^= 1
		if _, err := in.Open(damaged, 12); err == nil {
			t.Fatal("a damaged packet opens")
		}
		_, err := in.Open(bytes.Clone(sealed[at]), 12)
		old := (high-at)*7 >= ReplayWindow
		if (err == nil) != (!opened[at] && !old) {
			t.Fatalf("packet %d, high %d, opened %t: %v", at, high, opened[at], err)
		}
		opened[at] = opened[at] || err == nil
		high = max(high, at)
	}
	if high != n-1 {
		t.Fatalf("only %d packets", high)
	}
}

// TestWindowIsWide: a path that holds packets back for half a second is some 250 of them late
// at 5 Mbit/s, and all are opened. The usual windows of 64 or 128 drop most of these.
func TestWindowIsWide(t *testing.T) {
	c := newCipher(t, AEADAES128GCM, randomMaster(rand.New(rand.NewPCG(3, 4)), AEADAES128GCM))
	out, in := c.Stream(), c.Stream()
	var sealed [512][]byte
	for i := range sealed {
		header := make([]byte, 12, 64)
		header[0] = 0x80
		binary.BigEndian.PutUint16(header[2:], uint16(1000+i))
		var err error
		if sealed[i], err = out.Seal(header, []byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
	}
	for i := len(sealed) - 1; i > 0; i-- {
		if _, err := in.Open(sealed[i], 12); err != nil {
			t.Fatalf("%d packets late: %v", len(sealed)-1-i, err)
		}
	}
}

func TestSplit(t *testing.T) {
	for p := range profiles {
		raw := make([]byte, Exported(p))
		for i := range raw {
			raw[i] = byte(i)
		}
		client, server, err := Split(p, raw)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%d %d %d %d", client.Key[0], server.Key[0], client.Salt[0], server.Salt[0]); got != fmt.Sprintf("0 16 32 %d", 32+p.SaltSize()) {
			t.Error(got)
		}
		if _, _, err := Split(p, raw[1:]); err == nil {
			t.Error("too few bytes are taken")
		}
	}
	if _, err := NewCipher(99, Master{}); err == nil {
		t.Error("an unknown profile")
	}
	if got := fmt.Sprintf("%v %+v %s %#v", Master{Key: []byte("k")}, Master{}, Master{}, Master{}); got != "[secret] [secret] [secret] [secret]" {
		t.Error(got)
	}
}

// TestAllocations: sealing and opening take no memory.
func TestAllocations(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	c := newCipher(t, AEADAES128GCM, randomMaster(r, AEADAES128GCM))
	out, in := c.Stream(), c.Stream()
	buffer, payload, seq := make([]byte, 1500), make([]byte, 1100), uint16(0)
	if n := testing.AllocsPerRun(1000, func() {
		seq++
		buffer[0] = 0x80
		binary.BigEndian.PutUint16(buffer[2:], seq)
		sealed, err := out.Seal(buffer[:12], payload)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := in.Open(sealed, 12); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	sealer, opener, report := c.Sealer(), c.Opener(), make([]byte, 60)
	if n := testing.AllocsPerRun(1000, func() {
		sealed, err := sealer.Seal(buffer[:0], report)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := opener.Open(sealed); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations for RTCP", n)
	}
}

func FuzzOpen(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	var streams []Stream
	var openers []*Opener
	for p := range profiles {
		c := newCipher(f, p, randomMaster(r, p))
		streams, openers = append(streams, c.Stream()), append(openers, c.Opener())
	}
	f.Add(make([]byte, 40))
	f.Add(append([]byte{0x9f, 0x60}, make([]byte, 90)...))
	f.Fuzz(func(t *testing.T, packet []byte) {
		for i := range streams {
			if header, ok := HeaderSize(packet); ok {
				if _, err := streams[i].Open(bytes.Clone(packet), header); err == nil {
					t.Fatal("opened")
				}
			}
			if _, err := openers[i].Open(bytes.Clone(packet)); err == nil {
				t.Fatal("opened")
			}
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	for p, name := range profiles {
		b.Run(fmt.Sprint(name), func(b *testing.B) {
			out := newCipher(b, p, randomMaster(r, p)).Stream()
			buffer, payload, seq := make([]byte, 1500), make([]byte, 1100), uint16(0)
			b.SetBytes(1100)
			b.ReportAllocs()
			for b.Loop() {
				seq++
				buffer[0] = 0x80
				binary.BigEndian.PutUint16(buffer[2:], seq)
				if _, err := out.Seal(buffer[:12], payload); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestSealsOnce: no number is sealed twice, not even the same packet, nor one from so far
// back that nobody knows; a header that differs is enough to give GCM's key away.
func TestSealsOnce(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	s := newCipher(t, AEADAES128GCM, randomMaster(r, AEADAES128GCM))
	out := s.Stream()
	seal := func(number int) error {
		header := make([]byte, 12, 64)
		header[0] = 0x80
		binary.BigEndian.PutUint16(header[2:], uint16(number))
		spent := out.Spent(uint16(number))
		_, err := out.Seal(header, []byte{1})
		if spent != (err != nil) {
			t.Fatalf("number %d is spent: %t, but sealing gives %v", number, spent, err)
		}
		return err
	}
	for _, step := range []struct {
		number int
		ok     bool
	}{
		{100, true}, {100, false}, {103, true}, {101, true}, {101, false}, {103, false},
		{103 + ReplayWindow, true}, {103, false}, {104, true}, {102, false},
		{30000, true}, {60000, true}, // the next step but one is taken for one back
		{60000 + 40000, false}, {30000, false}, {60001, true}, {1<<16 + 5, true}, {60001, false}, {1<<16 + 5, false},
	} {
		if err := seal(step.number); (err == nil) != step.ok || err != nil && !errors.Is(err, ErrExhausted) {
			t.Errorf("number %d: %v, want one packet: %t", step.number, err, step.ok)
		}
	}
}
