package bridge

import (
	"fmt"

	"github.com/conclave-sfu/conclave/e2ee"
	"github.com/conclave-sfu/conclave/e2ee/framecrypt"
)

// The other side of the messages: what webclient/src/e2ee/wire.ts does, in Go.

func appendConfig(link, pid, name string) []byte {
	return appendText(appendText(appendText(nil, link), pid), name)
}

func formatInput(in e2ee.Input) []byte {
	switch in := in.(type) {
	case e2ee.LogOpened:
		return appendUint64(appendBytes([]byte{typeLogOpened}, in.ID[:]), in.Head)
	case e2ee.LogEntry:
		dst := appendUint64([]byte{typeLogEntry}, in.Entry.Position)
		dst = appendText(appendUint64(dst, uint64(in.Entry.Time)), formatPID(in.Entry.PID))
		return appendEntryBody(dst, in.Entry.Body)
	case e2ee.Posted:
		return appendText(appendUint32([]byte{typePosted}, in.Seq), in.Code)
	case e2ee.Tick:
		return []byte{typeTick}
	}
	panic(fmt.Sprintf("no message for %T", in))
}

func appendEntryBody(dst []byte, body e2ee.EntryBody) []byte {
	switch b := body.(type) {
	case e2ee.Joined:
		return appendBytes(appendBytes(append(dst, entryJoined), b.KeyPackage), b.MAC[:])
	case e2ee.Left:
		return append(dst, entryLeft)
	case e2ee.Created:
		dst = appendUint32(appendUint64(append(dst, entryCreate), b.Last), b.Generation)
		return appendBytes(appendBytes(dst, b.GroupID[:]), b.MAC[:])
	case e2ee.Committed:
		dst = appendUint32(appendUint64(append(dst, entryCommit), b.Last), b.Generation)
		dst = appendUint32(dst, uint32(len(b.Adds)))
		for _, h := range b.Adds {
			dst = appendBytes(dst, h[:])
		}
		dst = appendBytes(appendBytes(appendBytes(dst, b.Commit), b.CommitDigest[:]), b.Welcome)
		if b.WelcomeDigest == (e2ee.Hash{}) {
			return appendBytes(appendBytes(dst, nil), b.MAC[:])
		}
		return appendBytes(appendBytes(dst, b.WelcomeDigest[:]), b.MAC[:])
	}
	panic(fmt.Sprintf("no message for %T", body))
}

// parseOutput reads an output. Of an EpochStarted it cannot give the BaseKey.
func parseOutput(data []byte) (e2ee.Output, error) {
	r := &reader{rest: data}
	out, err := r.output()
	if err != nil {
		return nil, err
	}
	return out, r.done()
}

func (r *reader) output() (e2ee.Output, error) {
	switch r.uint8() {
	case typePost:
		return r.post()
	case typeEpochStarted:
		return r.started()
	case typeSendEpoch:
		return e2ee.SendEpoch{Epoch: r.epoch()}, nil
	case typeEpochEnded:
		return e2ee.EpochEnded{Epoch: r.epoch()}, nil
	case typeStatus:
		return e2ee.Status{State: e2ee.State(r.text()), Code: e2ee.Code(r.text())}, nil
	case typeEntryRefused:
		position := r.uint64()
		pid, err := parsePID(r.text())
		return e2ee.EntryRefused{Position: position, PID: pid, Code: e2ee.Code(r.text())}, err
	}
	return nil, ErrMessage
}

func (r *reader) post() (e2ee.Output, error) {
	post := e2ee.Post{Seq: r.uint32()}
	switch r.uint8() {
	case postJoin:
		b := e2ee.PostJoin{KeyPackage: r.bytes()}
		r.fill(b.MAC[:])
		post.Body = b
	case postCreate:
		b := e2ee.PostCreate{Last: r.uint64(), Generation: r.uint32()}
		r.fill(b.GroupID[:])
		r.fill(b.MAC[:])
		post.Body = b
	case postCommit:
		b := e2ee.PostCommit{Last: r.uint64(), Generation: r.uint32(), Adds: r.hashes(), Commit: r.bytes(), Welcome: r.bytes()}
		r.fill(b.MAC[:])
		post.Body = b
	default:
		return nil, ErrMessage
	}
	return post, nil
}

func (r *reader) started() (e2ee.Output, error) {
	o := e2ee.EpochStarted{Epoch: r.epoch(), Own: framecrypt.Leaf(r.uint32())}
	for n := r.uint32(); n > 0 && !r.failed; n-- {
		m := e2ee.Member{Leaf: framecrypt.Leaf(r.uint32())}
		pid, err := parsePID(r.text())
		if err != nil {
			return nil, err
		}
		m.PID, m.Name = pid, r.text()
		r.fill(m.Device[:])
		o.Members = append(o.Members, m)
	}
	for n := r.uint32(); n > 0 && !r.failed; n-- {
		o.Removed = append(o.Removed, framecrypt.Leaf(r.uint32()))
	}
	o.SafetyNumber = r.text()
	return o, nil
}

func (r *reader) epoch() framecrypt.Epoch {
	return framecrypt.Epoch{Generation: r.uint32(), Number: r.uint64()}
}
