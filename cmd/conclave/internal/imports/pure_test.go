package imports

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
)

// clocks are the functions of package time that read the clock or wait for it.
var clocks = []string{"Now", "Since", "Until", "After", "AfterFunc", "NewTimer", "NewTicker", "Tick", "Sleep"}

// impurities finds what makes a file depend on more than its inputs: a clock, a
// goroutine, a random source of the process.
func impurities(fset *token.FileSet, file *ast.File) []string {
	names := imported(file)
	var found []string
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			found = append(found, fmt.Sprintf("%s: a goroutine", fset.Position(n.Pos())))
		case *ast.SelectorExpr:
			if what := impure(names, n); what != "" {
				found = append(found, fmt.Sprintf("%s: %s", fset.Position(n.Pos()), what))
			}
		}
		return true
	})
	return found
}

// imported maps the names under which a file imports packages to their paths.
func imported(file *ast.File) map[string]string {
	names := map[string]string{}
	for _, spec := range file.Imports {
		p, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		name := path.Base(p)
		if p == "math/rand/v2" {
			name = "rand"
		}
		if spec.Name != nil {
			name = spec.Name.Name
		}
		names[name] = p
	}
	return names
}

// impure names what a selector reads beside its inputs.
func impure(names map[string]string, sel *ast.SelectorExpr) string {
	id, ok := sel.X.(*ast.Ident)
	if !ok {
		return ""
	}
	switch p := names[id.Name]; {
	case p == "time" && slices.Contains(clocks, sel.Sel.Name):
		return "time." + sel.Sel.Name
	case p == "crypto/rand", p == "math/rand", p == "math/rand/v2":
		return p + "." + sel.Sel.Name
	}
	return ""
}

// TestE2EEIsPure reads every file of e2ee that is built, but not wasm, the shell
// that gives it the browser's clock and randomness, and not the simulator, which is
// seeded.
func TestE2EEIsPure(t *testing.T) {
	files := 0
	for name, p := range load(t, nil, "./e2ee/...") {
		if !within(name, "e2ee") || withinAny(name, "e2ee/wasm", "e2ee/e2eesim") {
			continue
		}
		for _, f := range p.GoFiles {
			files++
			for _, what := range impuritiesOf(t, filepath.Join(p.Dir, f), nil) {
				t.Error(what)
			}
		}
	}
	if files == 0 {
		t.Fatal("no file of e2ee found: this test sees nothing")
	}
}

func impuritiesOf(t *testing.T, filename string, src any) []string {
	t.Helper()
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, filename, src, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return impurities(fset, file)
}

func TestImpuritiesAreFound(t *testing.T) {
	tests := []struct {
		name, src string
		want      int
	}{
		{"clean", `package p; import "time"; func f(now time.Time) time.Time { return now.Add(time.Second) }`, 0},
		{"clock", `package p; import "time"; var x = time.Now()`, 1},
		{"clock as a value", `package p; import "time"; var x = time.Now`, 1},
		{"clock under another name", `package p; import tm "time"; func f() { <-tm.After(1); tm.Sleep(1) }`, 2},
		{"a method called Now of another", `package p; type c struct{}; func (c) Now() {}; func f(time c) { time.Now() }`, 0},
		{"goroutine", `package p; func f() { go f() }`, 1},
		{"global randomness", `package p; import "crypto/rand"; var r = rand.Reader`, 1},
		{"math/rand/v2", `package p; import "math/rand/v2"; var r = rand.N(3)`, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := impuritiesOf(t, "src.go", tt.src); len(got) != tt.want {
				t.Fatalf("found %q, want %d", got, tt.want)
			}
		})
	}
}
