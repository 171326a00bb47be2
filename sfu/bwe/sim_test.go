package bwe

import (
	"container/heap"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/conclave-sfu/conclave/sfu/impair"
	"github.com/conclave-sfu/conclave/sfu/pace"
)

// A simulation of senders behind one bottleneck, in virtual time. Everything that the
// estimator sees is what it would see in a call: sequence numbers of 16 bits, feedback
// packets as bytes that are lost, late, and out of order themselves.

const simStep = int64(time.Millisecond)

// network is one bottleneck that flows share.
type network struct {
	now    int64
	link   *impair.Link
	random *rand.Rand
	events events
	flows  []*flow
	// cross is traffic in bits a second that belongs to nobody.
	cross      float64
	crossBytes float64
	greedy     []*greedy
}

// event is something that happens later.
type event struct {
	at    int64
	order int
	do    func(now int64)
}

type events struct {
	list []event
	made int
}

func (e events) Len() int { return len(e.list) }
func (e events) Less(i, j int) bool {
	a, b := e.list[i], e.list[j]
	return a.at < b.at || a.at == b.at && a.order < b.order
}
func (e events) Swap(i, j int) { e.list[i], e.list[j] = e.list[j], e.list[i] }
func (e *events) Push(x any)   { e.list = append(e.list, x.(event)) }
func (e *events) Pop() any {
	last := e.list[len(e.list)-1]
	e.list = e.list[:len(e.list)-1]
	return last
}

func newNetwork(seed uint64, c impair.Conditions) *network {
	return &network{now: int64(time.Hour), link: impair.NewLink(seed, c), random: rand.New(rand.NewPCG(seed, 7))}
}

func (n *network) at(at int64, do func(int64)) {
	n.events.made++
	heap.Push(&n.events, event{at, n.events.made, do})
}

// run lets d pass.
func (n *network) run(d time.Duration) {
	for end := n.now + int64(d); n.now < end; n.now += simStep {
		for len(n.events.list) > 0 && n.events.list[0].at <= n.now {
			e := heap.Pop(&n.events).(event)
			e.do(e.at)
		}
		n.sendCross()
		for _, g := range n.greedy {
			g.step(n.now)
		}
		for _, f := range n.flows {
			f.step(n.now)
		}
	}
}

func (n *network) sendCross() {
	n.crossBytes += n.cross / 8 * time.Duration(simStep).Seconds()
	for ; n.crossBytes >= 1200; n.crossBytes -= 1200 {
		n.link.Send(n.now, 1200)
	}
}

// source says what a flow has to send.
type source struct {
	// most it ever sends, in bits a second.
	most float64
	// steps are the only rates that it can send at, if there are any: layers.
	steps []float64
	// keyFrames is how often a frame is 8 times as large; 0 for never.
	keyFrames time.Duration
	// audio packets of 100 bytes each 20 ms.
	audio bool
}

// flow is one sender and its receiver.
type flow struct {
	net    *network
	name   string
	source source
	log    *SentLog
	est    *Estimator
	bucket pace.Bucket
	queue  []int // sizes of the packets that wait

	nextFrame, nextAudio, nextTick, nextKey int64
	rateNow                                 float64 // what the source sends now
	upSince                                 int64

	// The way back.
	feedbackDelay, feedbackEvery time.Duration
	feedbackLoss, feedbackTwice  float64
	feedbackJitter               time.Duration
	recv                         receiver
	nextFeedback                 int64
	lie                          func(r *receiver)

	// Stalls, nil for none. While sending stalls nothing is done; while writing does, what
	// was numbered waits in the kernel; while receiving does, packets are not read; while
	// reading does, feedback is not.
	sending, writing, receiving, reading *stalls

	// What is measured.
	delivered, sentBytes int
	series               []sample
	every                time.Duration
}

type sample struct {
	at          time.Duration
	target, use float64 // bits a second
	queue       time.Duration
}

func (n *network) add(name string, start float64, s source) *flow {
	log := NewSentLog(DefaultLogSize)
	f := &flow{
		net: n, name: name, source: s, log: log,
		est:           New(Config{Start: int64(start), Min: 30_000, Max: 20_000_000}, log),
		feedbackDelay: 20 * time.Millisecond, feedbackEvery: 100 * time.Millisecond,
		nextFrame: n.now, nextTick: n.now, nextFeedback: n.now, nextAudio: n.now, nextKey: n.now, every: 100 * time.Millisecond,
	}
	f.recv.offset = int64(n.random.IntN(1_000_000)) * int64(time.Millisecond)
	f.log.next.Store(65_500) // a wrap is never far
	f.est.Begin(n.now)
	n.flows = append(n.flows, f)
	return f
}

// stalls are times when a thread does not get a processor.
type stalls struct {
	random      *rand.Rand
	least, most time.Duration // how long one takes
	every       time.Duration // on average, from one to the next
	from, to    int64
}

func newStalls(seed uint64, least, most, every time.Duration) *stalls {
	return &stalls{random: rand.New(rand.NewPCG(seed, 11)), least: least, most: most, every: every}
}

// end is until when a thread that wants to run at now has to wait.
func (s *stalls) end(now int64) int64 {
	if s == nil {
		return now
	}
	for s.to <= now {
		s.from = s.to + int64(s.random.ExpFloat64()*float64(s.every))
		if s.to == 0 {
			s.from += now
		}
		s.to = s.from + int64(s.least) + s.random.Int64N(int64(s.most-s.least)+1)
	}
	if now < s.from {
		return now
	}
	return s.to
}

func (f *flow) step(now int64) {
	if f.sending.end(now) > now {
		return
	}
	for ; f.source.audio && f.nextAudio <= now; f.nextAudio += int64(20 * time.Millisecond) {
		f.bucket.Charge(now, 100)
		f.send(now, 100)
	}
	for ; f.nextFrame <= now; f.nextFrame += int64(time.Second) / 30 {
		f.frame(now)
	}
	for len(f.queue) > 0 && f.bucket.Take(now, f.queue[0]) {
		f.send(now, f.queue[0])
		f.queue = f.queue[1:]
	}
	if p, bytes, ok := f.est.Probe(now); ok && now%(5*simStep) == 0 {
		for ; bytes > 0; bytes -= p.Size {
			f.send(now, p.Size)
		}
	}
	if now >= f.nextTick {
		f.nextTick = now + int64(f.every)
		f.tick(now)
	}
	if now >= f.nextFeedback {
		f.nextFeedback = now + int64(f.feedbackEvery)
		f.report(now)
	}
}

// frame puts a frame in the pacer's queue.
func (f *flow) frame(now int64) {
	f.rateNow = f.choose(now)
	size := f.rateNow / 8 / 30 * (0.8 + 0.4*f.net.random.Float64())
	if f.source.keyFrames > 0 && now >= f.nextKey {
		f.nextKey, size = now+int64(f.source.keyFrames), size*8
	}
	for n := int(size); n > 0; n -= 1150 {
		if len(f.queue) < 256 {
			f.queue = append(f.queue, min(n, 1150)+50)
		}
	}
}

// choose is the rate that the target allows. A layer more is taken only with room to
// spare, and after a second.
func (f *flow) choose(now int64) float64 {
	target := float64(f.est.Target())
	if f.source.audio {
		target -= 100 * 8 * 50
	}
	if len(f.source.steps) == 0 {
		return max(min(target, f.source.most)*0.95, 0)
	}
	rate, up := f.source.steps[0], f.rateNow // the lowest layer of the first slot always goes
	for _, s := range f.source.steps {
		if s <= target {
			rate = s
		}
		if 1.15*s <= target {
			up = max(up, s)
		}
	}
	if up <= f.rateNow {
		f.upSince = now
	}
	if rate > f.rateNow && now-f.upSince < int64(time.Second) {
		return f.rateNow
	}
	if rate > f.rateNow {
		rate = max(up, f.rateNow)
	}
	return rate
}

func (f *flow) wants() float64 {
	if n := len(f.source.steps); n > 0 {
		return 1.15 * f.source.steps[n-1]
	}
	return f.source.most
}

func (f *flow) tick(now int64) {
	next := 0.0
	for _, s := range slices.Backward(f.source.steps) {
		if s > f.rateNow {
			next = 1.15 * s
		}
	}
	f.est.Want(now, int64(f.wants()), int64(next))
	f.est.Tick(now)
	f.bucket.SetRate(f.est.Target())
	use := float64(f.delivered) * 8 / f.every.Seconds()
	f.delivered = 0
	f.series = append(f.series, sample{
		at: time.Duration(now - int64(time.Hour)), target: float64(f.est.Target()),
		use: use, queue: f.net.link.Backlog(now),
	})
}

func (f *flow) send(now int64, size int) {
	seq := f.log.Add(now, size)
	f.sentBytes += size
	if f.writing == nil {
		f.put(now, seq, size)
		return
	}
	f.net.at(f.writing.end(now), func(now int64) { f.put(now, seq, size) })
}

// put gives a packet to the link.
func (f *flow) put(now int64, seq uint16, size int) {
	at, copies := f.net.link.Send(now, size)
	for _, arrival := range at[:copies] {
		f.net.at(arrival, func(now int64) { f.arrive(now, seq, size) })
	}
}

// arrive has the receiver read a packet, when it gets to it.
func (f *flow) arrive(now int64, seq uint16, size int) {
	if end := f.receiving.end(now); end > now {
		f.net.at(end, func(now int64) { f.arrive(now, seq, size) })
		return
	}
	f.delivered += size
	f.recv.packet(seq, now)
}

// report sends feedback back.
func (f *flow) report(now int64) {
	if f.lie != nil {
		f.lie(&f.recv)
	}
	raw := f.recv.report()
	if raw == nil || f.net.random.Float64() < f.feedbackLoss {
		return
	}
	deliver := func(now int64) {
		var r Report
		if err := r.Unmarshal(raw); err != nil {
			panic(err)
		}
		f.est.OnReport(now, &r)
		f.est.Tick(now)
		f.bucket.SetRate(f.est.Target())
	}
	jitter := int64(f.net.random.Float64() * float64(f.feedbackJitter))
	f.net.at(f.reading.end(now+int64(f.feedbackDelay)+jitter), deliver)
	if f.net.random.Float64() < f.feedbackTwice {
		f.net.at(now+int64(f.feedbackDelay)+2*jitter, deliver)
	}
}

// receiver makes feedback as browsers do.
type receiver struct {
	offset  int64 // of its clock
	high    int64
	began   bool
	base    int64 // next to be reported
	arrived map[int64]int64
	count   uint8
}

func (r *receiver) packet(seq uint16, now int64) {
	if !r.began {
		r.began, r.high, r.base, r.arrived = true, int64(seq)+1<<16, int64(seq)+1<<16, map[int64]int64{}
	}
	n := r.high + int64(int16(seq-uint16(r.high)))
	r.high = max(r.high, n)
	r.base = min(r.base, n)
	if _, twice := r.arrived[n]; !twice {
		r.arrived[n] = now + r.offset
	}
}

func (r *receiver) report() []byte {
	if !r.began || len(r.arrived) == 0 {
		return nil
	}
	at := make([]int64, 0, 64) // 0 for not received
	for n := r.base; n <= r.high; n++ {
		at = append(at, r.arrived[n])
	}
	raw := encodeReport(uint16(r.base), at, r.count)
	r.count++
	r.base = r.high + 1
	clear(r.arrived)
	return raw
}

// encodeReport writes a feedback packet: runs only, which is valid and simple.
func encodeReport(base uint16, at []int64, count uint8) []byte {
	const unit = int64(deltaUnit)
	first := int64(0)
	for _, t := range at {
		if t != 0 {
			first = t
			break
		}
	}
	reference := first / int64(referenceUnit)
	last := reference * int64(referenceUnit) / unit
	raw := make([]byte, reportHeader)
	var deltas []byte
	symbols := make([]uint16, len(at))
	for i, t := range at {
		if t == 0 {
			continue
		}
		d := t/unit - last
		last += d
		if d >= 0 && d < 256 {
			symbols[i], deltas = smallDelta, append(deltas, byte(d))
		} else {
			symbols[i], deltas = largeDelta, binary.BigEndian.AppendUint16(deltas, uint16(int16(min(max(d, math.MinInt16), math.MaxInt16))))
		}
	}
	for i := 0; i < len(symbols); {
		n := 1
		for i+n < len(symbols) && symbols[i+n] == symbols[i] && n < 0x1fff {
			n++
		}
		raw = binary.BigEndian.AppendUint16(raw, symbols[i]<<13|uint16(n))
		i += n
	}
	raw = append(raw, deltas...)
	for len(raw)%4 != 0 {
		raw = append(raw, 0)
	}
	raw[0], raw[1] = 0x8f, 205
	binary.BigEndian.PutUint16(raw[2:], uint16(len(raw)/4-1))
	binary.BigEndian.PutUint16(raw[12:], base)
	binary.BigEndian.PutUint16(raw[14:], uint16(len(at)))
	binary.BigEndian.PutUint32(raw[16:], uint32(reference)<<8|uint32(count))
	return raw
}

// between averages over a part of the series.
func (f *flow) between(from, to time.Duration, value func(sample) float64) float64 {
	sum, n := 0.0, 0
	for _, s := range f.series {
		if s.at >= from && s.at < to {
			sum, n = sum+value(s), n+1
		}
	}
	return sum / float64(max(n, 1))
}

// lowest is the lowest target of a part of the series.
func (f *flow) lowest(from, to time.Duration) float64 {
	low := math.Inf(1)
	for _, s := range f.series {
		if s.at >= from && s.at < to {
			low = min(low, s.target)
		}
	}
	return low
}

func targetOf(s sample) float64 { return s.target }
func useOf(s sample) float64    { return s.use }
func queueOf(s sample) float64  { return s.queue.Seconds() * 1000 }

// reached is when, after from, target was first on the given side of a rate; negative if
// never.
func (f *flow) reached(from time.Duration, ok func(s sample) bool) time.Duration {
	for _, s := range f.series {
		if s.at >= from && ok(s) {
			return s.at - from
		}
	}
	return -1
}
