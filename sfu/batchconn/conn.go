// Package batchconn sends the packets of a UDP socket many at a time. A system call
// for each of them is the largest cost of forwarding (docs/adr).
//
// Packets of media are copied into a batch and go out by [Conn.Flush], all others at
// once. Who writes media calls Flush when nothing more is waiting or a frame ends: no
// timer does, so no packet waits for one.
//
//	conn := batchconn.New(socket)
//	for each packet, for each receiver {
//		conn.WriteToAddrPort(sealed, receiver)
//	}
//	conn.Flush()
//
// # What a flush does
//
//	written:   1>a  1>b  1>c  2>a  2>b  2>c  3>a  3>b  3>c       (packet>receiver)
//	messages:  [1 2 3]>a   [1 2 3]>b   [1 2 3]>c
//
// What goes to one receiver becomes one message that the kernel, or the network card,
// cuts into packets again (UDP_SEGMENT), if they have one size but for a smaller last
// one; and all messages go by one call (sendmmsg). To each receiver the order stays.
//
// Any goroutine may write and flush. One at a time sends; those that flush meanwhile
// leave their packets to it and do not wait. Where there is no sendmmsg, packets go one
// by one, when they are flushed.
package batchconn

import (
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
)

// maxRounds is how many batches a goroutine sends for others before another one, that
// has nothing else to do, takes over.
const maxRounds = 4

// Conn is a UDP socket with batched sending. All that it has from the socket beside
// writing is the socket's.
type Conn struct {
	*net.UDPConn

	// Immutable.
	transport transport
	// relay takes over the sending from a goroutine that has done enough of it.
	relay  chan struct{}
	closed chan struct{}
	once   sync.Once
	ended  sync.WaitGroup

	// state says whether somebody sends.
	state atomic.Int32
	count counters

	mu sync.Mutex // guards what follows; held for the time of a copy
	// filling takes what is written; spare is the other one, if it is not being sent.
	filling, spare *batch
	// taken counts the batches that were taken to be sent; room is told of each.
	taken uint64
	room  sync.Cond
}

// The states of sending.
const (
	idle    int32 = iota
	sending       // by one goroutine
	again         // by one goroutine, which is to look for more when it is done
)

// transport sends the messages of a batch, all of them, and says how many packets
// could not be sent.
type transport interface {
	send(b *batch, count *counters)
	// segments says whether packets to one receiver may be joined.
	segments() bool
}

type counters struct {
	packets, messages, calls, failed atomic.Uint64
}

// Stats counts since the socket was opened.
type Stats struct {
	// Packets of media were sent in Messages by Calls of the system.
	Packets, Messages, Calls uint64
	// Failed packets are those that the system refused.
	Failed uint64
	// Segmentation says that packets to one receiver still go as one message.
	Segmentation bool
}

// New takes over the socket.
func New(socket *net.UDPConn) (*Conn, error) {
	t, err := newTransport(socket)
	if err != nil {
		return nil, err
	}
	return newConn(socket, t), nil
}

func newConn(socket *net.UDPConn, t transport) *Conn {
	c := &Conn{
		UDPConn: socket, transport: t, filling: newBatch(), spare: newBatch(),
		relay: make(chan struct{}), closed: make(chan struct{}),
	}
	c.room.L = &c.mu
	c.ended.Go(c.help)
	return c
}

// Close closes the socket. What is not flushed is lost.
func (c *Conn) Close() error {
	err := c.UDPConn.Close()
	c.once.Do(func() { close(c.closed) })
	c.ended.Wait()
	return err
}

// Stats is a snapshot of the counters.
func (c *Conn) Stats() Stats {
	return Stats{
		Packets: c.count.packets.Load(), Messages: c.count.messages.Load(), Calls: c.count.calls.Load(),
		Failed: c.count.failed.Load(), Segmentation: c.transport.segments(),
	}
}

// ReadFromAddrPort reads one packet.
func (c *Conn) ReadFromAddrPort(b []byte) (int, netip.AddrPort, error) {
	return c.ReadFromUDPAddrPort(b)
}

// WriteTo is WriteToAddrPort for a *net.UDPAddr.
func (c *Conn) WriteTo(b []byte, to net.Addr) (int, error) {
	if udp, ok := to.(*net.UDPAddr); ok {
		return c.WriteToAddrPort(b, udp.AddrPort())
	}
	return c.UDPConn.WriteTo(b, to)
}

// WriteToAddrPort sends b, or keeps a copy until the next Flush if it is a packet of
// media. Errors of the latter are counted, not given. It waits only if a whole batch
// waits behind another one that is being sent.
func (c *Conn) WriteToAddrPort(b []byte, to netip.AddrPort) (int, error) {
	if !isMedia(b) || len(b) > maxPacket || to.Addr().Zone() != "" {
		return c.WriteToUDPAddrPort(b, to)
	}
	c.mu.Lock()
	for !c.filling.add(b, to, c.transport.segments()) {
		c.makeRoom()
	}
	c.mu.Unlock()
	return len(b), nil
}

// makeRoom has the full batch sent. The caller holds mu.
func (c *Conn) makeRoom() {
	taken := c.taken
	c.mu.Unlock()
	c.Flush()
	c.mu.Lock()
	for c.taken == taken {
		c.room.Wait()
	}
}

// Flush sends what was written before. If another goroutine is sending, that one does
// it, right after what it has at hand.
func (c *Conn) Flush() {
	for {
		switch state := c.state.Load(); {
		case state == again:
			return
		case state == sending && c.state.CompareAndSwap(sending, again):
			return
		case state == idle && c.state.CompareAndSwap(idle, sending):
			c.drain(maxRounds)
			return
		}
	}
}

// drain sends until nobody has asked for more. The caller has made state sending, and
// after that many rounds hands it to the relay; 0 is no limit.
func (c *Conn) drain(rounds int) {
	for round := 1; ; round++ {
		c.sendBatch()
		if c.state.CompareAndSwap(sending, idle) {
			return
		}
		c.state.Store(sending)
		if round == rounds && c.handOver() {
			return
		}
	}
}

// handOver makes the relay's goroutine the one that sends. It does nothing else, so it
// is there; unless the socket is closed.
func (c *Conn) handOver() bool {
	select {
	case c.relay <- struct{}{}:
		return true
	case <-c.closed:
		return false
	}
}

// help is the relay's goroutine.
func (c *Conn) help() {
	for {
		select {
		case <-c.relay:
			c.drain(0)
		case <-c.closed:
			return
		}
	}
}

func (c *Conn) sendBatch() {
	b := c.take()
	if b == nil {
		return
	}
	c.count.packets.Add(uint64(len(b.packets)))
	c.count.messages.Add(uint64(len(b.messages)))
	c.transport.send(b, &c.count)
	b.reset()
	c.mu.Lock()
	c.spare = b
	c.mu.Unlock()
}

// take gives the batch that has been filled; nil if it is empty. Only who sends calls
// it, so there is a spare one.
func (c *Conn) take() *batch {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.filling
	if len(b.packets) == 0 {
		return nil
	}
	c.filling, c.spare = c.spare, nil
	c.taken++
	c.room.Broadcast()
	return b
}

// isMedia tells RTP from STUN and DTLS by the first byte (RFC 7983, Section 7), and
// from RTCP by the second (RFC 5761, Section 4).
func isMedia(b []byte) bool {
	return len(b) >= 12 && b[0]>>6 == 2 && (b[1] < 192 || b[1] > 223)
}
