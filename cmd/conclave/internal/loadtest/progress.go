package loadtest

import (
	"fmt"
	"io"
	"os"
)

// Progress shows one line that changes. A nil Progress shows nothing.
type Progress struct{ w io.Writer }

// NewProgress shows progress on w if that is a terminal; otherwise it gives nil.
func NewProgress(w io.Writer) *Progress {
	f, ok := w.(*os.File)
	if !ok {
		return nil
	}
	if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return nil
	}
	return &Progress{w: w}
}

// clearLine returns to the start of the line and erases it (ECMA-48, EL).
const clearLine = "\r\x1b[K"

func (p *Progress) show(format string, args ...any) {
	if p != nil {
		fmt.Fprintf(p.w, clearLine+format, args...)
	}
}

// done erases the line.
func (p *Progress) done() {
	if p != nil {
		fmt.Fprint(p.w, clearLine)
	}
}
