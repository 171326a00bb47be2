package e2ee

import (
	"time"

	"github.com/conclave-sfu/conclave/e2ee/framecrypt"
)

// How long epochs live side by side.
const (
	sendAfter        = time.Second            // all others know the epoch by then
	sendAfterRemoval = 500 * time.Millisecond // those who left shall not read long
	keepEpoch        = 10 * time.Second       // late frames of the epoch before
	keepAfterRemoval = 2 * time.Second
	maxEpochs        = 16
)

// liveEpoch is an epoch whose keys the shell has.
type liveEpoch struct {
	epoch framecrypt.Epoch
	send  time.Time // when frames are sealed under it; zero once it is done or passed over
	end   time.Time // when its keys are erased; zero for the newest
}

// epochs decides when frames are sealed under an epoch and when its keys go.
type epochs struct {
	live    []liveEpoch // oldest first
	sending framecrypt.Epoch
	emit    func(Output)
}

// start begins an epoch, newer than all before. delay is how long to wait before sealing under it; removal
// says that somebody is a member no more.
func (k *epochs) start(now time.Time, started EpochStarted, delay time.Duration, removal bool) {
	keep := keepEpoch
	if removal {
		keep = keepAfterRemoval
	}
	k.endBy(now.Add(keep))
	k.live = append(k.live, liveEpoch{epoch: started.Epoch, send: now.Add(delay)})
	k.emit(started)
	if len(k.live) > maxEpochs {
		k.live[0].end = now
	}
	k.tick(now)
}

// leave says that the group goes on without us: what is live ends soon, also for sending,
// since those whom the group removes meanwhile have these keys.
func (k *epochs) leave(now time.Time) { k.endBy(now.Add(keepAfterRemoval)) }

// endBy lets no epoch live longer than to end.
func (k *epochs) endBy(end time.Time) {
	for i := range k.live {
		if k.live[i].end.IsZero() || end.Before(k.live[i].end) {
			k.live[i].end = end
		}
	}
}

// drop ends all epochs at once: their group is no more.
func (k *epochs) drop() {
	for _, e := range k.live {
		k.emit(EpochEnded{e.epoch})
	}
	k.live, k.sending = nil, framecrypt.Epoch{}
}

// tick does what is due.
func (k *epochs) tick(now time.Time) {
	k.advance(now)
	rest := k.live[:0]
	for _, e := range k.live {
		if e.end.IsZero() || now.Before(e.end) {
			rest = append(rest, e)
			continue
		}
		if newest := k.live[len(k.live)-1]; e.epoch == k.sending && newest.end.IsZero() {
			k.sendWith(newest.epoch) // sixteen epochs in a second: not without a key
		}
		k.emit(EpochEnded{e.epoch})
	}
	k.live = rest
}

// advance moves the sender to the newest epoch that is due. Older ones are passed over:
// it never goes back.
func (k *epochs) advance(now time.Time) {
	for i := len(k.live) - 1; i >= 0; i-- {
		if send := k.live[i].send; !send.IsZero() && !now.Before(send) {
			k.sendWith(k.live[i].epoch)
			return
		}
	}
}

func (k *epochs) sendWith(epoch framecrypt.Epoch) {
	for i := range k.live {
		if !epoch.Less(k.live[i].epoch) {
			k.live[i].send = time.Time{}
		}
	}
	k.sending = epoch
	k.emit(SendEpoch{epoch})
}

// due is when tick is next to be called, zero for never.
func (k *epochs) due() time.Time {
	var due time.Time
	for _, e := range k.live {
		due = earliest(due, e.send, e.end)
	}
	return due
}

// earliest is the first of the times that are not zero, or zero.
func earliest(times ...time.Time) time.Time {
	var first time.Time
	for _, t := range times {
		if first.IsZero() || !t.IsZero() && t.Before(first) {
			first = t
		}
	}
	return first
}
