//go:build js && wasm

// Command wasm is the end-to-end encryption of the web client: package e2ee for a
// dedicated worker of the page. It calls globalThis.conclaveReady with an object of
// these functions, and then waits for calls for ever:
//
//	create(config) -> {} | error            config, inputs and outputs are Uint8Arrays
//	step(now, input) -> {} | error          now in milliseconds since the Unix epoch
//	poll() -> {output} | {} | error
//	deadline() -> {at} | error              at is 0 if nothing is due
//	keyFor(kid) -> {key, salt, generation, number} | error
//
// An error is {code, message}, and {fatal: true} beside them if it is a fault of this
// program: it has caught a panic, and does nothing any more. See package bridge for
// the bytes.
package main

import (
	"crypto/rand"
	"syscall/js"

	"github.com/conclave-sfu/conclave/e2ee/wasm/bridge"
)

func main() {
	core := &core{}
	js.Global().Call("conclaveReady", js.ValueOf(map[string]any{
		"create":   core.export(core.create),
		"step":     core.export(core.step),
		"poll":     core.export(core.poll),
		"deadline": core.export(core.deadline),
		"keyFor":   core.export(core.keyFor),
	}))
	select {}
}

// answer is what a function returns to JavaScript.
type answer = map[string]any

type core struct {
	bridge *bridge.Bridge
	// dead says that a panic was caught: what the state is worth, nobody knows.
	dead bool
}

// export makes a function that no panic leaves. One that is caught is reported as
// fatal, and it and every later call does nothing else.
func (c *core) export(f func(args []js.Value) (answer, error)) js.Func {
	return js.FuncOf(func(_ js.Value, args []js.Value) (result any) {
		defer func() {
			if recover() != nil { // its value may hold what it should not tell
				c.die()
			}
			if c.dead {
				result = answer{"code": "internal", "message": "the encryption core has failed", "fatal": true}
			}
		}()
		if c.dead {
			return nil
		}
		out, err := f(args)
		if err != nil {
			return answer{"code": bridge.CodeOf(err), "message": err.Error()}
		}
		return out
	})
}

func (c *core) die() {
	c.dead = true
	defer func() { _ = recover() }()
	if c.bridge != nil {
		c.bridge.Stop()
	}
}

func (c *core) create(args []js.Value) (answer, error) {
	b, err := bridge.New(rand.Reader, bytesOf(args[0]))
	if err == nil {
		c.bridge = b
	}
	return answer{}, err
}

func (c *core) step(args []js.Value) (answer, error) {
	return answer{}, c.bridge.Step(int64(args[0].Float()), bytesOf(args[1]))
}

func (c *core) poll([]js.Value) (answer, error) {
	out, ok, err := c.bridge.Poll()
	if !ok {
		return answer{}, err
	}
	return answer{"output": arrayOf(out)}, nil
}

func (c *core) deadline([]js.Value) (answer, error) {
	return answer{"at": float64(c.bridge.Deadline())}, nil
}

func (c *core) keyFor(args []js.Value) (answer, error) {
	key, salt, id, err := c.bridge.KeyFor(uint64(args[0].Float()))
	if err != nil {
		return nil, err
	}
	defer clear(key)
	defer clear(salt)
	return answer{
		"key":        arrayOf(key),
		"salt":       arrayOf(salt),
		"generation": float64(id.Generation),
		"number":     float64(id.Number),
	}, nil
}

// bytesOf copies a Uint8Array from JavaScript.
func bytesOf(array js.Value) []byte {
	b := make([]byte, array.Length())
	js.CopyBytesToGo(b, array)
	return b
}

// arrayOf copies bytes to JavaScript, which owns and erases the copy.
func arrayOf(b []byte) js.Value {
	array := js.Global().Get("Uint8Array").New(len(b))
	js.CopyBytesToJS(array, b)
	return array
}
