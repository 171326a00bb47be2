package sfu

import (
	"sync/atomic"
	"testing"
)

// TestTasks begins tasks from tasks while they are waited for.
func TestTasks(t *testing.T) {
	var running tasks
	running.Wait() // none
	for range 200 {
		var ended atomic.Int32
		running.Go(func() {
			for range 3 {
				running.Go(func() {
					running.Go(func() { ended.Add(1) })
					ended.Add(1)
				})
			}
		})
		running.Wait()
		if n := ended.Load(); n != 6 {
			t.Fatalf("waited for %d of 6", n)
		}
	}
}
