//go:build tap

package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"os"
	"sync"

	"github.com/conclave-sfu/conclave/sfu"
)

// tapFlags exist only in builds with the tag "tap", which the browser tests use to
// prove that the server sees no frame in clear.
type tapFlags struct {
	Tap string `placeholder:"FILE" hidden:"" help:"Append every RTP payload, as received, to FILE."`
}

// recorder appends payloads to a file, each after its length (uint32, big endian).
type recorder struct {
	mu   sync.Mutex
	file *os.File
	buf  *bufio.Writer

	packet func(sfu.Tapped)
}

func (f tapFlags) open() (*recorder, error) {
	if f.Tap == "" {
		return &recorder{}, nil
	}
	file, err := os.OpenFile(f.Tap, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the tap: %w", err)
	}
	r := &recorder{file: file, buf: bufio.NewWriter(file)}
	r.packet = r.record
	return r, nil
}

// record is called from the goroutines of all received streams.
func (r *recorder) record(t sfu.Tapped) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var length [4]byte
	binary.BigEndian.PutUint32(length[:], uint32(len(t.Payload)))
	r.buf.Write(length[:]) // bufio keeps the error for Flush
	r.buf.Write(t.Payload) // as above
	if r.buf.Buffered() > flushAt {
		r.buf.Flush() // a full disk shows as a truncated file in the test
	}
}

// flushAt bounds what a reader of the file lags behind, in bytes.
const flushAt = 2 << 10

func (r *recorder) close() {
	if r.file == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.buf.Flush() // as above
	r.file.Close()
}
