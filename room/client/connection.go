package client

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/coder/websocket"

	"github.com/conclave-sfu/conclave/e2ee"
	"github.com/conclave-sfu/conclave/room/signal"
)

const (
	dialTimeout  = 10 * time.Second
	writeTimeout = 10 * time.Second // a server that does not read for so long is lost
	pingInterval = 15 * time.Second // notices a path that is dead in both directions
	maxQueued    = 256              // messages that wait to be written; more: the connection is lost
)

// connection is one WebSocket. Its goroutines end with it and report to the loop:
// a fromServer for each message, then one lost.
type connection struct {
	// Immutable.
	number int // counts the participant's connections
	ws     *websocket.Conn
	out    chan []byte
	ctx    context.Context // of both goroutines
	cancel context.CancelFunc

	ready bool // Owned by the loop: the room has answered hello.
}

func newConnection(parent context.Context, number int, ws *websocket.Conn) *connection {
	c := &connection{number: number, ws: ws, out: make(chan []byte, maxQueued)}
	c.ctx, c.cancel = context.WithCancel(parent)
	return c
}

// socketURL is where the room's WebSocket is. The link's secret is no part of it.
func socketURL(link e2ee.Link) string {
	return "ws" + strings.TrimPrefix(link.Host, "http") + "/api/v1/rooms/" + link.Room + "/ws"
}

// dial opens a WebSocket to the room.
func dial(ctx context.Context, url string) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	ws, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{Subprotocols: []string{signal.Subprotocol}})
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", url, err)
	}
	if ws.Subprotocol() != signal.Subprotocol {
		_ = ws.CloseNow()
		return nil, fmt.Errorf("connect to %s: %w: subprotocol %.32q", url, ErrProtocol, ws.Subprotocol())
	}
	ws.SetReadLimit(signal.MaxMessage(signal.MaxParticipants))
	return ws, nil
}

// send queues a message. It reports false if the queue is full.
func (c *connection) send(message []byte) bool {
	select {
	case c.out <- message:
		return true
	default:
		return false
	}
}

// close ends the connection without a handshake.
func (c *connection) close() { c.cancel() }

// read passes on what the server says, until the connection ends.
func (c *connection) read(post func(event) bool) {
	defer c.cancel()
	for {
		_, frame, err := c.ws.Read(c.ctx)
		if err != nil {
			post(lost{c.number, err})
			return
		}
		message, err := signal.DecodeServer(frame)
		if err == nil {
			if !post(fromServer{c.number, message}) {
				return
			}
		} else if message.Type == "" || message.Body != nil { // else an unknown type: ignored
			post(lost{c.number, fmt.Errorf("%w: %w", ErrProtocol, err)})
			return
		}
	}
}

// write writes what is queued, and pings, until the connection ends.
func (c *connection) write() {
	defer c.ws.CloseNow() //nolint:errcheck // it is closed then
	defer c.cancel()
	ping := time.NewTicker(pingInterval)
	defer ping.Stop()
	for {
		var err error
		select {
		case <-c.ctx.Done():
			return
		case message := <-c.out:
			err = within(c.ctx, func(ctx context.Context) error { return c.ws.Write(ctx, websocket.MessageText, message) })
		case <-ping.C:
			err = within(c.ctx, c.ws.Ping)
		}
		if err != nil {
			return
		}
	}
}

func within(ctx context.Context, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	return do(ctx)
}
