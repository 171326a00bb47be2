package webclient

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"regexp"
	"strings"
	"time"
)

// contentSecurityPolicy allows nothing but what this binary serves. 'wasm-unsafe-eval' permits
// compiling WebAssembly, not eval. connect-src 'self' covers the WebSocket of the same origin
// (CSP Level 3). blob: is for the camera's preview and media elements only.
const contentSecurityPolicy = "default-src 'none'; " +
	"script-src 'self' 'wasm-unsafe-eval'; " +
	"worker-src 'self'; " +
	"style-src 'self'; " +
	"connect-src 'self'; " +
	"img-src 'self' data: blob:; " +
	"media-src 'self' blob:; " +
	"font-src 'self'; " +
	"manifest-src 'self'; " +
	"base-uri 'none'; " +
	"form-action 'none'; " +
	"frame-ancestors 'none'"

// permissionsPolicy leaves the page the devices of a meeting and nothing else.
const permissionsPolicy = "camera=(self), microphone=(self), display-capture=(self), " +
	"fullscreen=(self), autoplay=(self), screen-wake-lock=(self), clipboard-write=(self), " +
	"geolocation=(), payment=(), usb=(), serial=(), midi=(), " +
	"publickey-credentials-get=(), browsing-topics=()"

const (
	neverStored   = "no-cache, no-store, must-revalidate"
	storedForEver = "public, max-age=31536000, immutable" // one year; the name holds the content's hash
	revalidated   = "no-cache"
)

// roomPath is a meeting's address; the name's form is that of signal.MaxRoomName.
var roomPath = regexp.MustCompile(`^/r/[A-Za-z0-9_-]{1,64}$`)

// contentTypes by extension. Not left to the host's MIME table, which may lack wasm or call
// scripts by an old name, with nosniff a blank page.
var contentTypes = map[string]string{
	".css":         "text/css; charset=utf-8",
	".html":        "text/html; charset=utf-8",
	".ico":         "image/x-icon",
	".js":          "text/javascript; charset=utf-8",
	".json":        "application/json",
	".png":         "image/png",
	".svg":         "image/svg+xml",
	".txt":         "text/plain; charset=utf-8",
	".wasm":        "application/wasm",
	".webmanifest": "application/manifest+json",
	".woff2":       "font/woff2",
}

// encodings in the order of our preference, with the suffix of the file that holds it.
var encodings = []struct{ name, suffix string }{{"br", ".br"}, {"gzip", ".gz"}}

// handler is immutable after newHandler, and so safe for concurrent use.
type handler struct {
	files map[string]*file // by URL path
	index *file
}

// file is one resource with its encoded forms.
type file struct {
	contentType string
	cache       string
	plain       variant
	encoded     map[string]variant // by encoding
}

// variant is one form of a file. Its ETag is the content's hash, so it differs by encoding.
type variant struct {
	body []byte
	etag string
}

// newHandler reads all of built. Without an index.html in it, every page is the fallback.
func newHandler(built fs.FS, fallback []byte) *handler {
	h := &handler{files: make(map[string]*file)}
	if err := fs.WalkDir(built, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		return h.add(built, name)
	}); err != nil {
		panic("webclient: embedded files: " + err.Error()) // an embed.FS does not fail
	}
	if h.index = h.files["/index.html"]; h.index == nil {
		h.index = newFile("index.html", fallback)
	}
	delete(h.files, "/index.html")
	return h
}

func (h *handler) add(built fs.FS, name string) error {
	base := path.Base(name)
	if strings.HasPrefix(base, ".") || isEncodedForm(built, name) {
		return nil
	}
	body, err := fs.ReadFile(built, name)
	if err != nil {
		return err
	}
	f := newFile(name, body)
	for _, enc := range encodings {
		if packed, err := fs.ReadFile(built, name+enc.suffix); err == nil {
			f.encoded[enc.name] = newVariant(packed)
		}
	}
	h.files["/"+name] = f
	return nil
}

// isEncodedForm reports whether name is the packed form of another file.
func isEncodedForm(built fs.FS, name string) bool {
	for _, enc := range encodings {
		if plain, ok := strings.CutSuffix(name, enc.suffix); ok {
			if _, err := fs.Stat(built, plain); err == nil {
				return true
			}
		}
	}
	return false
}

func newFile(name string, body []byte) *file {
	return &file{
		contentType: contentType(name),
		cache:       cachePolicy(name),
		plain:       newVariant(body),
		encoded:     make(map[string]variant),
	}
}

func newVariant(body []byte) variant {
	sum := sha256.Sum256(body)
	return variant{body: body, etag: `"` + hex.EncodeToString(sum[:12]) + `"`}
}

func contentType(name string) string {
	ext := path.Ext(name)
	if t, ok := contentTypes[ext]; ok {
		return t
	}
	if t := mime.TypeByExtension(ext); t != "" {
		return t
	}
	return "application/octet-stream"
}

func cachePolicy(name string) string {
	switch {
	case name == "index.html":
		return neverStored
	case strings.HasPrefix(name, "assets/"):
		return storedForEver
	default:
		return revalidated
	}
}

// ServeHTTP answers one request. The security headers are on every answer, errors too.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	setSecurityHeaders(w.Header())
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	f := h.lookup(r.URL.Path)
	if f == nil {
		http.Error(w, "not found", http.StatusNotFound)
		return
	}
	f.serve(w, r)
}

func (h *handler) lookup(urlPath string) *file {
	if urlPath == "/" || roomPath.MatchString(urlPath) {
		return h.index
	}
	return h.files[urlPath]
}

func (f *file) serve(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Type", f.contentType)
	header.Set("Cache-Control", f.cache)
	v := f.plain
	if len(f.encoded) > 0 {
		header.Set("Vary", "Accept-Encoding")
		if name, packed, ok := f.choose(r.Header.Get("Accept-Encoding")); ok {
			header.Set("Content-Encoding", name)
			v = packed
		}
	}
	header.Set("ETag", v.etag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(v.body))
}

// choose picks the encoding we prefer among those that accept allows (RFC 9110, Section 12.5.3).
func (f *file) choose(accept string) (string, variant, bool) {
	for _, enc := range encodings {
		if v, ok := f.encoded[enc.name]; ok && accepts(accept, enc.name) {
			return enc.name, v, true
		}
	}
	return "", variant{}, false
}

// accepts reports whether an Accept-Encoding header names encoding with a weight above zero.
// "*" is not taken for a yes: the plain form is always right.
func accepts(header, encoding string) bool {
	for part := range strings.SplitSeq(header, ",") {
		name, params, _ := strings.Cut(part, ";")
		if strings.EqualFold(strings.TrimSpace(name), encoding) {
			return !zeroWeight(params)
		}
	}
	return false
}

// zeroWeight reports whether params is a weight of zero: q=0, q=0.0, q=0.00, q=0.000.
func zeroWeight(params string) bool {
	weight, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(params)), "q=")
	return ok && strings.Trim(weight, "0.") == ""
}

func setSecurityHeaders(h http.Header) {
	h.Set("Content-Security-Policy", contentSecurityPolicy)
	h.Set("Permissions-Policy", permissionsPolicy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY") // for browsers without frame-ancestors
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}
