// Command conclave is a meeting server that cannot listen to its meetings, and
// the tools that go with it.
//
//	conclave serve         serve meetings
//	conclave loadtest      join a meeting with many native participants and measure
//	conclave top           show how a server is doing
//	conclave link          make a fresh meeting link
//	conclave healthcheck   ask a server on this machine whether it serves
//	conclave version       say which build this is
//
// Every flag is also an environment variable: --media-port is CONCLAVE_MEDIA_PORT.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/server"
)

// Exit codes. Scripts rely on them.
const (
	exitOK     = 0
	exitFailed = 1 // the command ran and failed, or its verdict is "no"
	exitUsage  = 2 // a flag is unknown, missing or has a bad value
	exitListen = 3 // an address or port cannot be listened on
)

// commandLine is the grammar of the command line.
type commandLine struct {
	Serve       serveCmd       `cmd:"" help:"Serve meetings."`
	Loadtest    loadtestCmd    `cmd:"" help:"Join a meeting with native participants that send a clip, encrypted, and check every frame."`
	Top         topCmd         `cmd:"" help:"Show how a server is doing, in a table that renews itself."`
	Link        linkCmd        `cmd:"" help:"Print a fresh meeting link. Its secret is made here and is sent to nobody."`
	Healthcheck healthcheckCmd `cmd:"" help:"Ask a server on this machine whether it serves; exit 0 if so, 1 if not."`
	Version     versionCmd     `cmd:"" help:"Print the version."`
}

// streams are the standard streams of a command.
type streams struct{ out, err io.Writer }

func main() {
	ctx, cancel := untilSignal(context.Background())
	defer cancel()
	os.Exit(run(ctx, os.Args[1:], streams{out: os.Stdout, err: os.Stderr}))
}

// untilSignal gives a context that the first SIGINT or SIGTERM cancels. The second
// one ends the process at once, with the status that a shell gives a signal.
func untilSignal(parent context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-signals
		cancel()
		if second, ok := (<-signals).(syscall.Signal); ok {
			os.Exit(128 + int(second))
		}
	}()
	return ctx, cancel
}

// parserExit carries an exit that the parser asks for, after --help.
type parserExit int

// run parses args, runs the command and gives the exit code.
func run(ctx context.Context, args []string, std streams) (code int) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case parserExit:
			code = int(r)
		default:
			panic(r)
		}
	}()
	parser, err := kong.New(&commandLine{},
		kong.Name("conclave"),
		kong.Description("A meeting server that cannot listen to its meetings."),
		kong.DefaultEnvars("CONCLAVE"),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Writers(std.out, std.err),
		kong.Exit(func(code int) { panic(parserExit(code)) }),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(std),
	)
	if err != nil {
		panic(fmt.Sprintf("the grammar of the command line is wrong: %v", err))
	}
	cmd, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(std.err, "conclave: %v\nTry 'conclave --help' or 'conclave serve --help'.\n", err)
		return exitUsage
	}
	if err := cmd.Run(); err != nil {
		fmt.Fprintf(std.err, "conclave %s: %v\n", cmd.Command(), err)
		return exitCode(err)
	}
	return exitOK
}

// exitCode gives the stable exit code of a command's error.
func exitCode(err error) int {
	var coded interface{ ExitCode() int }
	switch {
	case errors.As(err, &coded):
		return coded.ExitCode()
	case errors.Is(err, server.ErrListen):
		return exitListen
	default:
		return exitFailed
	}
}
