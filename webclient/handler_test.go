package webclient

import (
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
)

func built() fstest.MapFS {
	return fstest.MapFS{
		".gitkeep":              {},
		"index.html":            {Data: []byte("<page>")},
		"index.html.br":         {Data: []byte("page-br")},
		"logo.svg":              {Data: []byte("<svg/>")},
		"conclave.webmanifest":  {Data: []byte("{}")},
		"assets/app-1a.js":      {Data: []byte("script")},
		"assets/app-1a.js.br":   {Data: []byte("script-br")},
		"assets/app-1a.js.gz":   {Data: []byte("script-gz")},
		"assets/app-1a.css":     {Data: []byte("style")},
		"assets/mls-2b.wasm":    {Data: []byte("\x00asm")},
		"assets/mls-2b.wasm.gz": {Data: []byte("asm-gz")},
		"assets/inter.woff2":    {Data: []byte("font")},
		"assets/lonely.gz":      {Data: []byte("no plain form")},
	}
}

func get(t *testing.T, h http.Handler, method, target string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, target, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestHandlerServes(t *testing.T) {
	h := newHandler(built(), []byte("fallback"))
	for _, c := range []struct {
		path, contentType, cache, body string
	}{
		{"/", "text/html; charset=utf-8", neverStored, "<page>"},
		{"/r/Tea-time_1", "text/html; charset=utf-8", neverStored, "<page>"},
		{"/r/" + strings.Repeat("a", 64), "text/html; charset=utf-8", neverStored, "<page>"},
		{"/logo.svg", "image/svg+xml", revalidated, "<svg/>"},
		{"/conclave.webmanifest", "application/manifest+json", revalidated, "{}"},
		{"/assets/app-1a.js", "text/javascript; charset=utf-8", storedForEver, "script"},
		{"/assets/app-1a.css", "text/css; charset=utf-8", storedForEver, "style"},
		{"/assets/mls-2b.wasm", "application/wasm", storedForEver, "\x00asm"},
		{"/assets/inter.woff2", "font/woff2", storedForEver, "font"},
	} {
		res := get(t, h, http.MethodGet, c.path)
		if got := body(t, res); res.StatusCode != http.StatusOK || got != c.body {
			t.Errorf("%s: %d %q, want %q", c.path, res.StatusCode, got, c.body)
		}
		if got := res.Header.Get("Content-Type"); got != c.contentType {
			t.Errorf("%s: Content-Type %q, want %q", c.path, got, c.contentType)
		}
		if got := res.Header.Get("Cache-Control"); got != c.cache {
			t.Errorf("%s: Cache-Control %q, want %q", c.path, got, c.cache)
		}
	}
}

func TestHandlerRefuses(t *testing.T) {
	h := newHandler(built(), nil)
	for _, c := range []struct {
		method, path string
		status       int
	}{
		{http.MethodGet, "/index.html", http.StatusNotFound},
		{http.MethodGet, "/.gitkeep", http.StatusNotFound},
		{http.MethodGet, "/r/", http.StatusNotFound},
		{http.MethodGet, "/r/a/b", http.StatusNotFound},
		{http.MethodGet, "/r/a%2Fb", http.StatusNotFound},
		{http.MethodGet, "/r/" + strings.Repeat("a", 65), http.StatusNotFound},
		{http.MethodGet, "/r/spa%20ce", http.StatusNotFound},
		{http.MethodGet, "/assets/", http.StatusNotFound},
		{http.MethodGet, "/assets/app-1a.js.br", http.StatusNotFound},
		{http.MethodGet, "/../handler.go", http.StatusNotFound},
		{http.MethodPost, "/", http.StatusMethodNotAllowed},
	} {
		res := get(t, h, c.method, c.path)
		if res.StatusCode != c.status {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, res.StatusCode, c.status)
		}
		if res.Header.Get("Content-Security-Policy") == "" {
			t.Errorf("%s %s: no Content-Security-Policy", c.method, c.path)
		}
	}
}

func TestHandlerEncodings(t *testing.T) {
	h := newHandler(built(), nil)
	for _, c := range []struct {
		path, accept, encoding, body string
	}{
		{"/assets/app-1a.js", "", "", "script"},
		{"/assets/app-1a.js", "gzip, deflate, br, zstd", "br", "script-br"},
		{"/assets/app-1a.js", "GZIP", "gzip", "script-gz"},
		{"/assets/app-1a.js", "br;q=0, gzip;q=0.5", "gzip", "script-gz"},
		{"/assets/app-1a.js", "br;q=0.000, gzip;q=0.", "", "script"},
		{"/assets/app-1a.js", "brotli, xgzip", "", "script"},
		{"/assets/mls-2b.wasm", "br", "", "\x00asm"},
		{"/assets/mls-2b.wasm", "br, gzip", "gzip", "asm-gz"},
		{"/r/x", "br", "br", "page-br"},
		{"/logo.svg", "br", "", "<svg/>"},
	} {
		res := get(t, h, http.MethodGet, c.path, "Accept-Encoding", c.accept)
		if got := res.Header.Get("Content-Encoding"); got != c.encoding {
			t.Errorf("%s, accepting %q: encoding %q, want %q", c.path, c.accept, got, c.encoding)
		}
		if got := body(t, res); got != c.body {
			t.Errorf("%s, accepting %q: %q, want %q", c.path, c.accept, got, c.body)
		}
		if vary := res.Header.Get("Vary"); (vary == "Accept-Encoding") != (c.path != "/logo.svg") {
			t.Errorf("%s: Vary %q", c.path, vary)
		}
	}
}

func TestHandlerRevalidates(t *testing.T) {
	h := newHandler(built(), nil)
	plain := get(t, h, http.MethodGet, "/assets/app-1a.js").Header.Get("ETag")
	packed := get(t, h, http.MethodGet, "/assets/app-1a.js", "Accept-Encoding", "br").Header.Get("ETag")
	if plain == "" || plain == packed {
		t.Fatalf("ETags %q and %q, want two", plain, packed)
	}
	res := get(t, h, http.MethodGet, "/assets/app-1a.js", "If-None-Match", plain)
	if res.StatusCode != http.StatusNotModified {
		t.Errorf("known ETag: %d, want 304", res.StatusCode)
	}
	if res = get(t, h, http.MethodHead, "/"); body(t, res) != "" || res.Header.Get("Content-Length") != "6" {
		t.Errorf("HEAD: length %q", res.Header.Get("Content-Length"))
	}
}

func TestSecurityHeaders(t *testing.T) {
	header := get(t, newHandler(built(), nil), http.MethodGet, "/r/x").Header
	for name, want := range map[string]string{
		"Referrer-Policy":            "no-referrer",
		"X-Content-Type-Options":     "nosniff",
		"Cross-Origin-Opener-Policy": "same-origin",
	} {
		if got := header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	csp := header.Get("Content-Security-Policy")
	for _, want := range []string{
		"default-src 'none';", "script-src 'self' 'wasm-unsafe-eval';", "worker-src 'self';",
		"style-src 'self';", "connect-src 'self';", "frame-ancestors 'none'",
	} {
		if !strings.Contains(csp, want) {
			t.Errorf("policy lacks %q: %s", want, csp)
		}
	}
	for _, bad := range []string{"unsafe-inline", "'unsafe-eval'", "http:", "https:", "*"} {
		if strings.Contains(csp, bad) {
			t.Errorf("policy holds %q: %s", bad, csp)
		}
	}
	if got := header.Get("Permissions-Policy"); !strings.Contains(got, "microphone=(self)") {
		t.Errorf("Permissions-Policy: %q", got)
	}
}

func TestPlaceholder(t *testing.T) {
	h := newHandler(fstest.MapFS{".gitkeep": {}}, placeholder)
	res := get(t, h, http.MethodGet, "/r/x")
	if got := body(t, res); res.StatusCode != http.StatusOK || !strings.Contains(got, "make build") {
		t.Errorf("%d %q", res.StatusCode, got)
	}
	if got := res.Header.Get("Cache-Control"); got != neverStored {
		t.Errorf("Cache-Control %q", got)
	}
}

// The page in the binary, built or not, holds nothing that its own policy refuses.
func TestEmbeddedPageFitsPolicy(t *testing.T) {
	page := body(t, get(t, Handler(), http.MethodGet, "/"))
	if !strings.Contains(page, "<title>Conclave</title>") {
		t.Fatalf("not our page: %.80q", page)
	}
	for _, bad := range []string{"<style", " style=", " onload=", "<script>", "http://", "https://"} {
		if strings.Contains(page, bad) {
			t.Errorf("page holds %q", bad)
		}
	}
	if Built() == strings.Contains(page, "was not built") {
		t.Errorf("Built() = %v does not fit the page", Built())
	}
}

// The encryption core in the binary is sent packed, as WebAssembly (or browsers would not
// compile it while it streams in), and stored for ever under its content's name.
func TestEmbeddedCore(t *testing.T) {
	names, err := fs.Glob(dist, "dist/assets/conclave-*.wasm")
	if err != nil || !Built() {
		t.Skip("the web client was not built; make build builds it")
	}
	if len(names) != 1 {
		t.Fatalf("want one core, not %q", names)
	}
	target := strings.TrimPrefix(names[0], "dist")
	sizes := map[string]int{}
	for _, encoding := range []string{"", "gzip", "br"} {
		res := get(t, Handler(), http.MethodGet, target, "Accept-Encoding", encoding)
		sizes[encoding] = len(body(t, res))
		if got := res.Header.Get("Content-Encoding"); got != encoding {
			t.Errorf("accepting %q: encoding %q", encoding, got)
		}
		if got := res.Header.Get("Content-Type"); got != "application/wasm" {
			t.Errorf("Content-Type %q", got)
		}
		if got := res.Header.Get("Cache-Control"); got != storedForEver {
			t.Errorf("Cache-Control %q", got)
		}
	}
	t.Logf("bytes by encoding: %v", sizes)
	if sizes[""] > 3_500_000 || sizes["br"] > 1_000_000 || sizes["br"] >= sizes["gzip"] {
		t.Errorf("bytes by encoding: %v; want at most 3500000 plain and 1000000 in brotli", sizes)
	}
}
