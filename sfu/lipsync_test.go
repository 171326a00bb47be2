package sfu

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pion/rtcp"

	"github.com/conclave-sfu/conclave/sfu/packetmap"
)

// actor is a participant who is seen and heard: a camera and a microphone on one clock,
// over paths of different length.
type actor struct {
	video, audio           *source
	videoDelay, audioDelay int64
	videoStart, audioStart uint32 // timestamps at time 0
	clock                  senderClock
	wall                   time.Time // the actor's, at time 0
}

func newActor(random *rand.Rand) *actor {
	video, _ := newTestUp(true)
	audio, _ := newTestUp(false)
	return &actor{
		video: &source{u: video, seq: uint16(random.Uint32())}, audio: &source{u: audio, seq: uint16(random.Uint32())},
		videoDelay: int64(20*time.Millisecond) + random.Int64N(int64(150*time.Millisecond)), audioDelay: int64(20 * time.Millisecond),
		videoStart: random.Uint32(), audioStart: random.Uint32(),
		wall: time.Date(2026, 1, 1, 0, 0, int(random.Uint32N(1e6)), 0, time.UTC),
	}
}

// act sends what was seen and heard at a moment, and now and then the reports on both.
func (a *actor) act(t *testing.T, at int64, report bool) {
	t.Helper()
	video := a.videoStart + uint32(packetmap.Ticks(time.Duration(at), packetmap.VideoRate))
	audio := a.audioStart + uint32(packetmap.Ticks(time.Duration(at), packetmap.AudioRate))
	if report {
		ntp := ntpTime(a.wall.Add(time.Duration(at)))
		for _, r := range []struct {
			u     *upTrack
			stamp uint32
			delay int64
		}{{a.audio.u, audio, a.audioDelay}, {a.video.u, video, a.videoDelay}} {
			r.u.senderReport(&rtcp.SenderReport{NTPTime: ntp, RTPTime: r.stamp}, a.clock.report(ntp, at+r.delay))
		}
	}
	a.video.stamp, a.video.now = video-3000, at+a.videoDelay-frameTime // send adds a frame
	a.video.send(t, true, true, []byte("seen"))
	a.audio.stamp, a.audio.now = audio, at+a.audioDelay
	a.audio.send(t, false, false, []byte("heard"))
}

// maxApart is a 64th of by how much the paths differ at most, and rounding: what a report by
// the longer one moves the sender's clock. People notice 45 ms (ITU-R BT.1359).
const maxApart = 3 * time.Millisecond

// TestLipSync: what was seen and heard at one moment is presented at one moment by a
// receiver who goes by the reports of its slots, whoever is in them: clocks, offsets and
// paths of the senders are not alike.
func TestLipSync(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 10))
	actors := []*actor{newActor(random), newActor(random), newActor(random)}
	seen, heard := newTestSlot(t, true, &fakeWriter{}), newTestSlot(t, false, &fakeWriter{})
	now := int64(0)
	for round := range 12 {
		a := actors[random.IntN(len(actors))]
		seen.connect(a.video.u, now)
		if round%4 != 3 { // the voice may have had its slot before
			heard.connect(a.audio.u, now)
		} else if heard.feed.Load().up != a.audio.u {
			continue
		}
		for i := range 20 {
			now += 100 * int64(time.Millisecond)
			for _, other := range actors {
				other.act(t, now, i%5 == 0)
			}
		}
		at := now + int64(time.Second)/3
		video, ok := seen.senderReport(at, 1)
		audio, ok2 := heard.senderReport(at, 1)
		if !ok || !ok2 {
			t.Fatal("no report")
		}
		last := func(d *downTrack) uint32 {
			packets := d.writer.(*fakeWriter).packets
			return packets[len(packets)-1].Timestamp
		}
		sight := packetmap.Duration(int64(int32(last(seen)-video.RTPTime)), packetmap.VideoRate)
		sound := packetmap.Duration(int64(int32(last(heard)-audio.RTPTime)), packetmap.AudioRate)
		if apart := (sight - sound).Abs(); apart > maxApart {
			t.Errorf("round %d: what was seen and heard at once is %s apart", round, apart)
		}
	}
}
