package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/config"
)

// healthcheckCmd shares CONCLAVE_LISTEN with serve, so that inside a container it
// needs no flag.
type healthcheckCmd struct {
	Listen  string        `placeholder:"ADDR" default:":8080" help:"The server's --listen address (${default})."`
	Timeout time.Duration `default:"3s" help:"How long to wait for the answer (${default})."`
}

// Validate is called by the parser.
func (c *healthcheckCmd) Validate() error {
	_, err := config.LocalURL(c.Listen)
	return err
}

// Run asks the server for /api/v1/health.
func (c *healthcheckCmd) Run(ctx context.Context, std streams) error {
	base, err := config.LocalURL(c.Listen)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	return askHealth(ctx, base+"/api/v1/health", std.out)
}

func askHealth(ctx context.Context, url string, out io.Writer) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("ask %s: %w", url, err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("no server answers: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, resp.Status)
	}
	_, err = fmt.Fprintln(out, "ok")
	return err
}
