package top

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// View writes what has been between two samples, and what is at the later. Before the
// second sample, rates are since the server began.
func View(w io.Writer, before, now Sample) error {
	v := view{before: before, now: now}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(t, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	row("conclave", "%s, up %s", v.version(), v.uptime())
	row("now", "%s rooms, %s participants, %s with media", v.count("conclave_rooms"), v.count("conclave_participants"), v.count("conclave_media_transports"))
	row("", "%s publications in %s slots%s", v.count("conclave_media_publications"), v.count("conclave_media_slots"), v.layers())
	row("received", "%s packets/s, %s", figure(v.rate(received)), bits(8*v.rate("conclave_media_received_bytes_total")))
	row("sent", "%s packets/s, %s, %s a system call", figure(v.rate(sent)), bits(8*v.rate("conclave_media_sent_bytes_total")),
		figure(ratio(v.rate(sent), v.rate("conclave_media_send_calls_total"))))
	row("repair", "%s packets/s asked for (%s), %s sent again", figure(v.rate("conclave_media_nacks_total")),
		percent(v.rate("conclave_media_nacks_total"), v.rate(sent)), figure(v.rate("conclave_media_retransmitted_packets_total")))
	row("key frames", "%s/s asked by receivers, %s of senders", figure(v.rate("conclave_media_received_plis_total")), figure(v.rate("conclave_media_sent_plis_total")))
	row("waiting", "%s packets in %s slots, %s in the port's buffers, %s datagrams a call", v.count("conclave_media_behind_packets"),
		v.count("conclave_media_behind_slots"), bytes(now.get("conclave_media_socket_queue_bytes")),
		figure(ratio(v.rate("conclave_media_received_datagrams_total"), v.rate("conclave_media_receive_calls_total"))))
	row("dropped", "%s", v.drops())
	v.estimates(row)
	row("connections", "%s TCP, %s of them media, %s TURN", v.count("conclave_connections"), v.count("conclave_media_tcp_streams"), v.count("conclave_turn_allocations"))
	cpu := v.rate("process_cpu_seconds_total")
	row("process", "%.2f processors, %s us a packet, %s resident, %s goroutines, %s files", cpu,
		figure(1e6*ratio(cpu, v.rate(sent))), bytes(now.get("process_resident_memory_bytes")), v.count("go_goroutines"), v.count("process_open_fds"))
	return t.Flush()
}

// Metrics that are used several times.
const (
	received = "conclave_media_received_packets_total"
	sent     = "conclave_media_sent_packets_total"
)

type view struct{ before, now Sample }

// rate is by how much a counter grows in a second. A counter that has become less is
// that of a server that began anew.
func (v view) rate(name string) float64 {
	return v.grown(v.now.get(name), v.before.get(name))
}

func (v view) grown(now, before float64) float64 {
	since := v.before.At
	if since.IsZero() || now < before {
		before, since = 0, v.began()
	}
	seconds := v.now.At.Sub(since).Seconds()
	if seconds <= 0 {
		return 0
	}
	return (now - before) / seconds
}

func (v view) began() time.Time {
	return time.UnixMilli(int64(1000 * v.now.get("process_start_time_seconds")))
}

func (v view) uptime() time.Duration { return max(0, v.now.At.Sub(v.began())).Round(time.Second) }

func (v view) count(name string) string { return figure(v.now.get(name)) }

func (v view) version() string {
	for version := range v.now.family("conclave_build_info") {
		return version
	}
	return "" // Parse sees to it that there is one
}

// layers lists how many video slots are sent which layer.
func (v view) layers() string {
	slots := v.now.family("conclave_media_layer_slots")
	var parts []string
	for _, layer := range slices.Sorted(maps.Keys(slots)) {
		if slots[layer] > 0 {
			parts = append(parts, fmt.Sprintf("%s of layer %s", figure(slots[layer]), layer))
		}
	}
	if parts == nil {
		return ""
	}
	return ": video " + strings.Join(parts, ", ")
}

// drops lists the reasons for which most is dropped.
func (v view) drops() string {
	const most = 4
	now, before := v.now.family("conclave_media_dropped_packets_total"), v.before.family("conclave_media_dropped_packets_total")
	rates := make(map[string]float64)
	for reason, n := range now {
		if r := v.grown(n, before[reason]); r >= 0.05 {
			rates[reason] = r
		}
	}
	reasons := slices.SortedFunc(maps.Keys(rates), func(a, b string) int {
		return cmp.Or(cmp.Compare(rates[b], rates[a]), cmp.Compare(a, b))
	})
	var parts []string
	for _, reason := range reasons[:min(len(reasons), most)] {
		parts = append(parts, fmt.Sprintf("%s/s %s", figure(rates[reason]), reason))
	}
	if parts == nil {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

// estimates says what paths are estimated to take, if the server says so.
func (v view) estimates(row func(name, format string, args ...any)) {
	n := v.now.get("conclave_media_estimated_receivers")
	if n == 0 {
		return
	}
	q := v.now.family("conclave_media_estimate_bits")
	row("estimates", "%s receivers: %s, half have less than %s; sent %s of %s wanted", figure(n), bits(q["0.1"])+" to "+bits(q["0.9"]),
		bits(q["0.5"]), bits(v.now.get("conclave_media_allocated_bits")), bits(v.now.get("conclave_media_wanted_bits")))
}

func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

func percent(a, b float64) string { return fmt.Sprintf("%.1f %%", 100*ratio(a, b)) }

// figure writes a number with as many digits as matter.
func figure(f float64) string {
	switch {
	case f == math.Trunc(f) || f >= 100:
		return fmt.Sprintf("%.0f", f)
	case f >= 10:
		return fmt.Sprintf("%.1f", f)
	default:
		return fmt.Sprintf("%.2f", f)
	}
}

func bits(f float64) string { return scaled(f, 1000, "bit/s", "kbit/s", "Mbit/s", "Gbit/s") }

func bytes(f float64) string { return scaled(f, 1024, "B", "kB", "MB", "GB") }

func scaled(f, step float64, units ...string) string {
	for len(units) > 1 && f >= step {
		f /= step
		units = units[1:]
	}
	return figure(f) + " " + units[0]
}
