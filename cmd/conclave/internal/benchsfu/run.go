//go:build linux

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// settings are those of a run.
type settings struct {
	server   string // the program
	rounds   int
	window   time.Duration
	settle   time.Duration
	timeout  time.Duration // of one round of one workload
	profile  string        // a file for a CPU profile of each workload's first round
	seed     uint64
	feedback string // who gets transport-wide feedback
}

// Who gets transport-wide feedback. The floor throws it away, but has to receive it.
const (
	feedbackBoth   = "both"
	feedbackServer = "server"
	feedbackNone   = "none"
)

// sample is what one window of one process showed.
type sample struct {
	Packets int64 // forwarded, as counted where they arrived
	Lost    int64
	// CPU is processor time for each packet.
	CPU time.Duration
	// System is the kernel's part of it.
	System   time.Duration
	P50, P99 time.Duration // from send to arrival
}

// round is one measurement of the server and of the floor.
type round struct {
	Server, Floor sample
	Ratio         float64
	// Added is by how much the server's delays are longer than the floor's: the middle one,
	// and the one that a hundredth exceeds.
	Added50, Added99 time.Duration
	// Memory and goroutines are those of the steady server beyond the empty one, for
	// each participant and each subscription.
	MemoryParticipant, MemorySubscription int64 // bytes
	GoroutinesParticipant                 float64
	// PacketsMessage and PacketsCall say how many packets went by a message, and by a
	// system call, since the server began.
	PacketsMessage, PacketsCall float64
	// Joins is how long all receivers took to join, so many at a time as joinsAtATime says.
	Joins                       time.Duration
	FirstAudio50, FirstAudioMax time.Duration
	FirstVideo50, FirstVideoMax time.Duration
}

// measure runs one round of a workload.
func measure(ctx context.Context, w workload, s settings) (round, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	s.window = w.window(s.window)
	var r round
	if err := measureServer(ctx, w, s, &r); err != nil {
		return r, fmt.Errorf("%s: server: %w", w.name, err)
	}
	var err error
	if r.Floor, err = measureFloor(ctx, w, s); err != nil {
		return r, fmt.Errorf("%s: floor: %w", w.name, err)
	}
	r.Ratio = float64(r.Server.CPU) / float64(r.Floor.CPU)
	r.Added50, r.Added99 = r.Server.P50-r.Floor.P50, r.Server.P99-r.Floor.P99
	return r, nil
}

// conclave is a `conclave serve` with what has joined it.
type conclave struct {
	*process
	url, admin string
}

func startServer(ctx context.Context, program string) (*conclave, error) {
	admin, err := freePort()
	if err != nil {
		return nil, err
	}
	p, err := spawn(ctx, program, "serve", "--listen", "127.0.0.1:0", "--media-port", "0", "--node-ip", "127.0.0.1",
		"--admin", admin, "--log-level", "error")
	if err != nil {
		return nil, err
	}
	url := "ws" + strings.TrimPrefix(p.line, "http") + "/api/v1/rooms/bench-" + strings.ToLower(rand.Text()[:8]) + "/ws"
	return &conclave{p, url, admin}, nil
}

func measureServer(ctx context.Context, w workload, s settings, r *round) error {
	srv, err := startServer(ctx, s.server)
	if err != nil {
		return err
	}
	defer srv.stop()
	read, err := newReader()
	if err != nil {
		return err
	}
	defer read.close()
	empty, err := srv.state(ctx)
	if err != nil {
		return err
	}
	m := &meeting{workload: w, reader: read, url: srv.url, seed: s.seed, check: checkInterval}
	if s.feedback != feedbackNone {
		m.feedback = w.feedbackInterval()
	}
	defer m.end()
	if r.Joins, err = m.begin(ctx); err != nil {
		return err
	}
	m.joinTimes(r)
	if s.profile != "" {
		profiled := make(chan error, 1)
		go func() { profiled <- profile(ctx, srv.admin, s.profile, s.window) }()
		defer func() { <-profiled }()
	}
	if r.Server, err = window(ctx, srv.process, read, s); err != nil {
		return err
	}
	var full serverState
	if full.memory, err = srv.memory(); err != nil {
		return err
	}
	if full.metrics, err = metrics(ctx, srv.admin); err != nil {
		return err
	}
	r.occupancy(w, empty, full)
	return nil
}

// serverState is what a server takes of the machine, and says of itself.
type serverState struct {
	memory  int64 // bytes
	metrics map[string]float64
}

// state is that of an empty server: what it takes to tell its metrics is not the meeting's.
func (c *conclave) state(ctx context.Context) (s serverState, err error) {
	if s.metrics, err = metrics(ctx, c.admin); err != nil {
		return s, err
	}
	s.memory, err = c.memory()
	return s, err
}

// occupancy tells the steady server, full, from the empty one.
func (r *round) occupancy(w workload, empty, full serverState) {
	r.MemoryParticipant = (full.memory - empty.memory) / int64(w.participants())
	r.MemorySubscription = (full.memory - empty.memory) / int64(w.subscriptions())
	r.GoroutinesParticipant = (full.metrics["go_goroutines"] - empty.metrics["go_goroutines"]) / float64(w.participants())
	// At least one: a server that sends packet by packet has no such metrics.
	r.PacketsMessage = full.metrics["conclave_media_sent_packets_total"] / max(full.metrics["conclave_media_send_messages_total"], 1)
	r.PacketsCall = full.metrics["conclave_media_sent_packets_total"] / max(full.metrics["conclave_media_send_calls_total"], 1)
}

// window measures a steady process.
func window(ctx context.Context, p *process, read *reader, s settings) (sample, error) {
	if err := sleep(ctx, s.settle); err != nil {
		return sample{}, err
	}
	read.openWindow()
	before, systemBefore, err := p.processorTime()
	if err != nil {
		return sample{}, err
	}
	if err := sleep(ctx, s.window); err != nil {
		return sample{}, err
	}
	after, systemAfter, err := p.processorTime()
	if err != nil {
		return sample{}, err
	}
	t := read.shutWindow()
	if t.packets == 0 {
		return sample{}, errors.New("no packet arrived")
	}
	slices.Sort(t.delays)
	return sample{
		Packets: t.packets, Lost: t.lost, CPU: (after - before) / time.Duration(t.packets),
		System: (systemAfter - systemBefore) / time.Duration(t.packets),
		P50:    quantile(t.delays, 0.50), P99: quantile(t.delays, 0.99),
	}, nil
}

// quantile of what is sorted; 0 of nothing.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// freePort is an address that nobody listened on a moment ago.
func freePort() (string, error) {
	l, err := listenLocal()
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// meeting is what joins a server.
type meeting struct {
	workload
	reader *reader
	url    string
	seed   uint64
	// feedback is how often clients send transport-wide feedback, check how often they check
	// the connection; 0 for never.
	feedback, check time.Duration

	mu         sync.Mutex // guards present while they join; what the reader holds takes too long
	present    []*participant
	publishing sync.WaitGroup
	stop       context.CancelFunc
}

// begin has the senders join and send, then the receivers join. It gives the time
// that those who joined last took until each received something of every kind.
func (m *meeting) begin(ctx context.Context) (time.Duration, error) {
	m.present = make([]*participant, m.participants())
	sending, stop := context.WithCancel(ctx)
	m.stop = stop
	m.publishing.Go(func() { m.keepAlive(sending) })
	senders, err := m.join(ctx, sending, 0, m.senders)
	if err != nil {
		return 0, err
	}
	receivers, err := m.join(ctx, sending, m.senders, m.participants())
	if m.receivers == 0 {
		receivers = senders
	}
	return receivers, err
}

func (m *meeting) join(ctx, sending context.Context, from, to int) (time.Duration, error) {
	began := time.Now()
	group, joining := errgroup.WithContext(ctx)
	group.SetLimit(m.joinsAtATime())
	for i := from; i < to; i++ {
		group.Go(func() error {
			p, err := join(joining, m.reader, m.url, m.role(i))
			if err != nil {
				return err
			}
			m.enter(i, p)
			if i < m.senders {
				m.publish(sending, p.client, i)
				return nil
			}
			return m.received(joining, p.client)
		})
	}
	if err := group.Wait(); err != nil {
		return 0, err
	}
	for _, p := range m.present[from:to] {
		if err := m.received(ctx, p.client); err != nil {
			return 0, err
		}
		if m.senders == 1 && from == 0 {
			break
		}
	}
	return time.Since(began), nil
}

// received waits for the first packets of somebody who joined.
func (m *meeting) received(ctx context.Context, c *client) error {
	if m.participants() == 1 || m.senders == 1 && c == m.present[0].client {
		return nil
	}
	if err := await(ctx, "audio", c.heard); err != nil || !m.video {
		return err
	}
	return await(ctx, "video", c.seen)
}

// publish has sender i send all that it offered.
func (m *meeting) publish(ctx context.Context, c *client, i int) {
	transport := new(uint16)
	for mid, section := range m.role(i).sections {
		if section.SSRC == 0 {
			continue
		}
		p := newPublication(c, section, mid, transport, m.rate, m.seed)
		c.mu.Lock()
		c.publications = append(c.publications, p)
		c.mu.Unlock()
		m.publishing.Go(func() { p.run(ctx) })
	}
}

// Times of what clients send, feedback aside: reports and checks, as browsers do.
const (
	beat           = time.Millisecond
	reportInterval = time.Second
	checkInterval  = 2 * time.Second
)

// enter notes that participant i is there.
func (m *meeting) enter(i int, p *participant) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.present[i] = p
}

// keepAlive sends feedback, reports and checks, each client's at a time of its own.
func (m *meeting) keepAlive(ctx context.Context) {
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	began := time.Now()
	for done := 0; ; {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			for until := int(now.Sub(began) / beat); done < until && ctx.Err() == nil; done++ {
				m.due(done, m.feedback, (*participant).tellArrivals)
				m.due(done, reportInterval, func(p *participant) { p.report(now) })
				m.due(done, m.check, func(p *participant) { _ = p.bind() })
			}
		}
	}
}

// due does what is done in each interval, 0 for never, for those whose turn is at a beat.
func (m *meeting) due(at int, interval time.Duration, do func(*participant)) {
	turns := int(interval / beat)
	for i := 0; turns > 0 && at%turns+i < len(m.present); i += turns {
		m.mu.Lock()
		p := m.present[at%turns+i]
		m.mu.Unlock()
		if p != nil {
			do(p)
		}
	}
}

// joinTimes says when who joined last received first.
func (m *meeting) joinTimes(r *round) {
	joined := m.present[m.senders:]
	if m.receivers == 0 {
		joined = m.present[m.senders/2:] // who had somebody to hear at once
	}
	m.reader.mu.Lock()
	defer m.reader.mu.Unlock()
	var audio, video []time.Duration
	for _, p := range joined {
		audio, video = append(audio, p.firstHeard), append(video, p.firstSeen)
	}
	slices.Sort(audio)
	slices.Sort(video)
	r.FirstAudio50, r.FirstAudioMax = quantile(audio, 0.5), quantile(audio, 1)
	r.FirstVideo50, r.FirstVideoMax = quantile(video, 0.5), quantile(video, 1)
}

// end has everybody leave.
func (m *meeting) end() {
	if m.stop != nil {
		m.stop()
	}
	m.publishing.Wait()
	for _, p := range m.present {
		if p != nil {
			p.leave()
		}
	}
}

// measureFloor is the same workload against the bare loop.
func measureFloor(ctx context.Context, w workload, s settings) (sample, error) {
	p, address, err := startFloor(ctx)
	if err != nil {
		return sample{}, err
	}
	defer p.stop()
	read, err := newReader()
	if err != nil {
		return sample{}, err
	}
	defer read.close()
	m := &meeting{workload: w, reader: read, seed: s.seed}
	clients, plan, err := m.floorClients(address)
	defer func() {
		for _, c := range clients {
			c.close()
		}
	}()
	if err != nil {
		return sample{}, err
	}
	if err := plan.tell(p.input); err != nil {
		return sample{}, err
	}
	sending, stop := context.WithCancel(ctx)
	defer m.publishing.Wait()
	defer stop()
	for i := range w.senders {
		m.publish(sending, clients[i], i)
	}
	if s.feedback == feedbackBoth {
		m.feedback = w.feedbackInterval()
	}
	for _, c := range clients {
		m.present = append(m.present, &participant{client: c})
	}
	m.publishing.Go(func() { m.keepAlive(sending) })
	return window(ctx, p, read, s)
}

// startFloor has a process of this program be the bare loop, and gives its address.
func startFloor(ctx context.Context) (*process, netip.AddrPort, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	p, err := spawn(ctx, self, "floor")
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	address, err := netip.ParseAddrPort(p.line)
	if err != nil {
		p.stop()
	}
	return p, address, err
}

// floorClients makes the clients and tells the floor of them.
func (m *meeting) floorClients(address netip.AddrPort) (clients []*client, plan floorPlan, err error) {
	all := make([]keys, m.participants())
	for i := range all {
		all[i] = randomKeys()
		c, err := newClient(m.reader, address, time.Now())
		if err != nil {
			return clients, plan, err
		}
		clients = append(clients, c)
		if err := c.setKeys(all[i]); err != nil {
			return clients, plan, err
		}
	}
	for i := range m.senders {
		for _, section := range m.role(i).sections {
			if section.SSRC == 0 {
				continue
			}
			source := floorSource{SSRC: section.SSRC, Key: all[i].SendKey, Salt: all[i].SendSalt}
			for to, c := range clients {
				if to == i {
					continue
				}
				source.To = append(source.To, floorTarget{
					Address: c.local, SSRC: section.SSRC,
					Key: all[to].ReceiveKey, Salt: all[to].ReceiveSalt,
				})
			}
			plan.Sources = append(plan.Sources, source)
		}
	}
	return clients, plan, nil
}

func randomKeys() keys {
	raw := make([]byte, 56)
	_, _ = rand.Read(raw) // it never fails
	return keys{raw[:16], raw[16:28], raw[28:44], raw[44:56]}
}
