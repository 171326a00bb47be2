package framecrypt

import "github.com/conclave-sfu/conclave/e2ee/sframe"

const (
	// MaxCTR is the highest counter of a frame. It is exact in a float64, which is what
	// browsers count with, and out of reach: 8,900 years at 1,000 frames a second.
	MaxCTR sframe.CTR = 1<<48 - 1
	// MaxOverhead is by how many bytes a sealed frame is longer, at most: config byte,
	// KID (3 bytes), CTR (6 bytes), tag.
	MaxOverhead = 1 + 3 + 6 + sframe.TagSize
)

// Info says what an authentic frame proves about itself. All members of the epoch
// have the sender's key, so it proves this only to those outside.
type Info struct {
	KID     sframe.KID
	Epoch   Epoch
	Leaf    Leaf
	Context Context
	CTR     sframe.CTR
}

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
