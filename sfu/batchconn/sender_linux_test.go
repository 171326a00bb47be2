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
	awaits int
}

func (f *fake) await(int) { f.awaits++ }

func (f *fake) sendmmsg(_ int, messages []mmsghdr) (int, syscall.Errno) {
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

// marksOf divides a message as the kernel does, and gives the end of each of its packets.
func marksOf(h *unix.Msghdr) (marks []uint32) {
	var all []byte
	for _, v := range unsafe.Slice(h.Iov, int(h.Iovlen)) {
		all = append(all, unsafe.Slice(v.Base, int(v.Len))...)
	}
	size := len(all)
	if c := (*control)(unsafe.Pointer(h.Control)); c != nil && c.header.Level == unix.SOL_UDP {
		size = int(c.size)
	}
	for b := range slices.Chunk(all, size) {
		marks = append(marks, binary.BigEndian.Uint32(b[len(b)-4:]))
	}
	return marks
}

// TestVectors: packets of a message that follow each other are one vector, others one each.
func TestVectors(t *testing.T) {
	for _, tt := range []struct {
		order []int // receivers, by turns
		want  []int // vectors of each message
	}{
		{[]int{1, 1, 1, 2, 2}, []int{1, 1}},
		{[]int{1, 2, 1, 2}, []int{2, 2}},
		{[]int{1, 1, 2, 1}, []int{2, 1}},
		{[]int{1}, []int{1}},
	} {
		b := joining(true)
		for i, to := range tt.order {
			b.add(media(100, i), receiver(to))
		}
		b.sender.prepare(b)
		for i, want := range tt.want {
			if got := int(b.sender.headers[i].header.Iovlen); got != want {
				t.Errorf("%v: message %d has %d vectors, want %d", tt.order, i, got, want)
			}
		}
	}
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
		{"too large to be segmented", fake{once: true, fail: at(10, unix.EINVAL)}, all, 0, []int{3, 1, 1, 1, 3}, false},
		{"segments and one packet fail", fake{fail: func(mark uint32, packets int) syscall.Errno {
			if packets > 1 || mark == 11 {
				return unix.EINVAL
			}
			return 0
		}}, []uint32{0, 1, 2, 10, 12, 20, 21, 22}, 1, []int{1, 1, 1, 1, 1, 1, 1, 1}, false},
		{"room comes", fake{once: true, fail: at(10, unix.EAGAIN)}, all, 0, []int{3, 3, 3}, false},
		{"no room comes", fake{fail: func(mark uint32, _ int) syscall.Errno {
			if mark >= 10 {
				return unix.EAGAIN
			}
			return 0
		}}, []uint32{0, 1, 2}, 6, []int{3}, false},
		{"everything fails", fake{fail: func(uint32, int) syscall.Errno { return unix.EINVAL }}, nil, 9, nil, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			clear(receivers) // they remember
			t.Cleanup(func() { clear(receivers) })
			k := tt.kernel
			socket := &Socket{kernel: &k}
			setSegmentation(socket, true)
			b := NewBatch(socket, 512)
			for packet := range 3 {
				for r := range 3 {
					b.add(media(100, 10*r+packet), receiver(r))
				}
			}
			b.Flush()
			if !slices.Equal(k.sent, tt.want) || !slices.Equal(k.groups, tt.groups) {
				t.Errorf("sent %v as %v, want %v as %v", k.sent, k.groups, tt.want, tt.groups)
			}
			if s := socket.Stats(); s.Failed != tt.failed || s.Segmentation == tt.off {
				t.Errorf("stats %+v, want %d failed", s, tt.failed)
			}
			if k.awaits > 1 {
				t.Errorf("the batch waited %d times for room", k.awaits)
			}
			if tt.off || slices.Contains(k.groups, 1) && k.calls > 1 {
				checkNotJoined(t, b, &k)
			}
		})
	}
}

// checkNotJoined: once refused, for all or for receiver 1, segmentation stays off.
func checkNotJoined(t *testing.T, b *Batch, k *fake) {
	t.Helper()
	k.fail, k.groups = nil, nil
	for i := range 3 {
		b.add(media(100, i), receiver(1))
	}
	b.Flush()
	if !slices.Equal(k.groups, []int{1, 1, 1}) {
		t.Errorf("messages of %v packets, want single ones", k.groups)
	}
}

// TestNames: addresses are written for the socket's family.
func TestNames(t *testing.T) {
	to := netip.MustParseAddrPort("192.0.2.1:513")
	four := (&Socket{}).Target(to)
	if four.name.size != unix.SizeofSockaddrInet4 {
		t.Errorf("size %d", four.name.size)
	}
	want := []byte{2, 1, 192, 0, 2, 1} // port and address, after the family
	if got := unsafe.Slice((*byte)(unsafe.Pointer(&four.name.raw)), 8)[2:]; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	six := (&Socket{inet6: true}).Target(to)
	if six.name.size != unix.SizeofSockaddrInet6 || six.name.raw.Family != unix.AF_INET6 {
		t.Errorf("size %d, family %d", six.name.size, six.name.raw.Family)
	}
	if got := netip.AddrFrom16(six.name.raw.Addr); got.Unmap() != to.Addr() || !got.Is4In6() {
		t.Errorf("address %v", got)
	}
}

func TestCanReach(t *testing.T) {
	for _, tt := range []struct {
		to        string
		four, six bool
	}{
		{"192.0.2.1:5", true, true}, {"[::ffff:192.0.2.1]:5", true, true}, {"[2001:db8::1]:5", false, true},
		{"[fe80::1%eth0]:5", false, false},
	} {
		to := netip.MustParseAddrPort(tt.to)
		if four, six := (&Socket{}).CanReach(to), (&Socket{inet6: true}).CanReach(to); four != tt.four || six != tt.six {
			t.Errorf("%s: %t, %t", tt.to, four, six)
		}
	}
}

func setSegmentation(s *Socket, on bool) { s.segmentation.Store(on) }
