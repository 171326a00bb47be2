// Package icelite answers connectivity checks: the whole of ICE for an agent that has
// public addresses (RFC 8445, Section 2.5).
//
//	check, ok := icelite.Parse(packet)          // a Binding request; nothing is authentic yet
//	agent := agents[check.Ufrag()]              // whose it is
//	response, verdict := agent.Answer(check, from)
//	question := agent.Ask(check, transaction)   // to where the check came from
//	...
//	reply, ok := icelite.ParseReply(packet)
//	agent.IsAnswered(reply, transaction)
//
// A verdict of [Checked] proves that who sent the check knows the password; with [Nominated]
// it wants media at the address that the check came from. What proves nothing is not
// answered: nobody learns from the port what it serves.
//
// Anybody who has a session may write another one's address on a check. That the peer can be
// reached there is proved by its answer to a check of ours, which such an agent need not send,
// but may, and a full one answers (RFC 8445, Section 7.3).
//
// The package knows no socket, clock or lock.
package icelite

import "net/netip"

// Credentials are one side's user name fragment and password (RFC 8445, Section 5.3).
type Credentials struct {
	Ufrag    string
	Password Password
}

// Password is a short-term credential (RFC 8489, Section 9.1). It does not print.
type Password string

// String hides the password.
func (Password) String() string { return "[secret]" }

// GoString hides it too.
func (Password) GoString() string { return "[secret]" }

// Check is a Binding request. Its memory is that of the packet.
type Check struct{ request }

// Parse reads a check. It is false for all other packets.
func Parse(packet []byte) (Check, bool) {
	r, printed, _ := parse(packet, bindingRequest)
	if !printed || r.integrity == nil { // checks have both (RFC 8445, Section 7.1)
		return Check{}, false
	}
	_, _, ok := r.ufrags()
	return Check{r}, ok
}

// Ufrag is the fragment of the agent that the check is for.
func (c *Check) Ufrag() []byte {
	local, _, _ := c.ufrags()
	return local
}

// Verdict says what a check has proved.
type Verdict uint8

// The verdicts.
const (
	Ignored   Verdict = iota // not authentic, or not for this agent
	Refused                  // authentic, but it is answered with an error
	Repeated                 // was here before, and is answered once more
	Checked                  // the peer says that it is at the address
	Nominated                // and wants media there (RFC 8445, Section 7.3.1.5)
)

// Agent is one side of a session. The zero value ignores every check. It is not safe
// for concurrent use.
type Agent struct {
	current, before generation
	memory          memory
}

// generation is what holds between two restarts.
type generation struct{ local, remote Credentials }

func (g generation) is(check *Check) bool {
	local, remote, _ := check.ufrags()
	return g.local.Ufrag != "" && g.local.Ufrag == string(local) && g.remote.Ufrag == string(remote)
}

// Restart begins the session, or begins it anew (RFC 8445, Section 9): local are
// credentials that were not used before, remote those of the peer. What was agreed before
// holds until the first check under the new ones.
func (a *Agent) Restart(local, remote Credentials) {
	a.before, a.current = a.current, generation{local, remote}
}

// of gives the generation that a check is for, if it is for any.
func (a *Agent) of(check *Check) *generation {
	if a.current.is(check) {
		return &a.current
	}
	return &a.before
}

// Local are the credentials of the present session.
func (a *Agent) Local() Credentials { return a.current.local }

// Ufrags are the fragments under which checks may come.
func (a *Agent) Ufrags() []string {
	var list []string
	for _, g := range []generation{a.current, a.before} {
		if g.local.Ufrag != "" {
			list = append(list, g.local.Ufrag)
		}
	}
	return list
}

// RoleConflict and others are error codes of answers (RFC 8445, Section 7.3.1.1; RFC
// 8489, Section 14.8).
const (
	unknownAttribute = 420
	roleConflict     = 487
)

// Answer answers a check that came from an address. The response goes back there by the
// same path; nil for none. It is the caller's. retired is the fragment that is valid no
// longer, after the first check of a restarted session.
func (a *Agent) Answer(check *Check, from netip.AddrPort) (response []byte, verdict Verdict, retired string) {
	now := a.of(check)
	password := string(now.local.Password)
	if !now.is(check) || !check.isAuthentic(password) {
		return nil, Ignored, ""
	}
	known, elsewhere := a.memory.meet(check, from)
	switch {
	case elsewhere:
		return nil, Ignored, ""
	case check.unknowns > 0:
		return check.failure(password, unknownAttribute, "Unknown Attribute"), Refused, ""
	case check.controlled:
		// An agent that does not check cannot control; the peer has to (RFC 8445,
		// Section 6.1.1).
		return check.failure(password, roleConflict, "Role Conflict"), Refused, ""
	case known:
		return check.success(password, from), Repeated, ""
	}
	if now == &a.current && a.before.local.Ufrag != "" {
		retired, a.before = a.before.local.Ufrag, generation{}
	}
	verdict = Checked
	if check.useCandidate {
		verdict = Nominated
	}
	return check.success(password, from), verdict, retired
}
