package server

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

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

func newMetrics(version string) *metrics {
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
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// observe counts an event of a room. Its kinds are few and fixed.
func (m *metrics) observe(e room.Event) {
	m.events.WithLabelValues(strings.ReplaceAll(string(e.Kind), " ", "_")).Inc()
}

// watch shows what the rooms and the forwarder count. They are read when somebody
// asks, so that counting costs the packets nothing.
func (m *metrics) watch(rooms func() room.Stats, media func() sfu.Stats, reach func() reachStats) {
	m.registry.MustRegister(collector{rooms, media, reach})
}

// collector reads a snapshot whenever it is asked.
type collector struct {
	rooms func() room.Stats
	media func() sfu.Stats
	reach func() reachStats
}

// snapshot is what the server counts, at one time.
type snapshot struct {
	rooms room.Stats
	media sfu.Stats
	reach reachStats
}

// metric is one number of a snapshot.
type metric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func(snapshot) float64
}

func gauge(name, help string, read func(snapshot) int) metric {
	return metric{desc("conclave_"+name, help), prometheus.GaugeValue, func(s snapshot) float64 { return float64(read(s)) }}
}

func counter(name, help string, read func(snapshot) uint64) metric {
	return metric{desc("conclave_"+name+"_total", help), prometheus.CounterValue, func(s snapshot) float64 { return float64(read(s)) }}
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

var numbers = []metric{
	gauge("rooms", "Rooms that exist now.", func(s snapshot) int { return s.rooms.Rooms }),
	gauge("participants", "Participants in all rooms now.", func(s snapshot) int { return s.rooms.Participants }),
	gauge("media_transports", "Participants with a media session now.", func(s snapshot) int { return s.media.Transports }),
	gauge("media_publications", "Tracks received now.", func(s snapshot) int { return s.media.Publications }),
	gauge("media_slots", "Slots that carry something now.", func(s snapshot) int { return s.media.Slots }),
	gauge("media_behind_slots", "Slots now that wait for room on the path to their participant.", func(s snapshot) int { return s.media.BehindSlots }),
	gauge("media_behind_packets", "Packets that these wait with now.", func(s snapshot) int { return s.media.BehindPackets }),
	gauge("media_socket_queue_bytes", "What waits now in the receive buffers of the media port.", func(s snapshot) int { return s.media.SocketQueue }),
	counter("media_socket_dropped_packets", "Datagrams for which these had no room.", func(s snapshot) uint64 { return s.media.SocketDropped }),
	counter("media_receive_calls", "System calls that gave datagrams.", func(s snapshot) uint64 { return s.media.ReceiveCalls }),
	counter("media_received_datagrams", "Datagrams that came to the media port.", func(s snapshot) uint64 { return s.media.Datagrams }),
	counter("media_full_receives", "System calls that gave as many as fit: others had to wait.", func(s snapshot) uint64 { return s.media.FullReceives }),
	gauge("media_shard_packets", "Packets now that wait for shards of large audiences.", func(s snapshot) int { return s.media.ShardPackets }),
	gauge("media_background_tasks", "Handshakes and other work now that is done aside.", func(s snapshot) int { return s.media.BackgroundTasks }),
	gauge("media_estimated_receivers", "Receivers now of whom it is known what their path takes.", func(s snapshot) int { return len(s.media.Estimates) }),
	gauge("media_allocated_bits", "Bits a second that these are sent now.", func(s snapshot) int { return int(s.media.Allocated) }),
	gauge("media_wanted_bits", "Bits a second that these would be sent now if it fitted.", func(s snapshot) int { return int(s.media.Wanted) }),
	counter("media_feedbacks", "Transport-wide feedback of receivers.", func(s snapshot) uint64 { return s.media.Feedbacks }),
	counter("media_probe_packets", "Packets of padding sent to find out what a path takes.", func(s snapshot) uint64 { return s.media.ProbePackets }),
	counter("media_received_packets", "RTP packets received.", func(s snapshot) uint64 { return s.media.PacketsIn }),
	counter("media_received_bytes", "Bytes of RTP received.", func(s snapshot) uint64 { return s.media.BytesIn }),
	counter("media_sent_packets", "RTP packets sent.", func(s snapshot) uint64 { return s.media.PacketsOut }),
	counter("media_sent_bytes", "Bytes of RTP sent.", func(s snapshot) uint64 { return s.media.BytesOut }),
	counter("media_send_messages", "Runs of packets to one receiver that the system was given.", func(s snapshot) uint64 { return s.media.SendMessages }),
	counter("media_send_calls", "System calls that sent media.", func(s snapshot) uint64 { return s.media.SendCalls }),
	counter("media_nacks", "Packets that receivers asked for again.", func(s snapshot) uint64 { return s.media.NACKs }),
	counter("media_retransmitted_packets", "Packets sent again.", func(s snapshot) uint64 { return s.media.Retransmitted }),
	counter("media_received_plis", "Key frames that receivers asked for.", func(s snapshot) uint64 { return s.media.PLIsIn }),
	gauge("turn_allocations", "TURN allocations now.", func(s snapshot) int { return s.reach.turn.Allocations }),
	counter("turn_refused", "TURN requests that were refused.", func(s snapshot) uint64 { return s.reach.turn.Refused }),
	counter("turn_unanswered", "Datagrams to TURN without a credential from sources that were answered too often.", func(s snapshot) uint64 { return s.reach.turn.Unanswered }),
	counter("turn_received_bytes", "Bytes that TURN relayed from clients.", func(s snapshot) uint64 { return s.reach.turn.BytesUp }),
	counter("turn_sent_bytes", "Bytes that TURN relayed to clients.", func(s snapshot) uint64 { return s.reach.turn.BytesDown }),
	gauge("media_tcp_streams", "Streams of media over TCP now.", func(s snapshot) int { return s.reach.ice.Streams }),
	gauge("media_tcp_queue_bytes", "What these have not taken yet.", func(s snapshot) int { return s.reach.ice.Queued }),
	counter("media_tcp_dropped_packets", "Packets that streams over TCP were too slow for.", func(s snapshot) uint64 { return s.reach.ice.Dropped }),
	gauge("connections", "TCP connections of the public ports now.", func(s snapshot) int { return s.reach.connections.Open }),
	gauge("pending_connections", "TCP connections now that have not shown yet what they are for.", func(s snapshot) int { return s.reach.connections.Pending }),
	counter("refused_connections", "TCP connections that were closed for want of room.", func(s snapshot) uint64 {
		return s.reach.connections.Refused + s.reach.connections.Displaced
	}),
	counter("media_sent_plis", "Key frames asked of senders.", func(s snapshot) uint64 { return s.media.PLIsOut }),
}

var (
	droppedDesc  = desc("conclave_media_dropped_packets_total", "RTP packets received and not forwarded, by reason.", "reason")
	estimateDesc = desc("conclave_media_estimate_bits", "What the paths to receivers take now, in bits a second, by quantile.", "quantile")
	layersDesc   = desc("conclave_media_layer_slots", "Video slots that are sent a layer now; 0 is the lowest.", "layer")
)

// Describe implements [prometheus.Collector].
func (c collector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range numbers {
		ch <- m.desc
	}
	ch <- droppedDesc
	ch <- layersDesc
	ch <- estimateDesc
}

// Collect implements [prometheus.Collector].
func (c collector) Collect(ch chan<- prometheus.Metric) {
	s := snapshot{c.rooms(), c.media(), c.reach()}
	for _, m := range numbers {
		ch <- prometheus.MustNewConstMetric(m.desc, m.kind, m.read(s))
	}
	for _, reason := range slices.Sorted(maps.Keys(s.media.Dropped)) {
		ch <- prometheus.MustNewConstMetric(droppedDesc, prometheus.CounterValue, float64(s.media.Dropped[reason]), reason)
	}
	for layer, slots := range s.media.LayerSlots {
		ch <- prometheus.MustNewConstMetric(layersDesc, prometheus.GaugeValue, float64(slots), strconv.Itoa(layer))
	}
	collectEstimates(ch, slices.Sorted(slices.Values(s.media.Estimates)))
}

// collectEstimates gives quantiles (nearest rank) of sorted estimates; nothing of none.
func collectEstimates(ch chan<- prometheus.Metric, sorted []int64) {
	for _, percent := range []int{10, 50, 90} {
		if n := len(sorted); n > 0 {
			value := sorted[(n*percent+99)/100-1]
			ch <- prometheus.MustNewConstMetric(estimateDesc, prometheus.GaugeValue, float64(value),
				strconv.FormatFloat(float64(percent)/100, 'g', -1, 64))
		}
	}
}
