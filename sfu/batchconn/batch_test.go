package batchconn

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// receivers are made-up ones; each is made once.
var receivers = map[int]*Target{}

func receiver(n int) *Target {
	if receivers[n] == nil {
		s := &Socket{}
		receivers[n] = s.Target(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}), uint16(1000+n)))
	}
	return receivers[n]
}

// joining gives a batch that joins packets, or not.
func joining(join bool) *Batch {
	s := &Socket{}
	setSegmentation(s, join)
	return NewBatch(s, 512)
}

// add reserves place for a packet and writes it.
func (b *Batch) add(raw []byte, to *Target) { copy(b.Reserve(len(raw), to), raw) }

// media is an RTP packet of a size whose end tells it from others.
func media(size, mark int) []byte {
	p := make([]byte, max(size, 16))
	p[0], p[1] = 0x80, 96
	binary.BigEndian.PutUint32(p[len(p)-4:], uint32(mark))
	return p
}

// shape draws the messages of a batch: receiver and sizes.
func shape(b *Batch) string {
	var list []string
	for i := range b.messages {
		m := &b.messages[i]
		var sizes []string
		for at := m.first; at != none; at = b.packets[at].next {
			sizes = append(sizes, fmt.Sprint(b.packets[at].size))
		}
		list = append(list, fmt.Sprintf("%d:%s", int(m.to.addr.Port())-1000, strings.Join(sizes, "+")))
	}
	return strings.Join(list, " ")
}

func TestMessages(t *testing.T) {
	type write struct{ size, to int }
	tests := []struct {
		name   string
		writes []write
		join   bool
		want   string
	}{
		{"one", []write{{100, 1}}, true, "1:100"},
		{"a fan-out", []write{{100, 1}, {100, 2}, {100, 1}, {100, 2}}, true, "1:100+100 2:100+100"},
		{"not joined", []write{{100, 1}, {100, 1}}, false, "1:100 1:100"},
		{"a smaller one ends the message", []write{{100, 1}, {90, 1}, {90, 1}}, true, "1:100+90 1:90"},
		{"a larger one begins another", []write{{99, 1}, {99, 1}, {100, 1}, {100, 1}}, true, "1:99+99 1:100+100"},
		{"order to one receiver stays", []write{{100, 1}, {50, 1}, {100, 1}, {50, 1}}, true, "1:100+50 1:100+50"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := joining(tt.join)
			for i, w := range tt.writes {
				b.add(media(w.size, i), receiver(w.to))
			}
			if got := shape(b); got != tt.want {
				t.Errorf("messages %q, want %q", got, tt.want)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	b := joining(true)
	for i := range maxSegments + 1 {
		b.add(media(100, i), receiver(1))
	}
	if got := len(b.messages); got != 2 {
		t.Errorf("%d packets in %d messages, want 2", maxSegments+1, got)
	}
	for size, want := range map[int]int{maxPacket: 512 * meanPacket / maxPacket, 20: 512} {
		b.reset()
		n := 0
		for ; !b.full(); n++ {
			b.add(media(size, n), receiver(n%900))
		}
		if n != want {
			t.Errorf("full after %d packets of %d bytes, want %d", n, size, want)
		}
	}
	if b.reset(); b.full() || len(b.messages) != 0 || b.table != [places]uint16{} {
		t.Error("reset left something")
	}
}

// TestCrowdedTable: receivers that find no place are served all the same, and what follows in
// a row needs none.
func TestCrowdedTable(t *testing.T) {
	b := joining(true)
	for i := range b.table {
		b.table[i] = 1
	}
	b.messages = append(b.messages, message{to: receiver(0), first: none})
	for i := range 6 {
		b.add(media(100, i), receiver(1+i/2%2))
	}
	if got := len(b.messages) - 1; got != 3 {
		t.Errorf("%d messages, want 3", got)
	}
}

// FuzzMessages: whatever is written, each receiver gets it, in order, in messages that
// the kernel takes.
func FuzzMessages(f *testing.F) {
	f.Add([]byte{1, 100, 1, 100, 2, 90, 1, 90}, true)
	f.Add(bytes.Repeat([]byte{3, 255}, 300), true)
	f.Add([]byte{0, 0}, false)
	f.Fuzz(func(t *testing.T, writes []byte, join bool) {
		b := joining(join)
		want := map[*Target][]byte{}
		for i := 0; i+1 < len(writes); i += 2 {
			raw, to := media(int(writes[i+1])*6, i), receiver(int(writes[i]%16))
			if b.full() {
				break
			}
			b.add(raw, to)
			want[to] = append(want[to], raw...)
		}
		got, packets := map[*Target][]byte{}, 0
		for i := range b.messages {
			m := &b.messages[i]
			packets += checkMessage(t, b, m, join)
			for at := m.first; at != none; at = b.packets[at].next {
				p := b.packets[at]
				got[m.to] = append(got[m.to], b.bytes[p.at:p.at+p.size]...)
			}
		}
		if packets != len(b.packets) || len(got) != len(want) {
			t.Fatalf("%d of %d packets to %d of %d receivers", packets, len(b.packets), len(got), len(want))
		}
		for to := range want {
			if !bytes.Equal(got[to], want[to]) {
				t.Fatalf("%v gets something else", to.AddrPort())
			}
		}
	})
}

// checkMessage holds a message to what UDP_SEGMENT wants, and counts its packets.
func checkMessage(t *testing.T, b *Batch, m *message, join bool) int {
	t.Helper()
	var sizes []int32
	for at := m.first; at != none; at = b.packets[at].next {
		sizes = append(sizes, b.packets[at].size)
	}
	last := len(sizes) - 1
	total := int32(0)
	for i, size := range sizes {
		total += size
		if i < last && size != m.size || size > m.size {
			t.Fatalf("sizes %v for segments of %d", sizes, m.size)
		}
	}
	if int(m.count) != len(sizes) || total != m.bytes || total > maxMessage || len(sizes) > maxSegments || !join && last > 0 {
		t.Fatalf("message of %v: %+v", sizes, *m)
	}
	return len(sizes)
}

func BenchmarkReserve(b *testing.B) {
	batch := joining(true)
	raw := media(1100, 0)
	for i := range 50 {
		receiver(i)
	}
	for i := 0; b.Loop(); i++ {
		if batch.full() {
			batch.reset()
		}
		batch.add(raw, receiver(i%50))
	}
}

// TestPlaces: receivers whose addresses have much in common find a place each.
func TestPlaces(t *testing.T) {
	const count = 500
	addresses := map[string]func(i int) netip.AddrPort{
		"one port": func(i int) netip.AddrPort {
			return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 5000)
		},
		"one address": func(i int) netip.AddrPort {
			return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, 1}), uint16(5000+i))
		},
		"one network": func(i int) netip.AddrPort {
			return netip.AddrPortFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 8: byte(i >> 8), 15: byte(i)}), 5000)
		},
		"many networks": func(i int) netip.AddrPort {
			return netip.AddrPortFrom(netip.AddrFrom16([16]byte{0x20, 1, byte(i >> 8), byte(i), 15: 1}), 5000)
		},
	}
	for name, of := range addresses {
		s := &Socket{inet6: true}
		s.segmentation.Store(true)
		b := NewBatch(s, 512)
		for i := range count {
			b.Reserve(100, s.Target(of(i)))
		}
		without := 0
		for i := range b.messages {
			if place := b.find(b.messages[i].to); place == nil || *place != uint16(i+1) {
				without++
			}
		}
		if len(b.messages) != count || without > count/100 {
			t.Errorf("%s: %d of %d receivers have no place", name, without, count)
		}
	}
}
