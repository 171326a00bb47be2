package interop

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"

	"github.com/conclave-sfu/conclave/e2ee/mls"
)

// node is a process that runs node/peer.mjs. It is for one goroutine.
type node struct {
	in  io.WriteCloser
	out *bufio.Scanner
	n   int // members made
}

// maxLine is the longest answer in bytes: a Welcome of a large post-quantum group.
const maxLine = 32 << 20

// startNode starts the process, and ends it with the test.
func startNode(t testing.TB) *node {
	t.Helper()
	if _, err := os.Stat("node/node_modules/ts-mls"); err != nil {
		t.Fatal("ts-mls is not installed: run make interop")
	}
	cmd := exec.Command("node", "peer.mjs")
	cmd.Dir, cmd.Stderr = "node", os.Stderr
	in, err := cmd.StdinPipe()
	must(t, "stdin", err)
	out, err := cmd.StdoutPipe()
	must(t, "stdout", err)
	must(t, "node", cmd.Start())
	t.Cleanup(func() {
		in.Close() // it ends by itself then
		if err := cmd.Wait(); err != nil {
			t.Errorf("node: %v", err)
		}
	})
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, maxLine)
	return &node{in: in, out: lines}
}

// bytesAsHex is a byte string in JSON.
type bytesAsHex []byte

func (b bytesAsHex) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(b)), nil }

func (b *bytesAsHex) UnmarshalText(text []byte) (err error) {
	*b, err = hex.DecodeString(string(text))
	return err
}

// errPeer wraps what the peer says when it refuses.
var errPeer = errors.New("ts-mls")

// call sends a request and decodes the answer into result, unless that is nil.
func (n *node) call(name, who string, request map[string]any, result any) error {
	line := map[string]any{"call": name, "who": who}
	for k, v := range request {
		line[k] = v
	}
	raw, err := json.Marshal(line)
	if err != nil {
		return err
	}
	if _, err := n.in.Write(append(raw, '\n')); err != nil {
		return err
	}
	if !n.out.Scan() {
		return fmt.Errorf("%w: no answer to %s: %w", errPeer, name, errors.Join(n.out.Err(), io.ErrUnexpectedEOF))
	}
	var answer struct {
		OK    json.RawMessage `json:"ok"`
		Error string          `json:"error"`
	}
	if err := json.Unmarshal(n.out.Bytes(), &answer); err != nil {
		return err
	}
	if answer.Error != "" {
		return fmt.Errorf("%w: %s: %s", errPeer, name, answer.Error)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(answer.OK, result)
}

// tsmls is a member that ts-mls plays.
type tsmls struct {
	node *node
	id   string // unique in the process
	kp   bytesAsHex
}

func (n *node) newMember(suite mls.Suite, id string) (*tsmls, error) {
	n.n++
	m := &tsmls{node: n, id: fmt.Sprintf("%s/%d", id, n.n)}
	from, to := lifetime()
	return m, m.call("member", map[string]any{
		"suite": suite, "identity": bytesAsHex(m.id), "lifetime": []uint64{from, to},
		"extensions": []uint16{mls.ExtensionConclaveGroup, mls.ExtensionConclaveIdentity},
		"psk":        map[string]bytesAsHex{"id": pskID, "secret": pskSecret},
	}, &m.kp)
}

func (m *tsmls) call(name string, request map[string]any, result any) error {
	return m.node.call(name, m.id, request, result)
}

func (m *tsmls) name() string       { return m.id + " (ts-mls)" }
func (m *tsmls) identity() string   { return m.id }
func (m *tsmls) keyPackage() []byte { return m.kp }

func (m *tsmls) create(group []byte, extensions []extension) error {
	list := []map[string]any{}
	for _, e := range extensions {
		list = append(list, map[string]any{"type": e.Type, "data": bytesAsHex(e.Data)})
	}
	return m.call("create", map[string]any{"group": bytesAsHex(group), "extensions": list}, nil)
}

func (m *tsmls) join(welcome []byte) error {
	return m.call("join", map[string]any{"welcome": bytesAsHex(welcome)}, nil)
}

// committed is the answer to commit.
type committed struct{ Commit, Welcome bytesAsHex }

func (m *tsmls) commit(adds [][]byte, removes []uint32, aad []byte) (commit, welcome []byte, err error) {
	return m.commitAs(adds, removes, aad, false)
}

// commitAs commits, as PublicMessage if public.
func (m *tsmls) commitAs(adds [][]byte, removes []uint32, aad []byte, public bool) (commit, welcome []byte, err error) {
	kps := []bytesAsHex{}
	for _, kp := range adds {
		kps = append(kps, kp)
	}
	var out committed
	err = m.call("commit", map[string]any{
		"adds": kps, "removes": append([]uint32{}, removes...), "aad": bytesAsHex(aad), "publicMessage": public,
	}, &out)
	return out.Commit, out.Welcome, err
}

func (m *tsmls) merge() error { return m.call("merge", nil, nil) }

func (m *tsmls) process(commit []byte) (removed bool, err error) {
	err = m.call("process", map[string]any{"commit": bytesAsHex(commit)}, &removed)
	return removed, err
}

// ts-mls is asked where nobody can take the leaf at once.
func (m *tsmls) learnsRemoval(adds bool) bool { return !adds }

func (m *tsmls) seal(aad, plaintext []byte) (message []byte, err error) {
	err = m.call("seal", map[string]any{"aad": bytesAsHex(aad), "plaintext": bytesAsHex(plaintext)}, (*bytesAsHex)(&message))
	return message, err
}

func (m *tsmls) open(message []byte) (aad, plaintext []byte, err error) {
	var out struct{ AAD, Plaintext bytesAsHex }
	err = m.call("open", map[string]any{"message": bytesAsHex(message)}, &out)
	return out.AAD, out.Plaintext, err
}

func (m *tsmls) state() (state, error) {
	var out struct {
		Epoch                             uint64
		Leaf                              uint32
		Authenticator, Exported, TreeHash bytesAsHex
	}
	err := m.call("state", map[string]any{
		"label": exportLabel, "context": bytesAsHex(exportContext), "length": exportLength,
	}, &out)
	return state{out.Epoch, out.Leaf, out.Authenticator, out.Exported, out.TreeHash}, err
}
