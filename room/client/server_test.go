package client

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"

	"github.com/conclave-sfu/conclave/e2ee"
	"github.com/conclave-sfu/conclave/room"
	"github.com/conclave-sfu/conclave/room/signal"
	"github.com/conclave-sfu/conclave/room/ws"
)

// watchdog ends a test that waits in vain.
const watchdog = time.Minute

// server is the real rooms and WebSockets over a media session that answers offers
// and forwards nothing.
type server struct {
	t        *testing.T
	registry *room.Registry
	handler  *ws.Handler
	http     *http.Server
	listener *cuttable
	link     e2ee.Link
	sessions chan *mediaSession // in the order of joining
	stall    chan struct{}      // if set, answers wait until it is closed
}

func serve(t *testing.T, cfg room.Config) *server {
	t.Helper()
	return serveAt(t, "127.0.0.1:0", cfg)
}

func serveAt(t *testing.T, addr string, cfg room.Config) *server {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, listener: &cuttable{Listener: l}, sessions: make(chan *mediaSession, 64)}
	cfg.Media = s
	s.registry = room.NewRegistry(cfg)
	s.handler = ws.NewHandler(s.registry, ws.Config{})
	s.http = &http.Server{Handler: s.handler}
	go s.http.Serve(s.listener) //nolint:errcheck // ends when the test closes it
	t.Cleanup(s.stop)
	s.link, err = e2ee.NewLink(rand.Reader, fmt.Sprintf("http://%s", l.Addr()), "test")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// stop may be called twice.
func (s *server) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), watchdog)
	defer cancel()
	if err := errors.Join(s.registry.Close(ctx), s.handler.Wait(ctx), s.http.Shutdown(ctx)); err != nil {
		s.t.Errorf("stop: %v", err)
	}
}

// Attach implements [room.Media].
func (s *server) Attach(_ string, pid signal.PID, events room.MediaEvents) (room.MediaSession, error) {
	m := &mediaSession{stall: s.stall, pid: pid, events: events, offers: make(chan signal.Offer, 64), views: make(chan signal.View, 64), mutes: make(chan signal.Mute, 64)}
	s.sessions <- m
	return m, nil
}

// mediaSession is one participant's media on the server's side.
type mediaSession struct {
	stall  chan struct{}
	pid    signal.PID
	events room.MediaEvents
	offers chan signal.Offer
	views  chan signal.View
	mutes  chan signal.Mute

	mu     sync.Mutex
	number uint32                 // Guarded by mu.
	pc     *webrtc.PeerConnection // Guarded by mu.
	closed bool                   // Guarded by mu.
}

func (m *mediaSession) Offer(_ context.Context, offer signal.Offer) (signal.Answer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.connect(offer.Connection); err != nil {
		return signal.Answer{}, err
	}
	if err := m.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeOffer, SDP: offer.SDP}); err != nil {
		return signal.Answer{}, err
	}
	answer, err := m.pc.CreateAnswer(nil)
	if err != nil {
		return signal.Answer{}, err
	}
	gathered := webrtc.GatheringCompletePromise(m.pc)
	if err := m.pc.SetLocalDescription(answer); err != nil {
		return signal.Answer{}, err
	}
	<-gathered
	var sources []signal.Source
	for _, t := range offer.Tracks {
		sources = append(sources, t.Source)
	}
	m.offers <- offer
	if m.stall != nil {
		<-m.stall
	}
	m.events.Published(sources)
	return signal.Answer{Connection: offer.Connection, SDP: m.pc.LocalDescription().SDP}, nil
}

// connect opens a PeerConnection for a new number. Called with mu held.
func (m *mediaSession) connect(number uint32) error {
	if m.closed {
		return errors.New("closed")
	}
	if m.pc != nil && m.number == number {
		return nil
	}
	if m.pc != nil {
		_ = m.pc.GracefulClose()
	}
	var settings webrtc.SettingEngine
	settings.SetLite(true)
	settings.SetIncludeLoopbackCandidate(true)
	settings.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	settings.SetNetworkTypes([]webrtc.NetworkType{webrtc.NetworkTypeUDP4})
	codecs := &webrtc.MediaEngine{}
	if err := codecs.RegisterDefaultCodecs(); err != nil {
		return err
	}
	pc, err := webrtc.NewAPI(webrtc.WithSettingEngine(settings), webrtc.WithMediaEngine(codecs)).NewPeerConnection(webrtc.Configuration{})
	m.pc, m.number = pc, number
	return err
}

func (m *mediaSession) View(v signal.View) { m.views <- v }
func (m *mediaSession) Mute(s signal.Source, muted bool) {
	m.mutes <- signal.Mute{Source: s, Muted: muted}
}

func (m *mediaSession) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	if m.pc != nil {
		_ = m.pc.GracefulClose()
	}
}

// cuttable is a listener whose connections can be cut.
type cuttable struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn // Guarded by mu.
}

func (l *cuttable) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		l.mu.Lock()
		l.conns = append(l.conns, conn)
		l.mu.Unlock()
	}
	return conn, err
}

// cut closes every connection there is.
func (l *cuttable) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range l.conns {
		_ = c.Close()
	}
	l.conns = nil
}

// guest is a client under test, with the rosters that it was told.
type guest struct {
	*Client
	t       *testing.T
	rosters chan Roster
}

// join joins a meeting and closes the client when the test ends.
func join(t *testing.T, link e2ee.Link, name string, tracks ...Track) *guest {
	t.Helper()
	g := &guest{t: t, rosters: make(chan Roster, 256)}
	ctx, cancel := context.WithTimeout(t.Context(), watchdog)
	defer cancel()
	c, err := Join(ctx, Config{Link: link, Name: name, Publish: tracks, OnRoster: func(r Roster) { g.rosters <- r }})
	if err != nil {
		t.Fatal(err)
	}
	g.Client = c
	t.Cleanup(func() { _ = c.Close() })
	return g
}

// sees waits for an epoch whose members have exactly these names, and gives it.
func (g *guest) sees(names ...string) Roster {
	g.t.Helper()
	slices.Sort(names)
	for {
		r := next(g.t, g.rosters)
		var got []string
		for _, m := range r.Members {
			got = append(got, m.Name)
		}
		slices.Sort(got)
		if slices.Equal(got, names) {
			return r
		}
	}
}

// next receives from a channel.
func next[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(watchdog):
		t.Fatalf("waited in vain for a %T", *new(T))
		panic("unreachable")
	}
}

// until receives from a channel until ok.
func until[T any](t *testing.T, c <-chan T, ok func(T) bool) T {
	t.Helper()
	for {
		if v := next(t, c); ok(v) {
			return v
		}
	}
}

// leftovers are the goroutines of clients and of Pion that still run. One that has
// said that it is done may take a moment to be gone.
func leftovers() []string {
	for give := time.Now().Add(watchdog); ; runtime.Gosched() {
		if left := running(); left == nil || time.Now().After(give) {
			return left
		}
	}
}

func running() (left []string) {
	stacks := make([]byte, 4<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	for g := range strings.SplitSeq(string(stacks), "\n\n") {
		ours := strings.Contains(g, "room/client.(*") || strings.Contains(g, "github.com/pion/")
		if ours && !strings.Contains(g, "testing.tRunner") {
			left = append(left, g)
		}
	}
	return left
}
