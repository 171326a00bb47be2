package faults

import (
	"testing"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/offer"
)

// TestSSRCChanges has a sender of layers, whose SSRCs no offer names, change them: the
// mid and rid of its packets say whose they are.
func TestSSRCChanges(t *testing.T) {
	t.Parallel()
	s := open(t)
	sender := s.join("ssrc", role{video: true, rids: []string{"f"}})
	viewer := s.join("ssrc", role{slots: 2, watch: []*probe{sender}})
	labels := map[uint8][]byte{offer.MID: []byte(sender.videoMID()), offer.RID: []byte("f")}
	for i := range 4 {
		c := sender.filmAs(sender.videoSSRC(i), uint16(i)*9000, uint32(i)<<29, labels)
		viewer.awaitFrames(sender, 10)
		c.stop()
	}
	viewer.unharmed("after the SSRC changed")
}
