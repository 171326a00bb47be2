package port

import (
	"net"

	"golang.org/x/sys/unix"
)

// limitUnsent bounds what the system keeps of a connection beyond what is on its way. By
// default that grows to megabytes, which on a thin line are many seconds of media. It fails
// only if the connection is closed.
func limitUnsent(c net.Conn) {
	tcp, ok := c.(*net.TCPConn)
	if !ok {
		return
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, maxUnsent)
	})
}
