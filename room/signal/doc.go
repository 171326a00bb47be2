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
// The server looks into no KeyPackage, commit, Welcome, group message or frame.
package signal
