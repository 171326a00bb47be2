package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/config"
)

// healthcheckCmd shares environment variables with serve, so that inside a container it
// needs no flag.
type healthcheckCmd struct {
	Listen     string   `placeholder:"ADDR" help:"The server's --listen address (default: :443 with HTTPS, :8080 without)."`
	TLSCert    string   `name:"tls-cert" placeholder:"FILE" help:"As the server's: it speaks HTTPS."`
	ACMEDomain []string `name:"acme-domain" placeholder:"NAME" sep:"," help:"As the server's: it speaks HTTPS."`

	Timeout time.Duration `default:"3s" help:"How long to wait for the answer (${default})."`
}

// Validate is called by the parser.
func (c *healthcheckCmd) Validate() error {
	_, err := c.url()
	return err
}

func (c *healthcheckCmd) url() (string, error) {
	https := c.TLSCert != "" || len(c.ACMEDomain) > 0
	return config.LocalURL(config.ListenAddr(c.Listen, https), https)
}

// Run asks the server for /api/v1/health.
func (c *healthcheckCmd) Run(ctx context.Context, std streams) error {
	base, err := c.url()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	return askHealth(ctx, c.client(), base+"/api/v1/health", std.out)
}

// client does not judge the certificate: it asks this machine whether somebody serves, not
// who. An ACME server has a certificate only for its name.
func (c *healthcheckCmd) client() *http.Client {
	cfg := &tls.Config{InsecureSkipVerify: true}
	if len(c.ACMEDomain) > 0 {
		cfg.ServerName = c.ACMEDomain[0]
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: cfg, DisableKeepAlives: true}}
}

func askHealth(ctx context.Context, client *http.Client, url string, out io.Writer) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("ask %s: %w", url, err)
	}
	resp, err := client.Do(req)
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
