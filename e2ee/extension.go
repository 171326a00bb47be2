package e2ee

import (
	"bytes"

	"github.com/conclave-sfu/conclave/e2ee/mls"
)

// wireVersion is the version in all extensions and in commits' authenticated data.
const wireVersion = 1

// groupExtension is conclave_group, in every GroupContext:
//
//	version u8 (1) || vector(room) || log id[16] || generation u32 || link version u16
type groupExtension struct {
	room        string
	log         LogID
	generation  uint32
	linkVersion uint16
}

func (e groupExtension) encode() []byte {
	b := appendVector([]byte{wireVersion}, []byte(e.room))
	b = appendRaw(b, e.log[:])
	b = appendUint32(b, e.generation)
	return appendUint16(b, e.linkVersion)
}

// joinExtension is conclave_join, in every KeyPackage:
//
//	version u8 (1) || vector(room) || log id[16] || generation u32 || seq u64
type joinExtension struct {
	room       string
	log        LogID
	generation uint32
	seq        uint64
}

func (e joinExtension) encode() []byte {
	b := appendVector([]byte{wireVersion}, []byte(e.room))
	b = appendRaw(b, e.log[:])
	b = appendUint32(b, e.generation)
	return appendUint64(b, e.seq)
}

func decodeJoinExtension(b []byte) (joinExtension, error) {
	d := decoder{rest: b}
	version := d.uint8()
	e := joinExtension{room: string(d.vector())}
	e.log = LogID(d.take(16))
	e.generation, e.seq = d.uint32(), d.uint64()
	if version != wireVersion {
		return joinExtension{}, errMalformed
	}
	return e, d.done()
}

// place says what a commit was computed from.
type place struct {
	parent uint64 // position of the valid create or commit that it builds on
	x      uint64 // position up to which its author had seen the log
	hash   Hash   // H(x)
}

// commitAAD is a commit's authenticated data, which MLS hashes into the transcript:
//
//	version u8 (1) || generation u32 || parent u64 || X u64 || H(X)[32] || link version u16
type commitAAD struct {
	generation  uint32
	place       place
	linkVersion uint16
}

func (a commitAAD) encode() []byte {
	b := appendUint32([]byte{wireVersion}, a.generation)
	b = appendUint64(b, a.place.parent)
	b = appendUint64(b, a.place.x)
	b = appendRaw(b, a.place.hash[:])
	return appendUint16(b, a.linkVersion)
}

func decodeCommitAAD(b []byte) (commitAAD, error) {
	d := decoder{rest: b}
	version := d.uint8()
	a := commitAAD{generation: d.uint32()}
	a.place = place{parent: d.uint64(), x: d.uint64(), hash: Hash(d.take(32))}
	a.linkVersion = d.uint16()
	if version != wireVersion {
		return commitAAD{}, errMalformed
	}
	return a, d.done()
}

// welcomeExtension is conclave_commit, in the GroupInfo of every Welcome:
//
//	version u8 (1) || parent u64 || X u64 || H(X)[32] || SHA-256(commit)[32]
type welcomeExtension struct {
	place  place
	commit Hash
}

func (e welcomeExtension) encode() []byte {
	b := appendUint64([]byte{wireVersion}, e.place.parent)
	b = appendUint64(b, e.place.x)
	b = appendRaw(b, e.place.hash[:])
	return appendRaw(b, e.commit[:])
}

func decodeWelcomeExtension(b []byte) (welcomeExtension, error) {
	d := decoder{rest: b}
	version := d.uint8()
	e := welcomeExtension{place: place{parent: d.uint64(), x: d.uint64(), hash: Hash(d.take(32))}}
	e.commit = Hash(d.take(32))
	if version != wireVersion {
		return welcomeExtension{}, errMalformed
	}
	return e, d.done()
}

// requiredCapabilities says that every leaf knows conclave_group and conclave_identity,
// and basic credentials; nothing else beyond the defaults.
var requiredCapabilities = mls.RequiredCapabilities(mls.ExtensionConclaveGroup, mls.ExtensionConclaveIdentity)

// groupContextExtensions are all extensions of a GroupContext, in order.
func groupContextExtensions(e groupExtension) []mls.Extension {
	return []mls.Extension{requiredCapabilities, {Type: mls.ExtensionConclaveGroup, Data: e.encode()}}
}

// only returns the data of the one extension in list if it is of type t.
func only(list []mls.Extension, t uint16) ([]byte, bool) {
	if len(list) != 1 || list[0].Type != t {
		return nil, false
	}
	return list[0].Data, true
}

func sameExtensions(a, b []mls.Extension) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Type != b[i].Type || !bytes.Equal(a[i].Data, b[i].Data) {
			return false
		}
	}
	return true
}
