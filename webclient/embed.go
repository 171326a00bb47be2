// Package webclient serves the web client: the page, its script, and the WebAssembly in
// which all keys live.
//
// The client is built by Vite into dist and embedded in the binary; nothing is fetched from
// anywhere else. A build of the Go code alone embeds a page that says how to build the rest.
//
//	GET /              index.html, never stored: it names the hashed assets
//	GET /r/{room}      the same page; the room's secret is in the fragment, which stays in the browser
//	GET /assets/{name} named by their content's hash, so stored for ever
//	GET /{name}        logo, manifest
package webclient

import (
	"embed"
	"io/fs"
	"net/http"
)

// dist is Vite's output. Its .gitkeep lets `go build` work before the first build of the client.
//
//go:embed all:dist
var dist embed.FS

//go:embed placeholder.html
var placeholder []byte

// Handler serves the embedded web client. It answers GET and HEAD, and 404 for all that is not
// part of the client.
func Handler() http.Handler {
	built, err := fs.Sub(dist, "dist")
	if err != nil {
		panic("webclient: " + err.Error()) // "dist" is a valid path: cannot happen
	}
	return newHandler(built, placeholder)
}

// Built says whether the web client was built into this binary.
func Built() bool {
	_, err := dist.Open("dist/index.html")
	return err == nil
}
