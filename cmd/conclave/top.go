package main

import (
	"context"
	"errors"
	"os"
	"strings"
	"time"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/top"
)

// topCmd shows how a server is doing.
type topCmd struct {
	Admin string        `placeholder:"URL" default:"http://127.0.0.1:9090" help:"The server's --admin address (${default})."`
	Every time.Duration `placeholder:"D" default:"2s" help:"Time between two tables (${default})."`
	Count int           `placeholder:"N" help:"How many tables to show (default: until interrupted)."`
}

// Validate is called by the parser.
func (c *topCmd) Validate() error {
	switch {
	case !strings.HasPrefix(c.Admin, "http://") && !strings.HasPrefix(c.Admin, "https://"):
		return errors.New("--admin: give a URL, as http://127.0.0.1:9090")
	case c.Every < 100*time.Millisecond:
		return errors.New("--every must be at least 100ms")
	case c.Count < 0:
		return errors.New("--count cannot be negative")
	}
	return nil
}

// Run shows tables: on a terminal each in the place of the one before.
func (c *topCmd) Run(ctx context.Context, std streams) error {
	file, ok := std.out.(*os.File)
	terminal := false
	if ok {
		info, err := file.Stat()
		terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return top.Run(ctx, top.Config{Admin: c.Admin, Every: c.Every, Count: c.Count, Out: std.out, Terminal: terminal})
}
