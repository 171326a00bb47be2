package framecrypt

import "github.com/conclave-sfu/conclave/e2ee/sframe"

// suite is the SFrame cipher suite of every link format so far.
const suite = sframe.AES128GCMSHA256

// epoch is what a Ring knows of one live epoch.
type epoch struct {
	id      Epoch
	own     Leaf
	members leafSet
	// refused are the leaves that a later epoch has removed.
	refused leafSet
	key     BaseKey

	send [contexts]sendKey
	// streams are the KIDs of which a frame was authentic: at most four a member.
	streams map[sframe.KID]*stream
}

// sendKey is a key of our own, derived when it is first needed.
type sendKey struct {
	key *sframe.Key
	// next counts on, whatever becomes of the frames.
	next sframe.CTR
}

// stream is what is known of one KID of another member.
type stream struct {
	key    *sframe.Key
	window window
}

func newEpoch(id Epoch, own Leaf, members []Leaf, key BaseKey) *epoch {
	e := &epoch{
		id:      id,
		own:     own,
		key:     NewBaseKey(key.bytes()),
		streams: make(map[sframe.KID]*stream),
	}
	for _, l := range members {
		e.members.add(l)
	}
	return e
}

// derive derives the key of a KID of this epoch.
func (e *epoch) derive(kid sframe.KID) (*sframe.Key, error) {
	return sframe.NewKey(suite, e.key.bytes(), kid)
}

// sender takes the next counter of a context and its key.
func (e *epoch) sender(ctx Context) (*sframe.Key, sframe.CTR, error) {
	s := &e.send[ctx]
	if s.next > MaxCTR {
		return nil, 0, ErrNoSendKey
	}
	if s.key == nil {
		key, err := e.derive(MakeKID(ctx, e.own, e.id.Number))
		if err != nil {
			return nil, 0, err
		}
		s.key = key
	}
	ctr := s.next
	s.next++
	return s.key, ctr, nil
}

// resume lets the counters start where others ended.
func (e *epoch) resume(used *[contexts]sframe.CTR) {
	for ctx := range e.send {
		e.send[ctx].next = used[ctx]
	}
}

// admit says whether frames of a leaf are opened in this epoch.
func (e *epoch) admit(leaf Leaf) error {
	switch {
	case e.refused.has(leaf):
		return ErrRemoved
	case !e.members.has(leaf):
		return ErrMissingKey
	}
	return nil
}

// refuse ends what a leaf of this epoch can still send.
func (e *epoch) refuse(leaf Leaf) {
	e.refused.add(leaf)
	for ctx := range contexts {
		kid := MakeKID(ctx, leaf, e.id.Number)
		if s := e.streams[kid]; s != nil {
			s.key.Erase()
			delete(e.streams, kid)
		}
	}
}

func (e *epoch) erase() {
	for _, s := range e.streams {
		s.key.Erase()
	}
	clear(e.streams)
	for i := range e.send {
		if k := e.send[i].key; k != nil {
			k.Erase()
			e.send[i].key = nil
		}
	}
	e.key.Erase()
}
