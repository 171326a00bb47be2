package server

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/go-chi/chi/v5"
	"go.uber.org/zap"
)

// Limits of HTTP. A WebSocket leaves them behind when it is accepted and keeps its own.
const (
	headerTimeout  = 5 * time.Second  // from the connection's first byte to the last of the header
	requestTimeout = 10 * time.Second // no request has a body worth waiting for
	answerTimeout  = 2 * time.Minute  // the web client over a slow line; a CPU profile
	idleTimeout    = 2 * time.Minute
	maxHeader      = 16 << 10 // bytes
)

func httpServer(h http.Handler, log *zap.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      answerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          zap.NewStdLog(log.Named("http")),
	}
}

// settings are what the page asks for before it makes a link. The link fixes its suite by
// itself: a setting chooses among those that the page knows, for links made from now on.
type settings struct {
	MLSSuite string `json:"mlsSuite,omitempty"` // "0xF00E", "0x0003" or "0x0001"
}

// ServeHTTP answers with the settings as JSON.
func (s settings) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(s) // the asker has gone
}

// mainRoutes are what everybody reaches.
func mainRoutes(sockets http.Handler, page settings, pages http.Handler) http.Handler {
	r := chi.NewRouter()
	r.Group(func(r chi.Router) {
		r.Use(apiHeaders)
		r.Get("/api/v1/health", health)
		r.Method(http.MethodGet, "/api/v1/settings", page)
		r.Handle("/api/v1/rooms/*", sockets)
	})
	r.Handle("/*", pages)
	return r
}

// adminRoutes are for those who run the server.
func adminRoutes(m *metrics) http.Handler {
	r := chi.NewRouter()
	r.Get("/healthz", health)
	r.Handle("/metrics", m.handler())
	r.HandleFunc("/debug/pprof/*", pprof.Index)
	r.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	r.HandleFunc("/debug/pprof/profile", pprof.Profile)
	r.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	r.HandleFunc("/debug/pprof/trace", pprof.Trace)
	return r
}

func health(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	io.WriteString(w, "ok") // the asker has gone
}

// apiHeaders keeps answers of the API from being stored, guessed at or shown as a
// page. The pages bring their own headers.
func apiHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		next.ServeHTTP(w, r)
	})
}
