package srtp

import "encoding/binary"

// ReplayWindow is how far behind the highest packet one may be and still be opened, in
// packets. Retransmissions have a stream of their own.
const ReplayWindow = 512

// Stream is one SSRC of one direction. Its zero value is to be made by [Cipher.Stream].
type Stream struct {
	cipher  transform
	grows   int
	high    int64 // highest index so far: roll-over counter and sequence number
	begun   bool
	scratch scratch
	seen    [ReplayWindow / 64]uint64
}

// Stream makes the state of one SSRC, for sealing or for opening, never for both.
func (c *Cipher) Stream() Stream { return Stream{cipher: c.transform, grows: c.Overhead()} }

// Ready says whether the stream has a cipher.
func (s *Stream) Ready() bool { return s.cipher != nil }

// Overhead is how many bytes a packet grows.
func (s *Stream) Overhead() int { return s.grows }

// maxIndex is the last that may be sealed under one key (RFC 3711, Section 9.2).
const maxIndex = 1<<48 - 1

// index estimates the index of a packet (RFC 3711, Section 3.3.1). It is negative for
// one from before the first.
func (s *Stream) index(seq uint16) int64 {
	if !s.begun {
		return int64(seq)
	}
	return s.high + int64(int16(seq-uint16(s.high)))
}

// Seal appends the sealed payload to packet, which holds the header alone and has room
// for both and for [Stream.Overhead]. It fails if [Stream.Spent] says so.
func (s *Stream) Seal(packet, payload []byte) ([]byte, error) {
	at := s.index(binary.BigEndian.Uint16(packet[2:]))
	if s.isSpent(at) {
		return nil, ErrExhausted
	}
	s.mark(at)
	return s.cipher.seal(packet, payload, uint32(at>>16), &s.scratch), nil
}

// Spent says whether no further packet can be sealed under a sequence number: one was, or
// may have been, and with GCM a second one, whatever differs, gives away the key that
// authenticates all of them (RFC 7714, Section 8.4).
func (s *Stream) Spent(seq uint16) bool { return s.isSpent(s.index(seq)) }

func (s *Stream) isSpent(at int64) bool { return at < 0 || at > maxIndex || s.isReplayed(at) }

// Open opens a packet in place, whose header takes that many bytes, and gives it
// without its tag. After an error the packet is worthless.
func (s *Stream) Open(packet []byte, header int) ([]byte, error) {
	at := s.index(binary.BigEndian.Uint16(packet[2:]))
	if s.isSpent(at) {
		return nil, ErrReplayed
	}
	plain, err := s.cipher.open(packet, header, uint32(at>>16), &s.scratch)
	if err != nil {
		return nil, err
	}
	s.mark(at)
	return plain, nil
}

func (s *Stream) isReplayed(at int64) bool {
	return s.begun && at <= s.high && (s.high-at >= ReplayWindow || s.seen[at/64%int64(len(s.seen))]&(1<<(at%64)) != 0)
}

// mark notes a packet that was sealed, or is authentic.
func (s *Stream) mark(at int64) {
	if !s.begun {
		s.begun, s.high = true, at
	}
	if ahead := at - s.high; ahead >= ReplayWindow {
		s.seen = [ReplayWindow / 64]uint64{}
		s.high = at
	}
	for s.high < at {
		s.high++
		s.seen[s.high/64%int64(len(s.seen))] &^= 1 << (s.high % 64)
	}
	s.seen[at/64%int64(len(s.seen))] |= 1 << (at % 64)
}
