//go:build linux

package main

import (
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/offer"
)

// Transport-wide feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01, Section
// 3.1) is sent as often as Chromium sends it; where senders send less or more than usual,
// so much more or less seldom, but not more often than the server takes it.
const (
	feedbackInterval = 50 * time.Millisecond
	mostOften        = 10 * time.Millisecond
)

// arrival is a packet that came, by its transport-wide number.
type arrival struct {
	number uint16
	at     int64 // in nanoseconds
}

// feedback collects what a client says of what has come.
type feedback struct {
	mu       sync.Mutex
	arrivals []arrival // Guarded by mu.

	// Owned by who sends.
	next  uint16 // the first number that is not told yet
	begun bool
	count uint8
	taken []arrival
	raw   []byte
}

// mostArrivals is how many packets are told of at once; more are forgotten.
const mostArrivals = 2000

func (f *feedback) add(number uint16, at int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.arrivals) < mostArrivals {
		f.arrivals = append(f.arrivals, arrival{number, at})
	}
}

// take gives what has come since, for write.
func (f *feedback) take() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.taken, f.arrivals = f.arrivals, f.taken[:0]
	return len(f.taken) > 0
}

const (
	tick     = 250 * time.Microsecond // of times of arrival
	refTick  = 64 * time.Millisecond  // of the reference time
	aVector  = 7                      // packets that a chunk of two bits each tells of
	mostTold = 4000                   // packets that one message tells of, lost ones too
)

// write gives the message about what was taken; nil if it tells nothing new. It is valid
// until the next call.
func (f *feedback) write(ssrc uint32) []byte {
	if !f.begun {
		f.begun, f.next = true, f.sort(f.taken[0].number)
	}
	base := f.next
	f.sort(base)
	told := f.taken[:0]
	for _, a := range f.taken {
		after := int(int16(a.number - base))
		if after >= 0 && after < mostTold && (len(told) == 0 || told[len(told)-1].number != a.number) {
			told = append(told, a)
		}
	}
	if len(told) == 0 {
		return nil
	}
	count := int(told[len(told)-1].number-base) + 1
	reference := told[0].at / int64(refTick)
	f.raw = append(f.raw[:0], 2<<6|15, 205, 0, 0)
	f.raw = binary.BigEndian.AppendUint32(f.raw, 1)
	f.raw = binary.BigEndian.AppendUint32(f.raw, ssrc)
	f.raw = binary.BigEndian.AppendUint16(f.raw, base)
	f.raw = binary.BigEndian.AppendUint16(f.raw, uint16(count))
	f.raw = binary.BigEndian.AppendUint32(f.raw, uint32(reference)<<8|uint32(f.count))
	f.count++
	f.next = base + uint16(count)
	f.writeChunks(told, base, count, reference*int64(refTick))
	for len(f.raw)%4 != 0 {
		f.raw = append(f.raw, 0)
	}
	binary.BigEndian.PutUint16(f.raw[2:], uint16(len(f.raw)/4-1))
	return f.raw
}

// sort puts what was taken in order around a number, and gives the lowest.
func (f *feedback) sort(around uint16) uint16 {
	slices.SortStableFunc(f.taken, func(a, b arrival) int { return int(int16(a.number-around)) - int(int16(b.number-around)) })
	return f.taken[0].number
}

// writeChunks writes which packets came, and then how long each came after the one before.
func (f *feedback) writeChunks(told []arrival, base uint16, count int, reference int64) {
	chunks := len(f.raw)
	for range (count + aVector - 1) / aVector {
		f.raw = binary.BigEndian.AppendUint16(f.raw, 3<<14)
	}
	before := reference / int64(tick)
	for _, a := range told {
		delta := a.at/int64(tick) - before
		before += delta
		symbol := uint16(1)
		if delta >= 0 && delta < 256 {
			f.raw = append(f.raw, byte(delta))
		} else {
			symbol = 2
			f.raw = binary.BigEndian.AppendUint16(f.raw, uint16(delta))
		}
		n := int(a.number - base)
		at := f.raw[chunks+n/aVector*2:]
		binary.BigEndian.PutUint16(at, binary.BigEndian.Uint16(at)|symbol<<(2*(aVector-1-n%aVector)))
	}
}

// transportNumber finds the transport-wide sequence number of a packet with one-byte
// extensions (RFC 8285, Section 4.2).
func transportNumber(packet []byte) (uint16, bool) {
	size := headerSize(packet)
	if packet[0]&0x1f != 0x10 || len(packet) < 16 || size > len(packet) || binary.BigEndian.Uint16(packet[12:]) != 0xbede {
		return 0, false
	}
	for rest := packet[16:size]; len(rest) > 0; {
		if rest[0] == 0 {
			rest = rest[1:]
			continue
		}
		n := 2 + int(rest[0]&0x0f)
		if n > len(rest) {
			return 0, false
		}
		if rest[0]>>4 == offer.TransportCC && n == 3 {
			return binary.BigEndian.Uint16(rest[1:]), true
		}
		rest = rest[n:]
	}
	return 0, false
}
