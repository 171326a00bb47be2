package dd

// bitReader reads unsigned numbers from high to low order. Past the end it reads zeros
// and says so by short.
type bitReader struct {
	bytes []byte
	at    int // in bits
	short bool
}

// f reads n bits, 32 at most (Section A.8.2, f(n)).
func (r *bitReader) f(n int) uint32 {
	if r.at+n > 8*len(r.bytes) {
		r.at, r.short = 8*len(r.bytes), true
		return 0
	}
	v := uint32(0)
	for n > 0 {
		free := 8 - r.at&7
		take := min(free, n)
		part := r.bytes[r.at>>3] >> (free - take) & (1<<take - 1)
		v = v<<take | uint32(part)
		r.at, n = r.at+take, n-take
	}
	return v
}

func (r *bitReader) flag() bool { return r.f(1) != 0 }

// ns reads a number below n in as few bits as that takes (Section A.8.2, ns(n)).
func (r *bitReader) ns(n uint32) uint32 {
	w := 0
	for x := n; x != 0; x >>= 1 {
		w++
	}
	m := uint32(1)<<w - n
	v := r.f(w - 1)
	if v < m {
		return v
	}
	return v<<1 - m + r.f(1)
}

// bitWriter writes what bitReader reads. Past the end it writes nothing and says so by
// short.
type bitWriter struct {
	bytes []byte
	at    int // in bits
	short bool
}

// f writes the lower n bits of v, 32 at most.
func (w *bitWriter) f(n int, v uint32) {
	if w.at+n > 8*len(w.bytes) {
		w.short = true
		return
	}
	for n > 0 {
		free := 8 - w.at&7
		take := min(free, n)
		part := byte(v>>(n-take)) & (1<<take - 1)
		place := &w.bytes[w.at>>3]
		*place = *place&^((1<<take-1)<<(free-take)) | part<<(free-take)
		w.at, n = w.at+take, n-take
	}
}

func (w *bitWriter) flag(v bool) {
	if v {
		w.f(1, 1)
	} else {
		w.f(1, 0)
	}
}

// copyFrom copies the bits from r.at to before bit end.
func (w *bitWriter) copyFrom(r *bitReader, end int) {
	for r.at < end {
		n := min(32, end-r.at)
		w.f(n, r.f(n))
	}
}

// pad fills the last byte with zeros and gives the number of bytes.
func (w *bitWriter) pad() int {
	w.f(-w.at&7, 0)
	return w.at / 8
}
