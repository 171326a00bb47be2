// Command benchsfu measures what forwarding costs: the processor time of `conclave
// serve` for each packet that it forwards, beside that of a bare loop, the floor, in
// the same run. `make bench-sfu` runs it.
//
//	this process: native clients          another process: conclave serve, or the floor
//	publish (SRTP) ------------- UDP ------------> open, seal for each subscriber
//	reader <---- all subscribers' sockets, UDP <--------------- send
//
// The clients are as light as they can be, and as real as they must be: they join by
// the room's WebSocket, connect by ICE and DTLS, seal and open by SRTP, and report as
// browsers do, transport-wide feedback included (each 50 ms); but only one packet in
// sixteen of each stream is opened, to read the time at which it was sent. The kernel
// says when it arrived, so that the clients' own slowness is no delay. They have addresses
// of their own, 127.1.1.1 and so on, on few sockets, which one thread reads.
//
// The floor has the same clients, so that what the kernel does to deliver a packet costs
// both the same, and throws their reports away (--feedback says who gets them). It stands
// where a forwarder cannot go below: what it receives and sends is the same.
//
// The floor knows no ICE, no DTLS and no rooms: it receives what has come, opens it,
// seals it for each subscriber by AES-128-GCM, and sends by sendmmsg with runs of
// equal size in one message (UDP_SEGMENT).
//
// `scale` is one sender to 10, 100, 500 and 999 receivers, each of which gets a quarter of what
// it gets in the others: so that two cores carry them all, and each costs its share of reports,
// checks and timers.
//
// `crowd` is a large room with no floor beside it: all send, each looks at some of the others,
// scrolls, and hears a few. It counts what each receives, by opening every packet, and
// measures the server while all join, look, scroll and speak.
//
// It runs on Linux only.
package main
