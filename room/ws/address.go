package ws

import (
	"net/http"
	"net/netip"
	"strings"
)

// source is whose connection a request would be: an IPv4 address, or an IPv6 network of 64
// bits, which is what one household or machine has. It is zero for loopback, private and
// link-local addresses: those are of a proxy, or of the operator's own network.
func (h *Handler) source(r *http.Request) netip.Prefix {
	addr := remoteAddr(r)
	if h.cfg.TrustForwardedFor {
		if forwarded, ok := forwardedFor(r); ok {
			addr = forwarded
		}
	}
	if !addr.IsValid() || addr.IsLoopback() || addr.IsPrivate() || addr.IsLinkLocalUnicast() {
		return netip.Prefix{}
	}
	bits := 64
	if addr.Is4() {
		bits = 32
	}
	prefix, _ := addr.Prefix(bits) // fails for more bits than there are
	return prefix
}

func remoteAddr(r *http.Request) netip.Addr {
	remote, _ := netip.ParseAddrPort(r.RemoteAddr) // always one on a TCP listener
	return remote.Addr().Unmap().WithZone("")
}

// forwardedFor is the last address of X-Forwarded-For: the one that the proxy next to us has
// seen. Those before it are its client's word.
func forwardedFor(r *http.Request) (netip.Addr, bool) {
	lines := r.Header.Values("X-Forwarded-For")
	if len(lines) == 0 {
		return netip.Addr{}, false
	}
	line := lines[len(lines)-1]
	last := strings.TrimSpace(line[strings.LastIndex(line, ",")+1:])
	if addr, err := netip.ParseAddr(last); err == nil {
		return addr.Unmap().WithZone(""), true
	}
	remote, err := netip.ParseAddrPort(last) // some name the port too
	return remote.Addr().Unmap().WithZone(""), err == nil
}
