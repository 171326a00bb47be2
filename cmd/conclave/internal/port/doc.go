// Package port shares one TCP port among pages, WebSockets, TURN and ICE: in many networks
// 443 is the only one that leads out. What a connection is for shows in its first bytes:
//
//	0x16 .. ..                      TLS ClientHello (RFC 8446, Section 5.1), and inside of it
//	   ALPN h2, http/1.1               HTTP
//	   ALPN stun.turn (RFC 7443)       TURN
//	   none: a letter                  HTTP
//	         00 03 .. .. 21 12 A4 42   TURN: a STUN message, with its magic cookie
//	A to Z                          HTTP in clear
//	00 03 .. .. 21 12 A4 42         TURN in clear
//	len len 00 01 .. .. 21 12 A4 42 ICE: a STUN message framed by its length (RFC 4571)
//
// Anything else is closed. So is a connection that does not show in time what it is for, and,
// when too many are about to, the one that has taken longest: whoever opens thousands of them
// and says nothing displaces their own.
package port
