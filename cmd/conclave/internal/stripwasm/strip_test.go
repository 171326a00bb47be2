package main

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// build compiles testdata/program as the Makefile does with the web client's module.
func build(t *testing.T) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program.wasm")
	cmd := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, "./testdata/program")
	cmd.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func execute(t *testing.T, module []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program.wasm")
	if err := os.WriteFile(path, module, 0o644); err != nil {
		t.Fatal(err)
	}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(filepath.Join(strings.TrimSpace(string(root)), "lib/wasm/go_js_wasm_exec"), path).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// A stripped program does what it did: it recovers from panics, and the collector finds its
// way through every stack. It is smaller by a sixth, and knows no names or lines.
func TestStrippedProgramRuns(t *testing.T) {
	plain := build(t)
	stripped, err := strip(plain)
	if err != nil {
		t.Fatal(err)
	}
	if len(stripped) > len(plain)*5/6 {
		t.Errorf("%d bytes of %d", len(stripped), len(plain))
	}
	for _, name := range []string{"main.churn", "program/main.go"} {
		if !bytes.Contains(plain, []byte(name)) || bytes.Contains(stripped, []byte(name)) {
			t.Errorf("%s was not there before, or still is", name)
		}
	}
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("node is not installed")
	}
	if got, want := execute(t, plain), "sum 1000 file true line true\n"; got != want {
		t.Errorf("the program says %q, want %q", got, want)
	}
	if got, want := execute(t, stripped), "sum 1000 file false line false\n"; got != want {
		t.Errorf("stripped it says %q, want %q", got, want)
	}
}

// A module without a longer run of zeros in its data than a segment's header is written as it
// was, and any image comes back.
func TestData(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		image := make([]byte, rng.IntN(300))
		for i := range image {
			if rng.IntN(8) == 0 {
				for n := rng.IntN(12); n > 0 && i < len(image); i, n = i+1, n-1 {
					image[i] = byte(1 + rng.IntN(255))
				}
			}
		}
		body, err := formatData(image)
		if err != nil {
			t.Fatal(err)
		}
		got, err := readData(body)
		if err != nil || !bytes.Equal(got, bytes.TrimRight(image, "\x00")) {
			t.Fatalf("%x: %x, %v", image, got, err)
		}
	}
}

func TestInt(t *testing.T) {
	for _, v := range []int64{0, 1, 63, 64, 127, 128, 8191, 8192, 1 << 20, 1<<31 - 1} {
		r := reader{rest: appendInt(nil, v)}
		if got := r.int(); got != v || r.failed || len(r.rest) > 0 {
			t.Errorf("%d: %d, %+v", v, got, r)
		}
	}
}

// What is no such module is refused, wherever it goes wrong, and never a panic.
func TestRefused(t *testing.T) {
	for name, b := range map[string][]byte{
		"nothing":        {},
		"text":           []byte("#!/bin/sh"),
		"no data":        header,
		"cut short":      append(bytes.Clone(header), dataSection, 9, 0),
		"passive data":   append(bytes.Clone(header), dataSection, 4, 1, 1, 1, 0),
		"data too far":   append(bytes.Clone(header), dataSection, 10, 1, 0, opI32Const, 0xff, 0xff, 0xff, 0xff, 7, opEnd, 0),
		"data past that": append(bytes.Clone(header), dataSection, 7, 1, 0, opI32Const, 0, opEnd, 1, 5, 9),
	} {
		if out, err := strip(b); err == nil || out != nil {
			t.Errorf("%s: %x, %v", name, out, err)
		}
	}
	image := make([]byte, 1000)
	if err := stripTables(image); !errors.Is(err, errTables) {
		t.Errorf("no pclntab: %v", err)
	}
	copy(image, pcHeader)
	if err := stripTables(image); !errors.Is(err, errTables) {
		t.Errorf("an empty pclntab: %v", err)
	}
}

// Another layout of the tables, which a later Go may have, is noticed rather than stripped
// wrongly: each word of the headers that is read, moved.
func TestAnotherLayout(t *testing.T) {
	m, err := parseModule(build(t))
	if err != nil {
		t.Fatal(err)
	}
	image, err := readData(m.section(dataSection))
	if err != nil {
		t.Fatal(err)
	}
	tab, err := findTables(bytes.Clone(image))
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(image, pcHeader)
	for name, change := range map[string]func(b []byte){
		"magic":       func(b []byte) { b[at] = 0xf2 },
		"quantum":     func(b []byte) { b[at+6] = 4 },
		"names":       func(b []byte) { b[at+8+3*8+3] = 0xff },
		"functions":   func(b []byte) { b[at+8+7*8+1]++ },
		"count":       func(b []byte) { b[at+8+3] = 1 },
		"_func":       func(b []byte) { b[tab.funcs+4+2] = 0x7f },
		"name":        func(b []byte) { f := tab.funcs + int(tab.word(tab.funcs+functabEntry*9+4)); b[f+funcName]++ },
		"pcdata":      func(b []byte) { f := tab.funcs + int(tab.word(tab.funcs+functabEntry*9+4)); b[f+funcNPCData] = 9 },
		"funcdata":    func(b []byte) { f := tab.funcs + int(tab.word(tab.funcs+functabEntry*9+4)); b[f+funcNFuncData] = 99 },
		"entry point": func(b []byte) { b[tab.funcs+functabEntry*9+2] = 0xff },
	} {
		b := bytes.Clone(image)
		change(b)
		if err := stripTables(b); !errors.Is(err, errTables) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCommand(t *testing.T) {
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in.wasm"), filepath.Join(dir, "out.wasm")
	if err := run([]string{in}); err == nil || !strings.Contains(err.Error(), "usage") {
		t.Errorf("without a second argument: %v", err)
	}
	if err := run([]string{in, out}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("without a file: %v", err)
	}
	if err := os.WriteFile(in, []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := run([]string{in, out}); !errors.Is(err, errModule) || !strings.Contains(err.Error(), "in.wasm") {
		t.Errorf("of text: %v", err)
	}
	if _, err := os.Stat(out); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it wrote something: %v", err)
	}
}
