package server

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/offer"
	"github.com/conclave-sfu/conclave/room/signal"
)

// TestAnswersWaitForNoClock: who says hello, what to see, and offers in one breath is told that
// it is in, who is there, and the answer, and nothing else before; and nothing on the way waits
// for a clock. The server runs in a bubble whose time stands still: some goroutines read its
// sockets, which is no wait that time passes in. Who waits for a timer waits in vain.
func TestAnswersWaitForNoClock(t *testing.T) {
	const joins, atATime = 50, 2
	stuck := make(chan struct{})
	defer time.AfterFunc(untilPatience, func() { close(stuck) }).Stop() // of the world outside
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		s := start(t)
		sdp := offer.Offer{
			Own: offer.NewCredentials(), Fingerprint: strings.TrimSuffix(strings.Repeat("AA:", 32), ":"),
			Sections: []offer.Section{{Audio: true, Sends: true, SSRC: 7}, {Audio: true}, {}},
		}.SDP()
		for i := 0; i < joins; i += atATime {
			answered := make(chan string, atATime)
			for k := range atATime {
				c := openAside(t, s)
				for n, body := range []signal.ClientBody{
					&signal.Hello{PID: pidOf(i + k)}, &signal.View{},
					&signal.Offer{Connection: 1, SDP: sdp, Tracks: []signal.OfferTrack{{MID: "0", Source: signal.SourceMic}}},
				} {
					frame, err := signal.EncodeClient(uint32(n+1), body)
					if err != nil {
						t.Fatal(err)
					}
					c.text(string(frame))
				}
				go func() { answered <- c.untilAnswer() }()
			}
			for range atATime {
				select {
				case heard := <-answered:
					others := strings.Count(heard, " participant")
					if want := "ready" + strings.Repeat(" participant", others) + " answer"; heard != want || others >= i+atATime {
						t.Errorf("with %d there a joiner is told %q", i, heard)
					}
				case <-stuck:
					t.Fatal("an answer waits for a clock")
				}
			}
		}
		if passed := time.Since(began); passed != 0 {
			t.Errorf("the clock went on by %s: nothing is held", passed)
		}
	})
}

// openAside opens a WebSocket by no transport that others use.
func openAside(t *testing.T, s *Server) client {
	t.Helper()
	transport := &http.Transport{}
	c, _, err := websocket.Dial(t.Context(), "ws://"+s.Addr().String()+"/api/v1/rooms/den/ws", &websocket.DialOptions{
		Subprotocols: []string{signal.Subprotocol}, HTTPClient: &http.Client{Transport: transport},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.CloseNow()
		transport.CloseIdleConnections()
	})
	c.SetReadLimit(-1)
	return client{t, c}
}

// untilAnswer names the messages that come, up to the answer.
func (c client) untilAnswer() string {
	var types []string
	for {
		_, frame, err := c.conn.Read(c.t.Context())
		if err != nil {
			return fmt.Sprint(types, err)
		}
		var env signal.Envelope
		if err := json.Unmarshal(frame, &env); err != nil {
			return fmt.Sprint(types, err)
		}
		types = append(types, string(env.Type))
		if env.Type == signal.TypeAnswer {
			return strings.Join(types, " ")
		}
	}
}

func pidOf(i int) signal.PID {
	var raw [16]byte
	binary.BigEndian.PutUint64(raw[:], uint64(i)+1)
	return signal.PID(base64.RawURLEncoding.EncodeToString(raw[:]))
}
