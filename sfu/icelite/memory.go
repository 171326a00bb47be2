package icelite

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"
)

// maxMarks is how many checks an agent remembers: those of ten minutes and more, at one
// every 2.5 seconds.
const maxMarks = 256

// memory knows checks that were answered. An agent repeats one from where it has sent it;
// every other check has another transaction (RFC 8489, Section 5). Who overhears a check
// can send it again, from any address, but it proves nothing then, nor moves media.
type memory struct {
	marks []mark // a ring when it is full
	next  int
}

// mark is a check: half of its transaction, and its sender's address, hashed.
type mark struct{ transaction, from uint64 }

var seed = maphash.MakeSeed()

// meet notes an authentic check. It is known if it was here before, elsewhere if from
// another address.
func (m *memory) meet(check *Check, from netip.AddrPort) (known, elsewhere bool) {
	now := mark{binary.BigEndian.Uint64(check.transaction), maphash.Comparable(seed, from)}
	for _, was := range m.marks {
		if was.transaction == now.transaction {
			return true, was.from != now.from
		}
	}
	if len(m.marks) < maxMarks {
		m.marks = append(m.marks, now)
		return false, false
	}
	m.marks[m.next] = now
	m.next = (m.next + 1) % maxMarks
	return false, false
}
