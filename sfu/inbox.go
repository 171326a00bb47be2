package sfu

import (
	"io"

	"github.com/pion/transport/v4/packetio"
)

// inboxSize bounds what waits in an inbox, in bytes; more is lost.
const inboxSize = 1 << 20

// inbox holds the packets of a received stream from when they were opened until its
// goroutine reads them. When none is left, what that goroutine has written goes out:
// packets that come together are forwarded together, and none waits for others.
type inbox struct {
	*packetio.Buffer
	empty func()
}

// newInbox is Pion's buffer, for RTP with a call before it waits.
func newInbox(kind packetio.BufferPacketType, empty func()) io.ReadWriteCloser {
	b := packetio.NewBuffer()
	b.SetLimitSize(inboxSize)
	if kind != packetio.RTPBufferPacket {
		return b
	}
	return &inbox{b, empty}
}

// Read waits for the next packet.
func (i *inbox) Read(b []byte) (int, error) {
	if i.Count() == 0 {
		i.empty()
	}
	return i.Buffer.Read(b)
}
