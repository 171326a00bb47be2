package bwe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// ErrReport: the bytes are no transport-wide feedback, or one that contradicts itself.
var ErrReport = errors.New("bad transport-wide feedback")

// Report is a transport-wide feedback packet, decoded (draft-holmer-rmcat-transport-wide-
// cc-extensions-01, Section 3.1):
//
//	 0                   1                   2                   3
//	|V=2|P|  FMT=15 |    PT=205     |           length              |
//	|                     SSRC of packet sender                     |
//	|                      SSRC of media source                     |
//	|      base sequence number     |      packet status count      |
//	|                 reference time                | fb pkt. count |
//	|          packet chunk         |         packet chunk          |
//	.                                                               .
//	|         packet chunk          |  recv delta   |  recv delta   |
type Report struct {
	// Base is the sequence number of the first packet that is reported, Span how many
	// are, from there on.
	Base, Span uint16
	// Received are those of them that came, in the order of their numbers; the others
	// had not. There are no more than the packet has bytes.
	Received []Arrival
}

// Arrival is when a packet came, by the receiver's clock in nanoseconds, which starts
// anywhere and wraps after [ClockWrap].
type Arrival struct {
	Seq uint16
	At  int64
}

// ClockWrap is after what time the receiver's clock starts anew: 2^24 units of 64 ms.
const ClockWrap = (1 << 24) * referenceUnit

const (
	referenceUnit = 64 * time.Millisecond
	deltaUnit     = 250 * time.Microsecond

	reportHeader = 20 // bytes before the first chunk
)

// The symbols of a packet's status.
const (
	notReceived = iota
	smallDelta  // 1 byte, not negative
	largeDelta  // 2 bytes, signed
	reserved
)

// Unmarshal decodes one RTCP packet, its header included. It uses r.Received again and
// keeps no part of raw. Errors wrap [ErrReport].
func (r *Report) Unmarshal(raw []byte) error {
	body, err := reportBody(raw)
	if err != nil {
		return err
	}
	r.Base, r.Span = binary.BigEndian.Uint16(body[8:]), binary.BigEndian.Uint16(body[10:])
	r.Received = r.Received[:0]
	chunks := body[reportHeader-4:]
	deltas, err := afterChunks(chunks, int(r.Span))
	if err != nil {
		return err
	}
	d := decoder{report: r, deltas: deltas, at: int64(binary.BigEndian.Uint32(body[12:])>>8) * int64(referenceUnit)}
	for left := int(r.Span); left > 0; chunks = chunks[2:] {
		n, err := d.chunk(binary.BigEndian.Uint16(chunks), left)
		if err != nil {
			return err
		}
		left -= n
	}
	return nil
}

// reportBody checks the header (RFC 4585, Section 6.1) and gives what follows its first
// word, without padding.
func reportBody(raw []byte) ([]byte, error) {
	if len(raw) < reportHeader || raw[0]>>6 != 2 || raw[0]&0x1f != 15 || raw[1] != 205 {
		return nil, fmt.Errorf("%w: %d bytes with another header", ErrReport, len(raw))
	}
	size := 4 * (int(binary.BigEndian.Uint16(raw[2:])) + 1)
	if size > len(raw) || size < reportHeader {
		return nil, fmt.Errorf("%w: length %d in %d bytes", ErrReport, size, len(raw))
	}
	if raw[0]&0x20 != 0 {
		padding := int(raw[size-1])
		if padding == 0 || size-padding < reportHeader {
			return nil, fmt.Errorf("%w: %d bytes of padding", ErrReport, padding)
		}
		size -= padding
	}
	return raw[4:size], nil
}

// afterChunks gives what follows the chunks of span packets.
func afterChunks(chunks []byte, span int) ([]byte, error) {
	for span > 0 {
		if len(chunks) < 2 {
			return nil, fmt.Errorf("%w: no chunk for the last %d packets", ErrReport, span)
		}
		span -= chunkSpan(binary.BigEndian.Uint16(chunks), span)
		chunks = chunks[2:]
	}
	return chunks, nil
}

// chunkSpan is how many packets a chunk reports, left at most. A run length of 0 would
// go on for ever: it ends the report.
func chunkSpan(chunk uint16, left int) int {
	switch {
	case chunk&0x8000 == 0:
		if n := int(chunk & 0x1fff); n > 0 {
			return min(n, left)
		}
		return left
	case chunk&0x4000 == 0:
		return min(14, left)
	}
	return min(7, left)
}

// decoder walks along the statuses of a report.
type decoder struct {
	report *Report
	deltas []byte
	at     int64
	next   uint16 // offset from the base
}

// chunk takes one chunk and says how many packets it was for (Section 3.1.1 ff.).
func (d *decoder) chunk(chunk uint16, left int) (n int, err error) {
	n = chunkSpan(chunk, left)
	if chunk&0x8000 == 0 && chunk>>13&3 == notReceived {
		d.next += uint16(n)
		return n, nil
	}
	for i := range n {
		if err := d.status(symbol(chunk, i)); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// symbol is the status of the i-th packet of a chunk.
func symbol(chunk uint16, i int) uint16 {
	switch {
	case chunk&0x8000 == 0:
		return chunk >> 13 & 3
	case chunk&0x4000 == 0:
		return chunk >> (13 - i) & 1
	}
	return chunk >> (12 - 2*i) & 3
}

// status takes the status of one packet and the delta that belongs to it.
func (d *decoder) status(symbol uint16) error {
	size := 0
	switch symbol {
	case smallDelta:
		size = 1
	case largeDelta:
		size = 2
	case reserved:
		return fmt.Errorf("%w: reserved status", ErrReport)
	}
	if len(d.deltas) < size {
		return fmt.Errorf("%w: no delta for packet %d of %d", ErrReport, d.next, d.report.Span)
	}
	switch size {
	case 1:
		d.at += int64(d.deltas[0]) * int64(deltaUnit)
	case 2:
		d.at += int64(int16(binary.BigEndian.Uint16(d.deltas))) * int64(deltaUnit)
	}
	if size > 0 {
		d.report.Received = append(d.report.Received, Arrival{d.report.Base + d.next, d.at})
		d.deltas = d.deltas[size:]
	}
	d.next++
	return nil
}
