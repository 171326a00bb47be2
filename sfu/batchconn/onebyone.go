package batchconn

import "net"

// oneByOne sends each packet by a call of its own, where the system has nothing
// better.
type oneByOne struct{ socket *net.UDPConn }

func (oneByOne) segments() bool { return false }

func (o oneByOne) send(b *batch, count *counters) {
	for i := range b.messages {
		m := &b.messages[i]
		for at := m.first; at != none; at = b.packets[at].next {
			p := &b.packets[at]
			count.calls.Add(1)
			if _, err := o.socket.WriteToUDPAddrPort(b.bytes[p.at:p.at+p.size], m.to); err != nil {
				count.failed.Add(1)
			}
		}
	}
}
