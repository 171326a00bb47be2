package e2eesim

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the transcripts anew")

// scenarios are the main courses of a meeting. The transcript of each is in testdata.
var scenarios = []struct {
	name string
	run  func(w *World)
}{
	{"three_join_one_leaves", func(w *World) {
		alice := w.Join("alice")
		w.Run(time.Second)
		w.Join("bob")
		w.Run(3 * time.Second)
		w.Join("carol")
		w.Run(3 * time.Second)
		alice.Leave()
		w.Run(15 * time.Second)
	}},
}

func TestTranscripts(t *testing.T) {
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			w := NewWorld(1)
			s.run(w)
			check(t, w)
			golden(t, s.name, w.Transcript())
		})
	}
}

func check(t *testing.T, w *World) {
	t.Helper()
	for _, f := range w.Failures {
		t.Error(f)
	}
	if err := w.Agreed(); err != nil {
		t.Error(err)
	}
	if t.Failed() {
		t.Log("\n" + w.Transcript())
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("transcript differs from %s; run with -update and look at the diff\n%s", file, got)
	}
}
