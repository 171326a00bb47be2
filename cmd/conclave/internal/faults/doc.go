// Package faults holds the server to what it promises under faults: bad networks,
// malformed and hostile packets, senders that begin anew, resources that run out, and
// joins and leaves without end. It is all tests, of a whole server from outside: they
// know its ports and its protocol, not what it is made of.
//
//	site_test.go      a server, and its metrics
//	probe_test.go     a participant that can send anything: signalling, ICE, DTLS and
//	                  SRTP with nothing in between
//	frames_test.go    frames that are known by their bytes, and those who look at them
//	networks_test.go  meetings of native participants over bad networks
//	garbage_test.go   what is no packet of ours, at the port and from participants
//	handshake_test.go DTLS that ends, other profiles and fingerprints, a server that ends
//	hostile_test.go   participants who mean harm
//	sources_test.go   senders whose numbers wrap, jump or begin anew
//	flat_test.go      joins and leaves without end
//	files_test.go     no more file descriptors
//
// As `make test` runs them they take about a minute. `make faults` runs them at length,
// with FAULTS=long: every network, a minute of noise; it prints a table and draws the
// estimate of a path against what the path takes. `make soak` joins and leaves for an
// hour.
package faults
