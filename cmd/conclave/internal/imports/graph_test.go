package imports

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const module = "github.com/conclave-sfu/conclave"

// pkg is what `go list -json` says of a package.
type pkg struct {
	ImportPath string
	Dir        string
	Standard   bool
	GoFiles    []string
	Imports    []string
}

// name is the package's path inside the module: "sfu", "e2ee/mls"; other packages
// keep their import path.
func (p pkg) name() string { return short(p.ImportPath) }

func (p pkg) ours() bool { return within(p.ImportPath, module) }

func short(path string) string { return strings.TrimPrefix(path, module+"/") }

// within says whether path is root or below it.
func within(path, root string) bool { return path == root || strings.HasPrefix(path, root+"/") }

// withinAny says whether path is one of roots or below one.
func withinAny(path string, roots ...string) bool {
	for _, root := range roots {
		if within(path, root) {
			return true
		}
	}
	return false
}

// graph holds packages by name.
type graph map[string]pkg

// load lists the packages that the patterns name and all that they import.
func load(t *testing.T, env []string, patterns ...string) graph {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-deps", "-json=ImportPath,Dir,Standard,GoFiles,Imports"}, patterns...)...)
	cmd.Dir = moduleRoot(t)
	cmd.Env = append(os.Environ(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %v: %v\n%s", patterns, err, stderr.String())
	}
	return parse(t, out)
}

func parse(t *testing.T, out []byte) graph {
	t.Helper()
	g := graph{}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return g
		} else if err != nil {
			t.Fatalf("read the answer of go list: %v", err)
		}
		g[p.name()] = p
	}
}

func moduleRoot(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		t.Fatalf("go env GOMOD: %v", err)
	}
	return filepath.Dir(strings.TrimSpace(string(out)))
}

// path gives a chain of imports from a package to the first that bad refuses, or nil.
// The search ends at the standard library, which is no layer of ours.
func (g graph) path(from string, bad func(name string) bool) []string {
	return g.search(from, bad, map[string]bool{})
}

func (g graph) search(from string, bad func(string) bool, seen map[string]bool) []string {
	seen[from] = true
	for _, imported := range g[from].Imports {
		to := short(imported)
		if bad(to) {
			return []string{from, to}
		}
		if seen[to] || g[to].Standard {
			continue
		}
		if chain := g.search(to, bad, seen); chain != nil {
			return append([]string{from}, chain...)
		}
	}
	return nil
}
