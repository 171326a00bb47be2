package client

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// reroute has every UDP candidate of an answer (RFC 8839, Section 5.1) lead to where
// route says. Others are left out: nothing goes by a way that route does not know.
func reroute(answer string, route func(netip.AddrPort) (netip.AddrPort, error)) (string, error) {
	var out strings.Builder
	for line := range strings.Lines(answer) {
		value, isCandidate := strings.CutPrefix(line, "a=candidate:")
		if !isCandidate {
			out.WriteString(line)
			continue
		}
		fields := strings.Fields(value)
		if len(fields) < 6 || !strings.EqualFold(fields[2], "udp") {
			continue
		}
		server, err := netip.ParseAddrPort(net.JoinHostPort(fields[4], fields[5]))
		if err != nil {
			continue // a name, of mDNS
		}
		via, err := route(server)
		if err != nil {
			return "", fmt.Errorf("route to %s: %w", server, err)
		}
		fields[4], fields[5] = via.Addr().String(), fmt.Sprint(via.Port())
		out.WriteString("a=candidate:" + strings.Join(fields, " ") + "\r\n")
	}
	return out.String(), nil
}
