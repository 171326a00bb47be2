package server

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// hstsAge is how long a browser asks this host by HTTPS only (RFC 6797): a year, in seconds.
// Subdomains are not included, since others may own them.
const hstsAge = "max-age=31536000"

// strictTransport tells browsers to come by HTTPS from now on.
func strictTransport(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Strict-Transport-Security", hstsAge)
		next.ServeHTTP(w, r)
	})
}

// plainHandler sends browsers from HTTP to HTTPS on a port, and answers an authority's
// challenges.
func plainHandler(port uint16, challenge func(http.Handler) http.Handler) http.Handler {
	var h http.Handler = redirect(port)
	if challenge != nil {
		h = challenge(h)
	}
	return h
}

// redirect leads to the same page by HTTPS. It keeps no connection: nothing else is to be
// had here. A link's secret is in the fragment, which browsers do not send but take along.
func redirect(port uint16) http.HandlerFunc {
	suffix := ""
	if port != 443 {
		suffix = ":" + strconv.Itoa(int(port))
	}
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		host := hostOf(r)
		if host == "" || !strings.HasPrefix(r.URL.RequestURI(), "/") || r.Method != http.MethodGet && r.Method != http.MethodHead {
			http.Error(w, "use HTTPS", http.StatusBadRequest)
			return
		}
		http.Redirect(w, r, "https://"+host+suffix+r.URL.RequestURI(), http.StatusMovedPermanently)
	}
}

// publicPort is the TCP port at which browsers reach pages: that of the public URL if there
// is one, since a port may be published under another number.
func publicPort(publicURL string, listening net.Addr) uint16 {
	if u, err := url.Parse(publicURL); err == nil && u.Host != "" {
		if port, err := strconv.ParseUint(u.Port(), 10, 16); err == nil {
			return uint16(port)
		}
		if u.Scheme == "http" {
			return 80
		}
		return 443
	}
	if tcp, ok := listening.(*net.TCPAddr); ok {
		return uint16(tcp.Port)
	}
	return 0
}

// hostOf is the host that a request asks for, without the port; empty if it is none. It is the
// visitor's own word, so nobody leads another elsewhere by it.
func hostOf(r *http.Request) string {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
		if strings.Contains(h, ":") {
			host = "[" + h + "]"
		}
	}
	if ip, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil && (ip.Is4() || host[0] == '[') && ip.Zone() == "" {
		return host
	}
	if strings.IndexFunc(host, notInName) >= 0 {
		return ""
	}
	return host
}

// notInName is for host names as browsers send them: international ones are in Punycode.
func notInName(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '.' && r != '_'
}
