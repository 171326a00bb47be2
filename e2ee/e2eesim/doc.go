// Package e2eesim runs many sessions of package e2ee against a model of the room, on a
// simulated clock. Everything random comes from one seed, which tests print, and every
// run can be written down as a transcript.
//
// The model server keeps a log by compare and swap, gives Welcomes to the named only and
// digests of commits to those who came after them, and answers posts. Connections delay,
// break and come back; participants leave or vanish at any point. An adversary may change
// what each participant is shown, and write into the log.
package e2eesim
