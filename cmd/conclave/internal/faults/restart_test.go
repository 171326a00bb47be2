package faults

import (
	"bytes"
	"crypto/rand"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/conclave-sfu/conclave/e2ee"
	"github.com/conclave-sfu/conclave/e2ee/framecrypt"
	"github.com/conclave-sfu/conclave/room/client"
	"github.com/conclave-sfu/conclave/room/signal"
	"github.com/conclave-sfu/conclave/sfu/impair"
)

// listener is a member who speaks, and counts what it hears.
type listener struct {
	*client.Client
	heard atomic.Uint64
}

func (s *site) speak(link e2ee.Link, name string, route func(netip.AddrPort) (netip.AddrPort, error)) *listener {
	s.t.Helper()
	l := &listener{}
	c, err := client.Join(s.t.Context(), client.Config{
		Link: link, Name: name, Route: route, OnFrame: func(client.Frame) { l.heard.Add(1) },
		Publish: []client.Track{{Source: signal.SourceMic, Codec: framecrypt.Opus, Next: func(bool) client.Sample {
			return client.Sample{Data: bytes.Repeat([]byte{0xfc}, 40), Ticks: 960, Loudness: 60}
		}}},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	l.Client = c
	return l
}

// awaitSound waits until l has heard more.
func (l *listener) awaitSound(t *testing.T) time.Duration {
	t.Helper()
	start, before := time.Now(), l.heard.Load()
	until(t, "a voice", func() bool { return l.heard.Load() > before+5 })
	return time.Since(start)
}

// TestOtherNetwork has a member's way to the server end without a word, as when a phone
// leaves a Wi-Fi: on the same PeerConnection and in the same meeting ICE finds the other
// way there is, told of it or not.
func TestOtherNetwork(t *testing.T) {
	for name, told := range map[string]bool{"told": true, "disconnected": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			link, err := e2ee.NewLink(rand.Reader, s.http, "network")
			if err != nil {
				t.Fatal(err)
			}
			var relay atomic.Pointer[impair.Relay]
			change := func() {
				next, err := impair.Listen(netip.MustParseAddrPort("127.0.0.1:0"), s.mediaPort, impair.Conditions{}, impair.Conditions{}, 1)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = next.Close() })
				if before := relay.Swap(next); before != nil {
					_ = before.Close()
				}
			}
			change()
			alice := s.speak(link, "Alice", func(netip.AddrPort) (netip.AddrPort, error) { return relay.Load().Addr(), nil })
			bob := s.speak(link, "Bob", nil)
			alice.awaitSound(t)
			bob.awaitSound(t)
			change()
			start := time.Now()
			if told {
				alice.NetworkChanged()
			}
			alice.awaitSound(t)
			hears := time.Since(start)
			bob.awaitSound(t)
			t.Logf("hears after %s, is heard after %s", hears.Round(time.Millisecond), time.Since(start).Round(time.Millisecond))
			if st := alice.Stats(); st.Connections != 1 || st.Restarts != 1 || st.Rejoined != 0 || st.Resumed != 0 {
				t.Errorf("%d PeerConnections, %d restarts, %d rejoined, %d resumed", st.Connections, st.Restarts, st.Rejoined, st.Resumed)
			}
		})
	}
}
