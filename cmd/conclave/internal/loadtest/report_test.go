package loadtest

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/conclave-sfu/conclave/e2ee/framecrypt"
	"github.com/conclave-sfu/conclave/e2ee/sframe"
	"github.com/conclave-sfu/conclave/room/client"
)

func ctrOf(n int) sframe.CTR { return sframe.CTR(n) }

func TestBuckets(t *testing.T) {
	last := -1
	for us := range uint64(1 << 16) {
		b := bucketOf(us)
		if b < last || b > last+1 {
			t.Fatalf("%d us is in bucket %d after %d", us, b, last)
		}
		if low, high := lowerBound(b), lowerBound(b+1); us < low || us >= high || (high-low)*subBuckets > max(low, subBuckets) {
			t.Fatalf("%d us is in bucket %d, [%d, %d)", us, b, low, high)
		}
		last = b
	}
	if b := bucketOf(1<<63 - 1); b >= 64*subBuckets {
		t.Errorf("bucket %d of the longest duration", b)
	}
}

func TestHistogramQuantiles(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	var h histogram
	if got := h.quantile(0.5); got != 0 {
		t.Errorf("median of nothing is %v", got)
	}
	var all []time.Duration
	for range 5000 {
		d := time.Duration(rng.ExpFloat64() * float64(20*time.Millisecond))
		all = append(all, d)
		h.add(d)
	}
	slices.Sort(all)
	for _, q := range []float64{0, 0.01, 0.5, 0.99, 1} {
		got, want := h.quantile(q), quantileOf(all, q)
		if got > want || got < want*(1-1.0/subBuckets)-0.001 {
			t.Errorf("quantile %v is %v ms, want %v", q, got, want)
		}
	}
}

func TestQuantiles(t *testing.T) {
	ms := func(n ...int) (ds []time.Duration) {
		for _, n := range n {
			ds = append(ds, time.Duration(n)*time.Millisecond)
		}
		return ds
	}
	for _, test := range []struct {
		in   []time.Duration
		want Quantiles
	}{
		{nil, Quantiles{}},
		{ms(5), Quantiles{5, 5}},
		{ms(3, 1, 2, 4), Quantiles{2, 4}},
		{ms(9, 1, 5), Quantiles{5, 9}},
	} {
		if got := quantilesOf(test.in); got != test.want {
			t.Errorf("%v: %v, want %v", test.in, got, test.want)
		}
	}
}

// sound is a report with nothing wrong.
func sound() *Report {
	return &Report{
		Participants: 2, Publishers: 1, Subscriptions: 2, Expected: 2, FramesDecrypted: 10,
		FailedBy: map[string]uint64{}, SafetyNumbers: []string{"1"}, Failures: []string{},
	}
}

func TestVerdict(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Report)
		want   string // part of the error; "" for none
	}{
		"all is well":           {func(*Report) {}, ""},
		"loss and early frames": {func(r *Report) { r.PacketsLost, r.FramesEarly, r.FramesForeign = 5, 6, 7 }, ""},
		"a frame failed":        {func(r *Report) { r.FramesFailed = 1 }, "1 frames failed"},
		"a frame was wrong":     {func(r *Report) { r.FramesWrong = 2 }, "2 frames were wrong"},
		"two safety numbers":    {func(r *Report) { r.SafetyNumbers = []string{"1", "2"} }, "2 safety numbers"},
		"nothing received":      {func(r *Report) { r.FramesDecrypted = 0 }, "nothing was received"},
		"some are cut off":      {func(r *Report) { r.CutOff = 3 }, "3 participants had lost the server"},
		"somebody did not join": {func(r *Report) { r.Failures = []string{"x"} }, "1 participants"},
	} {
		r := sound()
		test.change(r)
		err := r.Verdict()
		switch {
		case test.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case test.want != "" && (!errors.Is(err, ErrVerdict) || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestJSON holds the names that scripts rely on.
func TestJSON(t *testing.T) {
	raw, err := sound().JSON()
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(raw, &fields); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		"participants", "subscriptions", "packets_received", "packets_lost", "frames_decrypted",
		"frames_failed", "frames_wrong", "epoch",
	} {
		if _, ok := fields[name].(float64); !ok {
			t.Errorf("%s is %v", name, fields[name])
		}
	}
	for _, name := range []string{"latency_ms", "join_ms", "first_frame_ms"} {
		q, _ := fields[name].(map[string]any)
		if _, ok := q["p50"].(float64); !ok || len(q) != 2 {
			t.Errorf("%s is %v", name, fields[name])
		}
	}
	if numbers, ok := fields["safety_numbers"].([]any); !ok || len(numbers) != 1 {
		t.Errorf("safety_numbers is %v", fields["safety_numbers"])
	}
}

func TestAgree(t *testing.T) {
	at := func(generation uint32, number uint64, safety string) client.Roster {
		return client.Roster{Epoch: framecrypt.Epoch{Generation: generation, Number: number}, SafetyNumber: safety}
	}
	r := &Report{}
	r.agree([]client.Roster{at(1, 9, "b"), at(2, 3, "a"), at(2, 4, "a"), at(2, 3, "b")})
	if r.Generation != 2 || r.Epoch != 4 || !slices.Equal(r.SafetyNumbers, []string{"a", "b"}) {
		t.Errorf("epoch %d.%d, numbers %q", r.Generation, r.Epoch, r.SafetyNumbers)
	}
}

func TestTable(t *testing.T) {
	r := sound()
	r.FramesFailed, r.FailedBy = 3, map[string]uint64{"replayed": 1, "decrypt_failed": 2}
	r.Failures = []string{"Subscriber 1: gone"}
	var out strings.Builder
	if err := r.WriteTable(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"participants   2 (1 publish)", "3 failed (1 replayed, 2 decrypt_failed)", "subscriptions  2 of 2",
		"safety number  1", "failure        Subscriber 1: gone",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

func TestProgressIsForTerminals(t *testing.T) {
	var out strings.Builder
	p := NewProgress(&out)
	p.show("joining: %d of %d", 1, 2)
	p.done()
	if p != nil || out.Len() != 0 {
		t.Errorf("wrote %q where nobody watches", out.String())
	}
}
