// Package loadtest lets many native participants hold one meeting and measures it.
//
//	scenario.go    who joins, in which order, for how long
//	participant.go one of them, and what it received
//	clip.go        the recorded clip that publishers send, and the check against it
//	synthetic.go   video of chosen bit rates in its place, in layers
//	conditions.go  what a bad network does, as flags and schedules say it
//	relays.go      the bad network: a relay before each participant that has one
//	phase.go       one condition after another
//	account.go     what of a video its viewer could have had, and what it decoded
//	viewing.go     what a viewer sees of a video: freezes, and when it is well again
//	ledger.go      what was sealed under which KID and CTR, and when
//	report.go      the figures, as JSON and as a table; the verdict
//	views.go       those of each video under each of the conditions
//
// Sender and receiver are one process: a frame that was opened is looked up by its
// KID and CTR, and must be, byte for byte, the frame of the clip that was sealed under
// them. The time between the two is the latency, from seal to open.
package loadtest
