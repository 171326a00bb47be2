// Package top shows how a server is doing, as a table that renews itself.
//
//	sample.go  what /metrics says at one time (Prometheus text format 0.0.4)
//	view.go    two of these, as a table: pure
//	top.go     asks, waits, draws
//
// It knows nothing that /metrics does not say, so it names no room and no participant.
package top
