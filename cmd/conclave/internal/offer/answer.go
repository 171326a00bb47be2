package offer

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
)

// ErrIncomplete: an answer has no credentials, or no candidate for IPv4 and UDP.
var ErrIncomplete = errors.New("no credentials or no candidate")

// Answer is what an answer says of the server.
type Answer struct {
	Credentials
	// Address and Stream are its first candidates for IPv4, for UDP and for TCP; the latter
	// is the zero AddrPort if there is none.
	Address, Stream netip.AddrPort
	// SSRCs are the streams of the slots, by mid.
	SSRCs map[string][]uint32
}

// ReadAnswer fails with [ErrIncomplete], or where the SDP does.
func ReadAnswer(raw string) (Answer, error) {
	var answer sdp.SessionDescription
	if err := answer.UnmarshalString(raw); err != nil {
		return Answer{}, fmt.Errorf("answer: %w", err)
	}
	a := Answer{SSRCs: map[string][]uint32{}}
	for _, media := range answer.MediaDescriptions {
		mid, _ := media.Attribute("mid")
		for _, list := range [][]sdp.Attribute{answer.Attributes, media.Attributes} {
			for _, attribute := range list {
				a.take(mid, attribute)
			}
		}
	}
	if a.Ufrag == "" || a.Password == "" || !a.Address.IsValid() {
		return Answer{}, fmt.Errorf("answer: %w:\n%s", ErrIncomplete, raw)
	}
	return a, nil
}

func (a *Answer) take(mid string, attribute sdp.Attribute) {
	switch attribute.Key {
	case "ice-ufrag":
		a.Ufrag = attribute.Value
	case "ice-pwd":
		a.Password = attribute.Value
	case "candidate":
		a.candidate(attribute.Value)
	case "ssrc":
		number, _, _ := strings.Cut(attribute.Value, " ")
		if ssrc, err := strconv.ParseUint(number, 10, 32); err == nil {
			a.SSRCs[mid] = append(a.SSRCs[mid], uint32(ssrc))
		}
	}
}

// candidate takes "foundation component transport priority address port typ ..."
// (RFC 8839, Section 5.1).
func (a *Answer) candidate(value string) {
	fields := strings.Fields(value)
	if len(fields) < 6 {
		return
	}
	address, err := netip.ParseAddrPort(fields[4] + ":" + fields[5])
	switch protocol := strings.ToLower(fields[2]); {
	case err != nil || !address.Addr().Is4():
	case protocol == "udp" && !a.Address.IsValid():
		a.Address = address
	case protocol == "tcp" && !a.Stream.IsValid():
		a.Stream = address
	}
}

// Slots are the streams of all slots, in order; retransmission streams too.
func (a *Answer) Slots() (ssrcs []uint32) {
	for _, some := range a.SSRCs {
		ssrcs = append(ssrcs, some...)
	}
	slices.Sort(ssrcs)
	return slices.Compact(ssrcs)
}
