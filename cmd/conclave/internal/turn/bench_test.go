package turn

import (
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/pion/stun/v4"
)

// repeater is a socket at which one message comes b.N times, after what feed holds; what is sent
// is told to sent.
type repeater struct {
	feed   chan []byte
	answer chan []byte
	flood  []byte
	left   int
	done   chan struct{}
	sent   func()
}

func (r *repeater) ReadFrom(b []byte) (int, net.Addr, error) {
	from := &net.UDPAddr{IP: net.IPv4(198, 51, 100, 9), Port: 4000}
	if r.left > 0 {
		r.left--
		return copy(b, r.flood), from, nil
	}
	if r.flood != nil {
		r.flood = nil
		close(r.done)
	}
	m, ok := <-r.feed
	if !ok {
		return 0, nil, net.ErrClosed
	}
	return copy(b, m), from, nil
}

func (r *repeater) WriteTo(b []byte, _ net.Addr) (int, error) {
	if IsChannelData(b) {
		r.sent()
	} else {
		r.answer <- append([]byte(nil), b...)
	}
	return len(b), nil
}

func (r *repeater) Close() error                     { close(r.feed); return nil }
func (r *repeater) LocalAddr() net.Addr              { return &net.UDPAddr{} }
func (r *repeater) SetDeadline(time.Time) error      { return nil }
func (r *repeater) SetReadDeadline(time.Time) error  { return nil }
func (r *repeater) SetWriteDeadline(time.Time) error { return nil }

// lastPath keeps the path that packets come by.
type lastPath struct{ path *Path }

func (l *lastPath) Receive(p *Path, _ []byte) { l.path = p }
func (l *lastPath) Gone(*Path)                {}

// boundChannel is a server with one client that has bound channel 0x4000.
func boundChannel(b *testing.B) (*Server, *repeater, *lastPath) {
	media := &lastPath{}
	s := New(Config{Credentials: NewCredentials(), Media: media, Limits: DefaultLimits, Peers: func() []netip.AddrPort { return []netip.AddrPort{public} }})
	r := &repeater{feed: make(chan []byte), answer: make(chan []byte, 1), done: make(chan struct{}), sent: func() {}}
	if err := s.Start(NewSocket(r)); err != nil {
		b.Fatal(err)
	}
	u := &user{credential: s.cfg.Credentials.For("alice", time.Now())}
	ask := func(method stun.Method, what ...stun.Setter) *stun.Message {
		r.feed <- stun.MustBuild(append([]stun.Setter{stun.TransactionID, stun.NewType(method, stun.ClassRequest)}, what...)...).Raw
		m := &stun.Message{Raw: <-r.answer}
		if err := m.Decode(); err != nil {
			b.Fatal(err)
		}
		return m
	}
	u.nonce = string(must(ask(stun.MethodAllocate).Get(stun.AttrNonce)))
	for _, m := range []*stun.Message{
		ask(stun.MethodAllocate, append([]stun.Setter{udp}, u.sign()...)...),
		ask(stun.MethodChannelBind, append([]stun.Setter{channel(0x4000), peer(public)}, u.sign()...)...),
	} {
		if m.Type.Class != stun.ClassSuccessResponse {
			b.Fatal(m)
		}
	}
	return s, r, media
}

// BenchmarkUp is a packet of a client's on its way to the forwarder.
func BenchmarkUp(b *testing.B) {
	s, r, _ := boundChannel(b)
	b.ReportAllocs()
	r.left, r.flood = b.N, channelData(0x4000, string(make([]byte, 1100)))
	r.feed <- r.flood
	<-r.done
	s.Close()
}

// BenchmarkDown is a packet of the forwarder's on its way to a client.
func BenchmarkDown(b *testing.B) {
	s, r, media := boundChannel(b)
	room, packet := make(chan struct{}, maxQueued/2), make([]byte, 1100)
	r.sent = func() { <-room }
	r.feed <- channelData(0x4000, string(packet))
	r.feed <- nil // when it has been taken
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		room <- struct{}{}
		media.path.Send(packet)
	}
	s.Close()
}

// BenchmarkAllocation is what a client costs that has one, with a permission.
func BenchmarkAllocation(b *testing.B) {
	w := &world{net: newMemory()}
	s := New(Config{Credentials: NewCredentials(), Media: &lastPath{}, Limits: Limits{1 << 30, 1 << 30, 1 << 30}, Peers: func() []netip.AddrPort { return []netip.AddrPort{public} }})
	if err := s.Start(NewSocket(w.net)); err != nil {
		b.Fatal(err)
	}
	u := &user{credential: s.cfg.Credentials.For("alice", time.Now())}
	ask := func(from netip.AddrPort, method stun.Method, what ...stun.Setter) []byte {
		w.net.in <- datagram{stun.MustBuild(append([]stun.Setter{stun.TransactionID, stun.NewType(method, stun.ClassRequest)}, what...)...).Raw, from}
		for {
			w.net.mu.Lock()
			got := w.net.got[from]
			delete(w.net.got, from)
			w.net.mu.Unlock()
			if len(got) > 0 {
				return got[0]
			}
			runtime.Gosched()
		}
	}
	first := netip.MustParseAddrPort("10.0.0.9:1")
	m := &stun.Message{Raw: ask(first, stun.MethodAllocate)}
	if err := m.Decode(); err != nil {
		b.Fatal(err)
	}
	u.nonce = string(must(m.Get(stun.AttrNonce)))
	const n = 2000
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	goroutines := runtime.NumGoroutine()
	b.ResetTimer()
	for i := range n {
		from := netip.AddrPortFrom(first.Addr(), uint16(2+i))
		ask(from, stun.MethodAllocate, append([]stun.Setter{udp}, u.sign()...)...)
		ask(from, stun.MethodCreatePermission, append([]stun.Setter{peer(public)}, u.sign()...)...)
	}
	if got := s.Stats().Allocations; got != n {
		b.Fatalf("%d allocations", got)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	b.ReportMetric(float64(after.HeapAlloc+after.StackInuse-before.HeapAlloc-before.StackInuse)/n, "B/allocation")
	b.ReportMetric(float64(runtime.NumGoroutine()-goroutines)/n, "goroutines/allocation")
	s.Close()
}
