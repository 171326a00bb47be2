package ws

import (
	"net"
	"sync"
)

// corkSize is how much is held back at most, in bytes.
const corkSize = 32 << 10

// cork is between a WebSocket and its network connection. While it is in, what is written is
// held back, so that many small messages are one packet of TCP, and one call: a newcomer to a
// large room is told of a thousand others. It is safe for concurrent use.
type cork struct {
	conn net.Conn

	mu   sync.Mutex
	in   bool
	held *[]byte // nil for nothing
}

// corks are buffers of corkSize bytes: few connections write at a time.
var corks = sync.Pool{New: func() any {
	b := make([]byte, 0, corkSize)
	return &b
}}

// put holds back what is written from now on.
func (k *cork) put() {
	k.mu.Lock()
	k.in = true
	k.mu.Unlock()
}

// pull writes what was held back, and holds back nothing more.
func (k *cork) pull() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.in = false
	return k.flush()
}

// Write implements [io.Writer]. An error may be that of an earlier write.
func (k *cork) Write(b []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.held != nil && len(*k.held)+len(b) > corkSize {
		if err := k.flush(); err != nil {
			return 0, err
		}
	}
	if !k.in || len(b) >= corkSize {
		return k.conn.Write(b)
	}
	if k.held == nil {
		k.held = corks.Get().(*[]byte)
	}
	*k.held = append(*k.held, b...)
	return len(b), nil
}

// flush writes what was held back. The caller holds mu.
func (k *cork) flush() error {
	if k.held == nil {
		return nil
	}
	_, err := k.conn.Write(*k.held)
	*k.held = (*k.held)[:0]
	corks.Put(k.held)
	k.held = nil
	return err
}
