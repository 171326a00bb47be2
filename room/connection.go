package room

import (
	"context"

	"github.com/conclave-sfu/conclave/room/signal"
)

// Connection is one participant's end of a room, from its hello on. [Connection.Next] and
// [Connection.TryNext] are for one goroutine; the rest may be called by any. Close it exactly once.
type Connection struct {
	// Immutable.
	id   connID
	room *room
	out  *outbox
}

// Receive gives the room a decoded, valid message. It waits while the room has too
// much to do. An [*Ended] says that the connection takes no more messages.
func (c *Connection) Receive(ctx context.Context, msg signal.FromClient) error {
	select {
	case <-c.out.ended:
		return &Ended{}
	default:
	}
	select {
	case c.room.inbox <- inboxItem{cmd: received{conn: c.id, id: msg.ID, body: msg.Body}}:
		return nil
	case <-c.out.ended:
		return &Ended{}
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Next waits for the next message to write to the client. The frame is shared: it must
// not be changed. After the last one the error is an [*Ended].
func (c *Connection) Next(ctx context.Context) ([]byte, error) { return c.out.next(ctx) }

// TryNext gives a message that follows the one before and is there; nil if there is none yet.
// It is for who has had one of Next: what goes to many waits a moment behind such a run.
func (c *Connection) TryNext() ([]byte, error) { return c.out.tryNext() }

// Refuse answers a message that could not be decoded.
func (c *Connection) Refuse(re uint32, why *signal.Error) {
	frame, err := signal.EncodeServer(re, why)
	if err != nil {
		return // an Error always has a JSON form
	}
	c.out.push(item{frame: frame}, c.MaxMessage())
}

// Fail ends the connection with an error of the caller's. Its participation may be resumed.
func (c *Connection) Fail(why *signal.Error) { c.out.finish(&Ended{why}) }

// MaxMessage is the size in bytes of the largest message that the room takes now.
func (c *Connection) MaxMessage() int64 { return c.room.maxMessage() }

// Close tells the room that the connection is no more. With ended its participation ends
// at once, else it may be resumed during the grace period.
func (c *Connection) Close(ended bool) {
	c.out.finish(&Ended{})
	c.room.inbox <- inboxItem{cmd: lost{conn: c.id, ended: ended}, conn: c}
}
