package sfu

import (
	"testing"
	"time"

	"github.com/conclave-sfu/conclave/sfu/dd"
	"github.com/conclave-sfu/conclave/sfu/dd/recorded"
)

// TestSizing: more is told at once, less after a while, and then the most that was wanted
// meanwhile.
func TestSizing(t *testing.T) {
	s := sizing{told: anyHeight}
	for i, step := range []struct {
		at   time.Duration
		want int
		told int // 0 for nothing new
	}{
		{0, 180, 0},
		{4 * time.Second, 360, 0},
		{4900 * time.Millisecond, 180, 0},
		{5 * time.Second, 180, 360},
		{6 * time.Second, 720, 720},
		{7 * time.Second, 180, 0},
		{11 * time.Second, 720, 0},
		{12500 * time.Millisecond, 180, 0},
		{17 * time.Second, 180, 0},
		{17500 * time.Millisecond, 90, 180},
		{18 * time.Second, anyHeight, anyHeight},
	} {
		now := int64(time.Second + step.at)
		if got := s.want(step.want, now); got != (step.told != 0) || got && s.told != step.told {
			t.Errorf("step %d: told %d, %t", i, s.told, got)
		}
	}
	if s.height() != 0 {
		t.Errorf("any height is told as %d", s.height())
	}
	for height, want := range map[int]int{0: anyHeight, -1: anyHeight, 1: 90, 90: 90, 91: 180, 1 << 20: anyHeight} {
		if got := roundHeight(height); got != want {
			t.Errorf("%d is rounded to %d, want %d", height, got, want)
		}
	}
}

// TestDemandedLayers: who sends spatial layers in one stream is told how large the largest
// picture is, also after it has stopped the upper ones; who sends none is not.
func TestDemandedLayers(t *testing.T) {
	c := newCrowd(t, 2)
	told := make(chan Demand, 100)
	transport, ok := c.room.join("publisher", Events{Demand: func(_ uint32, list []Demand) { told <- list[0] }})
	if !ok {
		t.Fatal("joined before")
	}
	t.Cleanup(transport.events.close)
	transport.connection = &connection{transport: transport, number: 3}
	t.Cleanup(func() { transport.connection = nil })
	c.room.connected(transport.connection)
	u, _ := newTestUp(true)
	u.format = plainFormat(codecVP9)
	c.room.addLayer(transport.connection, Camera, u)
	var reader dd.Reader
	var descriptor dd.Descriptor
	shape := func(name string) {
		if err := reader.Read(recorded.Descriptors(t, name)[0], &descriptor); err != nil {
			t.Fatal(err)
		}
		u.shape.Store(newStructure(descriptor.Structure))
	}
	pass := func(d time.Duration) {
		for ; d > 0; d -= loudnessInterval {
			u.rates[0][0].Add(5000)
			c.tick()
		}
	}
	see := func(viewer, height int) {
		c.members[viewer].View([]Want{{Participant: "publisher", Source: Camera, Width: 16 * height / 9, Height: height}})
	}
	see(0, 200)
	pass(6 * time.Second)
	if len(told) > 0 {
		t.Fatalf("told %+v of a stream without layers", <-told)
	}
	shape("vp9_L3T3_KEY")
	pass(6 * time.Second)
	if d := await(t, told, "less"); !d.Watched || d.Height != 270 {
		t.Errorf("told %+v", d)
	}
	shape("vp9_L1T3") // what the publisher then makes
	see(1, 700)
	if d := await(t, told, "more"); d.Height != 720 {
		t.Errorf("told %+v", d)
	}
	shape("vp9_L3T3_KEY")
	see(1, 0)
	if d := await(t, told, "all"); d.Height != 0 || !d.Watched {
		t.Errorf("told %+v of a slot that does not say how large it is", d)
	}
	c.members[1].View(nil)
	pass(6 * time.Second)
	if d := await(t, told, "less"); d.Height != 270 {
		t.Errorf("told %+v", d)
	}
	c.members[0].View(nil)
	pass(6 * time.Second)
	if d := await(t, told, "nothing"); d.Watched {
		t.Errorf("told %+v", d)
	}
}
