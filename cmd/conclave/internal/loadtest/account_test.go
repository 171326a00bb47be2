package loadtest

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/conclave-sfu/conclave/e2ee/framecrypt"
	"github.com/conclave-sfu/conclave/e2ee/sframe"
	"github.com/conclave-sfu/conclave/room/client"
)

// tape is a track whose frames are sealed, and come to one viewer, as a text says, a letter
// for each frame: a digit is one of that layer that is decoded, with a capital X before it one
// that is not, with a < one that comes only when all is over. "|" begins a phase, "." ends the
// last, "e" begins an epoch, "E" the viewer's first one.
func tape(script string) (first, second frameCount) {
	l := newLedger(1, 10)
	t := &track{publisher: "Alice"}
	layers := strings.ContainsAny(script, "12")
	for i := range MaxLayers {
		if i == 0 || layers {
			t.recordings = append(t.recordings, &recording{ticks: syntheticTicks, layer: i})
		}
	}
	p := newParticipant("Bob", &checker{ledger: l}, nil)
	epoch, ctr, phase, fate := uint64(1), sframe.CTR(0), -1, ' '
	var late []sealing
	take := func(s sealing) {
		v := p.view(t)
		p.begin(t, v)
		v.account.decoded(t, *l.bounds.Load(), s.recording.layer, s.tally)
	}
	for _, c := range script {
		switch c {
		case '|':
			phase++
			l.enterPhase(phase)
		case '.':
			l.enterPhase(uncounted)
		case 'e':
			epoch++
		case 'E':
			epoch++
			p.enter(framecrypt.Epoch{Number: epoch})
		case 'X', '<':
			fate = c
		case '0', '1', '2':
			ctr++
			by := client.Sealed{Epoch: framecrypt.Epoch{Number: epoch}, KID: sframe.KID(epoch), CTR: ctr}
			l.enter(by, t, sealing{recording: t.recordings[c-'0'], at: time.Unix(1, 0)})
			_, s, _ := l.find(by)
			switch fate {
			case ' ':
				take(s)
			case '<':
				late = append(late, s)
			}
			fate = ' '
		}
	}
	for _, s := range late {
		take(s)
	}
	p.watch(t)
	a := &p.view(t).account
	a.close(t, *l.bounds.Load())
	return a.phases[0], a.phases[1]
}

func TestAccount(t *testing.T) {
	for _, test := range []struct {
		name, script  string
		first, second frameCount
	}{
		{"all is decoded", "E|0000.", frameCount{4, 4}, frameCount{}},
		{"some are lost, the last ones too", "E|00X0X00X0.", frameCount{6, 3}, frameCount{}},
		{"nothing comes", "E|X0X0X0.", frameCount{3, 0}, frameCount{}},
		{"nothing is sent", "E|.", frameCount{}, frameCount{}},
		{"sent before the first phase, and after the last", "E0X0|00.0X0", frameCount{2, 2}, frameCount{}},
		{"a phase with the frames that were under way when it began", "E|0X0<0<0|<0<0.", frameCount{4, 3}, frameCount{2, 2}},
		{"come when the last phase is over", "E|00<0<0.", frameCount{4, 4}, frameCount{}},
		{"a picture stands still from one phase to the next", "E|00X0X0|X0X0X000.", frameCount{4, 2}, frameCount{5, 2}},
		{"before its viewer is a member", "|X0X0X0X0E0X00.", frameCount{3, 2}, frameCount{}},
		{"of the epoch before, which its viewer never had, in a later phase", "|X0X0|X0E00.", frameCount{}, frameCount{2, 2}},
		{"later epochs do not begin anew", "|X0E0eX0X0e0.", frameCount{4, 2}, frameCount{}},
		{"an epoch that its viewer lacks counts", "E|00eX0X0.", frameCount{4, 2}, frameCount{}},
		{"a viewer that is never a member", "|X0X0.E", frameCount{}, frameCount{}},

		{"the lowest of two layers", "E|0X10X10X1.", frameCount{3, 3}, frameCount{}},
		{"layers that take turns in being first", "E|0X1X100X1X10.", frameCount{4, 4}, frameCount{}},
		{"a layer that catches up at once", "E|0X10X10000X1X1X1.", frameCount{6, 6}, frameCount{}},
		{"a switch", "E|0X10X1X01X01.", frameCount{4, 4}, frameCount{}},
		{"a switch that loses two", "E|0X1X0X1X0X1X01X01.", frameCount{5, 3}, frameCount{}},
		{"a switch with frames of a moment ago, which count again", "E|0<10<10.", frameCount{5, 5}, frameCount{}},
		{"a layer that stops, and is waited for", "E|0X10X1" + strings.Repeat("X1", 30) + "0X1.", frameCount{33, 3}, frameCount{}},
		{"a layer that begins later", "E|" + strings.Repeat("X0", 30) + "X01X01.", frameCount{32, 2}, frameCount{}},
	} {
		first, second := tape(test.script)
		if first != test.first || second != test.second {
			t.Errorf("%s: %v and %v, want %v and %v (sent, decoded)", test.name, first, second, test.first, test.second)
		}
	}
}

// TestNeverMoreThanSent: whatever happens, what was decoded is of what was sent.
func TestNeverMoreThanSent(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	for range 2000 {
		var script strings.Builder
		words := []string{"|", "e", "E", "X0", "0", "X1", "1", "2", "X2", "<0", "<1"}
		for range 60 {
			script.WriteString(words[rng.IntN(len(words))])
		}
		first, second := tape(script.String() + ".")
		if first.decoded > first.sent || second.decoded > second.sent {
			t.Fatalf("%q: %v and %v (sent, decoded)", script.String(), first, second)
		}
	}
}
