package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/config"
	"github.com/conclave-sfu/conclave/cmd/conclave/internal/loadtest"
	"github.com/conclave-sfu/conclave/e2ee"
)

// loadtestCmd joins a meeting with many native participants and measures.
type loadtestCmd struct {
	URL         string        `name:"url" placeholder:"URL" help:"The server, as browsers reach it; a fresh link secret is made."`
	Room        string        `placeholder:"NAME" help:"The room (default: a random one)."`
	Link        string        `placeholder:"LINK" help:"Join a meeting that exists; --url then says where its server is reached, if not where the link says."`
	Publishers  int           `placeholder:"P" default:"1" help:"Participants that send the clip; each receives too (${default})."`
	Subscribers int           `placeholder:"S" default:"1" help:"Participants that only receive (${default})."`
	Duration    time.Duration `placeholder:"D" default:"10s" help:"How long to measure once all have joined (${default})."`
	JSON        string        `name:"json" placeholder:"FILE" help:"Write the report as JSON as well."`
	Verbose     bool          `short:"v" help:"Log what the participants do."`
}

// Validate is called by the parser.
func (c *loadtestCmd) Validate() error {
	switch {
	case c.Link == "" && c.URL == "":
		return errors.New("give --url or --link")
	case c.Link != "" && c.Room != "":
		return errors.New("--room does not go with --link: a link names its room")
	case c.Publishers < 0 || c.Subscribers < 0 || c.Publishers+c.Subscribers == 0:
		return errors.New("--publishers and --subscribers must make at least one participant")
	case c.Publishers+c.Subscribers > loadtest.MaxParticipants:
		return fmt.Errorf("at most %d participants", loadtest.MaxParticipants)
	case c.Duration <= 0:
		return errors.New("--duration must be positive")
	}
	return nil
}

// Run prints the link, runs the test and prints the table. The error is the verdict
// when the meeting was not as it has to be.
func (c *loadtestCmd) Run(ctx context.Context, std streams) error {
	link, err := c.link()
	if err != nil {
		return err
	}
	log, err := c.logger(std.err)
	if err != nil {
		return err
	}
	fmt.Fprintln(std.out, link.URL())
	report, err := loadtest.Run(ctx, loadtest.Scenario{
		Link:        link,
		Publishers:  c.Publishers,
		Subscribers: c.Subscribers,
		Duration:    c.Duration,
		Progress:    c.progress(std.err),
		Logger:      log,
	})
	if err != nil {
		return err
	}
	if err := report.WriteTable(std.out); err != nil {
		return fmt.Errorf("print the report: %w", err)
	}
	if c.JSON != "" {
		if err := writeReport(c.JSON, report); err != nil {
			return err
		}
	}
	return report.Verdict()
}

// link is the meeting to join: the one given, or a fresh one.
func (c *loadtestCmd) link() (e2ee.Link, error) {
	server := strings.TrimRight(c.URL, "/")
	if c.Link == "" {
		return freshLink(server, c.Room)
	}
	link, err := e2ee.ParseLink(c.Link)
	if err != nil || server == "" {
		return link, err
	}
	elsewhere, err := freshLink(server, link.Room) // checks the address
	link.Host = elsewhere.Host
	return link, err
}

// logger is silent unless asked.
func (c *loadtestCmd) logger(w io.Writer) (*zap.Logger, error) {
	if !c.Verbose {
		return zap.NewNop(), nil
	}
	return (&config.Serve{LogLevel: "debug"}).Logger(w)
}

// progress would be torn apart by a log.
func (c *loadtestCmd) progress(w io.Writer) *loadtest.Progress {
	if c.Verbose {
		return nil
	}
	return loadtest.NewProgress(w)
}

func writeReport(path string, report *loadtest.Report) error {
	raw, err := report.JSON()
	if err == nil {
		err = os.WriteFile(path, raw, 0o644)
	}
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}
