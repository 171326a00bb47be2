//go:build !linux

package batchconn

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"sync/atomic"
	"time"
)

// Socket is a UDP socket. Packets come and go one by one.
type Socket struct {
	conn     *net.UDPConn
	patience atomic.Int64
	closed   atomic.Bool
	count    counters
}

type sockaddr struct{}

type source struct{}

type sender struct{}

func (sender) init(int) {}

// allocate gives memory.
func allocate(size int) (memory []byte, release func([]byte)) { return make([]byte, size), nil }

// buffer is what a burst of key frames to some hundred participants takes, in bytes.
const buffer = 4 << 20

// Listen opens one socket, whatever n is.
func Listen(address netip.AddrPort, _ int) ([]*Socket, error) {
	network := "udp"
	if address.Addr().Is4() {
		network = "udp4"
	}
	conn, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(address))
	if err != nil {
		return nil, err
	}
	_ = conn.SetReadBuffer(buffer)
	_ = conn.SetWriteBuffer(buffer)
	return []*Socket{{conn: conn}}, nil
}

// LocalAddr is the address that the socket is bound to.
func (s *Socket) LocalAddr() netip.AddrPort { return s.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

func (s *Socket) segments() bool { return false }

// Close ends Receive, now and from now on. Sending still works until [Socket.Release].
func (s *Socket) Close() {
	s.closed.Store(true)
	_ = s.conn.SetReadDeadline(time.Now())
}

// Release frees the socket. Nobody may use it then.
func (s *Socket) Release() error { return s.conn.Close() }

// queue is not known.
func (s *Socket) queue() (bytes int, dropped uint64) { return 0, 0 }

// SetPatience limits how long Receive waits. 0 is no limit.
func (s *Socket) SetPatience(d time.Duration) { s.patience.Store(int64(d)) }

// Target makes a receiver.
func (s *Socket) Target(to netip.AddrPort) *Target { return &Target{addr: to, hash: hash(to)} }

// TargetFrom makes a receiver. The system chooses the address that packets leave from.
func (s *Socket) TargetFrom(to netip.AddrPort, _ netip.Addr) *Target { return s.Target(to) }

// CanReach says whether a target for the address can be made.
func (s *Socket) CanReach(to netip.AddrPort) bool { return to.IsValid() }

// Inbox is where a packet is received to. It belongs to one goroutine.
type Inbox struct {
	buffers [][]byte
	size    int
	from    netip.AddrPort
}

// NewInbox makes one for n packets, without buffers.
func NewInbox(n int) *Inbox { return &Inbox{buffers: make([][]byte, n)} }

// Len is how many packets are received at most.
func (in *Inbox) Len() int { return len(in.buffers) }

// Set gives the buffer for packet i.
func (in *Inbox) Set(i int, buffer []byte) { in.buffers[i] = buffer }

// Size is that of packet i in its buffer.
func (in *Inbox) Size(int) (int, bool) { return in.size, in.size < len(in.buffers[0]) }

// From is where packet i came from, an address of IPv4 as such.
func (in *Inbox) From(int) netip.AddrPort { return in.from }

// To is not known.
func (in *Inbox) To(int) netip.Addr { return netip.Addr{} }

// Receive waits for a packet. It gives 0 when the socket's patience is over, and fails
// with [ErrClosed] alone.
func (s *Socket) Receive(in *Inbox) (int, error) {
	var deadline time.Time
	if d := time.Duration(s.patience.Load()); d > 0 {
		deadline = time.Now().Add(d)
	}
	_ = s.conn.SetReadDeadline(deadline)
	if s.closed.Load() {
		return 0, ErrClosed
	}
	n, from, err := s.conn.ReadFromUDPAddrPort(in.buffers[0])
	if s.closed.Load() || errors.Is(err, net.ErrClosed) {
		return 0, ErrClosed
	}
	if err != nil {
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			time.Sleep(time.Millisecond)
		}
		return 0, nil
	}
	s.count.receives.Add(1)
	s.count.received.Add(1)
	in.size, in.from = n, netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
	return 1, nil
}

// PutOff does nothing: patience begins anew with each call of Receive.
func (s *Socket) PutOff() {}

// ReceiveMore takes nothing: packets come one by one.
func (s *Socket) ReceiveMore(*Inbox, int, time.Duration) int { return 0 }

// send sends a batch.
func (sender) send(b *Batch) {
	for i := range b.packets {
		p := &b.packets[i]
		b.socket.count.calls.Add(1)
		if _, err := b.socket.conn.WriteToUDPAddrPort(b.bytes[p.at:p.at+p.size], b.to(i)); err != nil {
			b.socket.count.failed.Add(1)
		}
	}
}

// to is the receiver of packet i: without segmentation each is a message.
func (b *Batch) to(i int) netip.AddrPort { return b.messages[i].to.addr }
