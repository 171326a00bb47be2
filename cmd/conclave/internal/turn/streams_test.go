package turn

import (
	"crypto/tls"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/turn/v5"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/certs/certstest"
)

// echo is a forwarder that says everything back, by the path that it came by.
type echo struct{ gone chan *Path }

func (echo) Receive(p *Path, packet []byte) { p.Send(packet) }
func (e echo) Gone(p *Path)                 { e.gone <- p }

func newEcho() (*Server, echo) {
	e := echo{make(chan *Path, 10)}
	return New(Config{Credentials: NewCredentials(), Media: e, Limits: DefaultLimits,
		Peers: func() []netip.AddrPort { return []netip.AddrPort{public, six} }}), e
}

var loopbacks = map[string]net.IP{"udp4": net.IPv4(127, 0, 0, 1), "udp6": net.IPv6loopback}

// TestPionIsRelayed: another's client allocates, sends and receives, by UDP, TCP and TLS.
func TestPionIsRelayed(t *testing.T) {
	pair := certstest.Make(t, "localhost")
	for _, network := range []string{"udp4", "udp6", "tcp", "tls"} {
		t.Run(network, func(t *testing.T) {
			s, media := newEcho()
			var serving sync.WaitGroup
			var sockets []*Socket
			var conn net.PacketConn
			var addr string
			if loopback, ok := loopbacks[network]; ok {
				socket, err := net.ListenUDP(network, &net.UDPAddr{IP: loopback})
				if err != nil {
					t.Fatal(err)
				}
				sockets = append(sockets, NewSocket(socket))
				addr = socket.LocalAddr().String()
				if conn, err = net.ListenUDP(network, &net.UDPAddr{IP: loopback}); err != nil {
					t.Fatal(err)
				}
			} else {
				listener, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				defer listener.Close()
				if network == "tls" {
					listener = tls.NewListener(listener, pair.Server(t))
				}
				serving.Go(func() {
					if c, err := listener.Accept(); err == nil {
						s.ServeStream(c)
					}
				})
				addr = listener.Addr().String()
				c, err := net.Dial("tcp", addr)
				if err != nil {
					t.Fatal(err)
				}
				if network == "tls" {
					c = tls.Client(c, pair.Client(t))
				}
				conn = turn.NewSTUNConn(c)
			}
			to := public
			if network == "udp6" {
				to = six
			}
			if err := s.Start(sockets...); err != nil {
				t.Fatal(err)
			}
			relayed(t, conn, addr, s.cfg.Credentials, to)
			conn.Close()
			if _, ok := loopbacks[network]; !ok {
				<-media.gone // the stream's end is the allocation's
			}
			s.Close()
			serving.Wait()
		})
	}
}

// relayed sends packets of many sizes by a relay and expects them back.
func relayed(t *testing.T, conn net.PacketConn, addr string, credentials *Credentials, to netip.AddrPort) {
	t.Helper()
	credential := credentials.For("alice", time.Now())
	client, err := turn.NewClient(&turn.ClientConfig{STUNServerAddr: addr, TURNServerAddr: addr, Conn: conn,
		Username: credential.Username, Password: credential.Password, Realm: Realm})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.Listen(); err != nil {
		t.Fatal(err)
	}
	relay, err := client.Allocate()
	if err != nil {
		t.Fatal(err)
	}
	defer relay.Close()
	if _, err := relay.WriteTo([]byte("x"), &net.UDPAddr{IP: net.IPv4(198, 51, 100, 1), Port: 3478}); err == nil {
		t.Error("permission for somebody else")
	}
	got := make([]byte, 1600)
	for size := 9; size <= 1400; size += 93 { // Pion waits for more than 8 bytes of ChannelData
		sent := make([]byte, size)
		sent[0], sent[size-1] = byte(size), byte(size)
		if _, err := relay.WriteTo(sent, net.UDPAddrFromAddrPort(to)); err != nil {
			t.Fatal(err)
		}
		n, from, err := relay.ReadFrom(got)
		if err != nil || n != size || string(got[:n]) != string(sent) || from.String() != to.String() {
			t.Fatalf("%d of %d bytes from %s: %v", n, size, from, err)
		}
	}
}

// TestStreamsEnd: a stream that allocates nothing, says nothing more, or talks nonsense.
func TestStreamsEnd(t *testing.T) {
	for _, tt := range []struct {
		name  string
		says  string
		after time.Duration
	}{
		{"silence", "", allocateTimeout},
		{"a byte", "\x00", allocateTimeout},
		{"half a message", "\x00\x01\x00\x10", allocateTimeout},
		{"HTTP", "GET / HTTP/1.1\r\n", 0},
		{"a long message", "\x00\x01\x40\x00", 0},
		{"long ChannelData", "\x40\x00\xff\xff", 0},
		{"65,536 bytes of STUN", "\x00\x01\xff\xec\x21\x12\xa4\x42 and more", 0},
		{"65,540 of ChannelData", "\x40\x00\xff\xfe\x00\x00\x00\x00\x00", 0},
		{"nothing in many frames", strings.Repeat("\x40\x00\x00\x00\x40\x00\x00\x01\x00\x00\x00\x00", 5000), allocateTimeout},
		{"an odd length", "\x00\x01\x00\x01", 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			s, _ := newEcho()
			if err := s.Start(); err != nil {
				t.Fatal(err)
			}
			near, far := net.Pipe()
			begun, ended := time.Now(), make(chan struct{})
			go func() {
				s.ServeStream(near)
				close(ended)
			}()
			go io.WriteString(far, tt.says)
			<-ended
			if after := time.Since(begun); after != tt.after {
				t.Errorf("%s: ended after %s, want %s", tt.name, after, tt.after)
			}
			far.Close()
			s.Close()
		})
	}
}

// TestOneNameOneStream: who comes from one address and port to two of ours is one client.
func TestOneNameOneStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newEcho()
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
		near, far := net.Pipe() // pipes have all the same name
		var serving sync.WaitGroup
		serving.Go(func() { s.ServeStream(near) })
		synctest.Wait()
		second, other := net.Pipe()
		s.ServeStream(second)
		if _, err := other.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the second: %v", err)
		}
		far.Close()
		serving.Wait()
		if len(s.streams.live) != 0 {
			t.Error("a stream that has ended is still counted")
		}
		s.Close()
	})
}
