package e2ee

import "time"

// posted takes the room's answer to a post.
func (s *Session) posted(in Posted) {
	switch {
	case s.joinPost.is(in.Seq) && in.Code != "":
		s.joinPost = inflight{}
		s.joiner.notBefore = s.now.Add(announcePause)
	case s.turnPost.is(in.Seq) && in.Code != "":
		s.turnPost = inflight{}
		s.hold = s.now.Add(turnLength)
	}
}

// inflight is a post whose entry has not come back in the log yet.
type inflight struct {
	seq   uint32
	until time.Time // then it counts as lost; zero if there is none
}

func (p inflight) open() bool         { return !p.until.IsZero() }
func (p inflight) is(seq uint32) bool { return p.open() && p.seq == seq }

func (p *inflight) expire(now time.Time) {
	if p.open() && !now.Before(p.until) {
		*p = inflight{}
	}
}

func (s *Session) post(body PostBody) inflight {
	s.seq++
	s.emit(Post{Seq: s.seq, Body: body})
	return inflight{seq: s.seq, until: s.now.Add(postTimeout)}
}

// later is the later of two times.
func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
