package server

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
)

// ErrListen: an address or port cannot be listened on. It wraps what was tried and
// says what to do.
var ErrListen = errors.New("cannot listen")

// listenTCP opens a TCP socket; flag names the setting in an error.
func listenTCP(flag, addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, listenError(flag, addr, "tcp", err)
	}
	return l, nil
}

// listenError explains an error of listen(2) to whoever runs the server.
func listenError(flag, addr, network string, err error) error {
	return fmt.Errorf("%w on %s %s (%s): %w; %s", ErrListen, network, addr, flag, err, advice(addr, network, err))
}

func advice(addr, network string, err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Sprintf("another program has this port ('ss -lnp --%s' names it): stop it or choose another port", network)
	case errors.Is(err, syscall.EACCES):
		return "ports below 1024 need a privilege: choose a higher one, or give the program CAP_NET_BIND_SERVICE"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "no interface of this machine has this address: leave the host out to listen on all"
	default:
		return "check the address"
	}
}

// mediaAddr writes a UDP address as a person would.
func mediaAddr(a netip.AddrPort) string {
	if a.Addr().IsValid() {
		return a.String()
	}
	return fmt.Sprintf(":%d", a.Port())
}
