package batchconn

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// fake is a kernel that keeps what it is given, and fails as it is told.
type fake struct {
	// fail is asked for each message; messages are named by the mark of their first
	// packet.
	fail func(mark uint32, packets int) syscall.Errno
	once bool // it fails once only
	most int  // messages that a call takes; 0 for all
	sent []uint32
	// groups are the packets of each message.
	groups []int
	calls  int
}

func (f *fake) sendmmsg(_ uintptr, messages []mmsghdr) (int, syscall.Errno) {
	f.calls++
	for i := range messages {
		h := &messages[i].header
		marks := marksOf(h)
		if f.fail != nil {
			if errno := f.fail(marks[0], len(marks)); errno != 0 {
				if i > 0 {
					return i, 0
				}
				if f.once {
					f.fail = nil
				}
				return 0, errno
			}
		}
		f.sent = append(f.sent, marks...)
		f.groups = append(f.groups, len(marks))
		if i+1 == f.most {
			return i + 1, 0
		}
	}
	return len(messages), 0
}

func marksOf(h *unix.Msghdr) (marks []uint32) {
	for _, v := range unsafe.Slice(h.Iov, int(h.Iovlen)) {
		b := unsafe.Slice(v.Base, int(v.Len))
		marks = append(marks, binary.BigEndian.Uint32(b[len(b)-4:]))
	}
	return marks
}

// TestFaults: what fails is left out and counted, and nothing else.
func TestFaults(t *testing.T) {
	// Three receivers with three packets each; marks are 10*receiver + packet.
	all := []uint32{0, 1, 2, 10, 11, 12, 20, 21, 22}
	at := func(mark uint32, errno syscall.Errno) func(uint32, int) syscall.Errno {
		return func(m uint32, _ int) syscall.Errno {
			if m == mark {
				return errno
			}
			return 0
		}
	}
	tests := []struct {
		name   string
		kernel fake
		want   []uint32
		failed uint64
		groups []int
		off    bool // segmentation afterwards
	}{
		{"nothing fails", fake{}, all, 0, []int{3, 3, 3}, false},
		{"one message a call", fake{most: 1}, all, 0, []int{3, 3, 3}, false},
		{"interrupted", fake{once: true, fail: at(10, unix.EINTR)}, all, 0, []int{3, 3, 3}, false},
		{"the first is refused", fake{once: true, fail: at(0, unix.EPERM)}, []uint32{10, 11, 12, 20, 21, 22}, 3, []int{3, 3}, false},
		{"the second is refused", fake{once: true, fail: at(10, unix.EPERM)}, []uint32{0, 1, 2, 20, 21, 22}, 3, []int{3, 3}, false},
		{"the last is unreachable", fake{once: true, fail: at(20, unix.ENETUNREACH)}, []uint32{0, 1, 2, 10, 11, 12}, 3, []int{3, 3}, false},
		{"no segmentation", fake{fail: func(_ uint32, packets int) syscall.Errno {
			if packets > 1 {
				return unix.EIO
			}
			return 0
		}}, all, 0, []int{1, 1, 1, 1, 1, 1, 1, 1, 1}, true},
		{"too large to be segmented", fake{once: true, fail: at(10, unix.EINVAL)}, all, 0, []int{3, 1, 1, 1, 3}, true},
		{"segments and one packet fail", fake{fail: func(mark uint32, packets int) syscall.Errno {
			if packets > 1 || mark == 11 {
				return unix.EINVAL
			}
			return 0
		}}, []uint32{0, 1, 2, 10, 12, 20, 21, 22}, 1, []int{1, 1, 1, 1, 1, 1, 1, 1}, true},
		{"everything fails", fake{fail: func(uint32, int) syscall.Errno { return unix.EINVAL }}, nil, 9, nil, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			socket := listen(t, "udp4", "127.0.0.1:0")
			k := tt.kernel
			transport, err := newLinux(socket, &k)
			if err != nil {
				t.Fatal(err)
			}
			c := newConn(socket, transport)
			defer c.Close()
			for packet := range 3 {
				for r := range 3 {
					c.WriteToAddrPort(media(100, 10*r+packet), receiver(r))
				}
			}
			c.Flush()
			if !slices.Equal(k.sent, tt.want) || !slices.Equal(k.groups, tt.groups) {
				t.Errorf("sent %v as %v, want %v as %v", k.sent, k.groups, tt.want, tt.groups)
			}
			if s := c.Stats(); s.Failed != tt.failed || s.Segmentation == tt.off {
				t.Errorf("stats %+v, want %d failed", s, tt.failed)
			}
			if tt.off {
				checkNotJoined(t, c, &k)
			}
		})
	}
}

// fullOnce is a socket that is full for a moment: writing is tried again.
type fullOnce struct {
	syscall.RawConn
	tries int
}

func (f *fullOnce) Write(try func(fd uintptr) bool) error {
	for f.tries = 1; !try(0); f.tries++ {
	}
	return nil
}

// TestFullSocket: sending goes on where it was when the socket has room again.
func TestFullSocket(t *testing.T) {
	k := &fake{once: true, fail: func(mark uint32, _ int) syscall.Errno {
		if mark == 2 {
			return unix.EAGAIN
		}
		return 0
	}}
	transport, err := newLinux(listen(t, "udp4", "127.0.0.1:0"), k)
	if err != nil {
		t.Fatal(err)
	}
	raw := &fullOnce{}
	transport.raw = raw
	b := newBatch()
	for i := range 4 {
		b.add(media(100, i), receiver(i), true)
	}
	var count counters
	transport.send(b, &count)
	if !slices.Equal(k.sent, []uint32{0, 1, 2, 3}) || raw.tries != 2 || count.failed.Load() != 0 {
		t.Errorf("sent %v in %d tries, %d failed", k.sent, raw.tries, count.failed.Load())
	}
}

// checkNotJoined: once refused, segmentation stays off.
func checkNotJoined(t *testing.T, c *Conn, k *fake) {
	t.Helper()
	k.fail, k.groups = nil, nil
	for i := range 3 {
		c.WriteToAddrPort(media(100, i), receiver(1))
	}
	c.Flush()
	if !slices.Equal(k.groups, []int{1, 1, 1}) {
		t.Errorf("messages of %v packets, want single ones", k.groups)
	}
}

// TestNames: addresses are written for the socket's family.
func TestNames(t *testing.T) {
	to := netip.MustParseAddrPort("192.0.2.1:513")
	var name unix.RawSockaddrInet6
	four := &linux{}
	if size := four.writeName(&name, to); size != unix.SizeofSockaddrInet4 {
		t.Errorf("size %d", size)
	}
	want := []byte{2, 1, 192, 0, 2, 1} // port and address, after the family
	if got := unsafe.Slice((*byte)(unsafe.Pointer(&name)), 8)[2:]; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	six := &linux{inet6: true}
	if size := six.writeName(&name, to); size != unix.SizeofSockaddrInet6 || name.Family != unix.AF_INET6 {
		t.Errorf("size %d, family %d", size, name.Family)
	}
	if got := netip.AddrFrom16(name.Addr); got.Unmap() != to.Addr() || !got.Is4In6() {
		t.Errorf("address %v", got)
	}
}
