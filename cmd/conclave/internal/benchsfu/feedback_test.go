//go:build linux

package main

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/offer"
)

// TestFeedback: what is written is what came, as Pion reads it, over losses, a wrap of
// the numbers, and packets that come out of order.
func TestFeedback(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	var f feedback
	at, number := int64(1_700_000_000_123_456_789), uint16(65000)
	for message := range 200 {
		came := map[uint16]int64{}
		for range 1 + random.IntN(100) {
			number++
			at += random.Int64N(int64(100 * time.Millisecond))
			if random.IntN(10) > 0 {
				came[number] = at
			}
		}
		for n, when := range came { // in no order
			f.add(n, when)
		}
		if !f.take() {
			continue
		}
		raw := f.write(7)
		var got rtcp.TransportLayerCC
		if err := got.Unmarshal(raw); err != nil {
			t.Fatalf("message %d: %v", message, err)
		}
		if got.MediaSSRC != 7 || len(raw)%4 != 0 {
			t.Fatalf("message %d: %+v", message, got)
		}
		checkFeedback(t, &got, came)
	}
}

func checkFeedback(t *testing.T, got *rtcp.TransportLayerCC, came map[uint16]int64) {
	t.Helper()
	clock := int64(got.ReferenceTime) * int64(refTick)
	number, deltas, told := got.BaseSequenceNumber, got.RecvDeltas, 0
	for _, chunk := range got.PacketChunks {
		for _, symbol := range chunk.(*rtcp.StatusVectorChunk).SymbolList {
			if symbol != rtcp.TypeTCCPacketNotReceived {
				clock += deltas[0].Delta * 1000
				deltas, told = deltas[1:], told+1
				// The reference time is 24 bits.
				if when := came[number] % (int64(refTick) << 24); when-clock < 0 || when-clock >= int64(tick) {
					t.Fatalf("number %d came at %d, told as %d", number, when, clock)
				}
			}
			number++
		}
	}
	if told != len(came) {
		t.Fatalf("told of %d packets, %d came", told, len(came))
	}
}

func TestTransportNumber(t *testing.T) {
	h := rtp.Header{Version: 2, SSRC: 1}
	raw := func() []byte {
		b, err := (&rtp.Packet{Header: h, Payload: []byte("x")}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	if _, ok := transportNumber(raw()); ok {
		t.Error("a number where there is none")
	}
	_ = h.SetExtension(offer.MID, []byte("12"))
	_ = h.SetExtension(offer.TransportCC, []byte{0xab, 0xcd})
	packet := raw()
	if n, ok := transportNumber(packet); !ok || n != 0xabcd {
		t.Errorf("%x, %t", n, ok)
	}
	for n := 12; n < 20; n++ {
		if _, ok := transportNumber(packet[:n]); ok {
			t.Errorf("a number in %d bytes", n)
		}
	}
}

func TestAddresses(t *testing.T) {
	seen := map[[4]byte]bool{}
	for n := range mostClients {
		a := addressOf(n)
		if a[0] != 127 || a[3] == 0 || a[3] == 255 || seen[a] || clientOf(a) != n {
			t.Fatalf("client %d has %v, of client %d", n, a, clientOf(a))
		}
		seen[a] = true
	}
	if clientOf([4]byte{}) < mostClients {
		t.Error("no address is a client's")
	}
}

// TestScale: each receiver gets and reports as much among few as among many, and a window of
// few is longer.
func TestScale(t *testing.T) {
	list, err := choose("scale", 0, 1)
	if err != nil || len(list) != len(scaleReceivers) {
		t.Fatalf("%d workloads, %v", len(list), err)
	}
	for _, w := range list {
		if w.rate != list[0].rate || w.feedbackInterval() != list[0].feedbackInterval() {
			t.Errorf("%s: rate %v, feedback each %v", w.name, w.rate, w.feedbackInterval())
		}
		if n := time.Duration(w.receivers) * w.window(time.Second); n < 40*time.Second {
			t.Errorf("%s: a window has packets of %v", w.name, n)
		}
		p := newPublication(nil, offer.Section{SSRC: 1}, 0, nil, w.rate, 1)
		if clock := float64(p.step) / p.interval.Seconds(); clock < 89_000 || clock > 91_000 {
			t.Errorf("%s: a clock of %v Hz", w.name, clock)
		}
	}
	for _, broken := range []string{"", "W5", "scale,W5"} {
		if _, err := choose(broken, 0, 1); err == nil {
			t.Errorf("choose(%q) succeeded", broken)
		}
	}
	often, err := choose("W1", 0, 100)
	if err != nil || often[0].feedbackInterval() < mostOften {
		t.Errorf("feedback each %v, %v", often[0].feedbackInterval(), err)
	}
	if _, err := choose("W1", 0, -1); err == nil {
		t.Error("a rate below 0 was taken")
	}
}
