//go:build !linux

package batchconn

import "net"

// newTransport gives the one that every system has.
func newTransport(socket *net.UDPConn) (transport, error) { return oneByOne{socket}, nil }
