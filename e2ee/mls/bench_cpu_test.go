//go:build !unix

package mls

import "testing"

// cpuTime is nothing where the system does not tell.
func cpuTime(*testing.B) (report func()) { return func() {} }
