// Command stripwasm takes out of a WebAssembly module of Go's what only a traceback reads:
// the names of functions and files, line numbers, and which calls were inlined. The web
// client shows no traceback, so nobody misses them; a tenth of the module are these tables.
//
//	stripwasm in.wasm out.wasm
//
// A panic, its recovery and the garbage collector work as before; runtime.Callers and
// FuncForPC find no names any more. The tables are an internal format of Go's runtime: the
// command knows that of Go 1.20 to 1.26, checks every offset in it, and fails on any other.
package main

import (
	"fmt"
	"os"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "stripwasm:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return fmt.Errorf("usage: stripwasm in.wasm out.wasm")
	}
	in, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	out, err := strip(in)
	if err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	return os.WriteFile(args[1], out, 0o644)
}

// strip returns the module without its traceback tables.
func strip(in []byte) ([]byte, error) {
	m, err := parseModule(in)
	if err != nil {
		return nil, err
	}
	image, err := readData(m.section(dataSection))
	if err != nil {
		return nil, err
	}
	if err := stripTables(image); err != nil {
		return nil, err
	}
	data, err := formatData(image)
	if err != nil {
		return nil, err
	}
	return m.format(data), nil
}
