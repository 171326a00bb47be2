package impair

import (
	"container/heap"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Bounds of a relay. What is beyond them is dropped, as a network would.
const (
	maxFlows    = 1024
	maxUnderWay = 1 << 15 // packets
	maxPacket   = 1500    // bytes; longer ones are cut, which no receiver takes for whole
	socketBytes = 4 << 20
)

// Relay passes UDP packets between clients and one server, under conditions. Each
// client has links of its own, and looks to the server like an address of its own.
type Relay struct {
	front  *net.UDPConn
	server netip.AddrPort
	born   time.Time
	wake   chan struct{}
	done   chan struct{}
	tasks  sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	seed     uint64
	up, down Conditions
	flows    map[netip.AddrPort]*flow
	underWay deliveries
	free     [][]byte
}

// flow is one client.
type flow struct {
	client   netip.AddrPort
	back     *net.UDPConn // to the server
	up, down *Link
}

// delivery is a packet under way.
type delivery struct {
	at     int64
	order  uint64 // of those due at once, the first sent comes first
	packet []byte
	flow   *flow
	up     bool
}

// Listen opens a relay at listen for the server at server: up is the way to the
// server, down the way back. A port 0 lets the kernel choose.
func Listen(listen, server netip.AddrPort, up, down Conditions, seed uint64) (*Relay, error) {
	front, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(listen))
	if err != nil {
		return nil, fmt.Errorf("impair: listen on %s: %w", listen, err)
	}
	_ = front.SetReadBuffer(socketBytes)
	_ = front.SetWriteBuffer(socketBytes)
	r := &Relay{
		front: front, server: server, born: time.Now(), seed: seed, up: up, down: down,
		wake: make(chan struct{}, 1), done: make(chan struct{}), flows: map[netip.AddrPort]*flow{},
	}
	r.tasks.Go(r.readClients)
	r.tasks.Go(r.deliverAll)
	return r, nil
}

// Addr is where clients send to.
func (r *Relay) Addr() netip.AddrPort {
	a := r.front.LocalAddr().(*net.UDPAddr).AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// Set changes the conditions of all clients, present and future.
func (r *Relay) Set(up, down Conditions) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.up, r.down = up, down
	for _, f := range r.flows {
		f.up.Set(up)
		f.down.Set(down)
	}
}

// Counts sums what happened on the ways up and down.
func (r *Relay) Counts() (up, down Counts) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.flows {
		up, down = up.Plus(f.up.counts), down.Plus(f.down.counts)
	}
	return up, down
}

// Move gives every client a new address before the server, as a change of network does.
func (r *Relay) Move() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.flows {
		back, err := r.dial()
		if err != nil {
			return err
		}
		_ = f.back.Close() // its reader ends
		f.back = back
		r.tasks.Go(func() { r.readServer(f, back) })
	}
	return nil
}

// Close ends the relay; what is under way is lost.
func (r *Relay) Close() error {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return nil
	}
	r.closed = true
	errs := []error{r.front.Close()}
	for _, f := range r.flows {
		errs = append(errs, f.back.Close())
	}
	close(r.done)
	r.mu.Unlock()
	r.tasks.Wait()
	return errors.Join(errs...)
}

func (r *Relay) now() int64 { return int64(time.Since(r.born)) }

func (r *Relay) dial() (*net.UDPConn, error) {
	back, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(r.server))
	if err != nil {
		return nil, fmt.Errorf("impair: reach the server at %s: %w", r.server, err)
	}
	_ = back.SetReadBuffer(socketBytes)
	return back, nil
}

func (r *Relay) readClients() {
	var buffer [maxPacket]byte
	for {
		n, from, err := r.front.ReadFromUDPAddrPort(buffer[:])
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // an ICMP error of an earlier packet
		}
		if f := r.flowOf(from); f != nil {
			r.send(f, true, buffer[:n])
		}
	}
}

// flowOf gives the flow of a client, a new one if there is room, or nil.
func (r *Relay) flowOf(client netip.AddrPort) *flow {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f := r.flows[client]; f != nil || r.closed || len(r.flows) >= maxFlows {
		return f
	}
	back, err := r.dial()
	if err != nil {
		return nil
	}
	seed := r.seed + 2*uint64(len(r.flows))
	f := &flow{client: client, back: back, up: NewLink(seed, r.up), down: NewLink(seed+1, r.down)}
	r.flows[client] = f
	r.tasks.Go(func() { r.readServer(f, back) })
	return f
}

func (r *Relay) readServer(f *flow, back *net.UDPConn) {
	var buffer [maxPacket]byte
	for {
		n, err := back.Read(buffer[:])
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			r.send(f, false, buffer[:n])
		}
	}
}

// send puts a packet on its way.
func (r *Relay) send(f *flow, up bool, packet []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	link := f.down
	if up {
		link = f.up
	}
	at, n := link.Send(r.now(), len(packet))
	for _, due := range at[:n] {
		if len(r.underWay.list) < maxUnderWay {
			r.underWay.order++
			heap.Push(&r.underWay, delivery{due, r.underWay.order, append(r.buffer(), packet...), f, up})
		}
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

func (r *Relay) buffer() []byte {
	if n := len(r.free); n > 0 {
		b := r.free[n-1]
		r.free = r.free[:n-1]
		return b[:0]
	}
	return make([]byte, 0, maxPacket)
}

// deliverAll writes packets when they are due.
func (r *Relay) deliverAll() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(r.deliverDue())
		select {
		case <-r.done:
			return
		case <-r.wake:
		case <-timer.C:
		}
	}
}

// deliverDue writes what is due and says how long nothing more will be.
func (r *Relay) deliverDue() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.underWay.list) > 0 {
		if wait := r.underWay.list[0].at - r.now(); wait > 0 {
			return time.Duration(wait)
		}
		d := heap.Pop(&r.underWay).(delivery)
		if d.up {
			_, _ = d.flow.back.Write(d.packet) // a full socket loses packets, as networks do
		} else {
			_, _ = r.front.WriteToUDPAddrPort(d.packet, d.flow.client)
		}
		r.free = append(r.free, d.packet)
	}
	return time.Hour
}

// deliveries is a heap by time.
type deliveries struct {
	list  []delivery
	order uint64
}

func (d *deliveries) Len() int { return len(d.list) }
func (d *deliveries) Less(i, j int) bool {
	a, b := &d.list[i], &d.list[j]
	return a.at < b.at || a.at == b.at && a.order < b.order
}
func (d *deliveries) Swap(i, j int) { d.list[i], d.list[j] = d.list[j], d.list[i] }
func (d *deliveries) Push(x any)    { d.list = append(d.list, x.(delivery)) }
func (d *deliveries) Pop() any {
	last := d.list[len(d.list)-1]
	d.list[len(d.list)-1] = delivery{}
	d.list = d.list[:len(d.list)-1]
	return last
}
