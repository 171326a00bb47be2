package e2eesim

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/conclave-sfu/conclave/e2ee"
	"github.com/conclave-sfu/conclave/e2ee/framecrypt"
)

// Agreed returns an error unless all who are here are members of one epoch, see one
// safety number and exactly each other, seal under that epoch, and open each other's
// frames.
func (w *World) Agreed() error {
	var here []*Participant
	var names []string
	for _, p := range w.People {
		if p.here() {
			here = append(here, p)
			names = append(names, p.Name)
		}
	}
	return w.agreed(here, names)
}

// agreed is Agreed for some of the participants, whose roster has the names given.
func (w *World) agreed(here []*Participant, names []string) error {
	slices.Sort(names)
	for _, p := range here {
		if err := p.agrees(here[0], names); err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
	}
	return framesOpen(here)
}

func (p *Participant) agrees(first *Participant, names []string) error {
	switch {
	case p.Status.State != e2ee.StateMember || p.Epoch == nil:
		return fmt.Errorf("is %s %s", p.Status.State, p.Status.Code)
	case p.Epoch.Epoch.Number != first.Epoch.Epoch.Number:
		return fmt.Errorf("epoch %v, but %s has %v", p.Epoch.Epoch, first.Name, first.Epoch.Epoch)
	case p.Epoch.SafetyNumber != first.Epoch.SafetyNumber:
		return fmt.Errorf("another safety number than %s", first.Name)
	case p.Sending != p.Epoch.Epoch:
		return fmt.Errorf("epoch %v, but sends under %v", p.Epoch.Epoch, p.Sending)
	case !slices.Equal(p.Roster(), names):
		return fmt.Errorf("sees %v, but %v are here", p.Roster(), names)
	}
	return nil
}

// sawEpoch holds everyone to one roster for each safety number, and, unless the
// adversary forks the room, to one safety number for each entry that begins an epoch.
func (w *World) sawEpoch(p *Participant, e e2ee.EpochStarted, roster string) {
	if known, ok := w.rosters[e.SafetyNumber]; ok && known != roster {
		w.fail(p.Name, "safety number %s stands for %s and %s", e.SafetyNumber, known, roster)
	}
	w.rosters[e.SafetyNumber] = roster
	epoch := fmt.Sprintf("%x %d", p.opened, p.at)
	if known, ok := w.numbers[epoch]; ok && known != e.SafetyNumber && !w.Forks {
		w.fail(p.Name, "the epoch of entry %d has the safety numbers %s and %s", p.at, known, e.SafetyNumber)
	}
	w.numbers[epoch] = e.SafetyNumber
}

// Roster is the names of the newest epoch's members, sorted.
func (p *Participant) Roster() []string {
	var names []string
	for _, m := range p.Epoch.Members {
		names = append(names, m.Name)
	}
	slices.Sort(names)
	return names
}

// framesOpen lets everyone send a frame to all others.
func framesOpen(people []*Participant) error {
	for _, from := range people {
		frame := []byte("a frame of " + from.Name)
		sealed, err := from.Ring.Seal(nil, framecrypt.Mic, framecrypt.Opus, frame)
		if err != nil {
			return fmt.Errorf("%s seals: %w", from.Name, err)
		}
		for _, to := range people {
			if to == from {
				continue
			}
			got, info, err := to.Ring.Open(nil, framecrypt.Opus, sealed)
			if err != nil || !bytes.Equal(got, frame) || info.Leaf != from.Epoch.Own {
				return fmt.Errorf("%s opens a frame of %s: leaf %d, %w", to.Name, from.Name, info.Leaf, err)
			}
		}
	}
	return nil
}

func describePost(body e2ee.PostBody) string {
	switch body := body.(type) {
	case e2ee.PostJoin:
		return "join"
	case e2ee.PostCreate:
		return fmt.Sprintf("create last=%d generation=%d", body.Last, body.Generation)
	case e2ee.PostCommit:
		return fmt.Sprintf("commit last=%d generation=%d adds=%d", body.Last, body.Generation, len(body.Adds))
	}
	return "?"
}

func (s *Server) describe(e e2ee.Entry) string {
	who := "?"
	for _, p := range s.world.People {
		if p.PID == e.PID {
			who = p.Name
		}
	}
	switch body := e.Body.(type) {
	case e2ee.Joined:
		return "joined " + who
	case e2ee.Left:
		return "left " + who
	case e2ee.Created:
		return fmt.Sprintf("create %s last=%d generation=%d", who, body.Last, body.Generation)
	case e2ee.Committed:
		var adds []string
		for _, digest := range body.Adds {
			adds = append(adds, s.owner[digest])
		}
		return fmt.Sprintf("commit %s last=%d adds=[%s]", who, body.Last, strings.Join(adds, " "))
	}
	return who
}
