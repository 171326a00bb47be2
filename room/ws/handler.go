// Package ws carries the messages of package signal over WebSockets.
package ws

import (
	"context"
	"net/http"

	"github.com/go-chi/chi/v5"
	"go.uber.org/zap"

	"github.com/conclave-sfu/conclave/room"
)

// Config is what a [Handler] needs beside the rooms.
type Config struct {
	// AllowedOrigins are further origins ("https://host[:port]") whose pages may connect;
	// pages of the request's own host always may.
	AllowedOrigins []string
	Logger         *zap.Logger
}

// Handler serves GET /api/v1/rooms/{room}/ws.
type Handler struct{ chi.Router }

// NewHandler returns the handler for the rooms of registry.
func NewHandler(registry *room.Registry, cfg Config) *Handler {
	r := chi.NewRouter()
	r.Get("/api/v1/rooms/{room}/ws", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "not ready", http.StatusServiceUnavailable)
	})
	return &Handler{Router: r}
}

// Wait returns when no connection is left. Close the registry first.
func (h *Handler) Wait(ctx context.Context) error { return nil }

// Observer returns an observer of rooms that writes to logger.
func Observer(logger *zap.Logger) func(room.Event) { return func(room.Event) {} }
