package main

import (
	"crypto/rand"
	"encoding/base32"
	"fmt"
	"strings"

	"github.com/conclave-sfu/conclave/e2ee"
)

type linkCmd struct {
	URL  string `name:"url" placeholder:"URL" default:"http://localhost:8080" help:"The server's address, as browsers reach it (${default})."`
	Room string `placeholder:"NAME" help:"The room's name: letters, digits, - and _, at most 64 (default: a random one)."`
}

// Run prints a fresh link. Nothing leaves this process but the line it prints.
func (c *linkCmd) Run(std streams) error {
	room := c.Room
	if room == "" {
		room = randomRoom()
	}
	link, err := e2ee.NewLink(rand.Reader, strings.TrimRight(c.URL, "/"), room)
	if err != nil {
		return fmt.Errorf("make a link to room %q at %s: %w", room, c.URL, err)
	}
	_, err = fmt.Fprintln(std.out, link.URL())
	return err
}

// randomRoom gives a name of 12 characters with 60 random bits, so that two
// meetings do not meet by chance. It is no secret: the server sees it.
func randomRoom() string {
	var raw [8]byte
	rand.Read(raw[:]) //nolint:errcheck // crypto/rand.Read never fails (Go 1.24)
	return strings.ToLower(base32.StdEncoding.EncodeToString(raw[:]))[:12]
}
