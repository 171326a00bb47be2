package faults

import (
	"context"
	"fmt"
	"testing"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/offer"
)

// TestLayersAreCounted has a viewer of a simulcast see the best layer, then none.
func TestLayersAreCounted(t *testing.T) {
	t.Parallel()
	s := open(t)
	rids := []string{"q", "h", "f"}
	sender := s.join("layers", role{video: true, rids: rids})
	viewer := s.join("layers", role{slots: 1, watch: []*probe{sender}})
	for i, rid := range rids {
		labels := map[uint8][]byte{offer.MID: []byte(sender.videoMID()), offer.RID: []byte(rid)}
		c := sender.filmAs(sender.videoSSRC(i), uint16(i)*20000, uint32(i)<<30, labels)
		c.with(func() { c.size = 200 << i })
	}
	count := func(layer int) float64 {
		return s.metric(fmt.Sprintf(`conclave_media_layer_slots{layer="%d"}`, layer))
	}
	until(t, "the best layer is seen", func() bool { return count(2) == 1 && count(0)+count(1) == 0 })
	viewer.awaitFrames(sender, 10)
	viewer.unharmed("among layers")
	if err := viewer.look(context.Background()); err != nil {
		t.Fatal(err)
	}
	until(t, "no layer is sent", func() bool { return count(0)+count(1)+count(2) == 0 })
}
