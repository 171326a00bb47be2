package server

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"syscall"
)

// ErrListen: an address or port cannot be listened on. The error that wraps it says
// what was tried and what to do.
var ErrListen = errors.New("cannot listen")

// listenError explains an error of listening to whoever runs the server; flag names
// the setting.
func listenError(flag, addr, network string, err error) error {
	return fmt.Errorf("%w on %s %s (%s): %w; %s", ErrListen, network, addr, flag, err, advice(network, err))
}

func advice(network string, err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Sprintf("another program has this port ('ss -lnp --%s' names it): stop it, or choose another", network)
	case errors.Is(err, syscall.EACCES):
		return "ports below 1024 need a privilege: choose a higher one, or give the program CAP_NET_BIND_SERVICE"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "no interface of this machine has this address: leave the host out to listen on all"
	default:
		return "check the address"
	}
}

// mediaError explains why the forwarder did not start.
func mediaError(addr netip.AddrPort, err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return listenError("--media-port", ":"+strconv.Itoa(int(addr.Port())), "udp", err)
	}
	return fmt.Errorf("start media on UDP port %d: %w", addr.Port(), err)
}
