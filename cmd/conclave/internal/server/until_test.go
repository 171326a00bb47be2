package server

import (
	"runtime"
	"testing"
	"time"
)

// untilPatience ends a test that waits for what never comes. Nothing is measured by it.
const untilPatience = time.Minute

// until waits for what others bring about.
func until(t *testing.T, what string, reached func() bool) {
	t.Helper()
	for end := time.Now().Add(untilPatience); !reached(); runtime.Gosched() {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}
