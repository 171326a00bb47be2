package bwe

// Config of an [Estimator], in bits a second.
type Config struct {
	Start, Min, Max int64
}

// Acked is what feedback says of one packet that was sent.
type Acked struct {
	Sent
	Received bool
	// Arrival is when it came, by a clock of the receiver in nanoseconds; only if
	// Received.
	Arrival int64
}

// Probe is a burst that is to prove a rate: Bytes, padding and whatever else is sent
// meanwhile, at Rate. Packets are marked with Cluster ([SentLog.SetCluster]).
type Probe struct {
	Cluster Cluster
	Rate    int64 // bits a second
	Bytes   int   // in at least Packets packets
	Packets int
}

// Estimator follows the path to one receiver. It is not safe for concurrent use.
type Estimator struct {
	config Config
	target int64
}

// New gives an estimator that knows nothing yet.
func New(c Config) *Estimator { return &Estimator{config: c, target: c.Start} }

// OnFeedback takes what one feedback packet says, in the order of sending.
func (e *Estimator) OnFeedback(now int64, acks []Acked) {}

// OnREMB takes what a receiver without transport-wide feedback says of itself
// (draft-alvestrand-rmcat-remb-03).
func (e *Estimator) OnREMB(now, bits int64) {}

// Want says how much the allocator could use, all slots at their best, in bits a second:
// what probing aims at.
func (e *Estimator) Want(now, bits int64) {}

// Tick is called each 50 to 200 ms. It gives a probe to send, if it is time for one.
func (e *Estimator) Tick(now int64) (p Probe, ok bool) { return Probe{}, false }

// Target is how much may be sent, in bits a second, all packets and their headers above
// UDP included.
func (e *Estimator) Target() int64 { return e.target }
