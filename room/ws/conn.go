package ws

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/coder/websocket"
	"go.uber.org/zap"

	"github.com/conclave-sfu/conclave/room"
	"github.com/conclave-sfu/conclave/room/signal"
)

// smallMessage is the size in bytes up to which messages are read without a limit on how
// many at a time.
const smallMessage = 64 << 10

// slowest is how many bytes a second a large message has to come by at least, beside the
// time that every message has.
const slowest = 1 << 20

// keptBuffer is the size in bytes up to which a connection keeps its read buffer.
const keptBuffer = 64 << 10

// conn is one WebSocket.
type conn struct {
	// Immutable.
	h      *Handler
	room   string
	socket *websocket.Conn
	raw    net.Conn
	cork   *cork // on raw, under socket
	log    *zap.Logger

	ending sync.Once

	// stopping ends when the server stops or the connection has ended.
	stopping context.Context
	stop     context.CancelFunc
	// overdue cuts the connection when a message takes too long. It runs while one is read.
	overdue *time.Timer
	// stuck cuts the connection when a message cannot be written. It runs while one is.
	stuck *time.Timer

	// Owned by the reader.
	buf    bytes.Buffer
	limits limiter
}

func newConn(h *Handler, name string, socket *websocket.Conn, under *cork) *conn {
	socket.SetReadLimit(-1) // read has its own, which says too_large
	c := &conn{
		h:      h,
		room:   name,
		socket: socket,
		raw:    under.conn,
		cork:   under,
		log:    h.cfg.Logger.With(zap.String("room", name)),
		limits: h.newLimiter(),
	}
	c.stopping, c.stop = context.WithCancel(context.Background())
	c.overdue = time.AfterFunc(time.Hour, c.cut)
	c.overdue.Stop()
	c.stuck = time.AfterFunc(time.Hour, c.cut)
	c.stuck.Stop()
	return c
}

// run serves the connection until it has ended and nothing of it runs any more.
func (c *conn) run() {
	greeted, over := make(chan struct{}), make(chan struct{})
	var helpers sync.WaitGroup
	defer helpers.Wait()
	defer c.stop()
	defer close(over)
	helpers.Go(func() { c.watch(greeted, over) })
	defer c.close()

	member, why := c.greet()
	if member == nil {
		c.end(why)
		return
	}
	close(greeted)
	helpers.Go(func() { c.ping(over) })
	var writer sync.WaitGroup
	defer writer.Wait()
	writer.Go(func() { c.write(member) })
	member.Close(c.receive(member))
}

// What ends a connection, beside what the room says.
var (
	errBinary   = &signal.Error{Code: signal.CodeBadMessage, Message: "a binary frame"}
	errTooLarge = &signal.Error{Code: signal.CodeTooLarge, Message: "the message is too large"}
	errNoHello  = &signal.Error{Code: signal.CodeNotReady, Message: "hello must come first, and soon"}
	errStopped  = &signal.Error{Code: signal.CodeShutdown, Message: "the server stops: come back"}
	errBusy     = &signal.Error{Code: signal.CodeRateLimited, Message: "too many large messages at a time: resume"}
	errFlood    = &signal.Error{Code: signal.CodeRateLimited, Message: "too many messages"}
	errNoRoom   = &signal.Error{Code: signal.CodeServerFull, Message: "the server has no place for another room"}
	errFull     = &signal.Error{Code: signal.CodeServerFull, Message: "the server has no place for another participant"}
	errInternal = &signal.Error{Code: signal.CodeInternal, Message: "the room cannot be reached"}
)

// greet reads the first message and connects to the room. Without a connection the
// error says why; it is nil if the client is gone.
func (c *conn) greet() (*room.Connection, *signal.Error) {
	frame, err := c.read(func() int64 { return signal.MaxHello })
	if err != nil {
		return nil, asRefusal(err)
	}
	msg, err := signal.DecodeClient(frame)
	if hello, ok := msg.Body.(*signal.Hello); ok {
		return c.connect(msg.ID, hello)
	}
	if err != nil {
		return nil, asRefusal(err)
	}
	return nil, errNoHello
}

func (c *conn) connect(id uint32, hello *signal.Hello) (*room.Connection, *signal.Error) {
	member, err := c.h.registry.Connect(context.Background(), c.room, id, hello)
	switch {
	case errors.Is(err, room.ErrStopped):
		return nil, errStopped
	case errors.Is(err, room.ErrTooManyRooms):
		return nil, errNoRoom
	case errors.Is(err, room.ErrServerFull):
		return nil, errFull
	case err != nil:
		c.log.Error("connect", zap.Error(err))
		return nil, errInternal
	}
	return member, nil
}

// asRefusal returns the signal error in err, or nil.
func asRefusal(err error) *signal.Error {
	var why *signal.Error
	errors.As(err, &why)
	return why
}

// receive gives the room what the client sends. It reports whether the client has
// closed the connection in order to leave.
func (c *conn) receive(member *room.Connection) (ended bool) {
	for {
		frame, err := c.read(member.MaxMessage)
		if why := asRefusal(err); why != nil {
			member.Fail(why)
			return false
		}
		if err != nil {
			status := websocket.CloseStatus(err)
			return status == websocket.StatusNormalClosure || status == websocket.StatusGoingAway
		}
		if !c.take(member, frame) {
			return false
		}
	}
}

// take gives the room one message, or refuses it. It reports false when the connection
// has to end.
func (c *conn) take(member *room.Connection, frame []byte) bool {
	msg, err := signal.DecodeClient(frame)
	c.logMessage(msg, len(frame))
	switch now := time.Now(); {
	case c.limits.allow(now, msg.Type, len(frame)):
	case c.limits.goesOn(now):
		member.Fail(errFlood)
		return false
	default:
		member.Refuse(msg.ID, errFlood)
		return true
	}
	if err != nil {
		member.Refuse(msg.ID, asRefusal(err))
		return true
	}
	return member.Receive(context.Background(), msg) == nil
}

// logMessage logs no content: a type that is not one of ours would be some.
func (c *conn) logMessage(msg signal.FromClient, size int) {
	typ := msg.Type
	if msg.Body == nil {
		typ = "refused"
	}
	c.log.Debug("message", zap.String("type", string(typ)), zap.Uint32("id", msg.ID), zap.Int("bytes", size))
}

// read returns the next message, which is valid until the next read. The error is an
// [*signal.Error] if the connection is to end with it. maxSize is asked when the message
// begins, for the room may have grown meanwhile. From a message's first byte to its last
// there is a limit of time, so that nobody holds our memory by halves of messages.
func (c *conn) read(maxSize func() int64) ([]byte, error) {
	if c.buf.Reset(); c.buf.Cap() > keptBuffer {
		c.buf = bytes.Buffer{}
	}
	typ, r, err := c.socket.Reader(context.Background())
	if err != nil {
		return nil, err
	}
	if typ != websocket.MessageText {
		return nil, errBinary
	}
	c.overdue.Reset(c.h.timing.message)
	defer c.overdue.Stop()
	limit := maxSize()
	small := min(limit+1, smallMessage)
	n, err := c.buf.ReadFrom(io.LimitReader(r, small))
	if err == nil && n == small && small <= limit {
		err = c.readLarge(r, limit+1-small)
	}
	if err != nil {
		return nil, err
	}
	if int64(c.buf.Len()) > limit {
		return nil, errTooLarge
	}
	return c.buf.Bytes(), nil
}

// readLarge reads the rest of a large message, up to most bytes, once few enough bytes are
// read elsewhere. While it waits no ping is answered, so it does not wait long.
func (c *conn) readLarge(r io.Reader, most int64) error {
	c.overdue.Stop()
	waiting, cancel := context.WithTimeout(c.stopping, c.h.timing.message)
	defer cancel()
	switch {
	case c.h.large.Acquire(waiting, most) == nil:
	case c.stopping.Err() != nil:
		return errStopped
	default:
		return errBusy
	}
	defer c.h.large.Release(most)
	c.overdue.Reset(c.h.timing.message + time.Duration(most)*time.Second/slowest)
	_, err := c.buf.ReadFrom(io.LimitReader(r, most))
	return err
}

// write gives the client what the room says, and ends the connection when the room does.
func (c *conn) write(member *room.Connection) {
	for {
		frame, err := member.Next(context.Background())
		if err == nil {
			err = c.writeRun(member, frame)
		}
		var ended *room.Ended
		if errors.As(err, &ended) {
			c.end(ended.Why)
			return
		}
		if err != nil {
			c.cut() // the reader sees it
			return
		}
	}
}

// writeRun writes a frame and those that are there behind it, as few packets.
func (c *conn) writeRun(member *room.Connection, frame []byte) (err error) {
	defer c.stuck.Stop()
	c.cork.put()
	for err == nil && frame != nil {
		c.stuck.Reset(c.h.timing.write * time.Duration(1+len(frame)>>19))
		if err = c.socket.Write(context.Background(), websocket.MessageText, frame); err == nil {
			frame, err = member.TryNext()
		}
	}
	if wrote := c.cork.pull(); wrote != nil {
		return wrote
	}
	return err
}

// watch ends the connection if its hello does not come, or the server stops.
func (c *conn) watch(greeted, over <-chan struct{}) {
	hello := time.NewTimer(c.h.timing.hello)
	defer hello.Stop()
	for stopping := c.h.registry.Done(); ; {
		select {
		case <-over:
			return
		case <-greeted:
			hello.Stop()
			greeted = nil
		case <-hello.C:
			c.end(errNoHello)
		case <-stopping:
			stopping = nil
			c.stop()
			c.hurry(greeted != nil)
		}
	}
}

// hurry lets a connection end soon as the server stops. The room says so to those that
// are connected to one.
func (c *conn) hurry(waiting bool) {
	if waiting {
		c.end(errStopped)
		return
	}
	_ = c.raw.SetWriteDeadline(time.Now().Add(c.h.timing.ending)) // fails only if it is closed
}

// ping cuts the connection when the client does not answer any more.
func (c *conn) ping(over <-chan struct{}) {
	ticker := time.NewTicker(c.h.timing.ping)
	defer ticker.Stop()
	for {
		select {
		case <-over:
			return
		case <-ticker.C:
		}
		ctx, cancel := context.WithTimeout(context.Background(), c.h.timing.pong)
		err := c.socket.Ping(ctx)
		cancel()
		if err != nil {
			c.cut()
			return
		}
	}
}

// end says why and closes the connection in order; only the first call does.
func (c *conn) end(why *signal.Error) {
	c.ending.Do(func() {
		defer time.AfterFunc(c.h.timing.ending, c.cut).Stop()
		status, reason := websocket.StatusCode(signal.CloseLeft), ""
		if why != nil {
			status, reason = websocket.StatusCode(why.Code.CloseCode()), string(why.Code)
			if frame, err := signal.EncodeServer(0, why); err == nil {
				_ = c.socket.Write(context.Background(), websocket.MessageText, frame)
			}
		}
		_ = c.socket.Close(status, reason)
		c.log.Debug("connection ended", zap.Int("status", int(status)))
	})
}

// cut closes the network connection at once: reading and writing fail from then on.
func (c *conn) cut() { _ = c.raw.Close() }

// close gives up all that the connection holds.
func (c *conn) close() {
	c.cut()
	_ = c.socket.CloseNow()
}
