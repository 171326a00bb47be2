package layer

// Selector chooses the frames for one receiver. The zero value waits for a frame at
// which it can begin. It belongs to one goroutine and allocates nothing.
type Selector struct {
	targets *Targets
	// current and before are targets plus one, 0 for none: what is sent since a
	// picture, and what was sent until then, which late packets still go by.
	current, before uint8
	since           uint32
	picture         uint32 // of the newest frame that started
	blocked         bool
	// held says that a sequence began without what is wanted, which was waited for in
	// the picture heldAt.
	held   bool
	heldAt uint32
	aim    aim
	frames window
}

// aim is what is wanted, of what there is.
type aim struct {
	want   Layer
	active uint32
	// mask are the targets that will do; goal is the best of them, or none.
	mask uint32
	goal int
}

// Reset forgets all: another source begins.
func (s *Selector) Reset() { *s = Selector{} }

// Current is the layer that is sent. It is false before the first frame.
func (s *Selector) Current() (Layer, bool) {
	if s.current == 0 {
		return Layer{}, false
	}
	return s.targets.layers[s.current-1], true
}

// Mask is that of the decode targets that what is sent contains: what a receiver may
// hold for active. It is 0 before the first frame.
func (s *Selector) Mask() uint32 {
	if s.current == 0 {
		return 0
	}
	return s.targets.under[s.current-1] | 1<<(s.current-1)
}

// Blocked says that what is wanted comes with a key frame only.
func (s *Selector) Blocked() bool { return s.blocked }

// Take decides on a packet of frame f. It is to be forwarded if forward says so, and ends
// its picture, as far as the receiver sees it, if last does. The targets are those in
// force at the frame, nil if they are not known, since their beginning was lost so far;
// want is what the receiver should have at most. A packet that is late is one that came
// after some of a later frame; nothing changes with it, unless it is what was missing.
func (s *Selector) Take(f *Frame, targets *Targets, want Layer, late bool) (forward, last bool) {
	if targets == nil {
		return s.current != 0, false
	}
	if f.Begin && f.Start && (!late || targets != s.targets && int32(f.Picture-s.picture) > 0) {
		s.begin(f, targets)
		s.choose(f, want)
	} else if f.Start && !late && s.targets == targets {
		s.choose(f, want)
	}
	target := s.current
	if int32(f.Picture-s.since) < 0 {
		target = s.before
	}
	if targets != s.targets || target == 0 || f.Present>>(target-1)&1 == 0 {
		return false, false
	}
	if f.Numbered {
		s.frames.add(f.Number)
	}
	waits := s.held && s.heldAt == f.Picture
	return true, f.End && f.Spatial >= targets.layers[target-1].Spatial && !waits
}

// begin takes the targets of a sequence that starts. If they are those of the one before,
// the present target goes on until something better is found.
func (s *Selector) begin(f *Frame, targets *Targets) {
	if s.targets != targets {
		s.targets, s.current = targets, 0
		s.frames, s.aim = window{}, aim{}
	}
	s.before, s.since = s.current, f.Picture
}

// choose moves toward what is wanted, as far as the frame that starts allows.
func (s *Selector) choose(f *Frame, want Layer) {
	if s.aim.want != want || s.aim.active != f.Active || s.aim.mask == 0 {
		s.aim = s.targets.aimAt(want, f.Active)
	}
	if fresh := f.Picture != s.picture || s.current == 0; fresh {
		s.picture = f.Picture
		s.stepDown(f)
	}
	if s.aim.goal != none && !s.hold(f) {
		s.switchOver(f)
		s.blocked = s.isBlocked()
	}
}

// aimAt finds what is wanted among the active targets. If nothing is low enough, the
// lowest has to do.
func (t *Targets) aimAt(want Layer, active uint32) aim {
	there := active & uint32(1<<len(t.layers)-1)
	a := aim{want: want, active: active, mask: t.Below(want) & there}
	if lowest := t.lowest(there); a.mask == 0 && lowest != none {
		a.mask = 1 << lowest
	}
	a.goal = t.best(a.mask)
	return a
}

// hold says whether to wait for another frame of a picture in which a sequence begins:
// where layers are independent of each other, each has a beginning of its own. What
// never comes is not waited for twice.
func (s *Selector) hold(f *Frame) bool {
	if !f.Begin {
		return false
	}
	if s.targets.layers[s.aim.goal].Spatial <= f.Spatial || f.Present>>s.aim.goal&1 == 1 || s.held && s.heldAt != f.Picture {
		s.held = false
		return false
	}
	s.held, s.heldAt = true, f.Picture
	return true
}

// stepDown leaves a target that is not wanted for the best one below it.
func (s *Selector) stepDown(f *Frame) {
	if s.current == 0 || s.wanted(s.current) {
		return
	}
	if d := s.targets.best(s.targets.under[s.current-1] & s.aim.mask); d != none {
		s.move(f, d)
	}
}

// wanted says whether a target, plus one, will do.
func (s *Selector) wanted(target uint8) bool { return target != 0 && s.aim.mask>>(target-1)&1 == 1 }

// switchOver takes the best wanted target that the frame is a switch point to, if it is
// better than the present one or that is not wanted. An encoder that adds a spatial layer
// makes such a frame after those of the layers below: their picture then ends twice, which
// is better than not at all.
func (s *Selector) switchOver(f *Frame) {
	to := s.targets.best(f.Switch & f.Present & s.aim.mask)
	if to == none || to+1 == int(s.current) || !s.decodable(f) {
		return
	}
	if s.wanted(s.current) && !s.targets.layers[to].above(s.targets.layers[s.current-1]) {
		return
	}
	s.move(f, to)
}

// decodable says whether all that the frame refers to was sent.
func (s *Selector) decodable(f *Frame) bool {
	if !f.Numbered {
		return true
	}
	for _, d := range f.Diffs[:f.DiffCount] {
		if !s.frames.has(f.Number - d) {
			return false
		}
	}
	return true
}

func (s *Selector) move(f *Frame, to int) {
	if s.since != f.Picture {
		s.before, s.since = s.current, f.Picture
	}
	s.current = uint8(to + 1)
}

// isBlocked says whether only a key frame leads from the present target to the goal:
// another temporal layer of the same spatial one comes without.
func (s *Selector) isBlocked() bool {
	return s.current == 0 || s.targets.layers[s.aim.goal].Spatial != s.targets.layers[s.current-1].Spatial
}
