package top

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

var (
	born  = time.UnixMilli(1_700_000_000_000)
	first = `# HELP conclave_rooms Rooms that exist now.
# TYPE conclave_rooms gauge
conclave_build_info{version="v1.2.3"} 1
conclave_rooms 2
conclave_participants 7
conclave_media_transports 6
conclave_media_publications 9
conclave_media_slots 40
conclave_media_layer_slots{layer="0"} 3
conclave_media_layer_slots{layer="2"} 12
conclave_media_received_packets_total 1000
conclave_media_sent_packets_total 10000
conclave_media_dropped_packets_total{reason="padding"} 5
conclave_media_dropped_packets_total{reason="late"} 5
process_cpu_seconds_total 1
process_start_time_seconds 1.7e+09
process_resident_memory_bytes 1.34217728e+08
`
	second = strings.NewReplacer("_total 1000\n", "_total 2000\n", "_total 10000\n", "_total 22000\n",
		`"padding"} 5`, `"padding"} 45`, "seconds_total 1\n", "seconds_total 1.06\n").Replace(first) +
		"conclave_media_sent_bytes_total 3e+06\nconclave_media_nacks_total 120\nconclave_media_send_calls_total 3000\n"
)

func sample(t *testing.T, text string, at time.Duration) Sample {
	t.Helper()
	s, err := Parse(strings.NewReader(text), born.Add(at))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func render(t *testing.T, before, now Sample) string {
	t.Helper()
	var out strings.Builder
	if err := View(&out, before, now); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestView(t *testing.T) {
	one, two := sample(t, first, 100*time.Second), sample(t, second, 102*time.Second)
	got := render(t, one, two)
	want := `conclave     v1.2.3, up 1m42s
now          2 rooms, 7 participants, 6 with media
             9 publications in 40 slots: video 3 of layer 0, 12 of layer 2
received     500 packets/s, 0 bit/s
sent         6000 packets/s, 12 Mbit/s, 4 a system call
repair       60 packets/s asked for (1.0 %), 0 sent again
key frames   0/s asked by receivers, 0 of senders
waiting      0 packets in 0 slots, 0 B in the port's buffers, 0 datagrams a call
dropped      20/s padding
connections  0 TCP, 0 of them media, 0 TURN
process      0.03 processors, 5.00 us a packet, 128 MB resident, 0 goroutines, 0 files
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	// Without a sample before, and after a restart, since the server began.
	for name, before := range map[string]Sample{"first": {}, "restarted": two} {
		if got := render(t, before, one); !strings.Contains(got, "sent         100 packets/s") {
			t.Errorf("%s:\n%s", name, got)
		}
	}
	estimated := sample(t, first+`conclave_media_estimated_receivers 2
conclave_media_estimate_bits{quantile="0.1"} 300000
conclave_media_estimate_bits{quantile="0.5"} 300000
conclave_media_estimate_bits{quantile="0.9"} 2e+06
conclave_media_allocated_bits 1.5e+06
conclave_media_wanted_bits 3e+06
`, time.Minute)
	if got := render(t, one, estimated); !strings.Contains(got, "estimates    2 receivers: 300 kbit/s to 2 Mbit/s, half have less than 300 kbit/s; sent 1.50 Mbit/s of 3 Mbit/s wanted\n") {
		t.Errorf("no estimates in\n%s", got)
	}
}

func TestParse(t *testing.T) {
	for _, text := range []string{"", "x", "conclave_rooms 1\n", "<!doctype html>", strings.Repeat("a", maxLine+1)} {
		if _, err := Parse(strings.NewReader(text), born); !errors.Is(err, ErrMetrics) {
			t.Errorf("%.20q: %v", text, err)
		}
	}
	s := sample(t, first+"odd\nodd{\nodd{x=\"} \nnan NaN\ninf +Inf\ntimed 3 1700000000000\n} 5\n", 0)
	if s.get("timed") != 3 || s.get("nan") != 0 || s.get("odd") != 0 {
		t.Errorf("%v", s.values)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(first)
	f.Add(second)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(strings.NewReader(text+"\nconclave_build_info{version=\"x\"} 1\n"), born.Add(time.Second))
		if err != nil {
			return
		}
		var out strings.Builder
		if err := View(&out, Sample{}, s); err != nil || len(out.String()) == 0 {
			t.Errorf("%v, %q", err, out.String())
		}
	})
}

func TestRun(t *testing.T) {
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked++
		switch {
		case r.URL.Path != "/metrics":
			http.NotFound(w, r)
		case asked == 2:
			http.Error(w, "not now", http.StatusServiceUnavailable)
		default:
			fmt.Fprint(w, first)
		}
	}))
	defer server.Close()
	for _, terminal := range []bool{false, true} {
		asked = 0
		var out strings.Builder
		cfg := Config{Admin: server.URL + "/", Every: time.Millisecond, Count: 2, Out: &out, Terminal: terminal}
		if err := Run(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
		text := out.String()
		if strings.Count(text, "v1.2.3") != 2 || !strings.Contains(text, "503") || asked != 3 {
			t.Errorf("asked %d times, shown\n%s", asked, text)
		}
		if strings.Contains(text, home) != terminal {
			t.Errorf("terminal %v, and it shows %q", terminal, text)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Run(ctx, Config{Admin: server.URL, Every: time.Hour, Out: &strings.Builder{}}); err != nil {
		t.Errorf("interrupted: %v", err)
	}
	if err := Run(t.Context(), Config{Admin: server.URL + "/pages", Every: time.Hour, Out: &strings.Builder{}}); !errors.Is(err, ErrMetrics) {
		t.Errorf("another server: %v", err)
	}
}
