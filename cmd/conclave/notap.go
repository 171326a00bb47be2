//go:build !tap

package main

import "github.com/conclave-sfu/conclave/sfu"

// tapFlags is empty: this build cannot record payloads (see tap.go).
type tapFlags struct{}

type noTap struct{ packet func(sfu.Tapped) }

func (tapFlags) open() (noTap, error) { return noTap{}, nil }

func (noTap) close() {}
