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
func connectionLimits() port.Limits { return limitsFor(descriptors()) }

// limitsFor leaves room for connections that are in use however many are pending: these are
// displaced, and not everybody refused, when nobody says what it is here for.
func limitsFor(descriptors int) port.Limits {
	open := max(descriptors-keptDescriptors, descriptors/2)
	pending := min(port.DefaultPending, open/2)
	return port.Limits{
		Open: open, OpenFromIP: open / 2,
		Pending: pending, PendingFromIP: min(port.DefaultPendingFromIP, max(pending/4, 1)),
	}
}
