//go:build !js

package e2ee

import (
	"fmt"
	"io"
)

// What fmt prints of a secret is "[secret]", whatever the verb. In the browser's build
// there is no fmt (see package fail), and so nothing that could print one.

// Format keeps the secret out of logs.
func (LinkSecret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[secret]") }

// Format keeps the keys out of logs.
func (linkKeys) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[secret]") }

// Format prints [Session.String].
func (s *Session) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }
