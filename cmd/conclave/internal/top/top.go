package top

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// askTimeout bounds one answer.
const askTimeout = 5 * time.Second

// maxAnswer bounds an answer in bytes.
const maxAnswer = 8 << 20

// Config says whom to ask, and how to show it.
type Config struct {
	// Admin is the URL of the server's --admin port.
	Admin string
	// Every is the time between two tables, Count how many to show; 0: until the context
	// ends.
	Every time.Duration
	Count int
	// Out takes the tables; Terminal says that each replaces the one before.
	Out      io.Writer
	Terminal bool
}

// home returns to the upper left corner and erases the screen (ECMA-48, CUP and ED).
const home = "\x1b[H\x1b[2J"

// Run shows tables until it has shown Count or ctx ends, which is no error. It fails if
// the first answer does; later ones may, while a server begins anew.
func Run(ctx context.Context, cfg Config) error {
	client := &http.Client{Timeout: askTimeout}
	defer client.CloseIdleConnections()
	url := strings.TrimRight(cfg.Admin, "/") + "/metrics"
	tick := time.NewTicker(cfg.Every)
	defer tick.Stop()
	var before Sample
	for shown := 0; ; {
		now, err := ask(ctx, client, url)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && shown == 0:
			return err
		case err != nil:
			err = cfg.show(func(w io.Writer) error { _, err := fmt.Fprintln(w, err); return err })
		default:
			shown++
			err = cfg.show(func(w io.Writer) error { return View(w, before, now) })
			before = now
		}
		if err != nil {
			return fmt.Errorf("show the table: %w", err)
		}
		if cfg.Count > 0 && shown >= cfg.Count {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// show writes a table whole, so that a terminal does not flicker.
func (c Config) show(write func(io.Writer) error) error {
	var table strings.Builder
	if c.Terminal {
		table.WriteString(home)
	}
	if err := write(&table); err != nil {
		return err
	}
	if !c.Terminal {
		table.WriteByte('\n')
	}
	_, err := io.WriteString(c.Out, table.String())
	return err
}

func ask(ctx context.Context, client *http.Client, url string) (Sample, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return Sample{}, fmt.Errorf("ask %s: %w", url, err)
	}
	answer, err := client.Do(request)
	if err != nil {
		return Sample{}, fmt.Errorf("no server answers: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return Sample{}, fmt.Errorf("%s answers %s: %w", url, answer.Status, ErrMetrics)
	}
	s, err := Parse(io.LimitReader(answer.Body, maxAnswer), time.Now())
	if err != nil {
		return Sample{}, fmt.Errorf("read %s: %w", url, err)
	}
	return s, nil
}
