package e2ee

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/conclave-sfu/conclave/e2ee/framecrypt"
)

// TestEpochs writes down what epochs says, by second.
func TestEpochs(t *testing.T) {
	type begin struct {
		at      float64
		epoch   uint64
		delay   time.Duration
		removal bool
	}
	tests := []struct {
		name   string
		begins []begin
		want   string
	}{
		{"first at once", []begin{{0, 0, 0, false}}, "0 start 1.0, 0 send 1.0"},
		{"after a second, and ten", []begin{{0, 0, 0, false}, {1, 1, sendAfter, false}},
			"0 start 1.0, 0 send 1.0, 1 start 1.1, 2 send 1.1, 11 end 1.0"},
		{"removal", []begin{{0, 0, 0, false}, {1, 1, sendAfterRemoval, true}},
			"0 start 1.0, 0 send 1.0, 1 start 1.1, 1.5 send 1.1, 3 end 1.0"},
		{"removal shortens what is left of older ones", []begin{{0, 0, 0, false}, {1, 1, sendAfter, false}, {5, 2, sendAfterRemoval, true}},
			"0 start 1.0, 0 send 1.0, 1 start 1.1, 2 send 1.1, 5 start 1.2, 5.5 send 1.2, 7 end 1.0, 7 end 1.1"},
		{"never back", []begin{{0, 0, 0, false}, {1, 1, sendAfter, false}, {1.25, 2, sendAfterRemoval, true}},
			"0 start 1.0, 0 send 1.0, 1 start 1.1, 1.25 start 1.2, 1.75 send 1.2, 3.25 end 1.0, 3.25 end 1.1"},
		{"one after the other", []begin{{0, 0, 0, false}, {1, 1, sendAfter, false}, {1.5, 2, sendAfter, false}},
			"0 start 1.0, 0 send 1.0, 1 start 1.1, 1.5 start 1.2, 2 send 1.1, 2.5 send 1.2, 11 end 1.0, 11.5 end 1.1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			start := time.Unix(1000, 0)
			now := start
			var got []string
			say := func(what string, e framecrypt.Epoch) {
				got = append(got, fmt.Sprintf("%v %s %v", now.Sub(start).Seconds(), what, e))
			}
			k := epochs{emit: func(out Output) {
				switch out := out.(type) {
				case EpochStarted:
					say("start", out.Epoch)
				case SendEpoch:
					say("send", out.Epoch)
				case EpochEnded:
					say("end", out.Epoch)
				}
			}}
			begins := test.begins
			for len(begins) > 0 || !k.due().IsZero() {
				next := k.due()
				if len(begins) > 0 {
					at := start.Add(time.Duration(begins[0].at * float64(time.Second)))
					if next.IsZero() || !next.Before(at) {
						now = at
						e := EpochStarted{Epoch: framecrypt.Epoch{Generation: 1, Number: begins[0].epoch}}
						k.start(now, e, begins[0].delay, begins[0].removal)
						begins = begins[1:]
						continue
					}
				}
				now = next
				k.tick(now)
			}
			if s := strings.Join(got, ", "); s != test.want {
				t.Errorf("got  %s\nwant %s", s, test.want)
			}
		})
	}
}

// TestEpochsLeave: who can no longer follow the group stops sending after two seconds.
func TestEpochsLeave(t *testing.T) {
	now := time.Unix(1000, 0)
	var got []string
	k := epochs{emit: func(out Output) { got = append(got, fmt.Sprintf("%T", out)) }}
	k.start(now, EpochStarted{Epoch: framecrypt.Epoch{Generation: 1}}, 0, false)
	k.leave(now)
	if due := k.due(); !due.Equal(now.Add(keepAfterRemoval)) {
		t.Errorf("due at %v", due)
	}
	k.tick(now.Add(keepAfterRemoval))
	want := "e2ee.EpochStarted e2ee.SendEpoch e2ee.EpochEnded"
	if s := strings.Join(got, " "); s != want || !k.due().IsZero() {
		t.Errorf("got %s, then due at %v", s, k.due())
	}
}

// TestEpochsBounded: never more than 16 live, and never without one to send with.
func TestEpochsBounded(t *testing.T) {
	now := time.Unix(1000, 0)
	live := map[framecrypt.Epoch]bool{}
	var sending framecrypt.Epoch
	k := epochs{emit: func(out Output) {
		switch out := out.(type) {
		case EpochStarted:
			live[out.Epoch] = true
		case SendEpoch:
			if !live[out.Epoch] || out.Epoch.Less(sending) {
				t.Errorf("send %v after %v", out.Epoch, sending)
			}
			sending = out.Epoch
		case EpochEnded:
			delete(live, out.Epoch)
		}
	}}
	for i := range uint64(100) {
		delay := sendAfter
		if i == 0 {
			delay = 0
		}
		k.start(now, EpochStarted{Epoch: framecrypt.Epoch{Generation: 1, Number: i}}, delay, false)
		now = now.Add(time.Millisecond)
		if len(live) > maxEpochs || !live[sending] {
			t.Fatalf("epoch %d: %d live, sending %v", i, len(live), sending)
		}
	}
	k.drop()
	if len(live) != 0 || !k.due().IsZero() {
		t.Errorf("%d live after drop", len(live))
	}
}
