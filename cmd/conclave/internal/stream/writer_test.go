package stream

import (
	"bytes"
	"io"
	"net"
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

func TestPacketsGoWholeAndInOrder(t *testing.T) {
	near, far := net.Pipe()
	w := NewWriter(near)
	for i := range 100 {
		w.Send([]byte{byte(i)}, bytes.Repeat([]byte{byte(i)}, i))
	}
	want := []byte{}
	for i := range 100 {
		want = append(want, bytes.Repeat([]byte{byte(i)}, i+1)...)
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(far, got); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%v, %d bytes of %d equal", err, len(got), len(want))
	}
	for w.Queued() > 0 { // the last write is about to return
		runtime.Gosched()
	}
	w.Close()
	if _, err := far.Read(got); err != io.EOF {
		t.Errorf("after Close: %v", err)
	}
}

// TestSlowReader: who reads nothing costs a bounded queue, delays nobody, and is given up.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		w := NewWriter(near)
		packet := make([]byte, 1000)
		begun := time.Now()
		w.Send(packet)
		synctest.Wait() // it is being written
		for range 1000 {
			w.Send(packet)
		}
		if time.Since(begun) != 0 {
			t.Error("Send waited")
		}
		if kept := 1000 - int(w.Dropped()); kept != maxQueued/len(packet) {
			t.Errorf("%d packets wait, want %d", kept, maxQueued/len(packet))
		}
		if queued, want := w.Queued(), maxQueued/len(packet)*len(packet)+len(packet); queued != want {
			t.Errorf("%d bytes wait or are being written, want %d", queued, want)
		}
		time.Sleep(writeTimeout)
		<-w.ended
		if _, err := far.Read(packet); err != io.EOF {
			t.Errorf("not closed: %v", err)
		}
		w.Send(packet) // of no use, and no harm
		w.Close()
	})
}

func TestSendDoesNotAllocate(t *testing.T) {
	near, far := net.Pipe()
	defer far.Close()
	go io.Copy(io.Discard, far)
	w := NewWriter(near)
	defer w.Close()
	head, packet := make([]byte, 4), make([]byte, 1000)
	for range 1000 {
		w.Send(head, packet)
	}
	// The buffers grow now and then, to their bound.
	if n := testing.AllocsPerRun(1000, func() { w.Send(head, packet) }); n > 0.1 {
		t.Errorf("%v allocations a packet", n)
	}
}
