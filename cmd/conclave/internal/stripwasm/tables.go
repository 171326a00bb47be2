package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
)

// errTables says that the module's tables are not laid out as this command knows them.
var errTables = errors.New("the runtime's tables are of an unknown form")

// pcHeader begins the pclntab (runtime.pcHeader): magic, two zeros, the instruction quantum
// 1, the size 8 of a pointer; eight words follow.
var pcHeader = []byte{0xf1, 0xff, 0xff, 0xff, 0, 0, 1, 8}

// The words of a runtime.moduledata that are read here.
const (
	wordFindFuncTab = 19
	wordMinPC       = 20
	wordMaxPC       = 21
	wordText        = 22
	wordGoFunc      = 40 // where offsets of funcdata count from
	wordEnd         = 41 // of the pclntab
)

// The fields of a runtime._func, as offsets from its start.
const (
	funcName      = 4
	funcPCSP      = 16
	funcPCFile    = 20
	funcPCLine    = 24
	funcNPCData   = 28
	funcUnit      = 32
	funcStartLine = 36
	funcNFuncData = 43
	funcSize      = 44 // then a word for each pcdata and each funcdata

	maxPCData   = 5
	maxFuncData = 8
	noFuncData  = ^uint32(0)
)

// pcdata and funcdata that only a traceback reads (internal/abi/symtab.go).
const (
	pcdataInlTree   = 2
	pcdataArgLive   = 3
	funcdataInlTree = 3
	funcdataArgInfo = 5
	funcdataArgLive = 6
)

// In WebAssembly a program counter is function<<16 + block, and runtime.findfunc looks up
// the first block of a function only; the table has a bucket for each 4096 program counters.
const (
	pcShift      = 16
	bucketPCs    = 4096
	bucketSize   = 4 + 16 // runtime.findfuncbucket: the first function and 16 distances
	bucketUsed   = 4 + 1
	functabEntry = 8 // of runtime.functab: the function's index, and where its _func is
)

// tables is where the parts of the pclntab are: offsets into the memory image.
type tables struct {
	image                     []byte
	nfunc                     int
	names, units, pcs, funcs  int // names, units and files stand in a row, then come the tables
	goFunc, goFuncEnd         int
	findFuncTab, end, buckets int
	firstPC                   int          // where the buckets count from
	pcTables, funcData, first map[int]bool // by offset: whether something still uses it
}

// stripTables clears, in a memory image, what only a traceback reads, and what nobody does.
func stripTables(image []byte) error {
	t, err := findTables(image)
	if err != nil {
		return err
	}
	for i := range t.nfunc {
		if err := t.function(i); err != nil {
			return fmt.Errorf("%w: function %d of %d: %w", errTables, i, t.nfunc, err)
		}
	}
	clear(image[t.names:t.pcs])
	t.clearPCTables()
	t.clearFuncData()
	t.clearBuckets()
	return nil
}

// findTables finds the pclntab.
func findTables(image []byte) (*tables, error) {
	at := bytes.Index(image, pcHeader)
	if at < 0 || bytes.Contains(image[at+1:], pcHeader) {
		return nil, fmt.Errorf("%w: no pclntab, or two", errTables)
	}
	var w [8]uint64 // nfunc, nfiles, text, then where names, units, files, pcs and funcs are
	if _, err := binary.Decode(image[at+len(pcHeader):], binary.LittleEndian, &w); err != nil {
		return nil, fmt.Errorf("%w: %w", errTables, err)
	}
	if parts := w[3:]; !slices.IsSorted(parts) || parts[4] > uint64(len(image)-at) {
		return nil, fmt.Errorf("%w: a part of the pclntab is out of place", errTables)
	}
	t := &tables{
		image: image, nfunc: int(w[0]),
		names: at + int(w[3]), units: at + int(w[4]), pcs: at + int(w[6]), funcs: at + int(w[7]),
		pcTables: map[int]bool{}, funcData: map[int]bool{}, first: map[int]bool{},
	}
	if w[0] == 0 || w[0] > uint64(len(image)-t.funcs)/functabEntry {
		return nil, fmt.Errorf("%w: %d functions", errTables, w[0])
	}
	return t, t.findModuledata(at)
}

// findModuledata finds the moduledata by its beginning: the address of the pclntab, and the
// slice of names.
func (t *tables) findModuledata(pclntab int) error {
	begin := binary.LittleEndian.AppendUint64(nil, uint64(pclntab))
	begin = binary.LittleEndian.AppendUint64(begin, uint64(t.names))
	begin = binary.LittleEndian.AppendUint64(begin, uint64(t.units-t.names))
	at := bytes.Index(t.image, begin)
	if at < 0 {
		return fmt.Errorf("%w: no moduledata", errTables)
	}
	var w [wordEnd + 1]uint64
	if _, err := binary.Decode(t.image[at:], binary.LittleEndian, &w); err != nil {
		return fmt.Errorf("%w: %w", errTables, err)
	}
	order := []uint64{uint64(t.funcs), w[wordGoFunc], w[wordFindFuncTab], w[wordEnd], uint64(len(t.image))}
	if !slices.IsSorted(order) || w[wordMinPC] > w[wordMaxPC] || w[wordMaxPC] > 1<<40 || w[wordText] > w[wordMinPC] {
		return fmt.Errorf("%w: a part of the moduledata is out of place", errTables)
	}
	t.goFunc, t.goFuncEnd, t.findFuncTab = int(w[wordGoFunc]), int(w[wordFindFuncTab]), int(w[wordFindFuncTab])
	t.firstPC = int(w[wordMinPC] - w[wordText])
	t.buckets = int(w[wordMaxPC]-w[wordMinPC]+bucketPCs-1) / bucketPCs
	t.end = int(w[wordEnd])
	if (t.buckets-1)*bucketSize+bucketUsed > t.end-t.findFuncTab { // the last may be cut short
		return fmt.Errorf("%w: %d buckets of functions", errTables, t.buckets)
	}
	return nil
}

// function forgets what a traceback knows of a function and notes what else it uses.
func (t *tables) function(i int) error {
	entry := t.funcs + functabEntry*i
	f := t.funcs + int(t.word(entry+4))
	if f+funcSize > t.goFunc {
		return errors.New("it is out of place")
	}
	pcdata, funcdata := int(t.word(f+funcNPCData)), int(t.image[f+funcNFuncData])
	if pcdata > maxPCData || funcdata > maxFuncData || f+funcSize+4*(pcdata+funcdata) > t.goFunc {
		return errors.New("it has more data than is known")
	}
	if name := t.names + int(t.word(f+funcName)); name >= t.units || name > t.names && t.image[name-1] != 0 {
		return errors.New("its name is out of place")
	}
	if err := errors.Join(t.notePCTables(f, pcdata), t.noteFuncData(f+funcSize+4*pcdata, funcdata), t.noteBucket(entry)); err != nil {
		return err
	}
	for _, field := range []int{funcName, funcPCFile, funcPCLine, funcUnit, funcStartLine} {
		t.setWord(f+field, 0)
	}
	return nil
}

// notePCTables notes a function's tables from instructions to values. 0 is none.
func (t *tables) notePCTables(f, pcdata int) error {
	t.pcTables[t.pcs] = true
	note := func(field int, used bool) error {
		at := t.pcs + int(t.word(f+field))
		if _, ok := t.pcTableEnd(at); !ok && at != t.pcs {
			return errors.New("a table of its instructions is out of place")
		}
		t.pcTables[at] = t.pcTables[at] || used
		return nil
	}
	err := errors.Join(note(funcPCSP, true), note(funcPCFile, false), note(funcPCLine, false))
	for k := range pcdata {
		used := k != pcdataInlTree && k != pcdataArgLive
		if err = errors.Join(err, note(funcSize+4*k, used)); !used {
			t.setWord(f+funcSize+4*k, 0)
		}
	}
	return err
}

// noteFuncData notes a function's data at the offsets of a list.
func (t *tables) noteFuncData(list, n int) error {
	for k := range n {
		if t.word(list+4*k) == noFuncData {
			continue
		}
		at := t.goFunc + int(t.word(list+4*k))
		if at >= t.goFuncEnd {
			return errors.New("its data are out of place")
		}
		used := k != funcdataInlTree && k != funcdataArgInfo && k != funcdataArgLive
		if t.funcData[at] = t.funcData[at] || used; !used {
			t.setWord(list+4*k, noFuncData)
		}
	}
	return nil
}

// noteBucket notes the bucket in which runtime.findfunc looks a function up.
func (t *tables) noteBucket(entry int) error {
	pc := int(t.word(entry))<<pcShift - t.firstPC
	if pc < 0 || pc%bucketPCs != 0 || pc/bucketPCs >= t.buckets {
		return errors.New("its bucket is out of place")
	}
	t.first[pc/bucketPCs] = true
	return nil
}

// clearPCTables clears the tables that nothing uses any more. The linker writes equal ones
// once, so a table of lines may be one of stack maps as well.
func (t *tables) clearPCTables() {
	for at, used := range t.pcTables {
		if end, ok := t.pcTableEnd(at); ok && !used {
			clear(t.image[at:end])
		}
	}
}

// pcTableEnd is where a table ends: pairs of varints, a difference of the value, which only
// the first may have as 0, and one of the instruction; then a 0.
func (t *tables) pcTableEnd(at int) (end int, ok bool) {
	if at >= t.funcs {
		return 0, false
	}
	r := reader{rest: t.image[at:t.funcs]}
	for first := true; !r.failed; first = false {
		if r.uint() == 0 && !first {
			return t.funcs - len(r.rest), !r.failed
		}
		r.uint()
	}
	return 0, false
}

// clearFuncData clears the data that nothing uses any more. Each reaches to the next.
func (t *tables) clearFuncData() {
	starts := append(slices.Sorted(maps.Keys(t.funcData)), t.goFuncEnd)
	for i, at := range starts[:len(starts)-1] {
		if !t.funcData[at] {
			clear(t.image[at:starts[i+1]])
		}
	}
}

// clearBuckets clears the buckets, and the parts of buckets, that no function begins in.
func (t *tables) clearBuckets() {
	for b := range t.buckets {
		at := t.findFuncTab + b*bucketSize
		bucket := t.image[at:min(at+bucketSize, t.end)]
		if t.first[b] {
			bucket = bucket[bucketUsed:]
		}
		clear(bucket)
	}
}

// word reads a word; past the end of the image one that is out of every range.
func (t *tables) word(at int) uint32 {
	if at+4 > len(t.image) {
		return noFuncData
	}
	return binary.LittleEndian.Uint32(t.image[at:])
}

func (t *tables) setWord(at int, v uint32) { binary.LittleEndian.PutUint32(t.image[at:], v) }
