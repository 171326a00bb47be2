package e2ee

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"testing"
)

// logEntries is one entry of each kind.
func logEntries() []Entry {
	return []Entry{
		{1, 1000, PID{1}, Joined{KeyPackage: []byte("kp"), MAC: Hash{2}}},
		{2, 1001, PID{1}, Created{Last: 0, Generation: 1, GroupID: [16]byte{3}, MAC: Hash{4}}},
		{3, 1002, PID{1}, Committed{Last: 2, Generation: 1, Adds: []Hash{{5}, {6}, {7}}, CommitDigest: Hash{8}, WelcomeDigest: Hash{9}, MAC: Hash{10}}},
		{4, 1003, PID{1}, Left{}},
	}
}

// TestLogHash holds H(0) to H(4) of a log by values of Python's hashlib.
func TestLogHash(t *testing.T) {
	want := []string{
		"402c7b1e692021edf41d616b980188dc50b6fd28a28b616a732381291edeb174",
		"c3c1cd827aa2c1d92fe151a18418d2bfa8ff07e35686bfd99e840292fb00041f",
		"c09db10eaf3284d9f3ae5b4d956a5d61819809c49466e7968b823c74037b445d",
		"1b9ca106e5959c57b7980f885c64c4e2e83918daec9de6a1c024111adac06945",
		"abec771ccd4770178b98dcc79068dd48602362bdca7d43a0e297fee7d46f988b",
	}
	c := newChain("room", LogID{1})
	for _, e := range logEntries() {
		c.append(e)
	}
	for i, w := range want {
		if h, ok := c.at(uint64(i)); !ok || hex.EncodeToString(h[:]) != w {
			t.Errorf("H(%d) = %x", i, h)
		}
	}
	if _, ok := c.at(5); ok {
		t.Error("a hash past the head")
	}
}

// TestLogHashCovers: every field of an entry is hashed, bytes that not all are sent are
// not.
func TestLogHashCovers(t *testing.T) {
	seen := map[Hash]string{}
	add := func(name string, e Entry) {
		t.Helper()
		h := LogNext(Hash{}, e)
		if other, ok := seen[h]; ok {
			t.Errorf("%s has the hash of %s", name, other)
		}
		seen[h] = name
	}
	for _, e := range logEntries() {
		kind := hex.EncodeToString([]byte{byte(e.Position)})
		add(kind, e)
		for name, change := range map[string]func(*Entry){
			"position": func(e *Entry) { e.Position += 100 },
			"time":     func(e *Entry) { e.Time++ },
			"pid":      func(e *Entry) { e.PID[15]++ },
		} {
			changed := e
			change(&changed)
			add(kind+" "+name, changed)
		}
	}
	c := logEntries()[2].Body.(Committed)
	for name, change := range map[string]func(*Committed){
		"last":       func(c *Committed) { c.Last++ },
		"generation": func(c *Committed) { c.Generation++ },
		"adds":       func(c *Committed) { c.Adds = c.Adds[1:] },
		"commit":     func(c *Committed) { c.CommitDigest[0]++ },
		"welcome":    func(c *Committed) { c.WelcomeDigest = Hash{} },
		"MAC":        func(c *Committed) { c.MAC = Hash{} },
	} {
		changed := c
		change(&changed)
		add("commit "+name, Entry{3, 1002, PID{1}, changed})
	}
	bare := LogNext(Hash{}, logEntries()[2])
	c.Commit, c.Welcome = []byte("commit"), []byte("welcome")
	if LogNext(Hash{}, Entry{3, 1002, PID{1}, c}) != bare {
		t.Error("the hash depends on bytes that only some are sent")
	}
	kp := []byte("kp")
	digest := sha256.Sum256(kp)
	if !bytes.Equal(appendBody(nil, logEntries()[0])[17:49], digest[:]) {
		t.Error("a joined entry is not hashed by its KeyPackage's digest")
	}
}
