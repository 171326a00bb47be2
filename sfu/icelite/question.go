package icelite

import "encoding/binary"

// Transaction is that of a check of ours: random bytes, of which only who is sent them knows.
type Transaction [headerSize - transactionAt]byte

// priority of the candidate that a check of ours would make known: a peer-reflexive one (RFC 8445,
// Section 5.1.2.1). Nothing is made of it.
const priority = 110<<24 | 65535<<8 | 255

// Ask makes a check of ours, to be sent where one of the peer's, which was answered, came
// from. The transaction is that of all that are sent there, until one is answered.
func (a *Agent) Ask(check *Check, transaction Transaction) []byte {
	g := a.of(check)
	r := request{transaction: transaction[:]}
	return r.message(bindingRequest, string(g.remote.Password), func(m []byte) []byte {
		m = appendAttribute(m, attrUsername, []byte(g.remote.Ufrag+":"+g.local.Ufrag))
		m = appendAttribute(m, attrPriority, binary.BigEndian.AppendUint32(nil, priority))
		return appendAttribute(m, attrControlled, transaction[:8]) // the tie breaker
	})
}

// Reply is an answer to a check of ours. Its memory is that of the packet.
type Reply struct{ request }

// ParseReply reads one that says that the check has arrived. It is false for all other packets.
func ParseReply(packet []byte) (Reply, bool) {
	r, _, ok := parse(packet, bindingSuccess)
	return Reply{r}, ok && r.integrity != nil
}

// IsAnswered says whether a reply is the peer's, to a check with a transaction.
func (a *Agent) IsAnswered(reply *Reply, transaction Transaction) bool {
	if Transaction(reply.transaction) != transaction {
		return false
	}
	for _, g := range []*generation{&a.current, &a.before} {
		if g.remote.Password != "" && reply.isAuthentic(string(g.remote.Password)) {
			return true
		}
	}
	return false
}
