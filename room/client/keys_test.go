package client

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/conclave-sfu/conclave/e2ee"
	"github.com/conclave-sfu/conclave/e2ee/framecrypt"
	"github.com/conclave-sfu/conclave/e2ee/sframe"
)

// epochOf is an epoch of the members with leaves 0 to n-1, seen by one of them.
func epochOf(generation uint32, number uint64, own framecrypt.Leaf, n int) e2ee.EpochStarted {
	o := e2ee.EpochStarted{
		Epoch:   framecrypt.Epoch{Generation: generation, Number: number},
		Own:     own,
		BaseKey: framecrypt.NewBaseKey(bytes.Repeat([]byte{byte(generation), byte(number)}, 8)),
	}
	for leaf := range framecrypt.Leaf(n) {
		o.Members = append(o.Members, e2ee.Member{Leaf: leaf, PID: e2ee.PID{byte(leaf + 1)}, Name: string('A' + rune(leaf))})
	}
	return o
}

// keyringWith is a keyring that is in an epoch and sends with it.
func keyringWith(t *testing.T, o e2ee.EpochStarted) *keyring {
	t.Helper()
	k := newKeyring()
	enter(t, k, o)
	return k
}

func enter(t *testing.T, k *keyring, o e2ee.EpochStarted) {
	t.Helper()
	if err := errors.Join(k.start(o, epochTime), k.sendWith(o.Epoch)); err != nil {
		t.Fatal(err)
	}
}

func TestKeyringSealsAndOpens(t *testing.T) {
	alice, bob := keyringWith(t, epochOf(1, 3, 0, 2)), keyringWith(t, epochOf(1, 3, 1, 2))
	frame := bytes.Repeat([]byte{1}, 50) // a delta frame
	for ctr := range sframe.CTR(3) {
		sealed, by, err := alice.seal(nil, framecrypt.Camera, framecrypt.VP8, frame)
		if err != nil {
			t.Fatal(err)
		}
		want := Sealed{KID: framecrypt.MakeKID(framecrypt.Camera, 0, 3), Epoch: framecrypt.Epoch{Generation: 1, Number: 3}, CTR: ctr}
		if by != want {
			t.Errorf("sealed by %+v, want %+v", by, want)
		}
		got, info, from, err := bob.open(nil, framecrypt.VP8, sealed)
		if err != nil || !bytes.Equal(got, frame) {
			t.Fatalf("opened %x, %v", got, err)
		}
		if from.Name != "A" || info.CTR != ctr || info.Context != framecrypt.Camera {
			t.Errorf("from %q, %+v", from.Name, info)
		}
	}
}

func TestKeyringReset(t *testing.T) {
	k := keyringWith(t, epochOf(1, 3, 0, 2))
	k.reset()
	if _, _, err := k.seal(nil, framecrypt.Mic, framecrypt.Opus, []byte{1}); !errors.Is(err, framecrypt.ErrNoSendKey) {
		t.Errorf("sealed after a reset: %v", err)
	}
}

func TestSpanOwes(t *testing.T) {
	epoch := func(generation uint32, number uint64) framecrypt.Epoch {
		return framecrypt.Epoch{Generation: generation, Number: number}
	}
	tests := []struct {
		name   string
		enter  []framecrypt.Epoch // a second apart
		left   bool               // afterwards
		number uint64             // of the frame
		after  time.Duration      // since the last epoch began
		want   bool
	}{
		{"no member yet", nil, false, 5, 0, false},
		{"the epoch before ours", []framecrypt.Epoch{epoch(1, 5)}, false, 4, time.Hour, false},
		{"our first epoch", []framecrypt.Epoch{epoch(1, 5)}, false, 5, 0, true},
		{"a later epoch", []framecrypt.Epoch{epoch(1, 5)}, false, 6, 0, true},
		{"an epoch that has ended", []framecrypt.Epoch{epoch(1, 5), epoch(1, 6)}, false, 5, 0, true},
		{"before ours, across 64", []framecrypt.Epoch{epoch(1, 64)}, false, 63, 0, false},
		{"after ours, across 64", []framecrypt.Epoch{epoch(1, 63)}, false, 64, 0, true},
		{"not a member any more", []framecrypt.Epoch{epoch(1, 5)}, true, 6, 0, false},
		{"between two memberships", []framecrypt.Epoch{epoch(1, 5), epoch(1, 8)}, false, 7, 0, false},
		{"just after a new group began", []framecrypt.Epoch{epoch(1, 5), epoch(2, 0)}, false, 5, time.Second, false},
		{"long after a new group began", []framecrypt.Epoch{epoch(1, 5), epoch(2, 0)}, false, 5, regroupTime, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var s span
			now := epochTime
			for _, e := range test.enter {
				now = now.Add(time.Second)
				s.enter(e, now)
			}
			s.member = s.member && !test.left
			kid := framecrypt.MakeKID(framecrypt.Mic, 1, test.number)
			if got := s.owes(kid, now.Add(test.after)); got != test.want {
				t.Errorf("owes %v, want %v", got, test.want)
			}
		})
	}
}

// TestSpanOwesLongMeeting keeps frames of recent epochs owed however long ago this
// participant joined.
func TestSpanOwesLongMeeting(t *testing.T) {
	var s span
	for number := range uint64(500) {
		s.enter(framecrypt.Epoch{Generation: 1, Number: number}, epochTime)
		for back := range min(number, 16) + 1 {
			if kid := framecrypt.MakeKID(framecrypt.Mic, 1, number-back); !s.owes(kid, epochTime) {
				t.Fatalf("in epoch %d a frame of epoch %d is not owed", number, number-back)
			}
		}
	}
}
