// Package batchconn sends and receives the packets of a UDP socket many at a time. A
// system call for each of them is the largest cost of forwarding (docs/adr).
//
//	in, out := batchconn.NewInbox(64), batchconn.NewBatch(socket, 512)
//	for i := range in.Len() { in.Set(i, buffers[i]) }
//	for {
//		n, err := socket.Receive(in)         // waits for one, takes what has come
//		for i := range n {
//			for each receiver {
//				seal(out.Reserve(size, receiver), in.Packet(i))
//			}
//		}
//		out.Flush()
//	}
//
// Who writes packets calls Flush when nothing more is waiting: no timer does, so no
// packet waits for one.
//
// # What a flush does
//
//	reserved:  1>a  1>b  1>c  2>a  2>b  2>c  3>a  3>b  3>c       (packet>receiver)
//	messages:  [1 2 3]>a   [1 2 3]>b   [1 2 3]>c
//
// What goes to one receiver becomes one message that the kernel, or the network card,
// cuts into packets again (UDP_SEGMENT), if they have one size but for a smaller last
// one; and all messages go by one call (sendmmsg). To each receiver the order stays.
//
// A [Socket] is for any goroutine, a [Batch] and an [Inbox] are for one each. Several
// sockets may share a port (SO_REUSEPORT): each sender then reaches one of them.
// Where there is no recvmmsg and sendmmsg, packets come and go one by one, with the
// same code above.
package batchconn

import (
	"errors"
	"sync/atomic"
)

// ErrClosed: the socket is closed.
var ErrClosed = errors.New("socket closed")

type counters struct {
	packets, bytes, messages, calls, failed atomic.Uint64
	received, receives, full                atomic.Uint64
}

// Stats counts since the socket was opened.
type Stats struct {
	// Packets were sent in Messages by Calls of the system.
	Packets, Messages, Calls uint64
	// Failed packets are those that the system refused.
	Failed uint64
	// Received packets came by Receives calls, of which Full had room for no more.
	Received, Receives, Full uint64
	// Queue is what waits now to be received, in bytes of the kernel's memory. Dropped
	// packets found no room there. Both are 0 where the system does not tell.
	Queue   int
	Dropped uint64
	// Segmentation says that packets to one receiver still go as one message.
	Segmentation bool
}

// Sent is how many packets were sent since the socket was opened, and their bytes.
func (s *Socket) Sent() (packets, bytes uint64) { return s.count.packets.Load(), s.count.bytes.Load() }

// Stats is a snapshot of the counters.
func (s *Socket) Stats() Stats {
	queue, dropped := s.queue()
	return Stats{
		Queue: queue, Dropped: dropped,
		Received: s.count.received.Load(), Receives: s.count.receives.Load(), Full: s.count.full.Load(),
		Packets: s.count.packets.Load(), Messages: s.count.messages.Load(), Calls: s.count.calls.Load(),
		Failed: s.count.failed.Load(), Segmentation: s.segments(),
	}
}
