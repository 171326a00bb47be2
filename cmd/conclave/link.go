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
	link, err := freshLink(c.URL, c.Room)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(std.out, link.URL())
	return err
}

// freshLink makes a link with a new secret to a room of the server at url, or to a
// room with a random name if none is given.
func freshLink(url, room string) (e2ee.Link, error) {
	if room == "" {
		room = randomRoom()
	}
	link, err := e2ee.NewLink(rand.Reader, strings.TrimRight(url, "/"), room)
	if err != nil {
		return e2ee.Link{}, fmt.Errorf("make a link to room %q at %s: %w", room, url, err)
	}
	return link, nil
}

// randomRoom gives a name of 12 characters with 60 random bits, so that two
// meetings do not meet by chance. It is no secret: the server sees it.
func randomRoom() string {
	var raw [8]byte
	rand.Read(raw[:]) // crypto/rand.Read never fails
	return strings.ToLower(base32.StdEncoding.EncodeToString(raw[:]))[:12]
}
