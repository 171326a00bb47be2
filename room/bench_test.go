package room

import (
	"bytes"
	"context"
	"encoding/binary"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/conclave-sfu/conclave/room/signal"
)

const benchParticipants = 500

func benchPID(i int) signal.PID {
	var id [16]byte
	binary.BigEndian.PutUint32(id[:], uint32(i))
	return signal.NewPID(id)
}

func benchJoin(i int) *signal.Join {
	return &signal.Join{KeyPackage: binary.BigEndian.AppendUint32(nil, uint32(i)), MAC: make([]byte, signal.MACSize)}
}

// benchState is a room of 500 who have joined, on the connections 1 to 500.
func benchState(b *testing.B) *state {
	st := newState("room", limits{participants: 1000, grace: 15 * time.Second, log: defaultLogLimits})
	for i := 1; i <= benchParticipants; i++ {
		st.apply(at(0), helloed{conn: connID(i), hello: &signal.Hello{PID: benchPID(i)}, token: "token"})
		st.apply(at(0), received{conn: connID(i), body: benchJoin(i)})
		st.byConn[connID(i)].waiting = false // as if a commit had added it
	}
	if st.log.position() != benchParticipants {
		b.Fatalf("%d entries", st.log.position())
	}
	return st
}

func BenchmarkApplyMute500(b *testing.B) {
	st := benchState(b)
	st.apply(at(0), published{1, []signal.Source{signal.SourceMic}})
	b.ReportAllocs()
	for i := range b.N {
		st.apply(at(1), received{conn: 1, body: &signal.Mute{Source: signal.SourceMic, Muted: i%2 == 0}})
	}
}

func BenchmarkApplyMessage500(b *testing.B) {
	st := benchState(b)
	msg := &signal.Message{Data: make([]byte, 1024)}
	b.ReportAllocs()
	for b.Loop() {
		st.apply(at(1), received{conn: 1, body: msg})
	}
}

// BenchmarkApplyCommit500 appends commits of 20 kB: two SHA-256 and compaction included.
func BenchmarkApplyCommit500(b *testing.B) {
	st := benchState(b)
	st.log.limits.entries = b.N + 2*benchParticipants
	commit := make([]byte, 20<<10)
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		st.apply(at(int64(i)*3_600_000), received{conn: 1, body: &signal.Commit{Last: st.log.last, Commit: commit}})
	}
	if st.log.position() != uint64(b.N+benchParticipants) {
		b.Fatalf("%d entries", st.log.position())
	}
}

// BenchmarkFanOut500 is the processor time of a message that all 500 are told, for each who
// takes it from a connection. On the wall it takes as long as they wait for more.
func BenchmarkFanOut500(b *testing.B) {
	media := &fakeMedia{sessions: map[signal.PID]*fakeSession{}}
	var hours atomic.Int64 // the clock goes by hours, so that a participation may join as often
	g := NewRegistry(Config{Media: media, Now: func() time.Time { return at(3_600_000 * hours.Add(1)) }})
	var readers, taken sync.WaitGroup
	var conns []*Connection
	for i := range benchParticipants {
		c, err := g.Connect(b.Context(), "room", 1, &signal.Hello{PID: benchPID(i)})
		if err != nil {
			b.Fatal(err)
		}
		conns = append(conns, c)
		readers.Go(func() { take(c, &taken) })
	}
	taken.Add(1)
	_ = conns[0].Receive(b.Context(), signal.FromClient{Body: &signal.Create{}}) // refused: all are here
	taken.Wait()
	b.ReportAllocs()
	began := processorTime()
	for b.Loop() {
		taken.Add(benchParticipants)
		_ = conns[0].Receive(b.Context(), signal.FromClient{Body: benchJoin(0)})
		taken.Wait()
	}
	b.ReportMetric(float64((processorTime()-began).Nanoseconds())/float64(b.N)/benchParticipants, "cpu-ns/frame")
	for i := range conns { // the one that joined last, so that nobody is told
		conns[len(conns)-1-i].Close(true)
	}
	readers.Wait()
}

// processorTime is what the process has taken.
func processorTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// take reads a connection to its end and counts the log's entries and the errors.
func take(c *Connection, taken *sync.WaitGroup) {
	for {
		frame, err := c.Next(context.Background())
		if err != nil {
			return
		}
		if bytes.HasPrefix(frame, []byte(`{"type":"log"`)) || bytes.HasPrefix(frame, []byte(`{"type":"error"`)) {
			taken.Done()
		}
	}
}
