package bwe

import (
	"math"
	"time"
)

// SendTimeWrap is after what time an absolute send time starts anew: 24 bits, of which 18 are
// fractions of a second.
const SendTimeWrap = 64 * time.Second

const (
	// receiverStart is what is added to what comes, in bits a second, so that a trickle may
	// grow.
	receiverStart = 100_000
	// receiverPause is how long a cut takes to show in what comes.
	receiverPause = 500 * time.Millisecond
)

// Receiver follows the path from one sender by when its packets were sent and when they came,
// for senders that take no transport-wide feedback: the receive-side part of
// draft-ietf-rmcat-gcc-02. What it estimates is for REMB
// (draft-alvestrand-rmcat-remb-03), an upper limit; of loss the sender learns by reports. It
// is not safe for concurrent use.
type Receiver struct {
	config   Config
	estimate float64
	groups   grouper
	trend    trend
	queue    queue
	ceiling  capacity
	raised   int64 // when the estimate was raised last, by the arrivals
	cutAt    int64 // when it was cut last
	sent     int64 // of the latest packet, without wraps
	began    bool
}

// NewReceiver gives an estimator that knows nothing yet.
func NewReceiver(c Config) *Receiver { return &Receiver{config: c, estimate: float64(c.Start)} }

// Add takes a packet of size bytes that came at now, in nanoseconds, with an absolute send
// time (http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time) of 24 bits.
func (r *Receiver) Add(now int64, sendTime uint32, size int) {
	a := Acked{Sent: Sent{At: r.unwrap(sendTime), Size: size}, Received: true, Arrival: now}
	if s, ok := r.groups.add(&a); ok {
		usage := r.trend.add(s)
		r.queue.add(s, r.trend.delay)
		r.adjust(now, usage)
	}
}

// unwrap takes the wraps out of the sender's clock: the time that is nearest to the latest.
func (r *Receiver) unwrap(sendTime uint32) int64 {
	at := int64(sendTime&0xffffff) * int64(time.Second) >> 18
	if !r.began {
		r.began, r.sent = true, at
		return at
	}
	d := (at - r.sent) % int64(SendTimeWrap)
	switch {
	case d > int64(SendTimeWrap/2):
		d -= int64(SendTimeWrap)
	case d < -int64(SendTimeWrap/2):
		d += int64(SendTimeWrap)
	}
	at = r.sent + d
	r.sent = max(r.sent, at)
	return at
}

// adjust changes the estimate after a group.
func (r *Receiver) adjust(now int64, u usage) {
	elapsed := min(time.Duration(now-r.raised), time.Second).Seconds()
	if r.raised == 0 {
		elapsed = 0
	}
	r.raised = now
	switch standing := r.queue.standing(); {
	case u == overusing && standing > calm+r.queue.noise, standing > full+r.queue.noise:
		r.cut(now)
	case u == normal && standing <= deep:
		r.grow(elapsed)
	}
}

// cut comes down to a share of what the path lets through, unless that was done just now.
func (r *Receiver) cut(now int64) {
	rate, ok := r.queue.rate()
	if !ok {
		return
	}
	most := r.estimate
	if now-r.cutAt < int64(receiverPause) {
		most *= cutAgain
	}
	if decrease*rate < most {
		r.ceiling.add(rate)
		r.set(decrease * rate)
		r.cutAt = now
	}
}

// grow raises the estimate, up to half as much again as what comes: at once while the path
// was never full, else by a share a second, and near where it was full by packets.
func (r *Receiver) grow(elapsed float64) {
	most := headroom*r.queue.throughput() + receiverStart
	next := most
	switch {
	case r.ceiling.near(r.estimate):
		next = r.estimate + packetBits*elapsed/0.2
	case r.ceiling.above(r.estimate):
		r.ceiling = capacity{}
	case r.ceiling.mean > 0:
		next = r.estimate * math.Pow(increase, elapsed)
	}
	r.set(max(r.estimate, min(next, most)))
}

func (r *Receiver) set(bits float64) {
	r.estimate = min(max(bits, float64(r.config.Min)), float64(r.config.Max))
}

// Estimate is what the path is held to take in bits a second, whole SRTP packets counted.
func (r *Receiver) Estimate() int64 { return int64(r.estimate) }
