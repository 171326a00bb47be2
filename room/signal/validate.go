package signal

import "fmt"

// badField refuses a message because of one field.
func badField(field, problem string) *Error {
	return &Error{Code: CodeBadMessage, Message: field + " " + problem}
}

// Validate checks the pid and, if there is one, the proof.
func (h *Hello) Validate() error {
	if _, err := h.PID.Bytes(); err != nil {
		return err
	}
	if h.Resume == nil {
		return nil
	}
	return h.Resume.validate()
}

func (r *Resume) validate() error {
	if r.Token == "" || len(r.Token) > MaxToken {
		return badField("resume.token", fmt.Sprintf("must be 1 to %d characters", MaxToken))
	}
	return checkSize("resume.logId", r.LogID, LogIDSize)
}

// Validate checks sizes; the KeyPackage is opaque to the room.
func (j *Join) Validate() error {
	if err := checkRange("keyPackage", len(j.KeyPackage), 1, MaxKeyPackage, " bytes"); err != nil {
		return err
	}
	return checkSize("mac", j.MAC, MACSize)
}

// Validate checks sizes.
func (c *Create) Validate() error {
	if err := checkSize("groupId", c.GroupID, GroupIDSize); err != nil {
		return err
	}
	return checkSize("mac", c.MAC, MACSize)
}

// Validate checks sizes, and that there is a Welcome if and only if somebody is
// added. The bytes of the commit and the Welcome are bounded by [MaxMessage].
func (c *Commit) Validate() error {
	if err := checkRange("adds", len(c.Adds), 0, MaxParticipants, " digests"); err != nil {
		return err
	}
	for i, digest := range c.Adds {
		if err := checkSize(fmt.Sprintf("adds[%d]", i), digest, DigestSize); err != nil {
			return err
		}
	}
	switch {
	case len(c.Commit) == 0:
		return badField("commit", "is missing")
	case (len(c.Adds) > 0) != (len(c.Welcome) > 0):
		return badField("welcome", "must be there if and only if adds is")
	}
	return checkSize("mac", c.MAC, MACSize)
}

// Validate checks the size. A pid that a client sets is not looked at.
func (m *Message) Validate() error {
	return checkRange("data", len(m.Data), 1, MaxGroupMessage, " bytes")
}

// Validate checks sizes, and that no media section and no source is named twice.
// The SDP itself is the forwarder's to judge.
func (o *Offer) Validate() error {
	if o.Connection == 0 {
		return badField("connection", "counts from 1")
	}
	if err := checkRange("sdp", len(o.SDP), 1, MaxSDP, " bytes"); err != nil {
		return err
	}
	if err := checkRange("tracks", len(o.Tracks), 0, MaxTracks, " tracks"); err != nil {
		return err
	}
	return checkTracks(o.Tracks)
}

func checkTracks(tracks []OfferTrack) error {
	mids, sources := map[string]bool{}, map[Source]bool{}
	for i, t := range tracks {
		switch field := fmt.Sprintf("tracks[%d]", i); {
		case t.MID == "" || len(t.MID) > MaxMID:
			return badField(field+".mid", fmt.Sprintf("must be 1 to %d characters", MaxMID))
		case !t.Source.Valid():
			return badField(field+".source", "is unknown")
		case mids[t.MID] || sources[t.Source]:
			return badField(field, "names a media section or source again")
		}
		mids[t.MID], sources[t.Source] = true, true
	}
	return nil
}

// Validate checks counts and ranges, and that each want is a video.
func (v *View) Validate() error {
	if err := checkRange("wants", len(v.Wants), 0, MaxWants, " videos"); err != nil {
		return err
	}
	for i := range v.Wants {
		if err := v.Wants[i].validate(fmt.Sprintf("wants[%d].", i)); err != nil {
			return err
		}
	}
	return nil
}

func (w *Want) validate(prefix string) error {
	if _, err := w.PID.Bytes(); err != nil {
		return badField(prefix+"pid", "must be 22 characters of base64url")
	}
	if w.Source != SourceCamera && w.Source != SourceScreen {
		return badField(prefix+"source", "must be a video")
	}
	if err := checkRange(prefix+"width", w.Width, 0, MaxViewSize, " pixels"); err != nil {
		return err
	}
	if err := checkRange(prefix+"height", w.Height, 0, MaxViewSize, " pixels"); err != nil {
		return err
	}
	return checkRange(prefix+"priority", w.Priority, -MaxPriority, MaxPriority, "")
}

// Validate checks the source.
func (m *Mute) Validate() error {
	if !m.Source.Valid() {
		return badField("source", "is unknown")
	}
	return nil
}

// Validate returns nil: a leave has no fields.
func (*Leave) Validate() error { return nil }

// Valid reports whether s is one of the four sources.
func (s Source) Valid() bool {
	return s == SourceMic || s == SourceCamera || s == SourceScreen || s == SourceScreenAudio
}

func checkSize(field string, b []byte, size int) error {
	if len(b) != size {
		return badField(field, fmt.Sprintf("must be %d bytes", size))
	}
	return nil
}

func checkRange(field string, n, low, high int, unit string) error {
	if n < low || n > high {
		return badField(field, fmt.Sprintf("must be %d to %d%s", low, high, unit))
	}
	return nil
}
