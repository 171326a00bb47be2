// Package signal holds the messages that a participant and a room exchange over
// one WebSocket (subprotocol [Subprotocol]), their limits and their error codes.
//
// Every message is one JSON text frame:
//
//	{"type": "commit", "id": 7, "body": {...}}
//
// The type names the struct in body: [Hello] travels as "hello", and so on (see
// the Type constants). A client may set id, a number of its choice that is unique
// on the connection; the answer to that message, [Appended], [Answer] or [Error],
// then carries the same number as "re". Unknown fields are ignored. An unknown
// type is answered with [CodeUnknownType] and changes nothing.
//
// Byte strings are standard base64 (RFC 4648, Section 4). Times are milliseconds
// since the Unix epoch by the server's clock.
//
// The order of a connection:
//
//	client: hello            server: ready, then log from after+1, participant...
//	client: join             server: appended (and log, to all)
//	client: offer            server: answer, slots
//	client: create, commit   server: appended, or error "stale"
//	client: view, mute, message, at any time
//	client: leave            server: closes with 1000
//
// A client whose connection was lost sends hello with [Resume] on a new one. Ready then
// says Resumed, the log goes on after Resume.After, and the whole roster and the slots
// are told again. What was not yet answered is to be sent again, unless the log shows
// that it was appended. Group messages in between are lost.
//
// After an [Error] that ends the connection it closes with [Code.CloseCode]. A client that closes with 1000 or 1001 ends
// its participation as [Leave] does; any other end is a loss.
//
// The server looks into no KeyPackage, commit, Welcome, group message or frame.
package signal
