package framecrypt

import (
	"fmt"
	"slices"

	"github.com/conclave-sfu/conclave/e2ee/sframe"
)

const (
	// MaxCTR is the highest counter of a frame. It is exact in a float64, which is what
	// browsers count with, and out of reach: 8 million years at 1,000 frames a second.
	MaxCTR sframe.CTR = 1<<48 - 1
	// MaxOverhead is by how many bytes a sealed frame is longer, at most: config byte,
	// KID (3 bytes), CTR (6 bytes), tag.
	MaxOverhead = 1 + 3 + 6 + sframe.TagSize
	// maxEpochs is how many epochs are kept at most: the oldest make room.
	maxEpochs = 16
)

// Ring holds the keys of the live epochs, and seals and opens frames under them. It
// is for one goroutine at a time.
type Ring struct {
	live    []*epoch // oldest first
	sending *epoch   // one of live, or nil

	newest  Epoch // of all that were ever started
	started bool  // whether there is a newest
	// used is one more than the highest counter ever used in each context.
	used    [contexts]sframe.CTR
	scratch [1 + vp8KeyFrameClear]byte
}

// Info says what an authentic frame proves about itself. All members of the epoch
// have the sender's key, so it proves this only to those outside.
type Info struct {
	KID     sframe.KID
	Epoch   Epoch
	Leaf    Leaf
	Context Context
	CTR     sframe.CTR
}

// NewRing makes a ring without keys: it seals and opens nothing.
func NewRing() *Ring { return &Ring{} }

// Start adds an epoch: frames of its members can be opened from now on. The leaves
// in removed were members of earlier epochs and are no more: their frames under
// these are refused at once, while the same leaf may be somebody else's in the new
// epoch. The ring copies the key, and erases its copy when the epoch ends.
//
// An epoch of a higher generation ends all before it. A live epoch that is not older
// than the new one ends too: a joiner was given a second Welcome. The counters of an
// epoch that is not the newest ever go on from the highest ever used. The oldest
// epoch makes room for a seventeenth.
//
// The error is [ErrEpoch]; nothing has changed then.
func (r *Ring) Start(id Epoch, own Leaf, members, removed []Leaf, key BaseKey) error {
	if err := r.startable(id, own, members, key); err != nil {
		return fmt.Errorf("start epoch %v: %w", id, err)
	}
	r.endIf(func(e *epoch) bool {
		return e.id.Generation != id.Generation || !e.id.Less(id) || residue(e.id) == residue(id)
	})
	if len(r.live) == maxEpochs {
		r.End(r.oldest())
	}
	for _, e := range r.live {
		for _, leaf := range removed {
			e.refuse(leaf)
		}
	}
	e := newEpoch(id, own, members, key)
	if r.started && !r.newest.Less(id) {
		e.resume(&r.used)
	} else {
		r.newest, r.started = id, true
	}
	r.live = append(r.live, e)
	return nil
}

func (r *Ring) startable(id Epoch, own Leaf, members []Leaf, key BaseKey) error {
	if len(key.bytes()) != suite.KeySize() {
		return fmt.Errorf("%w: base key of %d bytes", ErrEpoch, len(key.bytes()))
	}
	if len(members) == 0 || max(own, slices.Max(members)) > MaxLeaf || !slices.Contains(members, own) {
		return fmt.Errorf("%w: own leaf %d among %d members", ErrEpoch, own, len(members))
	}
	if r.started && id.Generation < r.newest.Generation {
		return fmt.Errorf("%w: an old generation", ErrEpoch)
	}
	for _, e := range r.live {
		if e.key.Equal(key) {
			return fmt.Errorf("%w: the key of epoch %v", ErrEpoch, e.id)
		}
	}
	return nil
}

// SendWith says that frames are sealed under a live epoch from now on. There is no
// way back to an older one: that and an unknown epoch are [ErrEpoch], and the epoch
// to send with stays as it was.
func (r *Ring) SendWith(id Epoch) error {
	e := r.find(id)
	if e == nil {
		return fmt.Errorf("send with epoch %v: %w: not live", id, ErrEpoch)
	}
	if r.sending != nil && id.Less(r.sending.id) {
		return fmt.Errorf("send with epoch %v after %v: %w", id, r.sending.id, ErrEpoch)
	}
	r.sending = e
	return nil
}

// Sending is the epoch that frames are sealed under; false if there is none.
func (r *Ring) Sending() (Epoch, bool) {
	if r.sending == nil {
		return Epoch{}, false
	}
	return r.sending.id, true
}

// End erases the keys of an epoch. It does nothing for one that is not live.
func (r *Ring) End(id Epoch) { r.endIf(func(e *epoch) bool { return e.id == id }) }

// Erase ends all epochs.
func (r *Ring) Erase() { r.endIf(func(*epoch) bool { return true }) }

// Seal appends the sealed form of a frame to dst. The free space of dst must not
// overlap frame, which is not retained. An empty frame appends nothing. Whatever
// becomes of the frame, its counter is used up.
//
// The errors are [ErrNoSendKey], [ErrCodec] and [ErrShortFrame]; dst is returned as
// it was.
func (r *Ring) Seal(dst []byte, ctx Context, codec Codec, frame []byte) ([]byte, error) {
	if r.sending == nil {
		return dst, ErrNoSendKey
	}
	if ctx >= contexts || ctx.Audio() != codec.Audio() {
		return dst, ErrCodec
	}
	if len(frame) == 0 {
		return dst, nil
	}
	n, err := ClearPrefix(codec, frame)
	if err != nil {
		return dst, err
	}
	key, ctr, err := r.sending.sender(ctx)
	if err != nil {
		return dst, err
	}
	r.used[ctx] = max(r.used[ctx], ctr+1)
	meta := r.metadata(codec, frame[:n])
	return key.Seal(append(dst, frame[:n]...), ctr, meta, frame[n:]), nil
}

// Open appends a frame to dst, given its sealed form. The free space of dst must not
// overlap frame, which is not retained. An empty frame appends nothing, and its Info
// is empty: it may be from anybody.
//
// The errors are [ErrMissingKey], [ErrRemoved], [ErrReplay], [ErrDecrypt],
// [ErrUnencrypted], [ErrShortFrame] and [ErrCodec]; dst is returned as it was. Info
// then says what the frame claims, where that could be read.
func (r *Ring) Open(dst []byte, codec Codec, frame []byte) ([]byte, Info, error) {
	if len(frame) == 0 {
		return dst, Info{}, nil
	}
	n, err := ClearPrefix(codec, frame)
	if err != nil {
		return dst, Info{}, err
	}
	info, err := parse(frame[n:])
	if err != nil {
		return dst, info, err
	}
	e, err := r.receiving(&info)
	if err != nil {
		return dst, info, err
	}
	if info.Context.Audio() != codec.Audio() {
		return dst, info, ErrDecrypt
	}
	opened, err := r.open(dst, e, info, codec, frame, n)
	return opened, info, err
}

// open opens a frame with n clear bytes under its one key. The first authentic frame
// of a KID makes its stream: a claim alone leaves nothing behind.
func (r *Ring) open(dst []byte, e *epoch, info Info, codec Codec, frame []byte, n int) ([]byte, error) {
	s := e.streams[info.KID]
	known := s != nil
	if !known {
		key, err := e.derive(info.KID)
		if err != nil {
			return dst, ErrMissingKey
		}
		s = &stream{key: key, window: newWindow(info.Context)}
	}
	if !s.window.fresh(info.CTR) {
		return dst, ErrReplay
	}
	meta := r.metadata(codec, frame[:n])
	opened, err := s.key.Open(append(dst, frame[:n]...), meta, frame[n:])
	if err != nil {
		return dst, ErrDecrypt
	}
	s.window.advance(info.CTR)
	if !known {
		e.streams[info.KID] = s
	}
	return opened, nil
}

// KeyFor derives the key and the salt of a KID, for a shell that seals and opens
// elsewhere (in a browser). The caller erases both. Replays and counters are then the
// caller's. The KID may be one's own. The errors are [ErrMissingKey] and [ErrRemoved].
func (r *Ring) KeyFor(kid sframe.KID) (key, salt []byte, id Epoch, err error) {
	_, leaf, mod, ok := SplitKID(kid)
	e := r.byResidue(mod)
	if !ok || e == nil {
		return nil, nil, Epoch{}, ErrMissingKey
	}
	if err := e.admit(leaf); err != nil {
		return nil, nil, e.id, err
	}
	key, salt, err = suite.Derive(e.key.bytes(), kid)
	return key, salt, e.id, err
}

// parse reads what a sealed frame claims after its clear bytes.
func parse(b []byte) (Info, error) {
	if len(b) < 1+sframe.TagSize {
		return Info{}, ErrShortFrame
	}
	h, n, err := sframe.ParseHeader(b)
	if err != nil || n != h.Size() || h.CTR > MaxCTR {
		return Info{}, ErrUnencrypted
	}
	ctx, leaf, _, ok := SplitKID(h.KID)
	if !ok {
		return Info{}, ErrUnencrypted
	}
	if len(b) < n+sframe.TagSize {
		return Info{}, ErrShortFrame
	}
	return Info{KID: h.KID, Leaf: leaf, Context: ctx, CTR: h.CTR}, nil
}

// receiving finds the epoch of a frame and fills it in. Own frames come from nobody.
func (r *Ring) receiving(info *Info) (*epoch, error) {
	e := r.byResidue(uint8(info.KID & epochMask))
	if e == nil {
		return nil, ErrMissingKey
	}
	info.Epoch = e.id
	if info.Leaf == e.own {
		return nil, ErrMissingKey
	}
	return e, e.admit(info.Leaf)
}

// metadata is what a frame authenticates beside its header: codec, clear bytes. It
// is valid until the next call.
func (r *Ring) metadata(codec Codec, prefix []byte) []byte {
	r.scratch[0] = byte(codec)
	return r.scratch[:1+copy(r.scratch[1:], prefix)]
}

func (r *Ring) find(id Epoch) *epoch {
	for _, e := range r.live {
		if e.id == id {
			return e
		}
	}
	return nil
}

// byResidue finds the one live epoch whose number mod 64 is this.
func (r *Ring) byResidue(mod uint8) *epoch {
	for _, e := range r.live {
		if residue(e.id) == mod {
			return e
		}
	}
	return nil
}

// oldest is the live epoch that makes room: never the one to send with.
func (r *Ring) oldest() Epoch {
	if r.live[0] == r.sending {
		return r.live[1].id
	}
	return r.live[0].id
}

func (r *Ring) endIf(ends func(*epoch) bool) {
	r.live = slices.DeleteFunc(r.live, func(e *epoch) bool {
		if !ends(e) {
			return false
		}
		e.erase()
		if r.sending == e {
			r.sending = nil
		}
		return true
	})
}

func residue(id Epoch) uint8 { return uint8(id.Number & epochMask) }
