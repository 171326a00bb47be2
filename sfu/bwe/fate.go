package bwe

// Fate is what feedback says of a packet.
type Fate uint8

// What may be known of a packet.
const (
	Unknown Fate = Fate(unreported) // no report of it has come, or a later packet has its place
	Lost    Fate = Fate(lost)       // it had not come when the latest report on it was made
	Arrived Fate = Fate(received)
)

// Fate says what is known of the packet that had a transport-wide sequence number last.
func (e *Estimator) Fate(seq uint16) Fate {
	n, ok := e.ledger.number(seq)
	if !ok {
		return Unknown
	}
	_, _, v := e.ledger.verdict(n)
	return Fate(v)
}
