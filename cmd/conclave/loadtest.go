package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/config"
	"github.com/conclave-sfu/conclave/cmd/conclave/internal/loadtest"
	"github.com/conclave-sfu/conclave/e2ee"
	"github.com/conclave-sfu/conclave/room/client"
	"github.com/conclave-sfu/conclave/sfu/impair"
)

// loadtestCmd joins a meeting with many native participants and measures.
type loadtestCmd struct {
	URL         string        `name:"url" placeholder:"URL" help:"The server, as browsers reach it; a fresh link secret is made."`
	Room        string        `placeholder:"NAME" help:"The room (default: a random one)."`
	Link        string        `placeholder:"LINK" help:"Join a meeting that exists; --url then says where its server is reached, if not where the link says."`
	Publishers  int           `placeholder:"P" default:"1" help:"Participants that send the clip; each receives too (${default})."`
	Subscribers int           `placeholder:"S" default:"1" help:"Participants that only receive (${default})."`
	Duration    time.Duration `placeholder:"D" default:"10s" help:"How long to measure once all have joined (${default})."`
	Way         client.Way    `enum:"udp,tcp,turn-udp,turn-tcp,turn-tls" default:"udp" help:"How media goes, to see whether it can: ${enum} (${default})."`
	JSON        string        `name:"json" placeholder:"FILE" help:"Write the report as JSON as well."`
	Verbose     bool          `short:"v" help:"Log what the participants do."`

	Layers []loadtest.Bits `placeholder:"RATE,..." help:"Send synthetic video of these bit rates instead of the clip; several make a simulcast, lowest first (150k,500k,1500k)."`

	Loss      loadtest.Share `group:"A bad network (a relay before each participant)" placeholder:"SHARE" help:"Packets that are lost: 5% or 0.05."`
	Burst     float64        `group:"A bad network (a relay before each participant)" placeholder:"N" help:"Mean length of a run of losses in packets (default: each for itself)."`
	Delay     time.Duration  `group:"A bad network (a relay before each participant)" placeholder:"D" help:"What each packet takes, one way."`
	Jitter    time.Duration  `group:"A bad network (a relay before each participant)" placeholder:"D" help:"The most that is added to it at random."`
	Reorder   loadtest.Share `group:"A bad network (a relay before each participant)" placeholder:"SHARE" help:"Packets that overtake others."`
	Duplicate loadtest.Share `group:"A bad network (a relay before each participant)" placeholder:"SHARE" help:"Packets that come twice."`
	RateLimit loadtest.Bits  `group:"A bad network (a relay before each participant)" placeholder:"RATE" help:"Bits a second of the bottleneck: 300k, 3M."`
	Queue     time.Duration  `group:"A bad network (a relay before each participant)" placeholder:"D" help:"How long a packet may wait for the bottleneck (default: 200ms)."`
	Schedule  string         `group:"A bad network (a relay before each participant)" placeholder:"STEPS" help:"Conditions that change, instead of --duration: '10s:rate=3M;10s:rate=300k,loss=1%;10s:rate=3M'. Each step begins with the flags above."`
	Impair    loadtest.Ways  `group:"A bad network (a relay before each participant)" enum:"up,down,both" default:"both" help:"Which way is bad, as participants see it: ${enum} (${default})."`
	Impaired  loadtest.Who   `group:"A bad network (a relay before each participant)" enum:"all,publishers,subscribers,last" default:"all" help:"Whose network is bad: ${enum} (${default})."`
	Recovery  time.Duration  `group:"A bad network (a relay before each participant)" placeholder:"D" default:"5s" help:"How long to measure after it (${default})."`
	Seed      uint64         `group:"A bad network (a relay before each participant)" placeholder:"N" help:"Of its chance (default: a random one, printed)."`
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
	case c.Link == "" && (c.Publishers == 0 || c.Publishers+c.Subscribers == 1):
		return errors.New("one who sends and another who receives are the least, where no --link leads to others")
	case c.Publishers+c.Subscribers > loadtest.MaxParticipants:
		return fmt.Errorf("at most %d participants", loadtest.MaxParticipants)
	case c.Duration <= 0:
		return errors.New("--duration must be positive")
	case len(c.Layers) > loadtest.MaxLayers:
		return fmt.Errorf("--layers: at most %d", loadtest.MaxLayers)
	case c.Delay < 0 || c.Jitter < 0 || c.Queue < 0 || c.Recovery < 0 || c.Burst < 0:
		return errors.New("delays, and the length of bursts, cannot be negative")
	}
	if _, err := c.link(); err != nil {
		return err
	}
	steps, err := c.steps()
	if len(steps) > 0 && c.Way != client.ByUDP {
		return fmt.Errorf("--way %s does not go with a bad network, whose relay is for UDP", c.Way)
	}
	return err
}

// conditions are those that the flags describe.
func (c *loadtestCmd) conditions() impair.Conditions {
	return impair.Conditions{
		Loss: float64(c.Loss), Burst: c.Burst, Delay: c.Delay, Jitter: c.Jitter,
		Reorder: float64(c.Reorder), Duplicate: float64(c.Duplicate), Rate: int(c.RateLimit), Queue: c.Queue,
	}
}

// steps are the conditions one after another; none if the network is left as it is.
func (c *loadtestCmd) steps() ([]loadtest.Step, error) {
	base := c.conditions()
	if c.Schedule == "" && base == (impair.Conditions{}) {
		return nil, nil
	}
	return loadtest.ParseSchedule(c.Schedule, base, c.Duration, c.Impair)
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
	steps, err := c.steps()
	if err != nil {
		return err
	}
	fmt.Fprintln(std.out, link.URL())
	if len(steps) > 0 {
		for c.Seed == 0 {
			c.Seed = rand.Uint64()
		}
		fmt.Fprintf(std.out, "seed %d\n", c.Seed)
	}
	report, err := loadtest.Run(ctx, loadtest.Scenario{
		Link:        link,
		Way:         c.Way,
		Publishers:  c.Publishers,
		Subscribers: c.Subscribers,
		Duration:    c.Duration,
		Layers:      c.Layers,
		Steps:       steps,
		Recovery:    c.Recovery,
		Impaired:    c.Impaired,
		Seed:        c.Seed,
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
