package room

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/conclave-sfu/conclave/room/signal"
)

// offerTimeout is how long the forwarder has for an answer; it needs some milliseconds.
const offerTimeout = 10 * time.Second

// session is a participation's media session, and the mailbox of its events: the last
// of each kind, for an older one says nothing more.
type session struct {
	// Immutable.
	room   *room
	seat   seatID
	media  MediaSession
	ctx    context.Context // ends with the session
	cancel context.CancelFunc

	// Guarded by room.mail.mu.
	queued    bool
	closed    bool
	published []command // at most one each
	slotted   []command
	demanded  []command
	downed    []command
}

// Published implements [MediaEvents].
func (s *session) Published(sources []signal.Source) {
	s.post(&s.published, published{s.seat, slices.Clone(sources)})
}

// Slots implements [MediaEvents].
func (s *session) Slots(slots signal.Slots) {
	slots.Slots = slices.Clone(slots.Slots)
	s.post(&s.slotted, slotted{s.seat, slots})
}

// Demand implements [MediaEvents].
func (s *session) Demand(demand signal.Demand) {
	demand.Sources = slices.Clone(demand.Sources)
	s.post(&s.demanded, demanded{s.seat, demand})
}

// Down implements [MediaEvents].
func (s *session) Down(down signal.MediaDown) { s.post(&s.downed, downed{s.seat, down}) }

// post puts an event into the mailbox in place of the one before. It does not block.
func (s *session) post(box *[]command, cmd command) {
	s.room.mail.mu.Lock()
	defer s.room.mail.mu.Unlock()
	if s.closed {
		return
	}
	*box = append((*box)[:0], cmd)
	if !s.queued {
		s.queued = true
		s.room.mail.sessions = append(s.room.mail.sessions, s)
	}
	s.room.mail.wake()
}

// mail is the sessions that have events, each at most once.
type mail struct {
	full chan struct{} // holds a token when there is something

	mu       sync.Mutex
	sessions []*session
}

func (m *mail) wake() {
	select {
	case m.full <- struct{}{}:
	default:
	}
}

// take empties all mailboxes.
func (m *mail) take() (commands []command) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.sessions {
		commands = append(commands, s.published...)
		commands = append(commands, s.slotted...)
		commands = append(commands, s.demanded...)
		commands = append(commands, s.downed...)
		s.published, s.slotted, s.demanded, s.downed, s.queued = nil, nil, nil, nil, false
	}
	m.sessions = nil
	return commands
}

// attach opens a session.
func (r *room) attach(seat seatID, pid signal.PID) error {
	s := &session{room: r, seat: seat}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	media, err := r.registry.cfg.Media.Attach(r.name, pid, s)
	if err != nil {
		s.close()
		return err
	}
	s.media = media
	r.sessions[seat] = s
	return nil
}

// close ends a session. No event of it enters the room any more.
func (s *session) close() {
	s.cancel()
	s.room.mail.mu.Lock()
	s.closed = true
	s.published, s.slotted, s.demanded, s.downed = nil, nil, nil, nil
	s.room.mail.mu.Unlock()
	if s.media != nil {
		s.media.Close()
	}
}

// offer has an offer answered on a goroutine of its own, for that may block.
func (s *session) offer(o offer) {
	s.room.registry.running.Go(func() {
		ctx, cancel := context.WithTimeout(s.ctx, offerTimeout)
		defer cancel()
		cmd := answered{seat: o.seat, conn: o.conn, id: o.id}
		answer, err := s.media.Offer(ctx, o.offer)
		if err != nil {
			cmd.refusal = offerRefusal(err)
		}
		cmd.answer = answer
		select {
		case s.room.inbox <- inboxItem{cmd: cmd}:
		case <-s.ctx.Done(): // the participation is over, perhaps the room too
		}
	})
}

// offerRefusal tells a client why its own offer was refused.
func offerRefusal(err error) *signal.Error {
	var why *signal.Error
	switch {
	case errors.As(err, &why):
		return why
	case errors.Is(err, context.DeadlineExceeded):
		return refusal(signal.CodeMediaFailed, "the forwarder took too long")
	}
	const longest = 300 // bytes
	text := err.Error()
	return refusal(signal.CodeBadOffer, text[:min(len(text), longest)])
}
