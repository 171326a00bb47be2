// Command benchsfu measures what forwarding costs: the processor time of `conclave
// serve` for each packet that it forwards, beside that of a bare loop, the floor, in
// the same run. `make bench-sfu` runs it.
//
//	this process: native clients          another process: conclave serve, or the floor
//	publish (SRTP) ------------- UDP ------------> open, seal for each subscriber
//	reader <---- all subscribers' sockets, UDP <--------------- send
//
// The clients are as light as they can be, and as real as they must be: they join by
// the room's WebSocket, connect by ICE and DTLS, and seal and open by SRTP, but only
// one packet in sixteen is opened, to read the time at which it was sent. The kernel
// says when it arrived. One thread reads all sockets.
//
// The floor knows no ICE, no DTLS and no rooms: it receives what has come, opens it,
// seals it for each subscriber by AES-128-GCM, and sends by sendmmsg with runs of
// equal size in one message (UDP_SEGMENT).
//
// It runs on Linux only.
package main
