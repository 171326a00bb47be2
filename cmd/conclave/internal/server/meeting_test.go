package server

import (
	crand "crypto/rand"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"github.com/conclave-sfu/conclave/e2ee"
	native "github.com/conclave-sfu/conclave/room/client"
)

// TestMeetingAfterGarbage: a server that was sent noise on all its ports still holds an
// encrypted meeting, in which every frame arrives as it was sent. (Tests may import
// e2ee; the server may not, see package imports.)
func TestMeetingAfterGarbage(t *testing.T) {
	s := start(t)
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	noise(t, s, rand.New(rand.NewPCG(seed, 0)), 1000)
	for range 10 {
		c := open(t, s, "den")
		c.text(strings.Repeat("{", 2000))
		c.say(websocket.MessageBinary, "\x00")
	}

	link, err := e2ee.NewLink(crand.Reader, "http://"+s.Addr().String(), "den")
	if err != nil {
		t.Fatal(err)
	}
	converse(t, link, native.ByUDP)
	// More out than in, once all are there; how long the first sends to nobody, nobody knows.
	if got := s.media.Stats(); got.PacketsIn == 0 || got.PacketsOut == 0 {
		t.Errorf("the forwarder counts %d packets in, %d out", got.PacketsIn, got.PacketsOut)
	}
}
