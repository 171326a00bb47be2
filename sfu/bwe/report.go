package bwe

import "errors"

// ErrReport: the bytes are no transport-wide feedback, or one that is cut short.
var ErrReport = errors.New("bad transport-wide feedback")

// Report is a transport-wide feedback packet (draft-holmer-rmcat-transport-wide-cc-
// extensions-01, Section 3.1), decoded.
type Report struct {
	// Base is the sequence number of the first packet reported.
	Base uint16
	// Packets has one entry for each sequence number from Base on.
	Packets []Arrival
	// Count numbers the receiver's feedback packets.
	Count uint8
}

// Arrival is when a packet came, in nanoseconds of the receiver's clock, which wraps
// after 12 days.
type Arrival struct {
	At       int64
	Received bool
}

// Unmarshal decodes one RTCP packet (payload type 205, format 15), header included. It
// uses r.Packets again.
func (r *Report) Unmarshal(raw []byte) error { return ErrReport }

// Resolve appends to acks what r says of packets that l holds, in the order of sending.
func (l *SentLog) Resolve(now int64, r *Report, acks []Acked) []Acked { return acks }
