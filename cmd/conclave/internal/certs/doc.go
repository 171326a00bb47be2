// Package certs gives the server its TLS configuration: certificates from files, which
// are read again when they change, or from an ACME authority (RFC 8555).
package certs

import "crypto/tls"

// ALPN protocol ids of what is spoken inside TLS on the server's port.
const (
	ProtoHTTP2 = "h2"
	ProtoHTTP1 = "http/1.1"
)

// base is what all configurations share. Go's own defaults choose the rest: cipher suites
// with forward secrecy and AEAD first, X25519MLKEM768 first among the groups.
func base() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, // all browsers with encoded transforms speak 1.3
		NextProtos: []string{ProtoHTTP2, ProtoHTTP1},
	}
}
