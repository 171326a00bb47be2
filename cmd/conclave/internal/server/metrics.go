package server

import (
	"maps"
	"net/http"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/conclave-sfu/conclave/room"
	"github.com/conclave-sfu/conclave/sfu"
)

// metrics are what /metrics shows. No label names a room or a participant: metrics
// are kept for long, by others.
type metrics struct {
	registry *prometheus.Registry
	events   *prometheus.CounterVec
}

func newMetrics(version string, stats func() sfu.Stats) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "conclave_room_events_total",
			Help: "What happened in rooms, by kind.",
		}, []string{"kind"}),
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Name:        "conclave_build_info",
		Help:        "Always 1; the label says which build runs.",
		ConstLabels: prometheus.Labels{"version": version},
	})
	info.Set(1)
	m.registry.MustRegister(
		info,
		m.events,
		mediaCollector{stats},
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// observe counts an event of a room. Its kinds are few and fixed.
func (m *metrics) observe(e room.Event) { m.events.WithLabelValues(e.Kind).Inc() }

// mediaCollector reads the forwarder's counters when it is asked, and so costs the
// packets nothing.
type mediaCollector struct{ stats func() sfu.Stats }

// mediaMetric is one number of [sfu.Stats].
type mediaMetric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func(sfu.Stats) float64
}

func mediaGauge(name, help string, read func(sfu.Stats) int) mediaMetric {
	return mediaMetric{desc("conclave_media_"+name, help), prometheus.GaugeValue, func(s sfu.Stats) float64 { return float64(read(s)) }}
}

func mediaCounter(name, help string, read func(sfu.Stats) uint64) mediaMetric {
	return mediaMetric{desc("conclave_media_"+name+"_total", help), prometheus.CounterValue, func(s sfu.Stats) float64 { return float64(read(s)) }}
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

var mediaMetrics = []mediaMetric{
	mediaGauge("transports", "Participants with a media session.", func(s sfu.Stats) int { return s.Transports }),
	mediaGauge("publications", "Tracks received.", func(s sfu.Stats) int { return s.Publications }),
	mediaGauge("slots", "Slots that carry something.", func(s sfu.Stats) int { return s.Slots }),
	mediaCounter("received_packets", "RTP packets received.", func(s sfu.Stats) uint64 { return s.PacketsIn }),
	mediaCounter("received_bytes", "Bytes of RTP received.", func(s sfu.Stats) uint64 { return s.BytesIn }),
	mediaCounter("sent_packets", "RTP packets sent.", func(s sfu.Stats) uint64 { return s.PacketsOut }),
	mediaCounter("sent_bytes", "Bytes of RTP sent.", func(s sfu.Stats) uint64 { return s.BytesOut }),
	mediaCounter("nacks", "Packets that receivers asked for again.", func(s sfu.Stats) uint64 { return s.NACKs }),
	mediaCounter("retransmitted_packets", "Packets sent again.", func(s sfu.Stats) uint64 { return s.Retransmitted }),
	mediaCounter("received_plis", "Key frames that receivers asked for.", func(s sfu.Stats) uint64 { return s.PLIsIn }),
	mediaCounter("sent_plis", "Key frames asked of senders.", func(s sfu.Stats) uint64 { return s.PLIsOut }),
}

var droppedDesc = desc("conclave_media_dropped_packets_total", "RTP packets received and not forwarded, by reason.", "reason")

// Describe implements [prometheus.Collector].
func (c mediaCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range mediaMetrics {
		ch <- m.desc
	}
	ch <- droppedDesc
}

// Collect implements [prometheus.Collector].
func (c mediaCollector) Collect(ch chan<- prometheus.Metric) {
	s := c.stats()
	for _, m := range mediaMetrics {
		ch <- prometheus.MustNewConstMetric(m.desc, m.kind, m.read(s))
	}
	for _, reason := range slices.Sorted(maps.Keys(s.Dropped)) {
		ch <- prometheus.MustNewConstMetric(droppedDesc, prometheus.CounterValue, float64(s.Dropped[reason]), reason)
	}
}
