package server

import "github.com/conclave-sfu/conclave/cmd/conclave/internal/port"

const (
	// usualDescriptors is what systems give at least.
	usualDescriptors = 1024
	// keptDescriptors are not for visitors: listeners, the admin address, certificates,
	// name lookups, the runtime's own.
	keptDescriptors = 128
)

// connectionLimits keep visitors from taking all descriptors of the process: what they cannot
// take, nobody misses, and media does not need any.
func connectionLimits() port.Limits {
	n := descriptors()
	open := max(n-keptDescriptors, n/2)
	return port.Limits{
		Open: open, OpenFromIP: open / 2,
		Pending: port.DefaultPending, PendingFromIP: port.DefaultPendingFromIP,
	}
}
