package framecrypt

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/conclave-sfu/conclave/e2ee/sframe"
)

func TestCountersNeverRepeat(t *testing.T) {
	r := NewRing()
	seen := map[string]bool{}
	sealSome := func() {
		t.Helper()
		for ctx := range contexts {
			codec, bad := Opus, []byte(nil)
			if !ctx.Audio() {
				codec, bad = VP8, vp8Key[:5]
			}
			for range 5 {
				// A frame that cannot be sealed in between.
				if _, err := r.Seal(nil, ctx, AV1, vp8Key); err == nil {
					t.Fatal("AV1 was sealed")
				}
				if _, err := r.Seal(nil, ctx, codec, bad); bad != nil && err == nil {
					t.Fatal("a short frame was sealed")
				}
				sealed := seal(t, r, ctx, codec, vp8Delta)
				prefix, _ := ClearPrefix(codec, vp8Delta)
				h, _, err := sframe.ParseHeader(sealed[prefix:])
				if err != nil {
					t.Fatal(err)
				}
				id, _ := r.Sending()
				// The key is that of the base key, which the epoch's name stands for here.
				use := fmt.Sprint(id, h)
				if seen[use] {
					t.Fatalf("%s was used before", use)
				}
				seen[use] = true
			}
		}
	}
	send := func(id Epoch) {
		t.Helper()
		start(t, r, id, 3, []Leaf{3, 5}, nil)
		if err := r.SendWith(id); err != nil {
			t.Fatal(err)
		}
		sealSome()
	}
	send(number(1))
	if err := r.SendWith(number(1)); err != nil { // once more changes nothing
		t.Fatal(err)
	}
	sealSome()
	if err := r.Start(number(1), 3, []Leaf{3, 5}, nil, baseKey(1001)); !errors.Is(err, ErrEpoch) {
		t.Fatalf("the same epoch started twice: %v", err)
	}
	sealSome()
	send(number(2))
	r.End(number(2))
	send(number(2)) // ended and started again: a caller's fault must not repeat a nonce
	r.End(number(1))
	send(number(1))
	send(number(3))
	send(Epoch{Generation: 2, Number: 1})
}

func TestCounterUsedUp(t *testing.T) {
	r := sending(t, number(1), 3, 3, 5)
	b := receiving(t, number(1), 5, 3, 5)
	r.live[0].send[Mic].next = MaxCTR
	wantOpen(t, b, Opus, seal(t, r, Mic, Opus, opusFrame), opusFrame)
	for range 2 {
		if _, err := r.Seal(nil, Mic, Opus, opusFrame); !errors.Is(err, ErrNoSendKey) {
			t.Errorf("after the last counter: %v", err)
		}
	}
	seal(t, r, Camera, VP8, vp8Key)
}

func TestLayersShareACounter(t *testing.T) {
	r := sending(t, number(1), 3, 3, 5)
	for want := range sframe.CTR(20) {
		sealed := seal(t, r, Camera, VP8, vp8Delta)
		if h, _, err := sframe.ParseHeader(sealed[3:]); err != nil || h.CTR != want {
			t.Errorf("counter %d, %v; want %d", h.CTR, err, want)
		}
	}
}

func TestReplayAcrossSlots(t *testing.T) {
	a, b := sending(t, number(1), 3, 3, 5), receiving(t, number(1), 5, 3, 5)
	var audio, video [][]byte
	for range 600 {
		audio = append(audio, seal(t, a, Mic, Opus, opusFrame))
		video = append(video, seal(t, a, Camera, VP8, vp8Delta))
	}
	wantOpen(t, b, Opus, audio[599], opusFrame)
	wantRefused(t, b, Opus, audio[599-128], ErrReplay)
	wantOpen(t, b, Opus, audio[599-127], opusFrame)
	wantRefused(t, b, Opus, audio[599], ErrReplay)
	wantOpen(t, b, VP8, video[599], vp8Delta)
	wantRefused(t, b, VP8, video[599-512], ErrReplay)
	wantOpen(t, b, VP8, video[599-511], vp8Delta)
	// A forged frame far ahead moves nothing.
	forged := append(sframe.Header{KID: MakeKID(Mic, 3, 1), CTR: MaxCTR}.Append(nil), make([]byte, 20)...)
	wantRefused(t, b, Opus, forged, ErrDecrypt)
	wantOpen(t, b, Opus, audio[599-126], opusFrame)
}

func TestSendWithNeverGoesBack(t *testing.T) {
	r := sending(t, number(1), 3, 3, 5)
	start(t, r, number(2), 3, []Leaf{3, 5}, nil)
	if id, _ := r.Sending(); id != number(1) {
		t.Errorf("Start alone moved sending to %v", id)
	}
	if err := r.SendWith(number(2)); err != nil {
		t.Fatal(err)
	}
	if err := r.SendWith(number(1)); !errors.Is(err, ErrEpoch) {
		t.Errorf("back to epoch 1: %v", err)
	}
	if id, _ := r.Sending(); id != number(2) {
		t.Errorf("sending with %v", id)
	}
}

func TestOldEpochsOpenUntilTheyEnd(t *testing.T) {
	a, b := sending(t, number(1), 3, 3, 5), receiving(t, number(1), 5, 3, 5)
	first, second := seal(t, a, Mic, Opus, opusFrame), seal(t, a, Mic, Opus, opusFrame)
	start(t, b, number(2), 5, []Leaf{3, 5}, nil)
	wantOpen(t, b, Opus, first, opusFrame)
	b.End(number(1))
	wantRefused(t, b, Opus, second, ErrMissingKey)
	b.End(number(1))
	b.End(number(9))
	if _, _, _, err := b.KeyFor(MakeKID(Mic, 3, 2)); err != nil {
		t.Errorf("epoch 2: %v", err)
	}
}

func TestRemovedLeafIsRefusedAtOnce(t *testing.T) {
	a1, a2 := sending(t, number(1), 3, 3, 5, 7), sending(t, number(2), 3, 3, 5, 7)
	b := receiving(t, number(1), 5, 3, 5, 7)
	start(t, b, number(2), 5, []Leaf{3, 5, 7}, nil)
	wantOpen(t, b, Opus, seal(t, a1, Mic, Opus, opusFrame), opusFrame)
	wantOpen(t, b, Opus, seal(t, a2, Mic, Opus, opusFrame), opusFrame)

	// Leaf 3 is removed and given to somebody else in the same commit.
	start(t, b, number(3), 5, []Leaf{3, 5, 7}, []Leaf{3})
	wantRefused(t, b, Opus, seal(t, a1, Mic, Opus, opusFrame), ErrRemoved)
	wantRefused(t, b, Opus, seal(t, a2, Mic, Opus, opusFrame), ErrRemoved)
	wantRefused(t, b, VP8, seal(t, a2, Camera, VP8, vp8Key), ErrRemoved)
	for _, id := range []uint64{1, 2} {
		if _, _, _, err := b.KeyFor(MakeKID(Mic, 3, id)); !errors.Is(err, ErrRemoved) {
			t.Errorf("key of a removed leaf in epoch %d: %v", id, err)
		}
	}
	// Others go on under old epochs, and the new owner of the leaf under the new one.
	c2 := sending(t, number(2), 7, 3, 5, 7)
	wantOpen(t, b, Opus, seal(t, c2, Mic, Opus, opusFrame), opusFrame)
	n3 := sending(t, number(3), 3, 3, 5, 7)
	wantOpen(t, b, Opus, seal(t, n3, Mic, Opus, opusFrame), opusFrame)

	// The removed one knows no later key.
	start(t, b, number(4), 5, []Leaf{5, 7}, []Leaf{3})
	wantRefused(t, b, Opus, seal(t, n3, Mic, Opus, opusFrame), ErrRemoved)
	a4 := sending(t, number(4), 3, 3, 5, 7)
	wantRefused(t, b, Opus, seal(t, a4, Mic, Opus, opusFrame), ErrMissingKey)
}

func TestEpochsWithOneResidue(t *testing.T) {
	a1, a65 := sending(t, number(1), 3, 3, 5), sending(t, number(65), 3, 3, 5)
	b := receiving(t, number(1), 5, 3, 5)
	old := seal(t, a1, Mic, Opus, opusFrame)
	fresh := seal(t, a65, Mic, Opus, opusFrame)
	if !bytes.Equal(old[:2], fresh[:2]) {
		t.Fatalf("headers %x and %x differ: this tests nothing", old[:2], fresh[:2])
	}
	wantRefused(t, b, Opus, fresh, ErrDecrypt) // known under epoch 1 alone, and tried once
	start(t, b, number(65), 5, []Leaf{3, 5}, nil)
	wantRefused(t, b, Opus, old, ErrDecrypt)
	if info := wantOpen(t, b, Opus, fresh, opusFrame); info.Epoch != number(65) {
		t.Errorf("opened under %v", info.Epoch)
	}
	if len(b.live) != 1 {
		t.Errorf("%d epochs share a residue", len(b.live))
	}
}

func TestNewGenerationDropsTheOld(t *testing.T) {
	a := sending(t, number(9), 3, 3, 5)
	b := receiving(t, number(9), 5, 3, 5)
	second := Epoch{Generation: 2, Number: 1}
	start(t, b, second, 5, []Leaf{3, 5}, nil)
	wantRefused(t, b, Opus, seal(t, a, Mic, Opus, opusFrame), ErrMissingKey)
	if err := b.Start(number(10), 5, []Leaf{3, 5}, nil, baseKey(99)); !errors.Is(err, ErrEpoch) {
		t.Errorf("an epoch of the old generation: %v", err)
	}
	wantOpen(t, b, Opus, seal(t, sending(t, second, 3, 3, 5), Mic, Opus, opusFrame), opusFrame)
}

// A joiner's second Welcome replaces what the first one gave.
func TestReplacedEpoch(t *testing.T) {
	b := sending(t, number(5), 5, 3, 5)
	start(t, b, number(6), 5, []Leaf{3, 5}, nil)
	lost := sending(t, number(5), 3, 3, 5)
	seal(t, b, Mic, Opus, opusFrame)
	if err := b.Start(number(5), 5, []Leaf{3, 5}, nil, baseKey(1)); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Seal(nil, Mic, Opus, opusFrame); !errors.Is(err, ErrNoSendKey) {
		t.Errorf("sealed under a replaced epoch: %v", err)
	}
	wantRefused(t, b, Opus, seal(t, lost, Mic, Opus, opusFrame), ErrDecrypt)
	if len(b.live) != 1 || b.newest != number(6) {
		t.Errorf("%d live epochs, newest %v", len(b.live), b.newest)
	}
	if err := b.SendWith(number(5)); err != nil {
		t.Fatal(err)
	}
	if h, _, err := sframe.ParseHeader(seal(t, b, Mic, Opus, opusFrame)); err != nil || h.CTR != 1 {
		t.Errorf("counter %d, %v; want one that goes on", h.CTR, err)
	}
}

func TestSixteenEpochsAreKept(t *testing.T) {
	r := sending(t, number(1), 3, 3, 5)
	for n := uint64(2); n <= 40; n++ {
		start(t, r, number(n), 3, []Leaf{3, 5}, nil)
	}
	var got []uint64
	for _, e := range r.live {
		got = append(got, e.id.Number)
	}
	want := "[1 26 27 28 29 30 31 32 33 34 35 36 37 38 39 40]" // and the one to send with
	if fmt.Sprint(got) != want {
		t.Errorf("epochs %v, want %s", got, want)
	}
	seal(t, r, Mic, Opus, opusFrame)
}

func TestStartRefuses(t *testing.T) {
	erased := baseKey(1)
	erased.Erase()
	for name, c := range map[string]struct {
		own     Leaf
		members []Leaf
		key     BaseKey
	}{
		"no key":                {3, []Leaf{3}, BaseKey{}},
		"an erased key":         {3, []Leaf{3}, erased},
		"a short key":           {3, []Leaf{3}, NewBaseKey(make([]byte, 15))},
		"a long key":            {3, []Leaf{3}, NewBaseKey(make([]byte, 32))},
		"no members":            {3, nil, baseKey(1)},
		"without oneself":       {3, []Leaf{2, 4}, baseKey(1)},
		"a leaf out of range":   {3, []Leaf{3, MaxLeaf + 1}, baseKey(1)},
		"own leaf out of it":    {MaxLeaf + 1, []Leaf{MaxLeaf + 1}, baseKey(1)},
		"the key of a live one": {3, []Leaf{3}, baseKey(1001)},
	} {
		r := sending(t, number(1), 3, 3, 5)
		if err := r.Start(number(2), c.own, c.members, []Leaf{5}, c.key); !errors.Is(err, ErrEpoch) {
			t.Errorf("%s: %v", name, err)
		}
		if len(r.live) != 1 || r.live[0].refused.has(5) {
			t.Errorf("%s: something has changed", name)
		}
	}
}

func TestEraseLeavesNothing(t *testing.T) {
	r := sending(t, number(1), 3, 3, 5)
	seal(t, r, Mic, Opus, opusFrame)
	wantOpen(t, r, Opus, seal(t, sending(t, number(1), 5, 3, 5), Mic, Opus, opusFrame), opusFrame)
	e := r.live[0]
	r.Erase()
	if len(r.live) != 0 || len(e.streams) != 0 || len(e.key.bytes()) != 0 || e.send[Mic].key != nil {
		t.Error("keys are left")
	}
	if _, err := r.Seal(nil, Mic, Opus, opusFrame); !errors.Is(err, ErrNoSendKey) {
		t.Errorf("sealed after Erase: %v", err)
	}
}

func TestKeyFor(t *testing.T) {
	a := sending(t, number(70), 3, 3, 5)
	kid := MakeKID(Camera, 3, 70)
	for _, r := range []*Ring{a, receiving(t, number(70), 5, 3, 5)} {
		key, salt, id, err := r.KeyFor(kid)
		if err != nil || id != number(70) {
			t.Fatalf("epoch %v, %v", id, err)
		}
		wantKey, wantSalt, err := sframe.AES128GCMSHA256.Derive(baseKey(1070).bytes(), kid)
		if err != nil || !bytes.Equal(key, wantKey) || !bytes.Equal(salt, wantSalt) {
			t.Errorf("key %x, salt %x, want %x, %x, %v", key, salt, wantKey, wantSalt, err)
		}
	}
	for _, bad := range []sframe.KID{MakeKID(Camera, 4, 70), MakeKID(Camera, 3, 71), 1<<18 | kid, 1 << 60} {
		if _, _, _, err := a.KeyFor(bad); !errors.Is(err, ErrMissingKey) {
			t.Errorf("KID %#x: %v", bad, err)
		}
	}
}

func TestNoAllocations(t *testing.T) {
	a, b := sending(t, number(1), 3, 3, 5), receiving(t, number(1), 5, 3, 5)
	sealed := make([]byte, 0, 2000)
	opened := make([]byte, 0, 2000)
	pass := func() {
		var err error
		if sealed, err = a.Seal(sealed[:0], Camera, VP8, vp8Delta); err != nil {
			t.Fatal(err)
		}
		if opened, _, err = b.Open(opened[:0], VP8, sealed); err != nil {
			t.Fatal(err)
		}
		if _, _, err = b.Open(opened[:0], VP8, sealed); err == nil {
			t.Fatal("replayed")
		}
	}
	pass() // derives the keys
	if n := testing.AllocsPerRun(1000, pass); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}

func FuzzOpen(f *testing.F) {
	sealer := sending(f, number(1), 3, 3, 5)
	for _, frame := range [][]byte{vp8Key, vp8Delta} {
		f.Add(byte(VP8), seal(f, sealer, Camera, VP8, frame))
		f.Add(byte(VP9), seal(f, sealer, Screen, VP9, frame))
		f.Add(byte(Opus), seal(f, sealer, Mic, Opus, frame))
	}
	f.Fuzz(func(t *testing.T, codec byte, data []byte) {
		b := receiving(t, number(1), 5, 3, 5)
		opened, info, err := b.Open(nil, Codec(codec), data)
		if err != nil {
			if CodeOf(err) == "" || len(opened) != 0 {
				t.Fatalf("opened %x, %v", opened, err)
			}
			return
		}
		if len(data) == 0 {
			return
		}
		// Whatever opens is what the sealer would have written.
		a := sending(t, number(1), 3, 3, 5)
		a.live[0].send[info.Context].next = info.CTR
		if again := seal(t, a, info.Context, Codec(codec), opened); !bytes.Equal(again, data) {
			t.Fatalf("opened %x of %x, which would be sealed as %x", opened, data, again)
		}
	})
}

func BenchmarkSealOpen(b *testing.B) {
	for _, size := range []int{160, 1200, 10_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			a, r := sending(b, number(1), 3, 3, 5), receiving(b, number(1), 5, 3, 5)
			frame := append([]byte{1, 2, 3}, make([]byte, size-3)...)
			sealed, opened := make([]byte, 0, size+MaxOverhead), make([]byte, 0, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				var err error
				if sealed, err = a.Seal(sealed[:0], Camera, VP8, frame); err != nil {
					b.Fatal(err)
				}
				if opened, _, err = r.Open(opened[:0], VP8, sealed); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
