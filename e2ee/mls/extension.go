package mls

import (
	"slices"
	"strconv"

	"github.com/conclave-sfu/conclave/e2ee/internal/fail"
)

// Extension is an extension of a LeafNode, KeyPackage, GroupContext or GroupInfo
// (RFC 9420, Section 13.4). No two in one list have the same type.
type Extension struct {
	Type uint16
	Data []byte
}

// Conclave's extension types, from the range for private use. Every leaf that this
// package makes lists all of them in its capabilities.
const (
	ExtensionConclaveGroup    uint16 = 0xF0C0 // in GroupContext
	ExtensionConclaveIdentity uint16 = 0xF0C1 // in LeafNode
	ExtensionConclaveJoin     uint16 = 0xF0C2 // in KeyPackage
	ExtensionConclaveCommit   uint16 = 0xF0C3 // in GroupInfo
)

// Extension types of RFC 9420, Section 17.3. Every client has the ones up to
// external_senders; they need no mention in capabilities.
const (
	extensionRatchetTree          uint16 = 2
	extensionRequiredCapabilities uint16 = 3
	lastDefaultExtension          uint16 = 5
)

// lastDefaultProposal is group_context_extensions, the last proposal type of RFC 9420.
const lastDefaultProposal uint16 = 7

// credentialBasic is the only credential type of the profile (RFC 9420, Section 5.3).
const credentialBasic uint16 = 1

// versionMLS10 is the only protocol version.
const versionMLS10 uint16 = 1

// maxExtensions bounds a list of extensions: far more than Conclave's and GREASE.
const maxExtensions = 64

// extensions reads a list of extensions.
func (r *reader) extensions() []Extension {
	n := (&reader{b: r.b}).countExtensions()
	if n == 0 {
		r.list(0, nil) // empty, or what is wrong with it
		return nil
	}
	out := make([]Extension, 0, n)
	r.list(maxExtensions, func(r *reader) {
		e := Extension{Type: r.u16(), Data: r.vec()}
		if _, twice := findExtension(out, e.Type); twice {
			r.malformed("extension " + fail.Hex(e.Type) + " twice")
		}
		out = append(out, e)
	})
	return out
}

// countExtensions counts the list that r is at, up to what may be in it, so that reading it
// allocates once. What is wrong with it shows when it is read.
func (r *reader) countExtensions() (n int) {
	sub := &reader{b: r.vec()}
	for n < maxExtensions && sub.more() {
		sub.take(2)
		sub.vec()
		n++
	}
	return n
}

func appendExtensions(b []byte, list []Extension) []byte {
	return appendList(b, func(b []byte) []byte {
		for _, e := range list {
			b = appendVec(appendU16(b, e.Type), e.Data)
		}
		return b
	})
}

func cloneExtensions(list []Extension) []Extension {
	out := make([]Extension, len(list))
	for i, e := range list {
		out[i] = Extension{e.Type, slices.Clone(e.Data)}
	}
	return out
}

// checkExtensionList refuses what the reader would refuse.
func checkExtensionList(list []Extension) error {
	if len(list) > maxExtensions {
		return fail.With(ErrInvalid, strconv.Itoa(len(list))+" extensions")
	}
	seen := make(map[uint16]bool)
	for _, e := range list {
		if seen[e.Type] {
			return fail.With(ErrInvalid, "extension "+fail.Hex(e.Type)+" twice")
		}
		seen[e.Type] = true
	}
	return nil
}

// findExtension returns the data of the extension of that type.
func findExtension(list []Extension, typ uint16) ([]byte, bool) {
	for _, e := range list {
		if e.Type == typ {
			return e.Data, true
		}
	}
	return nil, false
}

// capabilities is Capabilities (RFC 9420, Section 7.2). Values that we do not know,
// GREASE among them (Section 13.5), are kept and mean nothing.
type capabilities struct {
	versions, suites, extensions, proposals, credentials []uint16
}

// ownCapabilities are those of the leaves we make. used are the extension types that
// the caller uses beside Conclave's own.
func ownCapabilities(id Suite, used ...[]Extension) capabilities {
	c := capabilities{
		versions: []uint16{versionMLS10},
		suites:   []uint16{uint16(id)},
		extensions: []uint16{
			ExtensionConclaveGroup, ExtensionConclaveIdentity,
			ExtensionConclaveJoin, ExtensionConclaveCommit,
		},
		credentials: []uint16{credentialBasic},
	}
	for _, e := range slices.Concat(used...) {
		if !c.hasExtension(e.Type) {
			c.extensions = append(c.extensions, e.Type)
		}
	}
	return c
}

func (r *reader) capabilities() capabilities {
	return capabilities{r.u16s(), r.u16s(), r.u16s(), r.u16s(), r.u16s()}
}

func (c capabilities) append(b []byte) []byte {
	for _, list := range [][]uint16{c.versions, c.suites, c.extensions, c.proposals, c.credentials} {
		b = appendU16s(b, list)
	}
	return b
}

func (c capabilities) hasExtension(typ uint16) bool {
	return 1 <= typ && typ <= lastDefaultExtension || slices.Contains(c.extensions, typ)
}

func (c capabilities) hasProposal(typ uint16) bool {
	return 1 <= typ && typ <= lastDefaultProposal || slices.Contains(c.proposals, typ)
}

// covers reports whether every one of the extensions is among the capabilities.
func (c capabilities) covers(list []Extension) bool {
	return !slices.ContainsFunc(list, func(e Extension) bool { return !c.hasExtension(e.Type) })
}

// requiredCapabilities is RequiredCapabilities (RFC 9420, Section 11.1).
type requiredCapabilities struct{ extensions, proposals, credentials []uint16 }

// RequiredCapabilities makes the extension required_capabilities for a GroupContext:
// every member must list the given extension types, and the basic credential.
func RequiredCapabilities(extensionTypes ...uint16) Extension {
	b := appendU16s(nil, extensionTypes)
	b = appendU16s(b, nil)
	b = appendU16s(b, []uint16{credentialBasic})
	return Extension{extensionRequiredCapabilities, b}
}

// requiredBy returns what a GroupContext's extensions require, and whether they do.
func requiredBy(group []Extension) (req requiredCapabilities, err error) {
	data, ok := findExtension(group, extensionRequiredCapabilities)
	if !ok {
		return req, nil
	}
	err = decode("required_capabilities", data, func(r *reader) {
		req = requiredCapabilities{r.u16s(), r.u16s(), r.u16s()}
	})
	return req, err
}

// meets reports whether a leaf with these capabilities may be in a group that requires
// req and has these extensions in its GroupContext.
func (c capabilities) meets(id Suite, group []Extension, req requiredCapabilities) bool {
	lacks := func(has func(uint16) bool, list []uint16) bool {
		return slices.ContainsFunc(list, func(t uint16) bool { return !has(t) })
	}
	credential := func(t uint16) bool { return slices.Contains(c.credentials, t) }
	return slices.Contains(c.versions, versionMLS10) &&
		slices.Contains(c.suites, uint16(id)) &&
		credential(credentialBasic) &&
		c.covers(group) &&
		!lacks(c.hasExtension, req.extensions) &&
		!lacks(c.hasProposal, req.proposals) &&
		!lacks(credential, req.credentials)
}

// groupContext is GroupContext (RFC 9420, Section 8.1). It is immutable.
type groupContext struct {
	suite                   Suite
	groupID                 []byte
	epoch                   uint64
	treeHash                []byte
	confirmedTranscriptHash []byte
	extensions              []Extension
}

func (r *reader) groupContext() groupContext {
	if v := r.u16(); v != versionMLS10 && r.err == nil {
		r.fail(fail.With(ErrProfile, "version "+strconv.Itoa(int(v))))
	}
	return groupContext{
		suite: Suite(r.u16()), groupID: r.vec(), epoch: r.u64(),
		treeHash: r.vec(), confirmedTranscriptHash: r.vec(), extensions: r.extensions(),
	}
}

func (c groupContext) encode() []byte {
	b := appendU16(nil, versionMLS10)
	b = appendU16(b, uint16(c.suite))
	b = appendU64(appendVec(b, c.groupID), c.epoch)
	b = appendVec(appendVec(b, c.treeHash), c.confirmedTranscriptHash)
	return appendExtensions(b, c.extensions)
}
