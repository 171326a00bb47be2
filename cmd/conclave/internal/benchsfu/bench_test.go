//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/server"
	"go.uber.org/zap"
)

// patience ends a test that waits for what never comes.
const patience = time.Minute

func TestSplit(t *testing.T) {
	tests := []struct {
		size, most int
		want       []int
	}{
		{1, 1100, []int{1}},
		{1100, 1100, []int{1100}},
		{1101, 1100, []int{550, 551}},
		{6250, 1100, []int{1041, 1041, 1042, 1042, 1042, 1042}},
	}
	for _, tt := range tests {
		if got := split(tt.size, tt.most); !slices.Equal(got, tt.want) {
			t.Errorf("split(%d, %d) = %v, want %v", tt.size, tt.most, got, tt.want)
		}
	}
}

func TestParseStat(t *testing.T) {
	stat := "42 (a (strange) name) S 1 42 42 0 -1 4194560 100 0 0 0 150 25 0 0 20 0"
	got, system, err := parseStat(stat)
	if want := 1750 * time.Millisecond; err != nil || got != want || system >= got {
		t.Errorf("parseStat = %v, %v, want %v", got, err, want)
	}
	for _, broken := range []string{"", "42 (x) S 1", strings.Replace(stat, "150", "x", 1)} {
		if _, _, err := parseStat(broken); err == nil {
			t.Errorf("parseStat(%q) succeeded", broken)
		}
	}
}

func TestParseMetrics(t *testing.T) {
	const page = "# HELP a b\n# TYPE a gauge\na 7\nb{x=\"y\"} 8\nc_total 1.5e+06\n"
	got, err := parseMetrics(strings.NewReader(page))
	if want := map[string]float64{"a": 7, "c_total": 1.5e6}; err != nil || !maps.Equal(got, want) {
		t.Errorf("parseMetrics = %v, %v, want %v", got, err, want)
	}
	if _, err := parseMetrics(strings.NewReader("a x")); err == nil {
		t.Error("a number that is none was taken")
	}
}

func TestQuantile(t *testing.T) {
	delays := []time.Duration{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	for _, tt := range []struct {
		q    float64
		want time.Duration
	}{{0, 1}, {0.5, 6}, {0.99, 10}, {1, 10}} {
		if got := quantile(delays, tt.q); got != tt.want {
			t.Errorf("quantile %v = %v, want %v", tt.q, got, tt.want)
		}
	}
	if quantile(nil, 0.5) != 0 {
		t.Error("a quantile of nothing")
	}
}

// TestStreamCountsLoss: a window counts what is missing inside it only, across a wrap.
func TestStreamCountsLoss(t *testing.T) {
	r := &reader{clients: []*client{nil, {streams: map[uint32]*stream{}}}}
	s := &stream{}
	r.clients[1].streams[1] = s
	s.count(65000)
	s.count(65530) // before the window
	r.openWindow()
	for _, seq := range []uint16{65534, 65535, 1, 0, 4} { // 2 and 3 are lost
		s.count(seq)
	}
	if got := r.shutWindow(); got.packets != 5 || got.lost != 2 {
		t.Errorf("%d packets, %d lost, want 5 and 2", got.packets, got.lost)
	}
}

// TestGCMIsSRTP: what the floor seals and opens is SRTP as Pion does it.
func TestGCMIsSRTP(t *testing.T) {
	k := randomKeys()
	pion, err := srtp.CreateContext(k.SendKey, k.SendSalt, srtp.ProtectionProfileAeadAes128Gcm)
	if err != nil {
		t.Fatal(err)
	}
	ours, err := newGCMStream(k.SendKey, k.SendSalt)
	if err != nil {
		t.Fatal(err)
	}
	for _, seq := range []uint16{65534, 65535, 0, 1} {
		h := rtp.Header{Version: 2, PayloadType: 96, SequenceNumber: seq, SSRC: 0x01020304, CSRC: []uint32{7}}
		if err := h.SetExtension(4, []byte("0")); err != nil {
			t.Fatal(err)
		}
		plain, err := (&rtp.Packet{Header: h, Payload: []byte("a frame")}).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		want, err := pion.EncryptRTP(nil, plain, nil)
		if err != nil {
			t.Fatal(err)
		}
		size := headerSize(plain)
		if size != h.MarshalSize() {
			t.Fatalf("header of %d bytes, want %d", size, h.MarshalSize())
		}
		got := make([]byte, len(plain)+tagSize)
		ours.seal(got, plain, size)
		if !bytes.Equal(got, want) {
			t.Fatalf("sequence number %d: sealed\n%x, want\n%x", seq, got, want)
		}
		if opened, ok := ours.open(got, size); !ok || !bytes.Equal(opened, plain) {
			t.Fatalf("sequence number %d: opened %x, %v, want %x", seq, opened, ok, plain)
		}
	}
}

// TestWorkloads: everybody has a slot for each stream of each other sender.
func TestWorkloads(t *testing.T) {
	for _, w := range workloads {
		slots := 0
		for i := range w.participants() {
			for _, s := range w.role(i).sections {
				if s.SSRC == 0 {
					slots++
				}
			}
		}
		kinds := 1
		if w.video {
			kinds = 2
		}
		if slots != kinds*w.subscriptions() {
			t.Errorf("%s: %d slots, want %d", w.name, slots, kinds*w.subscriptions())
		}
	}
}

func TestWithReceivers(t *testing.T) {
	if got := workloads[0].withReceivers(7); got.participants() != 8 || got.text != "1 to 7" {
		t.Errorf("%+v", got)
	}
	for _, w := range []workload{workloads[0].withReceivers(0), workloads[1].withReceivers(7)} {
		if w.text == "1 to 7" || w.receivers == 7 {
			t.Errorf("%+v", w)
		}
	}
}

var small = workload{name: "small", senders: 2, receivers: 2, video: true, rate: 1}

// serve has a server in this process until the test ends, and gives the address of a room.
func serve(ctx context.Context, t *testing.T) (url string) {
	t.Helper()
	srv, err := server.New(server.Config{
		Listen: "127.0.0.1:0", Media: netip.MustParseAddrPort("127.0.0.1:0"), Log: zap.NewNop(),
		MaxRooms: 4, MaxParticipants: 30, Grace: time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	serving, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(serving) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return fmt.Sprintf("ws://%s/api/v1/rooms/small/ws", srv.Addr())
}

// TestMeeting: a small meeting at a real server, until all have what they came for.
func TestMeeting(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	url := serve(ctx, t)
	read := newTestReader(t)
	m := &meeting{workload: small, reader: read, url: url, seed: 1, feedback: feedbackInterval}
	defer m.end()
	if _, err := m.begin(ctx); err != nil {
		t.Fatal(err)
	}
	awaitDelays(ctx, t, read)
	var r round
	m.joinTimes(&r)
	if r.FirstAudioMax == 0 || r.FirstVideoMax == 0 {
		t.Errorf("no times of the first packets: %+v", r)
	}
}

// TestFloor: the floor serves the same clients.
func TestFloor(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tell, told := newPipe(), newPipe()
	ended := make(chan error, 1)
	go func() { ended <- runFloor(tell.r, told.w) }()
	var line string
	if _, err := fmt.Fscanln(told.r, &line); err != nil {
		t.Fatal(err)
	}
	read := newTestReader(t)
	m := &meeting{workload: small, reader: read, seed: 1}
	clients, plan, err := m.floorClients(netip.MustParseAddrPort(line))
	if err != nil {
		t.Fatal(err)
	}
	if err := plan.tell(tell.w); err != nil {
		t.Fatal(err)
	}
	sending, stop := context.WithCancel(ctx)
	for i := range small.senders {
		m.publish(sending, clients[i], i)
	}
	awaitDelays(ctx, t, read)
	stop()
	m.publishing.Wait()
	for _, c := range clients {
		c.close()
	}
	if err := tell.w.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func newTestReader(t *testing.T) *reader {
	t.Helper()
	r, err := newReader()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.close)
	return r
}

// awaitDelays waits for packets that could be opened, of every stream.
func awaitDelays(ctx context.Context, t *testing.T, r *reader) {
	t.Helper()
	r.openWindow()
	for r.opened() < 4*small.subscriptions() {
		if err := sleep(ctx, 10*time.Millisecond); err != nil {
			t.Fatalf("%d packets opened: %v", r.opened(), err)
		}
	}
	got := r.shutWindow()
	for _, d := range got.delays {
		if d <= 0 || d > patience {
			t.Fatalf("a delay of %v", d)
		}
	}
	if got.packets == 0 {
		t.Error("no packets counted")
	}
}

func (r *reader) opened() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.delays)
}

func TestReport(t *testing.T) {
	r := newReport()
	w := workloads[0]
	var rounds []round
	for i := range 3 {
		rounds = append(rounds, round{
			Ratio: []float64{1.5, 1.25, 9}[i], Server: sample{CPU: time.Duration(i) * time.Microsecond, Lost: 2},
			Floor: sample{CPU: time.Microsecond}, MemorySubscription: 100 << 10,
		})
	}
	r.add(w, rounds)
	got := r.Workloads[0]
	if got.Median.Ratio != 1.5 || got.LeastRatio != 1.25 || got.GreatestRatio != 9 || got.Median.Server.Lost != 6 {
		t.Errorf("report %+v", got)
	}
	var table strings.Builder
	r.write(&table)
	for _, want := range []string{"W1 1 to 50", "1.50", "1.25-9.00"} {
		if !strings.Contains(table.String(), want) {
			t.Errorf("no %q in\n%s", want, table.String())
		}
	}
}

type pipe struct {
	r *io.PipeReader
	w *io.PipeWriter
}

func newPipe() pipe {
	r, w := io.Pipe()
	return pipe{r, w}
}
