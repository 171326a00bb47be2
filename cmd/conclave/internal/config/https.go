package config

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
)

// HTTPS holds the flags by which the server speaks HTTPS itself.
type HTTPS struct {
	TLSCert string `name:"tls-cert" placeholder:"FILE" help:"Certificate chain for HTTPS, PEM; read again when it changes."`
	TLSKey  string `name:"tls-key" placeholder:"FILE" help:"Its private key, PEM."`

	ACMEDomain    []string `name:"acme-domain" placeholder:"NAME" sep:"," help:"Get a certificate for this name from Let's Encrypt, or --acme-directory, by which you agree to its terms; repeat for several."`
	ACMECache     string   `name:"acme-cache" placeholder:"DIR" help:"Folder that keeps the certificates and their keys; it must outlive a restart."`
	ACMEEmail     string   `name:"acme-email" placeholder:"ADDRESS" help:"Where the authority writes to about the certificates."`
	ACMEDirectory string   `name:"acme-directory" placeholder:"URL" help:"Another ACME authority than Let's Encrypt."`

	HTTP string `name:"http" placeholder:"ADDR" help:"Address that sends browsers on to HTTPS and answers ACME's HTTP-01; off: none (default: :80 if HTTPS is on port 443)."`
}

// off turns a listener off that there is by default.
const off = "off"

// Enabled says whether the server speaks HTTPS.
func (h *HTTPS) Enabled() bool { return h.TLSCert != "" || len(h.ACMEDomain) > 0 }

// Errors about HTTPS that need no value to be told.
var (
	errHalfPair  = errors.New("--tls-cert and --tls-key: give both or none")
	errTwoWays   = errors.New("--tls-cert and --acme-domain: give one of them; certificates come from files or from the authority")
	errNoCache   = errors.New("--acme-domain: give --acme-cache too, a folder that outlives a restart; authorities refuse a server that asks anew each time")
	errNoDomain  = errors.New("--acme-cache, --acme-email and --acme-directory do nothing without --acme-domain")
	errNoHTTPS   = errors.New("--http does nothing without --tls-cert or --acme-domain; for plain HTTP use --listen alone")
	errForwarded = errors.New("--trust-forwarded-for and --acme-domain: give one of them; where this server has the certificate, browsers come to it themselves, and would choose the address that they are counted under")
	errDirectory = errors.New("--acme-directory: must be an https:// address")
)

func (h *HTTPS) validate() error {
	switch {
	case (h.TLSCert == "") != (h.TLSKey == ""):
		return errHalfPair
	case h.TLSCert != "" && len(h.ACMEDomain) > 0:
		return errTwoWays
	case len(h.ACMEDomain) > 0 && h.ACMECache == "":
		return errNoCache
	case len(h.ACMEDomain) == 0 && (h.ACMECache != "" || h.ACMEEmail != "" || h.ACMEDirectory != ""):
		return errNoDomain
	case h.HTTP != "" && h.HTTP != off && !h.Enabled():
		return errNoHTTPS
	}
	for _, d := range h.ACMEDomain {
		if !validDomain(d) {
			return fmt.Errorf("--acme-domain %q: must be a full host name, as meet.example.org; authorities give no certificate for others", d)
		}
	}
	if u, err := url.Parse(h.ACMEDirectory); h.ACMEDirectory != "" && (err != nil || u.Scheme != "https" || u.Host == "") {
		return errDirectory
	}
	if h.HTTP == "" || h.HTTP == off {
		return nil
	}
	_, err := parseAddr("--http", h.HTTP)
	return err
}

func validDomain(d string) bool {
	dots := strings.Contains(d, ".") && !strings.HasPrefix(d, ".") && !strings.HasSuffix(d, ".")
	return dots && !strings.ContainsAny(d, ":/*@ ") && net.ParseIP(d) == nil
}

// ListenAddr is the address of pages and WebSockets: --listen, or a default that depends
// on whether the server speaks HTTPS.
func ListenAddr(listen string, https bool) string {
	switch {
	case listen != "":
		return listen
	case https:
		return ":443"
	default:
		return ":8080"
	}
}

// HTTPAddr is the address that leads to HTTPS; empty if there is none.
func (s *Serve) HTTPAddr() string {
	switch {
	case !s.Enabled() || s.HTTP == off:
		return ""
	case s.HTTP != "":
		return s.HTTP
	}
	if hp, err := parseAddr("--listen", s.ListenAddr()); err != nil || hp.port != 443 {
		return ""
	}
	return ":80"
}
