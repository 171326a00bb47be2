package client

import (
	"slices"
	"testing"

	"github.com/pion/rtp"

	"github.com/conclave-sfu/conclave/e2ee/framecrypt"
	"github.com/conclave-sfu/conclave/e2ee/sframe"
	"github.com/conclave-sfu/conclave/room/signal"
)

func TestPicture(t *testing.T) {
	alice, bob := framecrypt.MakeKID(framecrypt.Camera, 1, 3), framecrypt.MakeKID(framecrypt.Camera, 2, 3)
	next := framecrypt.MakeKID(framecrypt.Camera, 1, 4)
	var p picture
	take := func(kid sframe.KID, key bool) bool { return p.take(p.next(), kid, key) }
	p.damage(p.next())
	if p.wants(at(-800)) {
		t.Error("asks for a key frame before anything can be opened")
	}
	if take(alice, false) || !p.wants(at(-800)) || p.wants(at(-600)) {
		t.Error("begins without a key frame, or does not ask for its first")
	}
	if !take(alice, true) || !take(next, false) || p.wants(at(0)) {
		t.Error("not whole after a key frame, into the next epoch")
	}
	late := p.next()
	p.damage(late)
	if take(next, false) || !p.wants(at(0)) || p.wants(at(200)) || !p.wants(at(300)) {
		t.Error("does not ask for a key frame each interval while it is damaged")
	}
	if !take(next, true) || p.wants(at(900)) {
		t.Error("a key frame does not mend it")
	}
	p.damage(late)
	if p.take(late, alice, true) || !take(next, false) || p.wants(at(900)) {
		t.Error("what was before the key frame is shown, or missed")
	}
	first, second := take(bob, false), take(bob, false)
	if first || second || !take(bob, true) {
		t.Error("another's frames are decodable before their key frame")
	}
}

// TestDownlinkJoins: a slot has frames of the epoch before its own, then a key frame of
// its own. That the former are given up afterwards damages nothing.
func TestDownlinkJoins(t *testing.T) {
	keys := keyringWith(t, epochOf(1, 4, 0, 2))
	u, sent, _ := wire(t, signal.SourceCamera, framecrypt.VP8, keys, 300)
	s := newSlot(keyringWith(t, epochOf(1, 5, 1, 2)), false)
	u.sendNext()
	u.sendNext()
	enter(t, keys, epochOf(1, 5, 0, 2))
	u.askKeyFrames()
	u.sendNext()
	u.sendNext()
	for _, p := range *sent {
		s.arrive(at(0), p)
	}
	s.drain(at(0).Add(earlyWait))
	if stats := s.count.snapshot(); !slices.Equal(s.shown, []bool{true, true}) || s.keyFrames != 0 || stats.FramesEarly != 2 || s.early.Load() != 0 {
		t.Errorf("decodable %v, %d key frames asked for, %+v", s.shown, s.keyFrames, stats)
	}
	u.sendNext()
	s.arrive(at(0).Add(earlyWait), (*sent)[len(*sent)-1])
	if !slices.Equal(s.shown, []bool{true, true, true}) || s.keyFrames != 0 {
		t.Errorf("after those before were given up: decodable %v, %d key frames asked for", s.shown, s.keyFrames)
	}
}

// TestFirstKeyFrameIsLost: what comes first of a slot is behind the beginning of its first key
// frame, so that nothing seems to be missing. It asks for another, again until it has one.
func TestFirstKeyFrameIsLost(t *testing.T) {
	u, sent, _ := wire(t, signal.SourceCamera, framecrypt.VP8, keyringWith(t, epochOf(1, 1, 0, 2)), 3000)
	s := newSlot(keyringWith(t, epochOf(1, 1, 1, 2)), false)
	u.sendNext()
	for _, p := range (*sent)[1:] {
		s.arrive(at(0), p)
	}
	if s.keyFrames != 0 {
		t.Error("asks for a key frame before there was a frame")
	}
	next := func(ms int) {
		*sent = nil
		u.sendNext()
		for _, p := range *sent {
			s.arrive(at(ms), p)
		}
	}
	next(33)
	next(66)
	if s.keyFrames != 1 || slices.Contains(s.shown, true) {
		t.Errorf("asked for %d key frames, frames decodable: %v", s.keyFrames, s.shown)
	}
	next(33 + int(pliInterval.Milliseconds()))
	u.wantKey.Store(true)
	next(400)
	next(800)
	if s.keyFrames != 2 || !slices.Equal(s.shown, []bool{false, false, false, true, true}) {
		t.Errorf("asked for %d key frames in the end, frames decodable: %v", s.keyFrames, s.shown)
	}
}

// TestDownlinkAsksForAKeyFrame loses a packet for good.
func TestDownlinkAsksForAKeyFrame(t *testing.T) {
	u, sent, _ := wire(t, signal.SourceCamera, framecrypt.VP8, keyringWith(t, epochOf(1, 1, 0, 2)), 3000)
	s := newSlot(keyringWith(t, epochOf(1, 1, 1, 2)), false)
	for range 3 {
		u.sendNext()
	}
	for i, p := range *sent {
		if i != 4 {
			s.arrive(at(0), p)
		}
	}
	if s.keyFrames != 0 {
		t.Error("asks for a key frame while the packet may still come")
	}
	s.drain(at(0).Add(videoWait))
	if s.keyFrames != 1 || !slices.Equal(s.shown, []bool{true, false}) {
		t.Errorf("asked for %d key frames, frames decodable: %v", s.keyFrames, s.shown)
	}
	u.answer(nil)
	u.wantKey.Store(true)
	*sent = nil
	u.sendNext()
	for _, p := range *sent {
		s.arrive(at(0).Add(videoWait), p)
	}
	if stats := s.count.snapshot(); !s.shown[2] || stats.FramesDecodable != 2 || stats.KeyFramesWanted != 1 {
		t.Errorf("after the key frame: decodable %v, %+v", s.shown, stats)
	}
}

func TestLabels(t *testing.T) {
	l := &labels{midID: 1, ridID: 2, levelID: 3, mid: "5"}
	for _, test := range []struct {
		name            string
		audio           bool
		rid             string
		loudness        uint8
		mid, ridV, lvel string
	}{
		{"video", false, "", 9, "5", "", ""},
		{"layer", false, "h", 0, "5", "h", ""},
		{"silence", true, "", 0, "5", "", "\x7f"},
		{"speech", true, "", 100, "5", "", "\x9b"},
		{"loudest", true, "", 200, "5", "", "\x80"},
	} {
		var h rtp.Header
		l.put(&h, test.rid, test.loudness, test.audio)
		if got := [3]string{string(h.GetExtension(1)), string(h.GetExtension(2)), string(h.GetExtension(3))}; got != [3]string{test.mid, test.ridV, test.lvel} {
			t.Errorf("%s: %q", test.name, got)
		}
	}
	var h rtp.Header
	(*labels)(nil).put(&h, "h", 1, true)
	if h.Extension {
		t.Error("labels before anything was negotiated")
	}
}

func TestRepairOfALayer(t *testing.T) {
	var h rtp.Header
	if err := h.SetExtension(2, []byte("h")); err != nil {
		t.Fatal(err)
	}
	asRepair(&h, 2, 4)
	if h.GetExtension(2) != nil || string(h.GetExtension(4)) != "h" {
		t.Errorf("extensions %v", h.GetExtensionIDs())
	}
}

func TestLayersFit(t *testing.T) {
	next, _ := clipOf(10)
	layer := func(rid string) Layer { return Layer{RID: rid, Next: next} }
	for name, test := range map[string]struct {
		codec  framecrypt.Codec
		layers []Layer
		fit    bool
	}{
		"none":     {framecrypt.VP8, nil, true},
		"three":    {framecrypt.VP8, []Layer{layer("q"), layer("h"), layer("f")}, true},
		"four":     {framecrypt.VP8, []Layer{layer("a"), layer("b"), layer("c"), layer("d")}, false},
		"twice":    {framecrypt.VP8, []Layer{layer("q"), layer("q")}, false},
		"no name":  {framecrypt.VP8, []Layer{layer("")}, false},
		"no Next":  {framecrypt.VP8, []Layer{{RID: "q"}}, false},
		"of sound": {framecrypt.Opus, []Layer{layer("q")}, false},
	} {
		if got := layersFit(Track{Codec: test.codec, Layers: test.layers}); got != test.fit {
			t.Errorf("%s: %v", name, got)
		}
	}
}
