package dd

import (
	"strings"
	"testing"
)

// asBytes makes bytes of ones and zeros; what is not one of them separates.
func asBytes(text string) []byte {
	var w bitWriter
	w.bytes = make([]byte, len(text))
	for _, c := range text {
		if c == '0' || c == '1' {
			w.f(1, uint32(c-'0'))
		}
	}
	return w.bytes[:w.pad()]
}

// table is a structure as the specification's examples and encoders list it, one
// template a line: spatial and temporal layer, indications, differences, chain
// differences.
type table struct {
	name        string
	templates   string
	protectedBy []uint8
	resolutions []Resolution
}

// The structures that WebRTC's encoders use.
var (
	l1t3 = table{"L1T3", `
		0 0 SSS . 0
		0 0 SSS 4 4
		0 1 -DS 2 2
		0 2 --D 1 1
		0 2 --D 1 3`, []uint8{0, 0, 0}, []Resolution{{640, 360}}}
	l3t3 = table{"L3T3", `
		0 0 SSSRRRRRR 12   12,11,10
		0 0 SSSSSSSSS .    0,0,0
		0 1 -DS-RR-RR 6    6,5,4
		0 2 --D--R--R 3    3,2,1
		0 2 --D--R--R 3    9,8,7
		1 0 ---SSSRRR 12,1 1,1,1
		1 0 ---SSSSSS 1    1,1,1
		1 1 ----DS-RR 6,1  7,6,5
		1 2 -----D--R 3,1  4,3,2
		1 2 -----D--R 3,1  10,9,8
		2 0 ------SSS 12,1 2,1,1
		2 0 ------SSS 1    2,1,1
		2 1 -------DS 6,1  8,7,6
		2 2 --------D 3,1  5,4,3
		2 2 --------D 3,1  11,10,9`,
		[]uint8{0, 0, 0, 1, 1, 1, 2, 2, 2}, []Resolution{{320, 180}, {640, 360}, {1280, 720}}}
	l3t3Key = table{"L3T3_KEY", `
		0 0 SSSSSSSSS .  0,0,0
		0 0 SSS------ 12 12,11,10
		0 1 -DS------ 6  6,5,4
		0 2 --D------ 3  3,2,1
		0 2 --D------ 3  9,8,7
		1 0 ---SSSSSS 1  1,1,1
		1 0 ---SSS--- 12 1,12,11
		1 1 ----DS--- 6  7,6,5
		1 2 -----D--- 3  4,3,2
		1 2 -----D--- 3  10,9,8
		2 0 ------SSS 1  2,1,1
		2 0 ------SSS 12 2,1,12
		2 1 -------DS 6  8,7,6
		2 2 --------D 3  5,4,3
		2 2 --------D 3  11,10,9`,
		[]uint8{0, 0, 0, 1, 1, 1, 2, 2, 2}, []Resolution{{320, 180}, {640, 360}, {1280, 720}}}
	s3t3 = table{"S3T3", `
		0 0 SSS------ 12 12,11,10
		0 0 SSS------ .  0,0,0
		0 1 -DS------ 6  6,5,4
		0 2 --D------ 3  3,2,1
		0 2 --D------ 3  9,8,7
		1 0 ---SSS--- 12 1,12,11
		1 0 ---SSS--- .  1,0,0
		1 1 ----DS--- 6  7,6,5
		1 2 -----D--- 3  4,3,2
		1 2 -----D--- 3  10,9,8
		2 0 ------SSS 12 2,1,12
		2 0 ------SSS .  2,1,0
		2 1 -------DS 6  8,7,6
		2 2 --------D 3  5,4,3
		2 2 --------D 3  11,10,9`,
		[]uint8{0, 0, 0, 1, 1, 1, 2, 2, 2}, []Resolution{{320, 180}, {640, 360}, {1280, 720}}}
)

// structure reads the table.
func (v table) structure(t testing.TB, offset uint8) *Structure {
	t.Helper()
	s := &Structure{offset: offset, ProtectedBy: v.protectedBy, Resolutions: v.resolutions}
	for line := range strings.Lines(strings.TrimSpace(v.templates)) {
		f := strings.Fields(line)
		one := Template{Layer: Layer{f[0][0] - '0', f[1][0] - '0'}}
		for i, c := range f[2] {
			one.DecodeTargets = one.DecodeTargets.with(i, Indication(strings.IndexRune("-DSR", c)))
		}
		for _, n := range numbers(f[3]) {
			one.Diffs = append(one.Diffs, uint16(n))
		}
		for _, n := range numbers(f[4]) {
			one.ChainDiffs = append(one.ChainDiffs, uint8(n))
		}
		s.Chains = len(one.ChainDiffs)
		s.Templates = append(s.Templates, one)
	}
	s.nameTargets(len(v.protectedBy))
	return s
}

func numbers(list string) []int {
	var all []int
	if list == "." {
		return nil
	}
	for word := range strings.SplitSeq(list, ",") {
		n := 0
		for _, c := range word {
			n = 10*n + int(c-'0')
		}
		all = append(all, n)
	}
	return all
}

// write writes a structure, the other way round from readStructure.
func (s *Structure) write(w *bitWriter) {
	w.f(6, uint32(s.offset))
	w.f(5, uint32(len(s.Targets)-1))
	for i, t := range s.Templates[1:] {
		switch before := s.Templates[i]; {
		case t.Spatial > before.Spatial:
			w.f(2, 2)
		case t.Temporal > before.Temporal:
			w.f(2, 1)
		default:
			w.f(2, 0)
		}
	}
	w.f(2, 3)
	for _, t := range s.Templates {
		for i := range s.Targets {
			w.f(2, uint32(t.DecodeTargets.At(i)))
		}
	}
	for _, t := range s.Templates {
		for _, d := range t.Diffs {
			w.f(1, 1)
			w.f(4, uint32(d-1))
		}
		w.f(1, 0)
	}
	w.ns(uint32(len(s.Targets)+1), uint32(s.Chains))
	for _, c := range s.ProtectedBy {
		w.ns(uint32(s.Chains), uint32(c))
	}
	for _, t := range s.Templates {
		for _, d := range t.ChainDiffs {
			w.f(4, uint32(d))
		}
	}
	w.flag(len(s.Resolutions) > 0)
	for _, r := range s.Resolutions {
		w.f(16, uint32(r.Width-1))
		w.f(16, uint32(r.Height-1))
	}
}

// ns is write_ns of the specification.
func (w *bitWriter) ns(n, v uint32) {
	if n == 1 {
		return
	}
	size := 0
	for x := n; x != 0; x >>= 1 {
		size++
	}
	if m := uint32(1)<<size - n; v < m {
		w.f(size-1, v)
	} else {
		w.f(size, v+m)
	}
}

// keyFrame is the descriptor of a packet that starts a frame of the template and brings
// the structure.
func (s *Structure) keyFrame(template int, number uint16) []byte {
	w := bitWriter{bytes: make([]byte, 512)}
	w.f(1, 1)
	w.f(1, 0)
	w.f(6, uint32(int(s.offset)+template)%64)
	w.f(16, uint32(number))
	w.f(5, 1<<4)
	s.write(&w)
	return w.bytes[:w.pad()]
}
