package sfu

import (
	"bytes"
	"strings"
	"testing"

	"github.com/pion/rtp"
)

// awaitFrame takes packets of a slot until one has the end of want's payload. To the
// receiver the slot is one stream: no sequence number is left out and no timestamp
// goes back.
func awaitFrame(t testing.TB, c *client, mid string, want *rtp.Packet) *rtp.Packet {
	t.Helper()
	for {
		p := await(t, c.packets(mid), "a packet in the slot")
		if before := c.last[mid]; before != nil {
			if p.SequenceNumber != before.SequenceNumber+1 || int32(p.Timestamp-before.Timestamp) < 0 {
				t.Errorf("%s's slot %s goes from %d at %d to %d at %d", c.name, mid,
					before.SequenceNumber, before.Timestamp, p.SequenceNumber, p.Timestamp)
			}
		}
		c.last[mid] = p
		if bytes.HasSuffix(p.Payload, want.Payload[len(want.Payload)-2:]) {
			return p
		}
	}
}

func TestTwoParticipants(t *testing.T) {
	n := startNode(t, nil)
	alice, bob := join(t, n, "room", "alice"), join(t, n, "room", "bob")
	alice.connect(1, 2, Mic, Camera)
	bob.connect(1, 2, Mic, Camera)
	for _, c := range []*client{alice, bob} {
		c.begin(Mic)
		c.begin(Camera)
	}
	alice.watch("bob")
	bob.watch("alice")
	for _, pair := range [][2]*client{{alice, bob}, {bob, alice}} {
		from, to := pair[0], pair[1]
		mids := to.awaitSlots(pubKey{from.name, Mic}, pubKey{from.name, Camera})

		sound := from.sends[Mic].sound(t, 60)
		if got := awaitFrame(t, to, mids[pubKey{from.name, Mic}], sound); !bytes.Equal(got.Payload, sound.Payload) {
			t.Errorf("audio payload %x, sent %x", got.Payload, sound.Payload)
		}
		frame := from.sends[Camera].frame(t, true, 3)
		for i, sent := range frame {
			got := awaitFrame(t, to, mids[pubKey{from.name, Camera}], sent)
			if got.Payload[0] != sent.Payload[0]&0x37 || !bytes.Equal(got.Payload[1:], sent.Payload[4:]) {
				t.Errorf("packet %d: payload %x, sent %x", i, got.Payload, sent.Payload)
			}
			if got.Marker != sent.Marker {
				t.Errorf("packet %d: marker %t", i, got.Marker)
			}
		}
	}
}

func TestAnswerShape(t *testing.T) {
	n := startNode(t, nil)
	alice := join(t, n, "room", "alice")
	alice.open(clientAPI(t))
	alice.publish(Camera)
	alice.addSlots(0, 1)
	answer := alice.negotiate()
	for _, want := range []string{"a=ice-lite", "a=setup:passive", "a=sendonly", "a=recvonly", "a=ssrc-group:FID", "a=candidate:", "a=msid:slot-"} {
		if !strings.Contains(answer, want) {
			t.Errorf("no %q in the answer:\n%s", want, answer)
		}
	}
	if strings.Contains(answer, "dependency-descriptor") {
		t.Error("the Dependency Descriptor is negotiated")
	}
	await(t, alice.connected, "connected")
}
