package main

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/conclave-sfu/conclave/cmd/conclave/internal/config"
	"github.com/conclave-sfu/conclave/cmd/conclave/internal/server"
)

type serveCmd struct {
	config.Serve `embed:""`
	Tap          tapFlags `embed:"" prefix:""`
}

// Run serves until ctx ends. When everything listens it prints one line on the
// standard output, the URL; all else goes to the log on the standard error.
func (c *serveCmd) Run(ctx context.Context, std streams) error {
	log, err := c.Logger(std.err)
	if err != nil {
		return err
	}
	tap, err := c.Tap.open()
	if err != nil {
		return err
	}
	defer tap.close()
	srv, err := server.New(server.Config{
		Listen:          c.Listen,
		Admin:           c.Admin,
		Media:           netip.AddrPortFrom(netip.IPv6Unspecified(), c.MediaPort),
		NodeIPs:         c.NodeIP,
		Origins:         c.Origins(),
		Grace:           c.Grace,
		MLSSuite:        c.MLSSuite,
		MaxRooms:        c.MaxRooms,
		MaxParticipants: c.MaxParticipants,
		MaxPerAddress:   c.MaxPerAddress,
		TrustForwarded:  c.TrustForwardedFor,
		Version:         buildVersion(),
		Log:             log,
		Tap:             tap.packet,
	})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintln(std.out, c.URL(srv.Addr())); err != nil {
		log.Warn("the URL could not be printed: " + err.Error())
	}
	return srv.Serve(ctx)
}
