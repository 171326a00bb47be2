package room

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// run takes what goes out at once, and says how long that took to come.
func (o *outbox) run(t *testing.T) (frames []string, waited time.Duration) {
	t.Helper()
	began := time.Now()
	frame, err := o.next(t.Context())
	waited = time.Since(began)
	for err == nil && frame != nil {
		frames = append(frames, string(frame))
		frame, err = o.tryNext()
	}
	if err != nil {
		frames = append(frames, err.Error())
	}
	return frames, waited
}

// TestOutboxGathers: who was just written to waits for more, of what may wait, and not for
// longer than that may.
func TestOutboxGathers(t *testing.T) {
	const long = 50 * time.Millisecond
	patient := func(name string) item { return item{frame: []byte(name), patience: long} }
	for name, tt := range map[string]struct {
		then   func(o *outbox) // once something patient was written
		want   []string
		waited time.Duration
	}{
		"one more":  {func(o *outbox) { o.push(patient("b"), 0) }, []string{"b"}, long},
		"some more": {func(o *outbox) { o.push(patient("b"), 0); o.push(patient("c"), 0) }, []string{"b", "c"}, long},
		"later": {func(o *outbox) {
			o.push(patient("b"), 0)
			time.AfterFunc(long/2, func() { o.push(patient("c"), 0) })
			time.AfterFunc(2*long, func() { o.push(patient("d"), 0) })
		}, []string{"b", "c"}, long},
		"an answer": {func(o *outbox) { o.push(patient("b"), 0); o.push(item{frame: []byte("c")}, 0) }, []string{"b", "c"}, 0},
		"an answer later": {func(o *outbox) {
			o.push(patient("b"), 0)
			time.AfterFunc(long/2, func() { o.push(item{frame: []byte("c")}, 0) })
		}, []string{"b", "c"}, long / 2},
		"the end":           {func(o *outbox) { o.push(patient("b"), 0); o.finish(&Ended{}) }, []string{"b", "connection ended"}, 0},
		"nothing for long":  {func(o *outbox) { time.AfterFunc(2*long, func() { o.push(patient("b"), 0) }) }, []string{"b"}, 2 * long},
		"a backlog of none": {func(o *outbox) { o.push(item{backlog: &catchUp{}}, 0); o.push(patient("b"), 0) }, []string{"b"}, 0},
		"much": {func(o *outbox) {
			o.push(item{frame: make([]byte, backlogChunk), patience: long}, 0)
		}, []string{string(make([]byte, backlogChunk))}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := newOutbox()
				o.push(patient("a"), 0)
				if got, waited := o.run(t); fmt.Sprint(got) != "[a]" || waited != 0 {
					t.Fatalf("%q after %v", got, waited)
				}
				tt.then(o)
				if got, waited := o.run(t); fmt.Sprint(got) != fmt.Sprint(tt.want) || waited != tt.waited {
					t.Errorf("%.99q after %v, want %.99q after %v", got, waited, tt.want, tt.waited)
				}
				time.Sleep(3 * long) // in the test's own time
				synctest.Wait()
			})
		})
	}
}

// TestOutboxManyWait: what waits does not fill the outbox.
func TestOutboxManyWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutbox()
		o.push(item{frame: []byte("a"), patience: time.Second}, 0)
		o.run(t)
		for range outboxFrames / 8 {
			o.push(item{frame: []byte("b"), patience: time.Second}, 0)
		}
		if got, waited := o.run(t); len(got) != outboxFrames/8 || waited != 0 {
			t.Errorf("%d after %v", len(got), waited)
		}
	})
}

// TestPatience: few are told at once, and nobody waits for long.
func TestPatience(t *testing.T) {
	for receivers, want := range map[int]time.Duration{
		0: 0, 1: 0, gatherFrom - 1: 0, gatherFrom: gatherFrom * gatherEach, 999: 999 * gatherEach, 1000: gatherMost, 5000: gatherMost,
	} {
		if got := patience(receivers); got != want {
			t.Errorf("%d receivers: %v, want %v", receivers, got, want)
		}
	}
}
