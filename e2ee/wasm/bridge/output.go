package bridge

import (
	"github.com/conclave-sfu/conclave/e2ee"
	"github.com/conclave-sfu/conclave/e2ee/framecrypt"
)

// The types of outputs and the kinds of posts: the first bytes of their messages.
const (
	typePost         = 1
	typeEpochStarted = 2
	typeSendEpoch    = 3
	typeEpochEnded   = 4
	typeStatus       = 5
	typeEntryRefused = 6

	postJoin   = 1
	postCreate = 2
	postCommit = 3
)

// formatOutput writes one output, but for SignDevice, which the bridge answers itself. A
// BaseKey has no place in any message.
func formatOutput(out e2ee.Output) ([]byte, error) {
	switch o := out.(type) {
	case e2ee.Post:
		return appendPost(appendUint32([]byte{typePost}, o.Seq), o.Body)
	case e2ee.EpochStarted:
		return appendStarted([]byte{typeEpochStarted}, o), nil
	case e2ee.SendEpoch:
		return appendEpoch([]byte{typeSendEpoch}, o.Epoch), nil
	case e2ee.EpochEnded:
		return appendEpoch([]byte{typeEpochEnded}, o.Epoch), nil
	case e2ee.Status:
		return appendText(appendText([]byte{typeStatus}, o.State), o.Code), nil
	case e2ee.EntryRefused:
		dst := appendUint64([]byte{typeEntryRefused}, o.Position)
		return appendText(appendText(dst, formatPID(o.PID)), o.Code), nil
	}
	return nil, errOutput
}

func appendPost(dst []byte, body e2ee.PostBody) ([]byte, error) {
	switch b := body.(type) {
	case e2ee.PostJoin:
		return appendBytes(appendBytes(append(dst, postJoin), b.KeyPackage), b.MAC[:]), nil
	case e2ee.PostCreate:
		dst = appendUint64(append(dst, postCreate), b.Last)
		dst = appendUint32(dst, b.Generation)
		return appendBytes(appendBytes(dst, b.GroupID[:]), b.MAC[:]), nil
	case e2ee.PostCommit:
		return appendCommit(append(dst, postCommit), b), nil
	}
	return nil, errOutput
}

func appendCommit(dst []byte, c e2ee.PostCommit) []byte {
	dst = appendUint64(dst, c.Last)
	dst = appendUint32(dst, c.Generation)
	dst = appendUint32(dst, uint32(len(c.Adds)))
	for i := range c.Adds {
		dst = appendBytes(dst, c.Adds[i][:])
	}
	return appendBytes(appendBytes(appendBytes(dst, c.Commit), c.Welcome), c.MAC[:])
}

func appendStarted(dst []byte, o e2ee.EpochStarted) []byte {
	dst = appendUint32(appendEpoch(dst, o.Epoch), uint32(o.Own))
	dst = appendUint32(dst, uint32(len(o.Members)))
	for _, m := range o.Members {
		dst = appendText(appendUint32(dst, uint32(m.Leaf)), formatPID(m.PID))
		dst = appendBytes(appendText(dst, m.Name), m.Device[:])
	}
	dst = appendUint32(dst, uint32(len(o.Removed)))
	for _, leaf := range o.Removed {
		dst = appendUint32(dst, uint32(leaf))
	}
	return appendText(dst, o.SafetyNumber)
}

func appendEpoch(dst []byte, id framecrypt.Epoch) []byte {
	return appendUint64(appendUint32(dst, id.Generation), id.Number)
}
