package framecrypt

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/conclave-sfu/conclave/e2ee/sframe"
)

// The web client seals and opens frames by WebCrypto (webclient/src/e2ee). Its tests
// read testdata/golden.json, which this package writes by
//
//	go test ./e2ee/framecrypt -update
//
// and hold the two implementations to the same bytes and the same refusals.
var update = flag.Bool("update", false, "write testdata/golden.json anew")

const goldenFile = "testdata/golden.json"

type golden struct {
	Headers   []goldenHeader   `json:"headers"`
	Keys      []goldenKey      `json:"keys"`
	Windows   []goldenWindow   `json:"windows"`
	Scenarios []goldenScenario `json:"scenarios"`
}

type goldenHeader struct {
	KID     sframe.KID `json:"kid"`
	CTR     sframe.CTR `json:"ctr"`
	Encoded string     `json:"encoded"`
}

type goldenKey struct {
	BaseKey string     `json:"baseKey"`
	KID     sframe.KID `json:"kid"`
	Context Context    `json:"context"`
	Leaf    Leaf       `json:"leaf"`
	Epoch   uint64     `json:"epoch"`
	Key     string     `json:"key"`
	Salt    string     `json:"salt"`
}

// goldenWindow is a replay window's life: counters, and whether each was fresh. Fresh
// ones are advanced over.
type goldenWindow struct {
	Context Context      `json:"context"`
	CTRs    []sframe.CTR `json:"ctrs"`
	Fresh   string       `json:"fresh"` // "1" or "0" for each
}

// goldenScenario is what one ring is asked, and what it answers.
type goldenScenario struct {
	Name  string       `json:"name"`
	Steps []goldenStep `json:"steps"`
}

type goldenStep struct {
	Do string `json:"do"` // start, send, end, seal, open

	// Of start, send and end. Code then is empty or epoch_refused.
	Epoch   *goldenEpoch `json:"epoch,omitempty"`
	Own     Leaf         `json:"own,omitempty"`
	Members []Leaf       `json:"members,omitempty"`
	Removed []Leaf       `json:"removed,omitempty"`
	BaseKey string       `json:"baseKey,omitempty"`

	// Of seal and open: frames are in clear in Frame, as they travel in Sealed.
	Context Context     `json:"context,omitempty"`
	Codec   Codec       `json:"codec,omitempty"`
	Frame   string      `json:"frame,omitempty"`
	Sealed  string      `json:"sealed,omitempty"`
	Info    *goldenInfo `json:"info,omitempty"`

	// Code is why it was refused.
	Code string `json:"code,omitempty"`
}

type goldenEpoch struct {
	Generation uint32 `json:"generation"`
	Number     uint64 `json:"number"`
}

func nameOf(id Epoch) *goldenEpoch { return &goldenEpoch{id.Generation, id.Number} }

type goldenInfo struct {
	KID     sframe.KID  `json:"kid"`
	Epoch   goldenEpoch `json:"epoch"`
	Leaf    Leaf        `json:"leaf"`
	Context Context     `json:"context"`
	CTR     sframe.CTR  `json:"ctr"`
}

// TestGolden checks that the file is what this code gives.
func TestGolden(t *testing.T) {
	got, err := json.MarshalIndent(makeGolden(t), "", " ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(goldenFile, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what this code gives: a change of the wire format? If meant, run with -update", goldenFile)
	}
}

func makeGolden(t *testing.T) golden {
	return golden{
		Headers:   goldenHeaders(),
		Keys:      goldenKeys(t),
		Windows:   goldenWindows(),
		Scenarios: goldenScenarios(t),
	}
}

func goldenHeaders() (all []goldenHeader) {
	values := []uint64{0, 7, 8, 255, 256, 1<<16 - 1, 1 << 16, 0x3ffff, 1 << 24, 1<<32 - 1, 1 << 32, 1 << 40, 1<<48 - 1, 1<<53 - 1}
	for _, kid := range values {
		for _, ctr := range values {
			h := sframe.Header{KID: sframe.KID(kid), CTR: sframe.CTR(ctr)}
			all = append(all, goldenHeader{h.KID, h.CTR, hex.EncodeToString(h.Append(nil))})
		}
	}
	return all
}

func goldenKeys(t *testing.T) (all []goldenKey) {
	for i, c := range []struct {
		ctx   Context
		leaf  Leaf
		epoch uint64
	}{{Mic, 0, 0}, {Camera, 0, 1}, {Screen, 999, 63}, {ScreenAudio, MaxLeaf, 64}, {Mic, 5, 1<<40 + 7}} {
		base, kid := baseKey(i), MakeKID(c.ctx, c.leaf, c.epoch)
		key, salt, err := suite.Derive(base.bytes(), kid)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, goldenKey{hex.EncodeToString(base.bytes()), kid, c.ctx, c.leaf, c.epoch, hex.EncodeToString(key), hex.EncodeToString(salt)})
	}
	return all
}

func goldenWindows() (all []goldenWindow) {
	rng := rand.New(rand.NewPCG(1, 2))
	for ctx := range contexts {
		w, g := newWindow(ctx), goldenWindow{Context: ctx}
		for range 800 {
			at := max(0, int64(w.next)+rng.Int64N(int64(w.size)+40)-int64(w.size)-20)
			if rng.IntN(100) == 0 {
				at += rng.Int64N(3 * int64(w.size))
			}
			ctr, fresh := sframe.CTR(at), "0"
			if w.fresh(ctr) {
				w.advance(ctr)
				fresh = "1"
			}
			g.CTRs, g.Fresh = append(g.CTRs, ctr), g.Fresh+fresh
		}
		all = append(all, g)
	}
	return all
}

// script records what a ring is asked and what it answers.
type script struct {
	t     *testing.T
	ring  *Ring
	steps []goldenStep
}

func (s *script) start(id Epoch, own Leaf, members, removed []Leaf, base int) {
	err := s.ring.Start(id, own, members, removed, baseKey(base))
	s.steps = append(s.steps, goldenStep{Do: "start", Epoch: nameOf(id), Own: own, Members: members, Removed: removed,
		BaseKey: hex.EncodeToString(baseKey(base).bytes()), Code: CodeOf(err)})
}

func (s *script) send(id Epoch) {
	err := s.ring.SendWith(id)
	s.steps = append(s.steps, goldenStep{Do: "send", Epoch: nameOf(id), Code: CodeOf(err)})
}

func (s *script) end(id Epoch) {
	s.ring.End(id)
	s.steps = append(s.steps, goldenStep{Do: "end", Epoch: nameOf(id)})
}

func (s *script) seal(ctx Context, codec Codec, frame []byte) {
	sealed, err := s.ring.Seal(nil, ctx, codec, frame)
	s.steps = append(s.steps, goldenStep{Do: "seal", Context: ctx, Codec: codec, Frame: hex.EncodeToString(frame),
		Sealed: hex.EncodeToString(sealed), Code: CodeOf(err)})
}

func (s *script) open(codec Codec, sealed []byte) {
	frame, info, err := s.ring.Open(nil, codec, sealed)
	step := goldenStep{Do: "open", Codec: codec, Frame: hex.EncodeToString(frame),
		Sealed: hex.EncodeToString(sealed), Code: CodeOf(err)}
	if err == nil && len(sealed) > 0 {
		step.Info = &goldenInfo{info.KID, *nameOf(info.Epoch), info.Leaf, info.Context, info.CTR}
	}
	s.steps = append(s.steps, step)
}

func goldenScenarios(t *testing.T) (all []goldenScenario) {
	for _, c := range []struct {
		name string
		run  func(*script)
	}{
		{"seal each kind of frame", scriptSeal},
		{"open each kind of frame", scriptOpen},
		{"refuse what was changed", scriptChanged},
		{"refuse what is not sealed", scriptUnencrypted},
		{"replays", scriptReplays},
		{"epochs come and go", scriptEpochs},
		{"epochs of one residue", scriptResidue},
		{"a removed leaf, and its next owner", scriptRemoved},
		{"a replaced epoch and a new generation", scriptReplaced},
		{"sixteen epochs", scriptSixteen},
		{"what cannot start", scriptStart},
	} {
		s := &script{t: t, ring: NewRing()}
		c.run(s)
		all = append(all, goldenScenario{c.name, s.steps})
	}
	return all
}

// sealedBy seals frames as a member with leaf 3 would under a base key.
func (s *script) sealedBy(id Epoch, base int, ctx Context, codec Codec, frames ...[]byte) (sealed [][]byte) {
	r := NewRing()
	if err := r.Start(id, 3, []Leaf{3, 5}, nil, baseKey(base)); err != nil {
		s.t.Fatal(err)
	}
	if err := r.SendWith(id); err != nil {
		s.t.Fatal(err)
	}
	for _, f := range frames {
		sealed = append(sealed, seal(s.t, r, ctx, codec, f))
	}
	return sealed
}

func times(n int, frame []byte) (all [][]byte) {
	for range n {
		all = append(all, frame)
	}
	return all
}

func scriptSeal(s *script) {
	s.seal(Mic, Opus, opusFrame)
	s.start(number(70), 3, []Leaf{3, 5}, nil, 1)
	s.seal(Mic, Opus, opusFrame)
	s.send(number(70))
	s.seal(Mic, Opus, nil)
	s.seal(Mic, Opus, []byte{1})
	for range 10 {
		s.seal(Camera, VP8, vp8Delta)
	}
	s.seal(Camera, VP8, vp8Key)
	s.seal(Camera, VP8, vp8Key[:10])
	s.seal(Camera, VP8, vp8Key[:9])
	s.seal(Camera, VP8, vp8Delta[:3])
	s.seal(Camera, VP8, vp8Delta[:2])
	s.seal(Screen, VP9, vp8Delta)
	s.seal(ScreenAudio, Opus, opusFrame)
	s.seal(Camera, Opus, opusFrame)
	s.seal(Mic, VP8, vp8Key)
	s.seal(Camera, AV1, vp8Key)
	s.seal(Camera, H264, vp8Key)
	s.seal(Camera, VP8, vp8Key)
}

func scriptOpen(s *script) {
	s.start(number(70), 5, []Leaf{3, 5}, nil, 1)
	s.open(Opus, nil)
	for _, c := range []struct {
		ctx    Context
		codec  Codec
		frames [][]byte
	}{
		{Mic, Opus, times(12, opusFrame)},
		{ScreenAudio, Opus, [][]byte{{1}}},
		{Camera, VP8, [][]byte{vp8Key, vp8Delta, vp8Key[:10], vp8Delta[:3]}},
		{Screen, VP9, [][]byte{vp8Key, vp8Delta}},
	} {
		for _, sealed := range s.sealedBy(number(70), 1, c.ctx, c.codec, c.frames...) {
			s.open(c.codec, sealed)
		}
	}
}

func scriptChanged(s *script) {
	s.start(number(1), 5, []Leaf{3, 5}, nil, 1)
	for _, c := range []struct {
		ctx   Context
		codec Codec
		frame []byte
	}{{Mic, Opus, opusFrame[:4]}, {Camera, VP8, vp8Key[:14]}, {Camera, VP8, vp8Delta[:7]}} {
		sealed := s.sealedBy(number(1), 1, c.ctx, c.codec, times(10, c.frame)...)[9]
		for n := range sealed {
			s.open(c.codec, sealed[:n])
		}
		for i := range sealed {
			bad := bytes.Clone(sealed)
			bad[i] ^= 1 << (i % 8)
			s.open(c.codec, bad)
		}
		s.open(VP9, sealed)
		s.open(AV1, sealed)
		s.open(c.codec, sealed)
	}
}

func scriptUnencrypted(s *script) {
	s.start(number(1), 5, []Leaf{3, 5}, nil, 1)
	body := make([]byte, 20)
	for _, h := range []sframe.Header{
		{KID: 4 << 16}, {KID: 1 << 40}, {KID: 1<<64 - 1, CTR: 1<<64 - 1}, {KID: 1 << 53, CTR: 1},
		{KID: MakeKID(Mic, 3, 1), CTR: MaxCTR}, {KID: MakeKID(Mic, 3, 1), CTR: MaxCTR + 1},
		{KID: MakeKID(Mic, 3, 1), CTR: 1 << 53}, {KID: MakeKID(Mic, 3, 1), CTR: 1<<64 - 1},
	} {
		s.open(Opus, append(h.Append(nil), body...))
		s.open(Opus, append(h.Append(nil), body[:15]...))
	}
	for _, long := range [][]byte{{0xa0, 0, 0, 0xc1}, {0x88, 0xc1, 0}, {0x80, 1}} {
		s.open(Opus, append(long, body...))
	}
	s.open(Opus, opusFrame)
	s.open(VP8, vp8Key)
	s.open(VP8, vp8Delta)
	s.open(Opus, make([]byte, 17))
}

func scriptReplays(s *script) {
	s.start(number(1), 5, []Leaf{3, 5}, nil, 1)
	audio := s.sealedBy(number(1), 1, Mic, Opus, times(140, []byte{9})...)
	video := s.sealedBy(number(1), 1, Camera, VP8, times(520, vp8Delta[:4])...)
	for _, i := range []int{0, 0, 5, 3, 3, 5, 139, 11, 12, 12, 138} {
		s.open(Opus, audio[i])
	}
	for _, i := range []int{0, 0, 5, 3, 3, 5, 519, 7, 8, 8, 518} {
		s.open(VP8, video[i])
	}
}

func scriptEpochs(s *script) {
	both := []Leaf{3, 5}
	s.open(Opus, s.sealedBy(number(1), 1, Mic, Opus, opusFrame)[0])
	s.send(number(1))
	s.start(number(1), 5, both, nil, 1)
	s.start(number(1), 5, both, nil, 1)
	s.send(number(2))
	s.send(number(1))
	s.seal(Mic, Opus, opusFrame)
	s.open(Opus, s.sealedBy(number(2), 2, Mic, Opus, opusFrame)[0])
	s.start(number(2), 5, both, nil, 2)
	s.open(Opus, s.sealedBy(number(2), 2, Mic, Opus, opusFrame)[0])
	s.open(Opus, s.sealedBy(number(1), 1, Mic, Opus, opusFrame)[0])
	s.seal(Mic, Opus, opusFrame)
	s.send(number(2))
	s.seal(Mic, Opus, opusFrame)
	s.send(number(1))
	s.seal(Mic, Opus, opusFrame)
	s.end(number(1))
	s.open(Opus, s.sealedBy(number(1), 1, Camera, VP8, vp8Key)[0])
	s.end(number(2))
	s.seal(Mic, Opus, opusFrame)
	s.open(Opus, s.sealedBy(number(2), 2, Mic, Opus, opusFrame)[0])
	s.start(number(2), 5, both, nil, 2)
	s.send(number(2))
	s.seal(Mic, Opus, opusFrame)
}

func scriptResidue(s *script) {
	old := s.sealedBy(number(1), 1, Mic, Opus, times(2, opusFrame)...)
	fresh := s.sealedBy(number(65), 65, Mic, Opus, times(2, opusFrame)...)
	s.start(number(1), 5, []Leaf{3, 5}, nil, 1)
	s.open(Opus, old[0])
	s.open(Opus, fresh[1])
	s.start(number(65), 5, []Leaf{3, 5}, nil, 65)
	s.open(Opus, old[1])
	s.open(Opus, fresh[0])
	s.open(Opus, fresh[0])
}

func scriptRemoved(s *script) {
	first := s.sealedBy(number(1), 1, Mic, Opus, times(3, opusFrame)...)
	next := s.sealedBy(number(2), 2, Mic, Opus, times(3, opusFrame)...)
	s.start(number(1), 5, []Leaf{3, 5}, nil, 1)
	s.open(Opus, first[0])
	s.start(number(2), 5, []Leaf{3, 5}, []Leaf{3}, 2)
	s.open(Opus, first[1])
	s.open(VP8, s.sealedBy(number(1), 1, Camera, VP8, vp8Key)[0])
	s.open(Opus, next[0])
	s.start(number(3), 5, []Leaf{5}, []Leaf{3}, 3)
	s.open(Opus, next[1])
	s.open(Opus, first[2])
	s.open(Opus, s.sealedBy(number(3), 3, Mic, Opus, opusFrame)[0])
}

func scriptReplaced(s *script) {
	both := []Leaf{3, 5}
	s.start(number(5), 5, both, nil, 5)
	s.start(number(6), 5, both, nil, 6)
	s.send(number(6))
	s.seal(Mic, Opus, opusFrame)
	s.seal(Mic, Opus, opusFrame)
	s.start(number(5), 5, both, nil, 55)
	s.seal(Mic, Opus, opusFrame)
	s.open(Opus, s.sealedBy(number(5), 5, Mic, Opus, opusFrame)[0])
	s.open(Opus, s.sealedBy(number(5), 55, Mic, Opus, opusFrame)[0])
	s.send(number(5))
	s.seal(Mic, Opus, opusFrame)
	second := Epoch{Generation: 2, Number: 1}
	s.start(second, 5, both, nil, 21)
	s.open(Opus, s.sealedBy(number(5), 55, Mic, Opus, opusFrame)[0])
	s.open(Opus, s.sealedBy(second, 21, Mic, Opus, opusFrame)[0])
	s.start(number(7), 5, both, nil, 7)
	s.send(second)
	s.seal(Mic, Opus, opusFrame)
}

func scriptSixteen(s *script) {
	s.start(number(1), 5, []Leaf{3, 5}, nil, 1)
	s.send(number(1))
	for n := 2; n <= 20; n++ {
		s.start(number(uint64(n)), 5, []Leaf{3, 5}, nil, n)
	}
	for n := 1; n <= 20; n++ {
		s.open(Opus, s.sealedBy(number(uint64(n)), n, Mic, Opus, opusFrame)[0])
	}
	s.seal(Mic, Opus, opusFrame)
}

func scriptStart(s *script) {
	s.start(number(1), 5, nil, nil, 1)
	s.start(number(1), 5, []Leaf{3}, nil, 1)
	s.start(number(1), 5, []Leaf{5, MaxLeaf + 1}, nil, 1)
	s.start(number(1), MaxLeaf+1, []Leaf{5, MaxLeaf + 1}, nil, 1)
	s.start(number(1), MaxLeaf, []Leaf{3, MaxLeaf}, nil, 1)
	s.send(number(1))
	s.seal(ScreenAudio, Opus, opusFrame)
}
