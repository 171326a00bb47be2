// Package server puts Conclave together: rooms, forwarder, WebSockets, web client,
// metrics. It holds no logic of a meeting and, like all that it wires, has no import
// path to e2ee.
//
// A [Server] listens on up to three sockets: HTTP for pages and WebSockets, UDP for
// all media, and, if asked for, HTTP for those who run it.
package server
