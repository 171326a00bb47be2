// Package pebble holds the program against an ACME authority that others wrote: Pebble, in
// which Let's Encrypt tests what its own servers ask for (RFC 8555). It is a module of its own,
// so that the authority is no dependency of the program.
package pebble
