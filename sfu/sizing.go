package sfu

// The spatial layers of one stream cannot be stopped one by one from here: their publisher
// is told how many lines the largest picture has in which anybody is shown it, and makes
// the layers that this takes. More is asked for at once, less after [demandLinger].

const (
	// anyHeight is above all: that of a slot that does not say how large it is.
	anyHeight = 1 << 16
	// heightStep is that of what publishers are told, in pixels: a window that is dragged is
	// not a message for each of them.
	heightStep = 90
)

// sizing is what a publisher was told of how large a stream is shown.
type sizing struct {
	// told is the height in pixels.
	told int
	// since is from when on less would have done, most the largest that was shown since; 0
	// if told is needed.
	since int64
	most  int
}

// want takes the largest height of now. It is true if the publisher is to be told another.
func (s *sizing) want(height int, now int64) bool {
	switch {
	case height > s.told:
		*s = sizing{told: height}
		return true
	case height == s.told:
		s.since, s.most = 0, 0
	case s.since == 0:
		s.since, s.most = now, height
	default:
		s.most = max(s.most, height)
		if now-s.since >= int64(demandLinger) {
			*s = sizing{told: s.most}
			return true
		}
	}
	return false
}

// height is what the publisher is told, 0 for any.
func (s *sizing) height() int { return s.told % anyHeight }

// roundHeight gives the height at which a slot shows a stream as a multiple of heightStep,
// anyHeight if it does not say.
func roundHeight(height int) int {
	if height <= 0 || height >= anyHeight-heightStep {
		return anyHeight
	}
	return (height + heightStep - 1) / heightStep * heightStep
}

// shownAt notes that a slot calls for the stream at a height, in a round in which others may. Views
// may change while a round is under way, which began at an earlier time.
func (u *upTrack) shownAt(height int, now int64, round int) {
	if u.shownIn != round {
		u.shownIn, u.shown = round, 0
	}
	u.wantedAt = max(u.wantedAt, now)
	u.shown = max(u.shown, roundHeight(height))
}

// resize sees how large the stream is shown. It is true if the publisher is to be told: of
// a stream that has, or had, several spatial layers.
func (e *encoding) resize(now int64) bool {
	if s := e.up.shape.Load(); s != nil && s.dependencies != nil && s.spatialLayers() > 1 {
		e.scalable = true
	}
	return e.scalable && e.up.wantedAt >= now && e.size.want(e.up.shown, now)
}

// grows says whether a stream is shown larger than its publisher was told.
func (p *publication) grows(u *upTrack) bool {
	for _, e := range p.layers {
		if e.up == u {
			return e.scalable && u.shown > e.size.told
		}
	}
	return false
}
